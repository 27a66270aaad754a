"""Open-vocabulary segmentation measured on datasets: from label maps that are there, and with a segmenter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.errors import InputError, StorageError
from scenewright.flows.evaluate_ovss import OvssOptions, evaluate_ovss, lines
from scenewright.flows.ovss_maps import MethodMaps, write_map
from scenewright.flows.produce import ModelChoice
from scenewright.scene.io import read_image, read_labels

SIZE = (24, 16)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Three pictures in VOC's folders: persons and dogs over background, a border that does not count."""
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for k in range(3):
        labels = truth(k)
        Image.new("RGB", SIZE, (40 * k, 90, 20)).save(root / "JPEGImages" / f"p{k}.jpg")
        Image.fromarray(labels).save(root / "SegmentationClass" / f"p{k}.png")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("p2\np0\np1\n")
    return root


def truth(k: int) -> np.ndarray:
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[2:9, 3 : 10 + k], labels[10:15, 4:20] = 15, 12
    labels[0] = 255
    return labels


def methods(folder: Path) -> tuple[Path, Path]:
    """Ours: everything right but one picture; another's, in numbers from 0 and at half the size."""
    ours, other = folder / "ours", folder / "other"
    for k in range(3):
        labels = truth(k)
        found = np.where(labels == 255, 15, labels)
        if k == 1:
            found = np.where(found == 12, 3, found)
        write_map(ours, f"p{k}", found)
        write_map(other, f"p{k}", np.where(labels == 12, 11, 14)[::2, ::2])
    return ours, other


def test_maps_of_several_methods(voc, tmp_path):
    ours, other = methods(tmp_path)
    options = OvssOptions(
        benchmark="voc20", maps=ours, also=(MethodMaps.parse(f"SAN={other}:contiguous"),),
        out=tmp_path / "out", resamples=100,
    )  # fmt: skip
    found = evaluate_ovss(voc, options)
    dogs = 5 * 16 / (15 * 16)
    assert found.report.figures["miou"].value == pytest.approx((1 + 2 * dogs) / 2)
    assert found.report.figures["miou_either"].value == pytest.approx((1 + 2 * dogs) / 3)
    assert found.report.protocol == "ovss-voc20-ignored-1" and found.report.pictures == 3
    assert [item["name"] for item in found.report.items] == ["p2", "p0", "p1"]
    notes = " ".join(found.report.notes)
    assert "background counts for nothing" in notes and "classes in the truth" in notes and "1449" in notes
    assert found.others["SAN"]["miou"] > 0.9 and found.against["SAN"]["miou"].value < 0
    assert found.report.figures["miou_seen"].value is not None  # person and dog are names of COCO-Stuff
    document = json.loads(found.results.read_text())
    assert document["groups"]["seen class"]["dog"]["figures"]["iou"]["value"] == pytest.approx(
        2 * dogs, abs=1e-5
    )
    assert found.sheet is not None and read_image(found.sheet).shape[1] > 4 * 256
    assert any(line.startswith("also SAN: miou") for line in lines(found))
    assert json.dumps(found.to_json()) and (tmp_path / "out/ovss-voc20/results.SAN.json").is_file()

    with_background = evaluate_ovss(voc, replace(options, benchmark="voc21", also=()))
    assert "background" in with_background.report.groups["other class"]
    with pytest.raises(InputError, match="protocols differ"):
        evaluate_ovss(voc, replace(options, benchmark="voc21", also=(), compare=found.results))
    again = evaluate_ovss(voc, replace(options, also=(), compare=found.results))
    assert again.differences["miou"].value == pytest.approx(0, abs=1e-5)


def test_a_segmenter_on_a_dataset(voc, tmp_path, tiny_model, tiny_segmenter):
    options = OvssOptions(
        benchmark="voc21", model=ModelChoice(name=tiny_model.partition("+")[0], device="cpu"),
        segmenter=str(tiny_segmenter), out=tmp_path / "out", count=2, batch=1, resamples=100,
    )  # fmt: skip
    found = evaluate_ovss(voc, options)
    labels = read_labels(tmp_path / "out" / "ovss-voc21" / "labels" / "p2.png")
    assert labels.shape == SIZE[::-1] and set(np.unique(labels)) <= set(range(21))
    assert found.report.pictures == 2 and "segmenter" in found.report.source
    stored = evaluate_ovss(
        voc, replace(options, maps=tmp_path / "out/ovss-voc21/labels", compare=found.results)
    )
    assert stored.differences["miou"].value == pytest.approx(0, abs=1e-5)


