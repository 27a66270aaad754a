"""Folders of pictures with what they should show: ours, other people's, and those that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from judged_folders import toys
from PIL import Image

from scenewright.errors import InputError, ScenewrightError, StorageError
from scenewright.evaluate.protocol import drawn_keys, held_out
from scenewright.flows.samples import pixels_digest, read_samples
from scenewright.scene import Record
from scenewright.world import toybox


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys(tmp_path_factory.mktemp("toys"))


def test_records_are_read(folder: Path) -> None:
    found = read_samples(folder)
    assert sorted(one.key for one in found.samples) == [one.key for one in found.samples]
    assert {one.key for one in found.samples} == set(drawn_keys(held_out("toybox-1"))[:6])
    for one in found.samples:
        record = Record.load(one.path)
        assert one.scene == record.scene and one.labels == record.labels
        assert np.array_equal(one.image(), record.image) and one.pixels == pixels_digest(record.image)
    assert found.left_out == () and found.home == folder


def test_overlays_and_sheets_of_ours_are_no_pictures(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    some = next(folder.glob("*.png"))
    shutil.copy(some, tmp_path / "sheet.png")
    shutil.copy(some, tmp_path / f"{some.stem}.overlay.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.jpg")
    found = read_samples(tmp_path)
    assert len(found.samples) == 6 and found.left_out == ("holiday.jpg",)


def test_pictures_of_others_with_scenes_beside_them(tmp_path: Path) -> None:
    drawn = toybox.draw(200_000)
    Image.fromarray(drawn.image).save(tmp_path / "theirs.png")
    drawn.scene.write(tmp_path / "theirs.scene.json")
    (one,) = read_samples(tmp_path).samples
    assert one.name == "theirs" and one.key == drawn_keys(held_out("toybox-1"))[0]


def test_larger_pictures_of_the_same_shape(tmp_path: Path) -> None:
    """Boxes are fractions; masks follow the picture."""
    drawn = toybox.draw(200_001)
    Image.fromarray(drawn.image).resize((200, 200)).save(tmp_path / "big.jpg")
    drawn.scene.write(tmp_path / "big.scene.json")
    (one,) = read_samples(tmp_path).samples
    assert one.scene.size_wh == (200, 200) and one.key == drawn_keys(held_out("toybox-1"))[1]
    for before, after in zip(drawn.scene.instances, one.scene.instances, strict=True):
        assert after.box == before.box and after.mask is not None and after.mask.size_hw == (200, 200)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    drawn = toybox.draw(200_001)
    Image.fromarray(drawn.image).resize((200, 100)).save(tmp_path / "wide.png")
    drawn.scene.write(tmp_path / "wide.scene.json")
    with pytest.raises(InputError, match="another shape"):
        read_samples(tmp_path)


def test_coco_file_in_place_of_a_folder(tmp_path: Path) -> None:
    drawn = toybox.draw(200_003)
    (tmp_path / "images").mkdir()
    Image.fromarray(drawn.image).save(tmp_path / "images" / "one.png")
    boxes = [one.box.to_xywh_px((128, 128)) for one in drawn.scene.instances if one.box]
    document = {
        "images": [{"id": 1, "file_name": "one.png", "width": 128, "height": 128}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 1, "bbox": list(box), "iscrowd": 0}
            for k, box in enumerate(boxes, 1)
        ],
    }  # fmt: skip
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(document))
    found = read_samples(file)
    assert found.home == tmp_path and len(found.samples) == 1
    assert [one.category for one in found.samples[0].scene.instances] == ["car"] * len(boxes)
    (tmp_path / "images" / "one.png").unlink()
    with pytest.raises(StorageError, match=r"one\.png"):
        read_samples(file)


def _empty(place: Path) -> Path:
    return place


def _plain_pictures(place: Path) -> Path:
    Image.new("RGB", (8, 8)).save(place / "a.png")
    return place


def _deeper(place: Path) -> Path:
    toys(place / "out", 1)
    return place


def _misspelt(place: Path) -> Path:
    toys(place / "pictures", 1)
    return place / "pictuers"


def _cut_off(place: Path) -> Path:
    path = next(toys(place, 1).glob("*.png"))
    path.write_bytes(path.read_bytes()[:-200])
    return place


def _twice(place: Path) -> Path:
    path = next(toys(place, 1).glob("*.png"))
    Image.open(path).convert("RGB").save(path.with_suffix(".jpg"))
    return place


def _prompts(place: Path) -> Path:
    path = place / "scenes.json"
    path.write_text(json.dumps(toybox.draw(1).scene.to_json()))
    return path


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (_empty, "no picture with a scene", "write such folders"),
        (_plain_pictures, "no picture with a scene", "no scene is inside them"),
        (_deeper, "no picture with a scene", "name that folder"),
        (_misspelt, "there is no folder", "did you mean"),
        (_cut_off, "cut off", ""),
        (_twice, "two pictures called", "rename"),
        (_prompts, "does not name the pictures", "folder"),
    ],
)
def test_folders_that_cannot_be_judged(tmp_path: Path, make, message: str, hint: str) -> None:
    with pytest.raises(ScenewrightError, match=message) as fault:
        read_samples(make(tmp_path))
    assert hint in fault.value.hint
