"""The trainings of `scenewright.flows.reproduce.grounding`: one head each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.grounding_plan import HeadCell
from scenewright.train.cells import cell_loop, finish
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
    loop = cell_loop(base.loop, seed=cell.seed, steps=cell.steps, cpu=cell.model.device == "cpu")
    return Recipe(name=f"head-{variant.name}", task=task, loop=loop)


def train_head(cell: HeadCell, out: Path) -> Path:
    """The file of the head of a cell, trained in `out`; see `finish`."""
    return finish(cell_recipe(cell), out) / "grounding.safetensors"
