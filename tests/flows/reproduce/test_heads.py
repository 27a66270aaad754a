"""The grounding head reproduced: cells, trainings that are made once, figures, verdicts, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.backbone.load import save_folder
from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import weights
from scenewright.evaluate.grounding import count_masks
from scenewright.evaluate.splits import class_split
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.grounding import HeadsResults, reproduce_grounding
from scenewright.flows.reproduce.grounding_bench import HEADS, SCORES
from scenewright.flows.reproduce.grounding_plan import (
    BASE,
    BY_NAME,
    METRICS,
    QUICK,
    VARIANTS,
    HeadCell,
    HeadsOptions,
    part_names,
    voc_names,
)
from scenewright.flows.reproduce.grounding_scores import (
    head_scores,
    held_out_pictures,
    read_counts,
    write_counts,
)
from scenewright.flows.reproduce.grounding_verdicts import verdicts
from scenewright.flows.reproduce.results import Reproduced
from scenewright.ground.head import GroundingHead
from scenewright.models.adapter import save_adapter
from scenewright.models.load import load_bundle
from scenewright.scene import read_image
from scenewright.testing import tiny_backbone
from scenewright.world import toybox

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(save_folder(tiny_backbone(0), folder / "tiny", torch.float32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed in range(3):
        toybox.draw(seed, classes=("cat", "cow"), count=(1, 2)).record().save(folder, f"d{seed}")
    return folder


def options(model: str, data: Path, **changes: object) -> HeadsOptions:
    wanted = {"tested": 0, "seeds": 1, "scenes": 3, "only": QUICK, "resamples": 100, **changes}
    choice = ModelChoice(name=model, device="cpu", dtype="float32")
    return HeadsOptions(data=(data,), model=choice, **wanted)  # type: ignore[arg-type]


class Workshop:
    """Makes untrained heads, other weights for other cells, and remembers for which."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, cell: HeadCell, out: Path) -> Path:
        self.asked.append(cell.title)
        backbone = load_bundle(cell.model.name, "cpu", "float32").backbone
        head = GroundingHead.for_unet(
            backbone.unet, stride=backbone.stride, seed=int(cell.digest[:6], 16),
            attention=3 if cell.variant.attention else 0,
            reduced=(4, 4, 4, 4), width=16, heads=2, layers=1, hidden=16,
        )  # fmt: skip
        return save_adapter(
            out / "export" / "grounding.safetensors", head, head.config, "grounding", backbone.fingerprint
        )


@pytest.fixture(scope="module")
def made(
    model: str, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Reproduced[HeadsResults]]:
    out = tmp_path_factory.mktemp("out")
    return out, reproduce_grounding(options(model, data), Workshop(), out)


def test_variants_cover_what_is_compared() -> None:
    assert {one.split for one in VARIANTS} == {1, 2, 3} and VARIANTS[0].name == BASE
    assert {one.loss for one in VARIANTS} >= {"bce", "dice", "bce_dice", "log_cosh", "log_cosh_published"}
    assert {one.attention for one in VARIANTS} == {True, False} and len(BY_NAME) == len(VARIANTS)
    base = BY_NAME[BASE]
    for one in VARIANTS[1:]:  # every other variant differs from the base in one thing
        differs = [
            name
            for name in ("split", "loss", "attention", "renders")
            if getattr(one, name) != getattr(base, name)
        ]
        assert len(differs) == 1, one.name
    parts = part_names()
    assert len(voc_names()) == 20 and len(parts["seen"]) == 15 and len(parts["unseen"]) == 5
    assert len(parts["long tail"]) >= 12 and not set(parts["long tail"]) & set(voc_names())


