"""Readers of street datasets: the town written in every layout and read back, real label maps, bad files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from scenewright.data.street import LAYOUTS, detect_layout, map_stem, open_streets, read_street_labels
from scenewright.data.street_stats import (
    Statistics,
    Wanted,
    find_file,
    generation_list_bytes,
    is_generation_list,
    read_generation_list,
)
from scenewright.errors import InputError, StorageError
from scenewright.scene import atomic_write, write_png
from scenewright.scene.label_maps import class_pixels
from scenewright.scene.label_space import LabelSpace
from scenewright.world import folders, town

WRITERS = {
    "gta": folders.write_gta,
    "cityscapes": folders.write_cityscapes,
    "bdd100k": folders.write_bdd100k,
    "mapillary": folders.write_mapillary,
    "acdc": folders.write_acdc,
    "dark-zurich": folders.write_dark_zurich,
}


@pytest.fixture(scope="module")
def drawn():
    return [town.draw(seed, look="night", size_wh=(96, 48)) for seed in (3, 4)]


@pytest.mark.parametrize("name", WRITERS)
def test_the_town_in_every_layout_and_back(name, drawn, tmp_path):
    root = tmp_path / "streets"
    written = WRITERS[name](drawn, root)
    assert detect_layout(root) == name
    found = open_streets(root)
    assert len(found) == 2 and found.layout is LAYOUTS[name]
    assert found.split == (
        ("train" if name == "cityscapes" else LAYOUTS[name].splits[0]) if found.split else ""
    )
    for k, one in enumerate(drawn):
        image, labels = found.item(k)
        assert found.streets[k].image == written[k]
        assert np.array_equal(image, one.image) and np.array_equal(labels, one.semantic)
        assert labels.dtype == np.uint8
    assert len(found.first(1)) == 1
    with pytest.raises(InputError, match="3 pictures"):
        found.first(3)


def test_colours_are_read_where_there_are_no_ids(drawn, tmp_path):
    folders.write_cityscapes(drawn[:1], tmp_path)
    for kind in ("labelTrainIds", "labelIds"):
        next(tmp_path.rglob(f"*_{kind}.png")).unlink()
    found = open_streets(tmp_path)
    assert found.streets[0].ids == "colour"
    assert np.array_equal(found.labels(0), drawn[0].semantic)


def test_generated_maps_with_19_for_ignored_pixels(drawn, tmp_path):
    labels = drawn[0].semantic.copy()
    labels[0] = 255
    published = np.where(labels == 255, 19, labels).astype(np.uint8)
    write_png(tmp_path / "images" / "a07_genid1.png", drawn[0].image)
    (tmp_path / "labels").mkdir()
    Image.fromarray(published).save(tmp_path / "labels" / "a07_genid1_labelTrainIds.png")
    found = open_streets(tmp_path)
    assert found.layout.name == "generated" and found.streets[0].stem == "a07_genid1"
    assert np.array_equal(found.item(0)[1], labels)
    path = found.streets[0].label
    with pytest.raises(InputError, match="holds the label 19"):
        read_street_labels(path, "train")


def test_real_label_maps(data_dir, tmp_path):
    folder = data_dir / "gta_labels"
    found = open_streets(folder)
    assert found.layout.name == "maps" and len(found) == 4
    space = LabelSpace.of("cityscapes")
    rows = tuple(
        (one.label.name, class_pixels(found.labels(k), space)) for k, one in enumerate(found.streets)
    )
    assert all(found.labels(k).shape == (1052, 1914) for k in range(4))
    statistics = Statistics(rows)
    statistics.write(tmp_path)
    assert Statistics.read(tmp_path) == statistics
    wanted = read_generation_list(folder / "gen_file.json")
    assert [one.id for one in wanted] == [15, 6, 13, 12]
    for one in wanted:
        file = find_file(one.file, folder)
        counts = dict(statistics.rows)[file.name]
        assert counts[one.id] > 0
    assert json.loads(generation_list_bytes(wanted)) == json.loads((folder / "gen_file.json").read_text())
    with pytest.raises(StorageError, match="no picture"):
        found.image(0)


def test_what_is_wrong_is_said(drawn, tmp_path):
    with pytest.raises(StorageError, match="there is no folder"):
        open_streets(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="there is no folder") as refused:
        open_streets(tmp_path / "file")
    assert not refused.value.hint.startswith("did you mean")
    (tmp_path / "file").unlink()
    with pytest.raises(InputError, match="none of the layouts"):
        open_streets(tmp_path)
    with pytest.raises(InputError, match="unknown layout 'gtaa'"):
        open_streets(tmp_path, "gtaa")
    root = tmp_path / "gta"
    folders.write_gta(drawn, root)
    with pytest.raises(InputError, match="has no part 'val'"):
        open_streets(root, "gta", "val")
    found = open_streets(root)
    write_png(root / "images" / "00001.png", np.zeros((40, 96, 3), np.uint8))
    with pytest.raises(InputError, match="96 x 40 pixels, its labels"):
        found.item(0)
    Image.fromarray(np.full((48, 96), 77, np.uint8)).save(root / "labels" / "00002.png")
    with pytest.raises(InputError, match="holds 77, expected city ids 0 to 34"):
        found.labels(1)
    atomic_write(root / "labels" / "00001.png", b"\x89PNG\r\n\x1a\ncut")
    with pytest.raises(StorageError):
        found.labels(0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"file_name": "a.png"}], "expected class and file_name"),
        ([{"class": "19", "file_name": "a.png"}], "no class with id 19"),
        ([{"class": "13", "class_name": "bus", "file_name": "a.png"}], "the class 13 is 'car'"),
        ([{"class": "x", "file_name": "a.png"}], "expected a whole number"),
        ({"class": "1"}, "expected a list"),
    ],
)
def test_lists_that_are_none(content, words, tmp_path):
    (tmp_path / "1.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        read_generation_list(tmp_path / "1.json")


def test_statistics_that_are_none(tmp_path):
    with pytest.raises(StorageError, match=r"has no sample_class_stats\.json"):
        Statistics.read(tmp_path)
    (tmp_path / "sample_class_stats.json").write_text('[{"0": -4, "file": "a"}]')
    with pytest.raises(InputError, match="whole number from 0"):
        Statistics.read(tmp_path)
    with pytest.raises(StorageError, match="there is no file x"):
        find_file("x.png", tmp_path)
    assert is_generation_list([{"file_name": "a", "class": "1"}]) and not is_generation_list([])
    assert generation_list_bytes([Wanted(13, "a.png")]).count(b"car") == 1
    assert [map_stem(find) for find in map(tmp_path.joinpath, ("3_labelTrainIds.png", "4.png"))] == ["3", "4"]
