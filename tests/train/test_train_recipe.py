"""Recipes: typed overrides, the resolved recipe, the registry."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
import tiny_tasks

from scenewright.errors import InputError
from scenewright.train import LoopConfig, Recipe, override, recipes
from scenewright.train.recipe import MAY_CHANGE, differences, keys, parse, resolved


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    sizes: tuple[int, ...] = (1, 2)
    folder: Path = Path("data")
    mapping: dict = field(default_factory=dict)

    def build(self, loop):
        raise AssertionError("never built")


RECIPE = Recipe(name="outer", task=Outer(), loop=LoopConfig())


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("12", int, 12),
        ("-3", int, -3),
        ("2", float, 2.0),
        ("1e-3", float, 1e-3),
        ("true", bool, True),
        ("False", bool, False),
        ("a=b", str, "a=b"),
        ("/x/y", Path, Path("/x/y")),
        ("none", int | None, None),
        ("None", float | None, None),
        ("7", int | None, 7),
        ("bf16", Literal["no", "bf16"] | None, "bf16"),
        ("2", Literal[1, 2], 2),
        ("1,2, 3", tuple[int, ...], (1, 2, 3)),
        ("(0.9,0.99)", tuple[float, float], (0.9, 0.99)),
        ("", tuple[int, ...], ()),
        ("wandb,trackio", tuple[Literal["wandb", "trackio"], ...], ("wandb", "trackio")),
    ],
)
def test_parse(text, annotation, value):
    found = parse(text, annotation)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "words"),
    [
        ("1e3", int, "whole number"),
        ("1.0", int, "whole number"),
        ("x", float, "a number"),
        ("yes", bool, "true or false"),
        ("none", int, "whole number"),
        ("many", int | None, "or none"),
        ("bf61", Literal["no", "bf16"], "one of no, bf16"),
        ("1,2,3", tuple[float, float], "takes 2"),
        ("1,a", tuple[int, ...], "whole number"),
        ("{}", dict, "cannot be set"),
    ],
)
def test_parse_refuses(text, annotation, words):
    with pytest.raises(InputError, match=words) as caught:
        parse(text, annotation, "task.thing")
    assert "task.thing" in str(caught.value)


def test_override_nests_and_leaves_the_original_alone():
    changed = override(RECIPE, ["task.inner.rate=1", "loop.steps=7", "task.sizes=3", "loop.ema_decay=none"])
    assert changed.task == Outer(inner=Inner(rate=1.0), sizes=(3,))
    assert (changed.loop.steps, changed.loop.ema_decay) == (7, None)
    assert Recipe(name="outer", task=Outer(), loop=LoopConfig()) == RECIPE
    with pytest.raises(FrozenInstanceError):
        changed.name = "x"


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("loop.stepz", "loop.steps"),
        ("steps", "loop.steps"),
        ("rate", "task.inner.rate"),
        ("loop.rate", "task.inner.rate"),
    ],
)
def test_unknown_key_suggests_the_nearest_full_key(key, near):
    with pytest.raises(InputError, match="has no key") as caught:
        override(RECIPE, [f"{key}=1"])
    assert near in caught.value.hint


def test_unlike_anything_lists_all_keys():
    with pytest.raises(InputError) as caught:
        override(RECIPE, ["qqqqqqqq=1"])
    assert "loop.steps" in caught.value.hint


def test_setting_without_equals_sign():
    with pytest.raises(InputError, match="key=value"):
        override(RECIPE, ["loop.steps"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("accumulate", 0),
        ("workers", -1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("final_lr", 1.5),
        ("ema_decay", 1.0),
        ("betas", (0.9, 1.0)),
        ("validate_every", 0),
        ("stop_after_minutes", -1.0),
        ("best_metric", "iou"),
    ],
)
def test_loop_config_says_what_is_wrong(name, value):
    with pytest.raises(InputError, match=r"loop\."):
        replace(LoopConfig(), **{name: value})


def test_task_must_be_a_frozen_dataclass_that_builds():
    with pytest.raises(InputError, match="frozen"):
        Recipe(name="x", task=object(), loop=LoopConfig())
    with pytest.raises(InputError, match="build"):
        Recipe(name="x", task=Inner(), loop=LoopConfig())


def test_resolved_is_complete_json_and_survives_it():
    whole = resolved(RECIPE, {"processes": 1})
    assert json.loads(json.dumps(whole)) == whole
    assert whole["task"] == {"inner": {"rate": 0.5}, "sizes": [1, 2], "folder": "data", "mapping": {}}
    assert set(whole["loop"]) == {
        key.removeprefix("loop.") for key in keys(RECIPE) if key.startswith("loop.")
    }


def test_differences_name_keys_but_for_those_that_may_change():
    before = resolved(RECIPE, {"processes": 1})
    free = override(RECIPE, ["loop.steps=3", "loop.stop_after_minutes=1", "loop.trackers=wandb"])
    assert differences(before, resolved(free, {"processes": 1})) == []
    assert differences(before, resolved(override(RECIPE, ["task.inner.rate=1"]), {"processes": 2})) == [
        "task.inner.rate: 0.5 -> 1.0",
        "launch.processes: 1 -> 2",
    ]
    assert set(keys(RECIPE)) >= MAY_CHANGE


def test_registry_finds_and_suggests(monkeypatch):
    recipes.descriptions()  # imports them all: none may register in the copy that is thrown away
    monkeypatch.setattr(recipes, "_RECIPES", dict(recipes._RECIPES))
    recipes.register("conv-test")(tiny_tasks.conv)
    assert recipes.find("conv-test").name == "conv"
    assert recipes.descriptions()["conv-test"] == "A one-dimensional denoiser, for tests."
    with pytest.raises(InputError, match="no recipe 'conv-tset'") as caught:
        recipes.find("conv-tset")
    assert caught.value.hint == "did you mean conv-test?"
    with pytest.raises(InputError, match="two recipes"):
        recipes.register("conv-test")(tiny_tasks.unet)


def test_recipes_outside_the_package():
    assert recipes.find("tiny_tasks:conv").name == "conv"
    assert recipes.find(f"{tiny_tasks.__file__}:unet").name == "unet"
    with pytest.raises(InputError, match="no function 'covn'") as caught:
        recipes.find("tiny_tasks:covn")
    assert "conv" in caught.value.hint
    for name in ("no_such_module:x", "no/such/file.py:x"):
        with pytest.raises(InputError, match="cannot import"):
            recipes.find(name)
    with pytest.raises(InputError, match="not a Recipe"):
        recipes.find("tiny_tasks:stream_rng_of_nothing")


def test_every_registered_recipe_is_described_and_resolves():
    for name, text in recipes.descriptions().items():
        assert text, f"the recipe {name} has no docstring"
        json.dumps(resolved(recipes.find(name)))


def test_recipes_are_read_without_torch():
    code = "import sys, scenewright.train.recipe, scenewright.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