def test_a_training_is_named_by_what_it_depends_on(model: str, data: Path, tmp_path: Path) -> None:
    def digests(**changes: object) -> dict[str, str]:
        wanted = options(model, data, **{"only": (), **changes})
        return {cell.variant.name: cell.digest for cell in wanted.cells(wanted.data, "f" * 16)}

    base = digests()
    assert len(set(base.values())) == len(VARIANTS)
    assert digests(scenes=2, resamples=200) == base
    assert not set(digests(steps=7).values()) & set(base.values())
    other = options(model, data, only=()).cells((data,), "0" * 16)
    assert not {cell.digest for cell in other} & set(base.values())
    cells = {cell.variant.name: cell for cell in other}
    assert cells["renders"].folders == () and cells["renders"].renders == 3
    assert cells[BASE].folders == (data,) and cells["split-2"].split == class_split(2)
    assert len({cell.name for cell in options(model, data, seeds=2).cells((data,), "")}) == 4


def test_what_is_written(made: tuple[Path, Reproduced[HeadsResults]], data: Path) -> None:
    out, done = made
    names = [path.name for path in done.files]
    assert names == ["results.json", "table.md", "variants.png", "classes.png", "sheet.png"]
    told = json.loads((out / "results.json").read_text())
    assert told["reproduction"] == "grounding-1" and told["scenes"] == 3 and told["pictures"] == 3
    assert set(told["sets"]) == {"renders"}
    renders = told["sets"]["renders"]
    assert set(renders["variants"]) == set(QUICK) and set(renders["attention"]) == {"1", "2", "3"}
    figures = renders["variants"][BASE]["figures"]
    assert set(figures) == set(METRICS) and len(figures["miou"]["seeds"]) == 1
    assert len(told["verdicts"]) == 7 and told["verdicts"][3]["holds"] is None
    text = (out / "table.md").read_text()
    assert "attention alone, split 1" in text and "Li et al." in text
    assert str(out) not in text + json.dumps(told) and str(data.parent) not in text + json.dumps(told)
    assert "claim: " in "\n".join(done.lines())
    for name in names[2:]:
        assert read_image(out / name).size
    asked = {name for one in held_out_pictures(3) for name in one.classes}
    assert set(renders["variants"][BASE]["classes"]) == asked


def test_what_is_there_is_not_made_again(
    made: tuple[Path, Reproduced[HeadsResults]], model: str, data: Path
) -> None:
    out, done = made
    before = {path.name: path.read_bytes() for path in done.files}
    idle = Workshop()
    again = reproduce_grounding(options(model, data), idle, out)
    assert idle.asked == [] and {path.name: path.read_bytes() for path in again.files} == before
    (next((out / HEADS).glob("no-attention-1-*")) / SCORES).write_text("{")
    reproduce_grounding(options(model, data), idle, out)
    assert idle.asked == [BY_NAME["no-attention"].title + ", seed 1"]
    assert {path.name: path.read_bytes() for path in done.files} == before


def counts(found: Callable[[str], bool], count: int = 6) -> list:
    """Counts of somebody who finds classes perfectly, or not at all."""
    result = []
    for one in held_out_pictures(count):
        truth_KHW = one.truth()
        known_K = np.array([found(name) for name in one.classes], dtype=bool)
        masks_KHW = truth_KHW & known_K[:, None, None]
        result.append(count_masks(one.name, one.classes, truth_KHW, masks_KHW, masks_KHW))
    return result


def test_figures_of_somebody_who_knows_seen_classes() -> None:
    split, weights_BP = class_split(1), weights(12, 100)
    knows = head_scores(
        [counts(lambda name: True, 12), counts(lambda name: split.part(name) == "seen", 12)],
        split,
        weights_BP,
    )
    assert knows.seeds["miou_seen"] == [1.0, 1.0] and knows.seeds["miou_long_tail"] == [1.0, 0.0]
    assert knows.values["miou_long_tail"].value == 0.5
    assert {knows.parts[name] for name in knows.classes} == {"seen", "unseen", "long tail"}
    for name, one in knows.classes.items():
        assert one.value == (1.0 if knows.parts[name] == "seen" else 0.5), name
    assert sum(knows.asked.values()) == sum(len(one.classes) for one in held_out_pictures(12))


