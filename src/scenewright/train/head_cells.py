"""The trainings of `scenewright.flows.reproduce.grounding`: one head each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.grounding_plan import HeadCell
from scenewright.train.loop import run
from scenewright.train.recipe import Recipe
from scenewright.train.recipes import find

RECIPE = "grounding-nano"
"""The recipe whose pictures, split, loss, attention and seed are those of the cell."""


def cell_recipe(cell: HeadCell) -> Recipe:
    """The recipe of a cell. Nothing is validated on the way: the finished head is measured."""
    base, variant = find(RECIPE), cell.variant
    task = replace(
        base.task,
        backbone=cell.model.name.partition("+")[0],
        data=cell.folders,
        renders=cell.renders,
        named=cell.named,
        split=variant.split,
        loss=variant.loss,
        head=replace(base.task.head, attention=variant.attention),
    )
    steps = cell.steps or base.loop.steps
    loop = replace(
        base.loop,
        seed=cell.seed,
        steps=steps,
        warmup_steps=min(base.loop.warmup_steps, steps // 10),
        validate_every=None,
        best_metric=None,
        export_weights="last",
        cpu=cell.model.device == "cpu",
    )
    return Recipe(name=f"head-{variant.name}", task=task, loop=loop)


def train_head(cell: HeadCell, out: Path) -> Path:
    """Train a cell in `out`, or continue; returns the head's file.

    Raises KeyboardInterrupt when the training was interrupted (it can be continued), and what
    `scenewright.train.run` raises.
    """
    summary = run(cell_recipe(cell), out, resume=True)
    if not summary["finished"]:
        raise KeyboardInterrupt
    return Path(summary["export"]) / "grounding.safetensors"