def test_what_can_be_known_is_known_before_the_model_is_loaded(voc, tmp_path):
    ours, other = methods(tmp_path)
    good = OvssOptions(benchmark="voc20", maps=ours, out=tmp_path / "out", resamples=100)
    results = evaluate_ovss(voc, good).results
    none = replace(good, maps=None, model=ModelChoice(name="nowhere"), out=tmp_path / "none")
    (other / "p1.png").unlink()
    for changes, words in (
        ({}, "nowhere"),
        ({"threshold": 1.5}, "the threshold must be"),
        ({"tile": 3}, "tile is 3"),
        ({"size": -1}, "size is -1"),
        ({"also": (MethodMaps("SAN", other),)}, "SAN has no label map for the picture p1"),
        ({"compare": tmp_path / "missing.json"}, "missing.json"),
        ({"compare": results, "seed": 4}, "the resamplings differ"),
        ({"compare": results, "benchmark": "voc21"}, "the protocols differ"),
        ({"compare": results, "count": 2}, "the numbers of pictures differ"),
        ({"out": voc / "JPEGImages" / "p0.jpg"}, "p0.jpg"),
    ):
        with pytest.raises((InputError, StorageError), match=words):
            evaluate_ovss(voc, replace(none, **changes))
    Image.fromarray(np.where(truth(0) == 15, 12, truth(0))).save(voc / "SegmentationClass" / "p0.png")
    with pytest.raises(InputError, match="the samples differ"):
        evaluate_ovss(voc, replace(none, compare=results))
    Image.fromarray(np.full((16, 24), 77, np.uint8)).save(voc / "SegmentationClass" / "p0.png")
    with pytest.raises(InputError, match="holds the number 77"):
        evaluate_ovss(voc, none)
    assert not (tmp_path / "none").exists()


def test_a_dataset_of_ones_own(tmp_path):
    (tmp_path / "farm.json").write_text(json.dumps({"name": "farm", "classes": ["cow", "barn"]}))
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    labels = np.ones((8, 8), np.uint8)
    labels[:4] = 2
    Image.new("RGB", (8, 8)).save(tmp_path / "data/images/a.png")
    Image.fromarray(labels).save(tmp_path / "data/labels/a.png")
    write_map(tmp_path / "maps", "a", labels)
    options = OvssOptions(
        vocabulary=str(tmp_path / "farm.json"), background="plain", maps=tmp_path / "maps", seen=("cow",),
        out=tmp_path / "out", resamples=100,
    )  # fmt: skip
    found = evaluate_ovss(tmp_path / "data", options)
    assert found.report.figures["miou"].value == 1.0 and set(found.report.groups["unseen class"]) == {"barn"}
    with pytest.raises(StorageError, match="no label map for the picture a"):
        evaluate_ovss(tmp_path / "data", replace(options, maps=tmp_path / "data"))


def test_what_cannot_be_asked(tmp_path):
    with pytest.raises(InputError, match="either a benchmark"):
        OvssOptions()
    with pytest.raises(InputError, match="own background rule"):
        OvssOptions(benchmark="voc20", background="names").protocol()
    with pytest.raises(InputError, match="one name"):
        OvssOptions(benchmark="voc20", also=(MethodMaps("a", tmp_path), MethodMaps("a", tmp_path)))
    with pytest.raises(InputError, match="NAME=FOLDER"):
        MethodMaps.parse("maps")
    with pytest.raises(StorageError, match="no folder"):
        MethodMaps.parse(f"SAN={tmp_path / 'nowhere'}")


def test_command(voc, tmp_path, cli):
    ours, other = methods(tmp_path)
    ended = cli(
        "evaluate", "ovss", voc, "--benchmark", "voc20", "--maps", ours, "--also", f"SAN={other}:contiguous",
        "--out", tmp_path / "out", "--resamples", 100, "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["protocol"] == "ovss-voc20-ignored-1"
    assert cli("evaluate", "ovss", voc, "--benchmark", "voc22", "--maps", ours).code == 2


SETS = {"coco-stuff": ("coco100", 100), "a150": ("ade20k10", 30)}


@pytest.mark.parametrize(
    ("benchmark", "count"),
    [
        ("coco-stuff", 2), ("a150", 2),
        pytest.param("coco-stuff", 0, marks=pytest.mark.slow),
        pytest.param("a150", 0, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_photographs_with_their_own_vocabularies(
    benchmark, count, data_dir, tmp_path, tiny_model, tiny_segmenter
):
    name, every = SETS[benchmark]
    options = OvssOptions(
        benchmark=benchmark, model=ModelChoice(name=tiny_model.partition("+")[0], device="cpu"),
        segmenter=str(tiny_segmenter), split="", count=count, batch=4, out=tmp_path, resamples=100,
    )  # fmt: skip
    found = evaluate_ovss(data_dir / name, options)
    assert found.report.pictures == (count or every)
    assert 0 <= found.report.figures["miou"].value < 0.2
    sizes = [
        read_labels(path).shape for path in sorted((tmp_path / f"ovss-{benchmark}/labels").glob("*.png"))
    ]
    assert len(sizes) == (count or every) and len(set(sizes)) > 1
