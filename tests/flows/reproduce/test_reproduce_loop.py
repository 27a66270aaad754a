"""Closing the loop: mixtures, trainings that are made once, figures of segmenters that know the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.errors import InputError, StorageError
from scenewright.evaluate.bootstrap import weights
from scenewright.evaluate.semantic import semantic_score
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.loop import CELLS, COUNTS, LoopResults, reproduce_loop
from scenewright.flows.reproduce.loop_plan import METRICS, REAL, SET, SPACE, Cell, LoopOptions, Mixture
from scenewright.flows.reproduce.loop_scores import mixture_scores, read_counts, write_counts
from scenewright.flows.reproduce.results import Reproduced
from scenewright.models.segformer import SegformerSize, Segmenter, fresh, save_segmenter
from scenewright.scene import read_image
from scenewright.world import toybox

TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("synthetic")
    for seed in range(8):
        toybox.draw(seed, size_px=64).record().save(found, f"s{seed}")
    return found


def options(folder: Path, **changes: object) -> LoopOptions:
    wanted = {"pictures": 2, "steps": 3, "scenes": 4, "resamples": 100, **changes}
    return LoopOptions(synthetic=(folder,), **wanted)  # type: ignore[arg-type]


class Workshop:
    """Makes untrained segmenters, other weights for other cells, and remembers for which."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, cell: Cell, out: Path, shared: Path) -> Path:
        self.asked.append(cell.title)
        torch.manual_seed(int(cell.digest[:8], 16))
        net = fresh(SPACE.names, TINY).eval()
        return save_segmenter(Segmenter(net, SPACE.names, space=SPACE), out / "export")


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reproduced[LoopResults]]:
    out = tmp_path_factory.mktemp("out")
    return out, reproduce_loop(options(folder), Workshop(), out, device="cpu")


def test_mixtures_in_their_order(folder: Path) -> None:
    assert [one.title for one in options(folder).mixtures()] == [
        "0:1", "1:1", "2:1", "4:1", "1:0", "4:0", "0:1, seen labels", "4:1, seen labels"
    ]  # fmt: skip
    fewer = options(folder, ratios=(0.5,), hide=False)
    assert [one.title for one in fewer.mixtures()] == ["0:1", "0.5:1", "1:0"]
    cells = {cell.mixture.title: cell for cell in options(folder).cells()}
    assert cells["4:1"].counts == (8, 2) and cells["4:0"].counts == (8, 0) and cells["0:1"].counts == (0, 2)
    assert cells["4:1"].hidden == () and len(cells["4:1, seen labels"].hidden) == 23
    assert "tvmonitor" in cells["0:1, seen labels"].hidden and "cat" not in cells["0:1, seen labels"].hidden


def test_a_training_is_named_by_what_it_depends_on(folder: Path, tmp_path: Path) -> None:
    def digests(**changes: object) -> dict[Mixture, str]:
        return {cell.mixture: cell.digest for cell in options(folder, **changes).cells()}

    base = digests()
    assert len(set(base.values())) == len(base)
    for changes in ({"steps": 4}, {"pictures": 1}):
        assert not set(digests(**changes).values()) & set(base.values())
    same = digests(scenes=3, resamples=200, ratios=(0, 1, 4))
    assert set(same.values()) <= set(base.values())
    other = digests(split=2)
    assert {one for one in base if base[one] != other[one]} == {one for one in base if one.hidden}
    for seed in range(8):
        toybox.draw(seed + 50, size_px=64).record().save(tmp_path, f"s{seed}")
    (further,) = (
        {cell.mixture: cell.digest for cell in replace(options(folder), synthetic=(tmp_path,)).cells()},
    )
    assert {one for one in base if base[one] == further[one]} == {REAL, Mixture(0, 1, hidden=True)}
    seeds = [cell.digest for cell in options(folder, seeds=2).cells()]
    assert len(seeds) == 16 == len(set(seeds))


def test_what_is_written(made: tuple[Path, Reproduced[LoopResults]], folder: Path) -> None:
    out, done = made
    assert [path.name for path in done.files] == ["results.json", "table.md", "ratios.png", "sheet.png"]
    told = json.loads((out / "results.json").read_text())
    assert told["reproduction"] == "loop-1" and told["scenes"] == 4 and told["pictures"] == 2
    assert len(told["mixtures"]) == 8 and set(told["mixtures"]["1:0"]) == set(METRICS)
    assert told["mixtures"]["0:1"]["miou"]["of_real"]["value"] == 1.0
    assert [one["holds"] for one in told["verdicts"]] != [] and len(told["verdicts"]) == 4
    text = (out / "table.md").read_text()
    assert "4:1, seen labels" in text and "Li et al." in text and str(out) not in text + json.dumps(told)
    assert str(folder.parent) not in text + json.dumps(told)
    assert "claim: " in "\n".join(done.lines())
    for name in ("ratios.png", "sheet.png"):
        assert read_image(out / name).size
    assert len(list((out / CELLS).iterdir())) == 8


