"""Masked pictures: which masks belong to which class, how classes are called, what is read from a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from masked_folders import drawings, with_latents

from scenewright.errors import InputError, StorageError
from scenewright.flows.masked import (
    class_masks,
    class_name,
    drawn_masked,
    masked_picture,
    names_of,
    read_masked,
)
from scenewright.scene import Instance, Mask, Record, Scene
from scenewright.testing import tiny_backbone
from scenewright.world import toybox

SIZE = (16, 8)


def mask(*columns: int) -> Mask:
    array_HW = np.zeros(SIZE[::-1], bool)
    array_HW[:, list(columns)] = True
    return Mask.from_array(array_HW)


SCENE = Scene(
    "two cats and a table",
    SIZE,
    (
        Instance("a red cat", id="a", category="cat", mask=mask(0)),
        Instance("a dining table", id="b"),
        Instance("a cat", id="c", category="Cat"),
        Instance("the sky", id="d"),
    ),
)


def test_names() -> None:
    assert names_of("diningtable")[:2] == ("dining table", "diningtable")
    assert names_of("tvmonitor")[0] == "tv monitor" and "tv" in names_of("tvmonitor")
    assert names_of("cat")[0] == "cat" and names_of("air balloon")[0] == "air balloon"
    assert names_of("robot arm") == ("robot arm",)
    assert [class_name(one) for one in ("kitten", "Dining Table", "TV", "robot arm")] == [
        "cat", "diningtable", "tvmonitor", "robot arm"
    ]  # fmt: skip


def test_masks_of_a_class_are_those_of_its_instances_together() -> None:
    found = class_masks(SCENE, {"c": mask(3, 4), "b": mask(7)})
    assert list(found) == ["cat", "diningtable"]
    assert np.array_equal(found["cat"].array(), mask(0, 3, 4).array())
    assert np.array_equal(found["diningtable"].array(), mask(7).array())
    assert list(class_masks(SCENE, {"a": mask(5)})) == ["cat"]
    assert np.array_equal(class_masks(SCENE, {"a": mask(5)})["cat"].array(), mask(5).array())


def test_a_picture() -> None:
    one = masked_picture("p", SCENE, {"b": mask(7)}, image=np.zeros((8, 16, 3), np.uint8))
    assert one.prompt == SCENE.prompt and one.truth().shape == (2, 8, 16) and one.key
    assert one.named().prompt == "a photograph of a cat and a dining table"
    only = one.only(["DiningTable"])
    assert only.classes == ("diningtable",) and np.array_equal(only.truth()[0], mask(7).array())
    assert one.only([]).truth().shape == (0, 8, 16) and one.only([]).named().prompt == ""
    with pytest.raises(InputError, match="no picture"):
        masked_picture("p", SCENE, {}).pixels()


def test_drawings_have_the_masks_of_the_drawing() -> None:
    one = next(drawn_masked([200_003]))
    drawn = toybox.draw(200_003)
    assert np.array_equal(one.pixels(), drawn.image)
    for name, mask_HW in zip(one.classes, one.truth(), strict=True):
        assert np.array_equal(mask_HW, drawn.semantic == toybox.CLASSES.index(name) + 1)
    assert [p.classes for p in drawn_masked([5, 6], classes=("cat",), count=(1, 1))] == [("cat",)] * 2


def test_a_folder(tmp_path: Path) -> None:
    drawings(tmp_path, 3)
    backbone = tiny_backbone(0)
    with_latents(tmp_path, backbone)
    (tmp_path / "r001.latent.safetensors").unlink()
    Record.load(tmp_path / "r002.png").replace(provenance={"negative": "fog"}).save(tmp_path, "r002")
    found = read_masked([tmp_path])
    assert [one.name for one in found] == ["r000", "r001", "r002"]
    assert [one.latent is not None for one in found] == [True, False, True]
    assert [one.negative for one in found] == ["", "", "fog"]
    drawn = next(drawn_masked([200_000], count=(1, 3)))
    assert found[0].classes == drawn.classes and np.array_equal(found[0].truth(), drawn.truth())
    assert np.array_equal(found[0].pixels(), drawn.pixels()) and found[0].key == drawn.key


def test_pictures_without_masks_and_those_of_others_are_left_out(tmp_path: Path) -> None:
    from PIL import Image

    drawings(tmp_path, 1)
    Image.new("RGB", (8, 8)).save(tmp_path / "sheet.png")
    bare = Scene("a cat", (16, 8), (Instance("a cat"),))
    Record(np.zeros((8, 16, 3), np.uint8), bare).save(tmp_path, "bare")
    assert [one.name for one in read_masked([tmp_path])] == ["r000"]


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no folder"):
        read_masked([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no Record"):
        read_masked([tmp_path])
    bare = Record(np.zeros((8, 16, 3), np.uint8), Scene("a cat", (16, 8), (Instance("a cat"),)))
    bare.save(tmp_path, "bare")
    with pytest.raises(InputError, match="none of the 1 Records"):
        read_masked([tmp_path])
