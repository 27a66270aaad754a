"""The trainings of `scenewright.flows.reproduce.dginstyle`: segmenters of streets, other pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.dginstyle_plan import StyleCell
from scenewright.train.augment import Photometric
from scenewright.train.cells import cell_loop, finish
from scenewright.train.recipe import Recipe
from scenewright.train.recipes import find

RECIPE = "nano-streets"
"""The recipe whose pictures, length and seed are those of the cell."""

CHANGED = Photometric(chance=0.5)
"""Changed colours, as published."""


def cell_recipe(cell: StyleCell, shared: Path) -> Recipe:
    """The recipe of a cell; pictures to validate on are kept in the folder `shared`.

    Every arm has the source, with rare classes more often, and the same number of steps.
    """
    base, options = find(RECIPE), cell.options
    task = replace(
        base.task,
        real=(cell.town,),
        synthetic=(cell.pictures.folder,) if cell.pictures else (),
        mix=options.mix if cell.pictures else (0.0, 1.0),
        colour=CHANGED if cell.arm.changed else Photometric(),
        cache=shared,
        checked=min(base.task.checked, options.scenes),
    )
    loop = cell_loop(base.loop, seed=cell.seed, steps=options.steps, cpu=options.device == "cpu")
    return Recipe(name=f"dginstyle-{cell.arm.name}", task=task, loop=loop)


def train_cell(cell: StyleCell, out: Path, shared: Path) -> Path:
    """The folder of the segmenter of a cell, trained in `out`; see `finish`."""
    return finish(cell_recipe(cell, shared), out)
