"""``reproduce segdiffusion`` on a tiny model: everything is trained, scored, kept and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.segdiffusion import named, reproduce_segdiffusion, verdicts
from scenewright.flows.reproduce.segdiffusion_plan import HELD_STYLE, ON, SETS, TOYS, SegOptions
from scenewright.flows.reproduce.segdiffusion_readers import told_by
from scenewright.scene import Vocabulary, read_image
from scenewright.train import segment_cells
from scenewright.world.surface import STYLES


@pytest.fixture(scope="module")
def options(tiny_model: str) -> SegOptions:
    model = ModelChoice(name=tiny_model.partition("+")[0], device="cpu", dtype="float32")
    return SegOptions(
        pictures=6, steps=1, seeds=2, scenes=4, resamples=100, model=model, only=("one-pass", "attention")
    )


def test_the_plan(options: SegOptions) -> None:
    whole = replace(options, only=())
    cells = whole.cells("0123")
    assert [cell.name.rpartition("-")[0] for cell in cells] == [
        "one-pass-1", "one-pass-2", "two-styles-1", "mask-denoiser-1", "closed-set-1", "attention-1",
    ]  # fmt: skip
    assert len({cell.digest for cell in cells}) == 6 == len({cell.name for cell in cells})
    assert HELD_STYLE in STYLES
    assert set(ON) == set(whole.variants) and {name for names in ON.values() for name in names} == set(SETS)
    parts = options.parts()
    toys = [name for part in ("seen", "unseen", "long tail") for name in parts[part]]
    assert sorted(toys) == sorted(parts["miou"]) and len(parts["unseen"]) == 5
    recipes = {
        cell.name.rpartition("-")[0]: segment_cells.cell_recipe(cell, Path("cache")) for cell in cells[:5]
    }
    assert recipes["two-styles-1"].task.renders.styles == tuple(one for one in STYLES if one != HELD_STYLE)
    for other in ("closed-set-1", "mask-denoiser-1"):
        assert recipes[other].task.renders == recipes["one-pass-1"].task.renders
    assert recipes["mask-denoiser-1"].task.backbone == whole.model.name
    assert recipes["one-pass-2"].loop.seed == 2 and recipes["one-pass-1"].loop.steps == 1
    for change in ({"seeds": 0}, {"only": ("one-pas",)}, {"split": 4}, {"scenes": 1001}, {"members": 0}):
        with pytest.raises(InputError):
            replace(options, **change)


def test_what_trainings_and_scores_depend_on(options: SegOptions) -> None:
    whole = replace(options, only=())

    def marks(changed: SegOptions, backbone: str = "0123") -> dict[str, tuple[str, str]]:
        return {cell.variant: (cell.trained, cell.digest) for cell in changed.cells(backbone)}

    def differing(changed: SegOptions, place: int, backbone: str = "0123") -> set[str]:
        now, before = marks(changed, backbone), marks(whole)
        return {name for name in now if now[name][place] != before[name][place]}

    every = set(whole.variants)
    assert differing(whole, 0, "4567") == every - {"closed-set"}
    assert differing(replace(whole, scenes=5), 0) == set()
    assert differing(replace(whole, scenes=5), 1) == every
    assert differing(replace(whole, members=2), 1) == {"mask-denoiser"}
    assert differing(replace(whole, members=2), 0) == set() == differing(replace(whole, resamples=200), 1)


def test_classes_are_told_by_one_name() -> None:
    known = Vocabulary.load("toybox")
    first, other = told_by(known, "first"), told_by(known, "synonym")
    assert [one.id for one in first] == [one.id for one in other] == [one.id for one in known]
    differ = {b.name for a, b in zip(first, other, strict=True) if a.name != b.name}
    assert len(differ) == len(named(TOYS)) > 10
    assert not any(one.synonyms for one in (*first, *other)) and told_by(known, "all") is known


def test_everything_is_made_and_kept(options: SegOptions, tmp_path: Path) -> None:
    trained: list[str] = []

    def train(cell, out, shared):
        trained.append(f"{cell.variant}-{cell.seed}")
        return segment_cells.train_cell(cell, out, shared)

    done = reproduce_segdiffusion(options, train, tmp_path)
    assert trained == ["one-pass-1", "one-pass-2"] and all(path.is_file() for path in done.files)
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["figures"]["one-pass"]) == set(SETS)
    assert set(found["figures"]["attention"]) == {"toys", "held style", "town"}
    assert len(found["seeds"]["one-pass"]["miou"]) == 2
    assert np.isclose(
        np.mean(found["seeds"]["one-pass"]["miou"]),
        found["figures"]["one-pass"]["toys"]["miou"]["value"],
        atol=1e-4,
    )
    claims = [one["claim"] for one in found["verdicts"]]
    assert claims[2] == "unseen mIoU of one pass is above that of the attention alone"
    assert found["parameters"]["attention"]["trained"] == 0 < found["parameters"]["one-pass"]["trained"]
    text = "\n".join(done.lines())
    assert "toys (toybox-1)" in text and "town (town-1)" in text and "claim:" in text
    assert read_image(tmp_path / "sheet.png").ndim == 3
    again = reproduce_segdiffusion(options, train, tmp_path)
    assert len(trained) == 2 and again.to_json() == done.to_json()


def test_a_wrong_model_leaves_nothing(options: SegOptions, tmp_path: Path) -> None:
    for wrong in ({"name": "nope"}, {"device": "banana"}):
        bad = replace(options, model=replace(options.model, **wrong))
        with pytest.raises(InputError):
            reproduce_segdiffusion(bad, segment_cells.train_cell, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_verdicts() -> None:
    assert verdicts({}) == []

    def figures(seen: float, unseen: float, whole: float) -> dict[str, dict[str, Value]]:
        values = {"seen": seen, "unseen": unseen, "miou": whole}
        return {"toys": {name: Value(one, np.full(100, one)) for name, one in values.items()}}

    found = {
        "one-pass": figures(0.8, 0.4, 0.6),
        "mask-denoiser": figures(0.45, 0.1, 0.7),
        "attention": figures(0.2, 0.2, 0.2),
    }
    assert [one.holds for one in verdicts(found)] == [True, True, False, True, False]
    assert [one.holds for one in verdicts({"mask-denoiser": found["mask-denoiser"]})] == [False]


@pytest.mark.slow
def test_all_variants(options: SegOptions, tmp_path: Path) -> None:
    whole = replace(options, only=(), seeds=1, scenes=8, sampler_steps=1)
    done = reproduce_segdiffusion(whole, segment_cells.train_cell, tmp_path)
    assert list(done.results.figures) == list(whole.variants)
    assert set(done.results.figures["mask-denoiser"]) == {"toys"}
    sizes = done.results.about["parameters"]
    assert sizes["closed-set"]["read"] == sizes["closed-set"]["trained"] > sizes["one-pass"]["trained"]
    assert sizes["mask-denoiser"]["trained"] > sizes["one-pass"]["trained"]
    assert any("claim: " in line for line in done.lines())
