"""The trainings of `scenewright.flows.reproduce.segdiffusion`: one-pass segmenters and what they are
compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.segdiffusion_plan import HELD_STYLE, SegCell
from scenewright.flows.reproduce.segdiffusion_readers import EXPORTS
from scenewright.models.load import pick_device
from scenewright.train.annotated import AnnotatedSource
from scenewright.train.cells import cell_loop, finish
from scenewright.train.recipe import Recipe
from scenewright.train.recipes import find
from scenewright.train.segment import SEGMENT_SEED
from scenewright.world.surface import STYLES

RECIPES = {
    "one-pass": "segmenter-nano",
    "two-styles": "segmenter-nano",
    "mask-denoiser": "mask-denoiser-nano",
    "closed-set": "nano-convolutional",
}
"""By variant the recipe that its trainings follow."""


def cell_recipe(cell: SegCell, shared: Path) -> Recipe:
    """The recipe of a cell; drawings are kept in the folder `shared`. Nothing is validated on the way."""
    options, split = cell.options, cell.options.classes
    styles = tuple(one for one in STYLES if one != HELD_STYLE) if cell.variant == "two-styles" else ()
    drawn = AnnotatedSource(count=options.pictures, first_seed=SEGMENT_SEED, only=split.seen, styles=styles)
    base = find(RECIPES[cell.variant])
    task = replace(base.task, renders=drawn, seen=split.seen, unseen=split.unseen, cache=shared)
    if cell.variant == "closed-set":
        task = replace(task, checked=min(task.checked, options.pictures))
    else:
        task = replace(task, backbone=options.model.name.partition("+")[0])
    loop = cell_loop(base.loop, seed=cell.seed, steps=options.steps, cpu=options.model.device == "cpu")
    return Recipe(name=f"segdiffusion-{cell.variant}", task=task, loop=loop)


def train_cell(cell: SegCell, out: Path, shared: Path) -> Path:
    """What the training of a cell in `out` exported (`segdiffusion_readers.EXPORTS`); see `finish`.

    Raises InputError first if there is no such device.
    """
    pick_device(cell.options.model.device)
    return finish(cell_recipe(cell, shared), out) / EXPORTS[cell.variant]
