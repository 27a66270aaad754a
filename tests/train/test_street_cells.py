"""The trainings of `reproduce dginstyle`: what a cell is trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.flows.reproduce.dginstyle_plan import Pictures, StyleOptions, cells
from scenewright.train.recipes import find
from scenewright.train.street_cells import cell_recipe

SETS = {
    name: Pictures(name=name, folder=Path(f"sets/{name}"), digest=name, counts={"kept": 4})
    for name in ("plain", "swap", "fusion", "renders")
}


def test_recipes_of_cells() -> None:
    options = StyleOptions(seeds=2, mix=(3.0, 1.0), scenes=20, device="cpu")
    found = {cell.name[:-9]: cell_recipe(cell, Path("cache")) for cell in cells(options, Path("town"), SETS)}
    assert len(found) == 12
    base = find("nano-streets")
    for name, recipe in found.items():
        arm, seed = name.rsplit("-", 1)
        task, set_name = recipe.task, arm if arm in SETS else ""
        assert task.real == (Path("town"),) and task.rare == 0.01 and task.checked == 20
        assert task.synthetic == ((Path(f"sets/{set_name}"),) if set_name else ())
        assert task.mix == ((3.0, 1.0) if set_name else (0.0, 1.0))
        assert task.colour.chance == (0.0 if arm == "source" else 0.5)
        assert recipe.loop.steps == base.loop.steps and recipe.loop.seed == int(seed) and recipe.loop.cpu
        assert recipe.loop.validate_every is None and recipe.name == f"dginstyle-{arm}"
    short = cell_recipe(cells(replace(options, steps=20), Path("town"), SETS)[0], Path("cache"))
    assert short.loop.steps == 20 and short.loop.warmup_steps == 2
