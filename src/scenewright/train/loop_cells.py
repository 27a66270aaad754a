"""The trainings of `scenewright.flows.reproduce.loop`: a segmenter for a mixture of pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.loop_plan import Cell
from scenewright.train.annotated import REAL_SEED, AnnotatedSource
from scenewright.train.cells import cell_loop, finish
from scenewright.train.recipe import Recipe
from scenewright.train.recipes import find

RECIPE = "nano-segformer"
"""The recipe whose pictures, length and seed are those of the cell."""


def cell_recipe(cell: Cell, shared: Path) -> Recipe:
    """The recipe of a cell; renders are kept in the folder `shared`."""
    base, options = find(RECIPE), cell.options
    synthetic, real = cell.counts
    drawn = AnnotatedSource(count=real, first_seed=REAL_SEED) if real and not options.real else None
    task = replace(
        base.task,
        renders=drawn,
        real=options.real if real else (),
        real_count=real if options.real else 0,
        synthetic=options.synthetic if synthetic else (),
        synthetic_count=synthetic,
        mix=(cell.mixture.synthetic, cell.mixture.real),
        hidden=cell.hidden,
        seen=options.classes.seen,
        unseen=options.classes.unseen,
        cache=shared,
        checked=min(base.task.checked, options.scenes),
    )
    loop = cell_loop(base.loop, seed=cell.seed, steps=options.steps, cpu=base.loop.cpu)
    return Recipe(name=f"loop-{cell.mixture.name}", task=task, loop=loop)


def train_cell(cell: Cell, out: Path, shared: Path) -> Path:
    """The folder of the segmenter of a cell, trained in `out`; see `finish`."""
    return finish(cell_recipe(cell, shared), out)
