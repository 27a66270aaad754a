"""Trainings inside of reproductions: their loop, and that an interrupted one is never taken for finished."""

from __future__ import annotations

import pytest
import tiny_tasks

from scenewright.train import LoopConfig
from scenewright.train.cells import cell_loop, finish
from scenewright.train.recipe import override


def test_the_loop_of_a_cell():
    base = LoopConfig(steps=50, warmup_steps=30, validate_every=5, best_metric="miou", export_weights="best")
    own, other = (cell_loop(base, seed=3, steps=steps, cpu=True) for steps in (None, 200))
    assert (own.steps, own.warmup_steps, other.steps, other.warmup_steps) == (50, 5, 200, 20)
    assert own.seed == 3 and own.cpu and own.validate_every is None
    assert own.best_metric is None and own.export_weights == "last"


def test_finished_and_interrupted(tmp_path):
    recipe = override(tiny_tasks.conv(), ["loop.steps=3", "loop.cpu=true"])
    assert finish(recipe, tmp_path / "whole").is_dir()
    with pytest.raises(KeyboardInterrupt):
        finish(override(recipe, ["loop.steps=100000", "loop.stop_after_minutes=0.001"]), tmp_path / "cut")
    assert finish(recipe, tmp_path / "whole").is_dir()  # nothing left to do