def test_verdicts() -> None:
    split, weights_BP = class_split(1), weights(12, 100)
    perfect = head_scores([counts(lambda name: True, 12)], split, weights_BP)
    blind = head_scores([counts(lambda name: False, 12)], split, weights_BP)
    seen = head_scores([counts(lambda name: split.part(name) == "seen", 12)], split, weights_BP)
    alone = {1: blind, 2: blind, 3: blind}
    heads = {one: perfect for one in VARIANTS}
    holds = [one.holds for one in verdicts(heads, alone)]
    assert holds[:4] == [True, True, True, True] and holds[4] is False and holds[6] is False
    heads = {one: seen for one in VARIANTS} | {BY_NAME[BASE]: perfect, BY_NAME["log_cosh"]: perfect}
    holds = [one.holds for one in verdicts(heads, alone)]
    assert holds[4] is True and holds[6] is True and holds[3] is False
    only = {BY_NAME["bce"]: perfect}
    assert [one.holds for one in verdicts(only, alone)] == [None] * 7
    assert verdicts({BY_NAME[BASE]: seen}, alone)[1].holds is False


def test_counts_on_disk(tmp_path: Path) -> None:
    path = write_counts("a key", {"renders": counts(lambda name: True, 2)}, tmp_path / "s.json", head="h")
    sets, more = read_counts("a key", path)
    assert more == {"head": "h"} and [one.name for one in sets["renders"]] == [
        "toybox-200000",
        "toybox-200001",
    ]
    assert read_counts("other", path) is None and read_counts("a key", tmp_path / "no.json") is None
    for broken in ("{", "[]", '{"key": "a key"}', '{"key": "a key", "sets": {"renders": [{}]}}'):
        path.write_text(broken)
        assert read_counts("a key", path) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scenes": 1001}, "toybox-1 has 1000"),
        ({"seeds": 0}, "seeds is 0"),
        ({"pictures": 1}, "pictures is 1"),
        ({"only": ("atention",)}, "no-attention"),
        ({"resamples": 1}, "resamples is 1"),
    ],
)
def test_bad_options(model: str, data: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as fault:
        replace(options(model, data), **changes)  # type: ignore[arg-type]
    assert words in f"{fault.value} {fault.value.hint}"


@pytest.mark.parametrize("layouts", [False, True])
def test_pictures_of_a_model_that_cannot_draw(
    tiny_model: str, model: str, tmp_path: Path, layouts: bool
) -> None:
    """Everything is drawn, from names or from layouts, and nothing is found in it."""
    from scenewright.flows.dataset.folder import Dataset
    from scenewright.scene import Scene

    name = tiny_model if layouts else model
    wanted = HeadsOptions(
        pictures=4, tested=6, seeds=1, scenes=2, only=QUICK, resamples=100, labeller="detector",
        model=ModelChoice(name=name, device="cpu", dtype="float32"),
        generate=GenerateOptions(steps=2, batch=2),
    )  # fmt: skip
    with pytest.raises(InputError, match="none of 4 generated pictures") as fault:
        reproduce_grounding(wanted, Workshop(), tmp_path)
    assert "--data" in fault.value.hint
    for number in (1, 2):
        built = Dataset.open(tmp_path / "data" / f"train-{number}")
        assert built.total == 2 and not built.kept
        drawn = sorted((tmp_path / "layouts" / f"train-{number}").glob("*.json"))
        assert len(drawn) == (2 if layouts else 0)
        for path in drawn:
            scene = Scene.read(path)
            assert len(scene.instances) == number and all(one.mask is None for one in scene.instances)
            assert {one.category for one in scene.instances} <= set(voc_names())


def test_a_quick_look_is_small(model: str, data: Path) -> None:
    small = HeadsOptions().quick()
    assert small.variants == tuple(BY_NAME[name] for name in QUICK) and small.steps <= 60
    assert small.pictures <= 100 and small.seeds == 1
    assert HeadsOptions(only=("bce",), generate=GenerateOptions(steps=7)).quick().only == ("bce",)
