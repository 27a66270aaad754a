"""A cell of the reproduction becomes a training: the recipe with the cell's pictures, split and loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_family import model_folder

from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.grounding_plan import BY_NAME, HeadsOptions
from scenewright.models.adapter import read_header
from scenewright.train.head_cells import cell_recipe, train_head
from scenewright.train.recipes import find
from scenewright.world import toybox

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")


def cells(tmp_path: Path, model: str, **changes):
    for seed in range(2):
        toybox.draw(seed, classes=("cat", "cow"), count=(1, 1), size_px=64).record().save(
            tmp_path, f"d{seed}"
        )
    choice = ModelChoice(name=model, device="cpu", dtype="float32")
    wanted = HeadsOptions(data=(tmp_path,), model=choice, seeds=1, **changes)
    return {cell.variant.name: cell for cell in wanted.cells((tmp_path,), "")}


def test_recipes_of_cells(tmp_path):
    base = find("grounding-nano")
    found = {name: cell_recipe(cell) for name, cell in cells(tmp_path, "nano").items()}
    assert set(found) == set(BY_NAME)
    for name, recipe in found.items():
        variant = BY_NAME[name]
        assert (recipe.task.split, recipe.task.loss) == (variant.split, variant.loss)
        assert recipe.task.head == replace(base.task.head, attention=variant.attention)
        assert recipe.loop.steps == base.loop.steps and recipe.loop.validate_every is None
    assert found["renders"].task.renders == 2 and found["renders"].task.data == ()
    assert found["bce"].task.data == (tmp_path,)
    short = cell_recipe(replace(cells(tmp_path, "nano")["bce"], steps=20))
    assert short.loop.steps == 20 and short.loop.warmup_steps <= 2


def test_a_cell_is_trained_once(tmp_path):
    model = str(model_folder(tmp_path / "models" / "tiny"))
    cell = cells(tmp_path / "data", model, steps=2, only=("no-attention",))["no-attention"]
    file = train_head(cell, tmp_path / "out")
    before = file.read_bytes()
    assert read_header(file).kind == "grounding"
    assert len(train_head(cell, tmp_path / "out").read_bytes()) == len(before)
