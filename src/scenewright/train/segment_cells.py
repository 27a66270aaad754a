"""The trainings of `scenewright.flows.reproduce.segdiffusion`: one-pass segmenters and what they are
compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.segdiffusion_plan import HELD_STYLE, SegCell
from scenewright.flows.reproduce.segdiffusion_readers import EXPORTS
from scenewright.models.load import pick_device
from scenewright.train.annotated import AnnotatedSource
from scenewright.train.loop import run
from scenewright.train.recipe import LoopConfig, Recipe
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
    return Recipe(name=f"segdiffusion-{cell.variant}", task=task, loop=_loop(base.loop, cell))


def _loop(base: LoopConfig, cell: SegCell) -> LoopConfig:
    steps = cell.options.steps or base.steps
    return replace(
        base,
        seed=cell.seed,
        steps=steps,
        warmup_steps=min(base.warmup_steps, steps // 10),
        validate_every=None,
        best_metric=None,
        export_weights="last",
        cpu=cell.options.model.device == "cpu",
    )


def train_cell(cell: SegCell, out: Path, shared: Path) -> Path:
    """Train a cell in `out`, or continue; returns what was exported (`segdiffusion_readers.EXPORTS`).

    Raises KeyboardInterrupt when the training was interrupted (it can be continued), and what
    `scenewright.train.run` raises.
    """
    pick_device(cell.options.model.device)
    summary = run(cell_recipe(cell, shared), out, resume=True)
    if not summary["finished"]:
        raise KeyboardInterrupt
    return Path(summary["export"]) / EXPORTS[cell.variant]
