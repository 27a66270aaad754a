"""The trainings of `reproduce loop`: what a cell is trained on, and the command from end to end."""

from __future__ import annotations

import json

import pytest
from tiny_family import records

from scenewright.flows.reproduce.loop_plan import LoopOptions, Mixture
from scenewright.train.annotated import REAL_SEED
from scenewright.train.loop_cells import cell_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return records(tmp_path_factory.mktemp("synthetic"), count=4, size_px=128)


def recipes(tmp_path, **changes):
    options = LoopOptions(**{"pictures": 2, "ratios": (2,), "steps": 20, "scenes": 3, **changes})
    return {cell.mixture: cell_recipe(cell, tmp_path / "shared") for cell in options.cells()}


def test_recipes_of_cells(folder, tmp_path):
    found = recipes(tmp_path, synthetic=(folder,), seeds=1)
    mixed, alone, real = (found[Mixture(*parts)] for parts in ((2, 1), (2, 0), (0, 1)))
    assert mixed.task.mix == (2, 1) and mixed.task.synthetic_count == 4 and mixed.task.renders.count == 2
    assert mixed.task.renders.first_seed == REAL_SEED and mixed.task.real == ()
    assert alone.task.mix == (2, 0) and alone.task.renders is None and alone.task.synthetic == (folder,)
    assert real.task.synthetic == () and real.task.hidden == () and real.task.checked == 3
    assert len(found[Mixture(2, 1, hidden=True)].task.hidden) == 23
    assert {one.loop.steps for one in found.values()} == {20} and real.loop.warmup_steps == 2
    assert real.loop.seed == 1 and real.name == "loop-0to1"
    own = recipes(tmp_path, synthetic=(folder,), real=(folder,))[Mixture(2, 1)].task
    assert own.renders is None and own.real == (folder,) and own.real_count == 2


def test_the_command(cli, folder, tmp_path):
    asked = (
        "reproduce", "loop", "--synthetic", folder, "--pictures", 2, "--ratios", "1", "--no-hide",
        "--steps", 1, "--scenes", 2, "--resamples", 100, "--device", "cpu", "--out", tmp_path / "out",
        "--json",
    )  # fmt: skip
    ended = cli(*asked)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert list(told["mixtures"]) == ["0:1", "1:1", "1:0"] and told["steps"] == 1
    again = cli(*asked)
    assert again.code == 0 and again.out == ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--ratios", "x"), "--ratios must be a number"), (("--pictures", "9"), "36 pictures are needed")],
)
def test_wrong_usage(cli, folder, tmp_path, arguments, words):
    ended = cli("reproduce", "loop", "--synthetic", folder, "--out", tmp_path / "out", *arguments)
    assert ended.code == 2 and words in ended.err and "hint: " in ended.err
    assert not (tmp_path / "out").exists()