def test_what_is_there_is_not_made_again(made: tuple[Path, Reproduced[LoopResults]], folder: Path) -> None:
    out, done = made
    before = {path.name: path.read_bytes() for path in done.files}
    idle = Workshop()
    again = reproduce_loop(options(folder), idle, out, device="cpu")
    assert idle.asked == [] and {path.name: path.read_bytes() for path in again.files} == before
    lost = next((out / CELLS).glob("2to1-1-*"))
    (lost / COUNTS).write_text("{")
    reproduce_loop(options(folder), idle, out, device="cpu")
    assert idle.asked == ["2:1, seed 1"]
    assert {path.name: path.read_bytes() for path in done.files} == before
    more = Workshop()
    reproduce_loop(options(folder, seeds=2), more, out, device="cpu")
    assert more.asked == [f"{one.title}, seed 2" for one in options(folder).mixtures()]


def test_an_interrupted_training_is_continued(folder: Path, tmp_path: Path) -> None:
    maker = Workshop()

    def stops(cell: Cell, out: Path, shared: Path) -> Path:
        if len(maker.asked) == 3:
            raise KeyboardInterrupt
        return maker(cell, out, shared)

    wanted = options(folder, hide=False)
    with pytest.raises(KeyboardInterrupt):
        reproduce_loop(wanted, stops, tmp_path, device="cpu")
    rest = Workshop()
    reproduce_loop(wanted, rest, tmp_path, device="cpu")
    assert maker.asked == ["0:1, seed 1", "1:1, seed 1", "2:1, seed 1"]
    assert rest.asked == ["4:1, seed 1", "1:0, seed 1", "4:0, seed 1"]


def counts(known: Callable[[int], bool], scenes: int = 6) -> object:
    """Pixel counts of a labeller that knows some of the outputs and calls the others background."""
    pairs = []
    for drawn in drawings(SET, scenes):
        truth = SPACE.outputs(drawn.semantic)
        pairs.append((truth, np.where(np.vectorize(known)(truth), truth, 0)))
    return semantic_score(pairs, SPACE.scored())


def test_figures_of_a_labeller_that_knows_some_classes(folder: Path) -> None:
    split = options(folder).classes
    seen = {*SPACE.positions(split.seen)}
    half = mixture_scores(
        [counts(lambda k: True), counts(lambda k: k in seen)], split, weights(6, 100)  # type: ignore[list-item]
    )  # fmt: skip
    assert half.seeds["seen"] == [1.0, 1.0] and half.values["seen"].value == 1.0
    assert half.seeds["unseen"] == [1.0, 0.0] and half.values["unseen"].value == 0.5
    assert half.seeds["harmonic"] == [1.0, 0.0] and half.seeds["long tail"] == [1.0, 0.0]
    assert 0 < half.seeds["miou"][1] < 1 == half.seeds["miou"][0]
    assert half.values["miou"].drawn_B.shape == (100,)


def test_counts_on_disk(tmp_path: Path) -> None:
    score = counts(lambda k: k % 2 == 0, 2)
    path = write_counts(score, "a key", tmp_path / "scores.json")  # type: ignore[arg-type]
    again = read_counts("a key", path)
    assert again is not None and again.class_iou() == score.class_iou()  # type: ignore[attr-defined]
    assert np.array_equal(again.confusion, score.confusion)  # type: ignore[attr-defined]
    assert read_counts("another key", path) is None and read_counts("a key", tmp_path / "no.json") is None
    for broken in ("{", "[]", '{"key": "a key"}', '{"key": "a key", "names": []}'):
        path.write_text(broken)
        assert read_counts("a key", path) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pictures": 0}, "pictures is 0"),
        ({"scenes": 1001}, "toybox-1 has 1000"),
        ({"seeds": 0}, "seeds is 0"),
        ({"ratios": (1, 1)}, "different numbers"),
        ({"ratios": (-1,)}, "different numbers"),
        ({"split": 4}, "no class split 4"),
        ({"synthetic": ()}, "no folder of synthetic"),
    ],
)
def test_bad_options(folder: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as fault:
        replace(options(folder), **changes)  # type: ignore[arg-type]
    assert words in f"{fault.value} {fault.value.hint}"


def test_too_few_pictures(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as fault:
        options(folder, pictures=3).cells()
    assert "12 pictures are needed" in str(fault.value) and "--pictures 2 fits" in fault.value.hint
    with pytest.raises(StorageError):
        replace(options(folder), synthetic=(tmp_path / "nothing",)).cells()
    with pytest.raises(InputError, match="2 classes; expected the toys"):
        strange = Segmenter(fresh(("a", "b"), TINY).eval(), ("a", "b"))
        reproduce_loop(
            options(folder), lambda cell, out, shared: save_segmenter(strange, out / "export"), tmp_path
        )
