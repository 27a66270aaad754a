"""Datasets of streets are brought in: train ids, statistics, lists; wrong pairs left out; called again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from scenewright.data.street import open_streets
from scenewright.data.street_stats import DATASET_FILE, STATS, Statistics, read_dataset_file
from scenewright.errors import InputError
from scenewright.flows.dataset.streets import import_streets, kind_of, lines
from scenewright.scene import Vocabulary, write_png
from scenewright.world import folders, town


@pytest.fixture(scope="module")
def drawn():
    return [town.draw(seed, size_wh=(96, 48)) for seed in range(5)]


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_gta_in_one_step_that_leaves_out_wrong_pairs(drawn, tmp_path):
    root = tmp_path / "gta"
    folders.write_gta(drawn, root)
    write_png(root / "images" / "00002.png", np.zeros((40, 96, 3), np.uint8))
    (root / "images" / "00004.png").unlink()
    found = import_streets(root, "gta")
    assert [one.name for one in found.failed] == ["labels/00002", "labels/00004"]
    assert "96 x 40 pixels" in found.failed[0].error and found.fresh == 5
    statistics = Statistics.read(root)
    assert [path for path, _ in statistics.rows] == [
        str(root / "labels" / f"0000{k}_labelTrainIds.png") for k in (1, 3, 5)
    ]
    for (path, counts), one in zip(statistics.rows, (drawn[0], drawn[2], drawn[4]), strict=True):
        saved = np.asarray(Image.open(path))
        assert saved.dtype == np.uint8 and np.array_equal(saved, one.semantic)
        assert counts == {int(k): int(n) for k, n in zip(*np.unique(saved, return_counts=True), strict=True)}
    listed = read_dataset_file(root / DATASET_FILE)
    assert listed[1].image == str(root / "images/00003.png")
    assert listed[1].conditioning_image == str(root / "labels/00003.png")
    assert listed[1].text.split()[0] == "road"
    assert next(iter(lines(found))) == "3 label maps, 2 left out"
    write_png(root / "images" / "00002.png", drawn[1].image)
    again = import_streets(root, "gta")
    assert [one.name for one in again.failed] == ["labels/00004"] and len(again.statistics) == 4


def test_an_interrupted_import_goes_on_to_the_same_bytes(drawn, tmp_path):
    whole, cut = tmp_path / "a" / "gta", tmp_path / "b" / "gta"
    for root in (whole, cut):
        folders.write_gta(drawn[:3], root)
    import_streets(whole, "gta")
    import_streets(cut, "gta")
    journal = cut / "import.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]) + b'{"na')
    (cut / "labels" / "00003_labelTrainIds.png").unlink()
    (cut / STATS).unlink()
    again = import_streets(cut, "gta")
    assert again.fresh == 2 and import_streets(cut, "gta").fresh == 0
    ours = {key: value.replace(b"/b/", b"/a/") for key, value in _files(cut).items()}
    assert ours == _files(whole)


def test_cityscapes_elsewhere(drawn, tmp_path):
    root, out = tmp_path / "city", tmp_path / "out"
    folders.write_cityscapes(drawn[:2], root)
    found = import_streets(root, "cityscapes", out=out)
    (path, _), _ = found.statistics.rows
    assert path == str(out / "gtFine/train/town/town_000000_000019_gtFine_labelTrainIds.png")
    line = read_dataset_file(out / DATASET_FILE)[0]
    assert line.conditioning_image.endswith("gtFine_color.png") and "leftImg8bit" in line.image


def test_maps_of_coco_through_the_named_table(data_dir, tmp_path):
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    source = data_dir / "coco100"
    names = None
    for kind in ("instances", "stuff"):
        document = json.loads((source / f"annotations/{kind}_train2017.json").read_text())
        if names is None:
            streets = {c["id"] for c in document["categories"] if c["name"] in ("bus", "traffic light")}
            wanted = {a["image_id"] for a in document["annotations"] if a["category_id"] in streets}
            names = sorted(wanted)[:3]
        document["images"] = [one for one in document["images"] if one["id"] in names]
        document["annotations"] = [one for one in document["annotations"] if one["image_id"] in names]
        (root / f"annotations/{kind}_train2017.json").write_text(json.dumps(document))
        (root / "train2017").mkdir(exist_ok=True)
        for one in document["images"]:
            shutil.copyfile(source / "train2017" / one["file_name"], root / "train2017" / one["file_name"])
    out = tmp_path / "out"
    found = import_streets(root, "coco-stuff", out=out)
    assert len(found.statistics) == len(names) and not found.failed
    streets = open_streets(out)
    assert streets.layout.name == "generated"
    image, labels = streets.item(0)
    assert image.shape[:2] == labels.shape
    ids = set(found.statistics.totals())
    assert ids <= {one.id for one in Vocabulary.load("cityscapes")} and ids & {6, 15}
    with pytest.raises(InputError, match="becomes a new folder"):
        import_streets(root, "coco-stuff")


def test_real_maps_have_statistics(data_dir, tmp_path):
    found = import_streets(data_dir / "gta_labels", "maps", out=tmp_path)
    assert len(found.statistics) == 4 and not found.failed
    assert (tmp_path / "06835_labelTrainIds.png").is_file()
    assert read_dataset_file(tmp_path / DATASET_FILE) == []


def test_words_on_the_command_line(drawn, tmp_path, cli):
    assert kind_of(["x"])[0] == "" and kind_of(["gta", "x"])[0] == "gta"
    with pytest.raises(InputError, match="expected KIND FOLDER"):
        kind_of(["gtaa", "x"])
    folders.write_gta(drawn[:1], tmp_path)
    ended = cli("dataset", "import", "gta", tmp_path, "--json")
    assert ended.code == 0 and json.loads(ended.out)["maps"] == 1
    assert cli("dataset", "import", "gta", tmp_path / "none").code == 2
    ended = cli("dataset", "import", "gta", tmp_path, "--presume-prompts")
    assert ended.code == 2 and "samples of Grounded Diffusion" in ended.err
    ended = cli("dataset", "import", tmp_path, "--split", "train")
    assert ended.code == 2 and "--split was given without a dataset of streets" in ended.err


@pytest.mark.parametrize("words", [("--classes", "car"), ("--grammar", "seen"), ("--verifier", "own")])
def test_maps_are_built_without_options_of_scenes(words, tmp_path, cli):
    ended = cli("dataset", "build", tmp_path, "--vocabulary", "cityscapes", *words)
    assert ended.code == 2 and f"{words[0]} was given with label maps" in ended.err
