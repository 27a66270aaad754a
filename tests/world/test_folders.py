"""Town pictures in the GTA and Cityscapes layouts, read back with Pillow alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.errors import InputError
from scenewright.world import town, toybox
from scenewright.world.folders import COUNTED, write_cityscapes, write_gta
from scenewright.world.town_classes import TOWN_CLASSES, from_city_ids


def test_gta_labels_are_palette_pictures_of_city_ids(tmp_path: Path) -> None:
    drawn = [town.draw(seed) for seed in (3, 4)]
    written = write_gta(drawn, tmp_path, first=7)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "images/00007.png",
        "images/00008.png",
    ]
    for path, one in zip(written, drawn, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), one.image)
        label = Image.open(tmp_path / "labels" / path.name)
        assert label.mode == "P"
        assert np.array_equal(from_city_ids(np.asarray(label)), one.semantic)
        colours = np.array([item.colour for item in TOWN_CLASSES], np.uint8)
        assert np.array_equal(np.asarray(label.convert("RGB")), colours[one.semantic])


def test_cityscapes_files_and_instances(tmp_path: Path) -> None:
    drawn = [town.draw(seed, look="snow") for seed in (31, 15)]
    written = write_cityscapes(drawn, tmp_path, split="val", city="oldtown")
    assert written[1] == tmp_path / "leftImg8bit/val/oldtown/oldtown_000001_000019_leftImg8bit.png"
    for path, one in zip(written, drawn, strict=True):
        stem = path.name.removesuffix("_leftImg8bit.png")

        def read(kind: str, stem: str = stem) -> np.ndarray:
            return np.asarray(Image.open(tmp_path / f"gtFine/val/oldtown/{stem}_gtFine_{kind}.png"))

        assert np.array_equal(np.asarray(Image.open(path)), one.image)
        assert np.array_equal(read("labelTrainIds"), one.semantic)
        assert np.array_equal(from_city_ids(read("labelIds")), one.semantic)
        instances_HW = read("instanceIds").astype(int)
        big_HW = instances_HW >= 1000
        assert np.array_equal(np.where(big_HW, instances_HW // 1000, instances_HW), read("labelIds"))
        counted = [i for i in one.scene.instances if i.category in COUNTED]
        assert len(np.unique(instances_HW[big_HW])) == len(counted)


def test_nothing_but_the_town_goes_into_street_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="toybox"):
        write_gta([toybox.draw(0)], tmp_path)
    with pytest.raises(InputError, match="split 'training'"):
        write_cityscapes([], tmp_path, split="training")
    with pytest.raises(InputError, match="city 'old_town'"):
        write_cityscapes([], tmp_path, city="old_town")
    assert not list(tmp_path.iterdir())


def test_no_pictures_no_files(tmp_path: Path) -> None:
    assert write_gta([], tmp_path) == [] and write_cityscapes([], tmp_path) == []
