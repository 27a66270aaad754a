"""The three lists of Seg-diffusion's training, and its validation folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.data.mask_lists import BareClass, read_mask_folders, read_mask_lists
from scenewright.errors import InputError, StorageError


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path, Path]:
    return make_lists(tmp_path)


def make_lists(folder: Path, count: int = 3) -> tuple[Path, Path, Path]:
    for k in range(count):
        Image.new("RGB", (20, 16), (60 * k, 90, 10)).save(folder / f"p{k}.x.jpg")
        levels = np.zeros((16, 20), np.uint8)
        levels[4:12, 5:15] = 3 + k
        Image.fromarray(levels).save(folder / f"p{k}.png")
    places = folder / "img_list.txt", folder / "gt_list.txt", folder / "text.json"
    places[0].write_text("".join(f"{folder / f'p{k}.x.jpg'}  \n" for k in range(count)) + "\n")
    places[1].write_text("".join(f"p{k}.png\n" for k in range(count)))
    places[2].write_text(json.dumps({f"p{k}.x.jpg": ["cat", f"red car {k}"] for k in range(count)}))
    return places


def test_lists_are_paired_by_line(lists):
    found = read_mask_lists(*lists)
    assert [one.image.name for one in found] == ["p0.x.jpg", "p1.x.jpg", "p2.x.jpg"]
    assert found[1].prompts == ("cat", "red car 1")
    image, levels = found[1].item()
    assert image.shape == (16, 20, 3) and sorted(np.unique(levels).tolist()) == [0, 4]


def test_validation_folders_pair_by_the_name_up_to_its_first_dot(lists, tmp_path):
    lists[1].write_text("p0.png\n")
    for path in tmp_path.glob("*.png"):
        path.rename(tmp_path / f"_{path.name}")
    (tmp_path / "gt").mkdir()
    for path in tmp_path.glob("_*.png"):
        path.rename(tmp_path / "gt" / path.name[1:])
    found = read_mask_folders(tmp_path, tmp_path / "gt", lists[2])
    assert len(found) == 3 and found[0].labels.name == "p0.png" and found[0].item()[1].max() == 3


def test_a_colour_label_file_counts_by_its_first_channel(lists, tmp_path):
    levels = np.zeros((16, 20, 3), np.uint8)
    levels[..., 0], levels[..., 1] = 9, 200
    Image.fromarray(levels).save(tmp_path / "p0.png")
    assert set(np.unique(read_mask_lists(*lists)[0].item()[1])) == {9}


def test_bad_lists(lists, tmp_path):
    images, labels, texts = lists
    said = json.loads(texts.read_text())
    texts.write_text(json.dumps({**said, "p0.x.jpg": "sofa"}))
    with pytest.warns(BareClass, match="sofa"):
        assert read_mask_lists(*lists)[0].prompts == ("sofa",)
    for wrong in ({}, {**said, "p0.x.jpg": []}, {**said, "p0.x.jpg": [3]}, [1]):
        texts.write_text(json.dumps(wrong))
        with pytest.raises(InputError):
            read_mask_lists(*lists)
    texts.write_text(json.dumps(said))
    labels.write_text("p0.png\n")
    with pytest.raises(InputError, match="3 pictures"):
        read_mask_lists(*lists)
    images.write_text("\n\n")
    with pytest.raises(InputError, match="no file"):
        read_mask_lists(*lists)
    with pytest.raises(StorageError):
        read_mask_lists(tmp_path / "nowhere.txt", labels, texts)
    with pytest.raises(StorageError, match="no folder"):
        read_mask_folders(tmp_path / "nowhere", tmp_path, texts)
