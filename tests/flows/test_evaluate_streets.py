"""Segmenters of streets on several datasets: sliding windows, figures against a plain count, differences."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.errors import InputError, ModelError
from scenewright.flows.evaluate_streets import StreetOptions, evaluate_streets, lines
from scenewright.flows.street_segmenter import load_street_segmenter, named_pixels, slid
from scenewright.models.segformer import SegformerSize, Segmenter, fresh, save_segmenter
from scenewright.scene.label_space import LabelSpace
from scenewright.world import folders, town

SPACE = LabelSpace.of("town")
TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)
SIZE = (96, 48)


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory):
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        made = Segmenter(fresh(SPACE.names, TINY).eval(), SPACE.names, space=SPACE)
        found.append(save_segmenter(made, tmp_path_factory.mktemp("segmenters") / f"s{seed}"))
    return found


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    folders.write_gta((town.draw(seed, size_wh=SIZE) for seed in range(3)), root / "gta")
    folders.write_acdc((town.draw(seed, size_wh=SIZE, look="fog") for seed in range(3)), root / "acdc")
    town.draw(9, size_wh=SIZE).record().save(root / "records", "one")
    return [root / "gta", root / "acdc", root / "records"]


def _options(segmenter, **changes):
    wanted = {"vocabulary": "town", "window_px": 32, "stride_px": 16, "device": "cpu", "resamples": 100}
    return StreetOptions(segmenter=str(segmenter), **{**wanted, **changes})


def test_windows_cover_the_picture_and_are_averaged(segmenters):
    segmenter, _ = load_street_segmenter(str(segmenters[0]), "town", "cpu")
    image = town.draw(4, size_wh=(104, 48)).image
    assert torch.equal(slid(segmenter, image, 0, 0), segmenter.logits(image[None])[0])
    assert torch.equal(slid(segmenter, image, 512, 256), segmenter.logits(image[None])[0])
    sums, count = torch.zeros(19, 48, 104), torch.zeros(48, 104)
    for top in (0, 16):
        for left in (0, 24, 48, 72):
            part = segmenter.logits(image[None, top : top + 32, left : left + 32])[0]
            sums[:, top : top + 32, left : left + 32] += part
            count[top : top + 32, left : left + 32] += 1
    ours = slid(segmenter, image, 32, 24)
    assert count.min() == 1 and torch.allclose(ours, sums / count, atol=1e-5)
    assert named_pixels(segmenter, image, (24, 52), size_wh=(64, 32), window_px=32, stride_px=32).shape == (
        24,
        52,
    )
    with pytest.raises(InputError, match="stride"):
        slid(segmenter, image, 32, 40)


def test_figures_are_those_of_a_plain_count(segmenters, sets, tmp_path):
    options = _options(segmenters[0], out=tmp_path / "a")
    found = evaluate_streets(sets, options)
    segmenter, named = load_street_segmenter(str(segmenters[0]), "town", "cpu")
    table = np.zeros((19, 19), int)
    for seed in range(3):
        drawn = town.draw(seed, size_wh=SIZE, look="fog")
        seen = slid(segmenter, drawn.image, 32, 16).argmax(0).numpy()
        np.add.at(table, (drawn.semantic.ravel(), seen.ravel()), 1)
    union = table.sum(0) + table.sum(1) - table.diagonal()
    report = found.reports["acdc"]
    assert report.figures["miou"].value == pytest.approx(
        (table.diagonal() / np.maximum(union, 1))[union > 0].mean()
    )
    assert report.figures["pixels"].value == pytest.approx(table.diagonal().sum() / table.sum())
    assert report.judges["inference"] == "windows 32/16" and named in report.source
    assert set(found.reports) == {"gta", "acdc", "records"} and found.reports["records"].pictures == 1
    values = [one.figures["miou"].value for one in found.reports.values()]
    assert found.mean.value == pytest.approx(np.mean(values))
    assert found.sheet.is_file() and "mean" in "\n".join(lines(found))

    other = evaluate_streets(sets[:2], _options(segmenters[1], out=tmp_path / "b", compare=found.results))
    assert set(other.differences) == {"gta", "acdc", "mean"}
    whole = other.differences["mean"]
    assert whole.ours - whole.theirs == pytest.approx(
        np.mean([one.ours - one.theirs for name, one in other.differences.items() if name != "mean"])
    )
    assert whole.low <= whole.ours - whole.theirs <= whole.high
    same = evaluate_streets(sets[:1], replace(options, out=tmp_path / "c", compare=found.results))
    assert (same.differences["gta"].low, same.differences["gta"].high) == pytest.approx((0, 0), abs=1e-6)
    with pytest.raises(InputError, match="cannot compare"):
        evaluate_streets(
            sets[:1], _options(segmenters[1], out=tmp_path / "d", compare=found.results, count=2)
        )


def test_on_the_command_line(segmenters, sets, tmp_path, cli):
    ended = cli(
        "evaluate", "semantic", sets[0], sets[1], "--segmenter", segmenters[0], "--vocabulary", "town",
        "--window", 32, "--count", 2, "--resamples", 100, "--device", "cpu", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["sets"]["gta"]["pictures"] == 2 and told["mean"]["value"] is not None
    assert (tmp_path / "streets" / "acdc" / "results.json").is_file()
    assert cli("evaluate", "semantic", sets[0], sets[1]).code == 2
    ended = cli("evaluate", "semantic", sets[2], "--window", 32)
    assert ended.code == 2 and "--window was given without --segmenter" in ended.err


def test_what_cannot_be_measured(segmenters, sets, tmp_path):
    with pytest.raises(InputError, match="two datasets are called gta"):
        evaluate_streets([sets[0], sets[0]], _options(segmenters[0]))
    with pytest.raises(InputError, match="stride_px is 40; expected 0 to 32"):
        _options(segmenters[0], stride_px=40)
    with pytest.raises(InputError, match="no dataset"):
        evaluate_streets([], _options(segmenters[0]))
    with pytest.raises(InputError, match="none of the layouts"):
        evaluate_streets([tmp_path], _options(segmenters[0]))
    with pytest.raises(ModelError, match="not the 171 classes"):
        load_street_segmenter(str(segmenters[0]), "coco-stuff", "cpu")
    assert _options(segmenters[0], window_px=64, stride_px=0).stride_px == 32
    assert _options(segmenters[0], published=True).size_for("acdc") == (960, 540)
