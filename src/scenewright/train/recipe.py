"""What a training run is made of: a complete, typed, frozen `Recipe`.

A recipe is a Python function that returns a `Recipe`: a name, the configuration of the task (any frozen
dataclass with a ``build`` method) and the configuration of the loop. Values are changed from outside by
``key=value`` texts, which are read according to the annotations of the fields, so that ``loop.steps=1e3``
is an error and not a float. This file does not import torch: recipes can be listed and checked quickly.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union

from scenewright.errors import InputError, nearest

if TYPE_CHECKING:
    from scenewright.train.task import Task

MAY_CHANGE = frozenset({"loop.steps", "loop.stop_after_minutes", "loop.trackers"})
"""Keys in which a resumed run may differ from the run that it continues."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How to train, whatever is trained. Counts of steps are optimiser steps.

    One optimiser step uses ``batch_size * accumulate * number of processes`` samples.
    """

    steps: int = 1000  # optimiser steps in all, > 0
    batch_size: int = 32  # samples of one forward pass of one process
    accumulate: int = 1  # forward passes per optimiser step (`accelerate launch` may override it)
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: for matrices, AdamW for the rest (see muon.py)
    lr: float = 1e-3  # peak learning rate; parameter groups multiply it by their "lr_scale"
    schedule: Literal["constant", "cosine", "linear"] = "cosine"  # of the learning rate, after the warm-up
    warmup_steps: int = 0  # steps over which the learning rate rises linearly from lr/warmup_steps
    decay_steps: int | None = None  # step at which the decay ends; None: at `steps`
    final_lr: float = 0.0  # learning rate at the end of the decay, as a fraction of lr, in [0, 1]
    weight_decay: float = 0.01  # decoupled, for groups that do not say otherwise
    betas: tuple[float, float] = (0.9, 0.999)  # AdamW's
    epsilon: float = 1e-8  # AdamW's
    clip_norm: float | None = 1.0  # largest norm of the gradient; None: not clipped
    ema_decay: float | None = 0.999  # of the averaged weights, reached by a ramp; None: no averaging
    precision: Literal["no", "bf16", "fp16"] | None = None  # None: as `accelerate launch` says, else "no"
    gradient_checkpointing: bool = False  # recompute activations in the backward pass to save memory
    unused_parameters: bool = False  # many processes: allow parameters that got no gradient
    cpu: bool = False  # stay on the CPU even where there is an accelerator
    seed: int = 0  # of initial weights, data, noise, dropout; every process derives its own from it
    workers: int = 0  # processes that make batches beside each training process; 0: none
    prefetch: int = 2  # batches that each worker keeps ready
    log_every: int = 10  # steps between lines of the log (means over those steps)
    validate_every: int | None = None  # steps between validations, and one at the end; None: none at all
    validate_first: bool = False  # validate before the first step too
    save_every: int = 1000  # steps between checkpoints
    keep: int = 2  # newest checkpoints to keep; the best one is kept besides
    best_metric: str | None = None  # key of Task.validate's result that says which checkpoint is best
    best_mode: Literal["max", "min"] = "max"  # whether a larger or a smaller best_metric is better
    export_weights: Literal["last", "best"] = "last"  # which weights to export at the end
    stop_after_minutes: float | None = None  # stop with a checkpoint after so much wall-clock time
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()  # besides the JSONL log

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "prefetch", "log_every", "save_every", "keep"):
            _require(getattr(self, name) >= 1, f"loop.{name} must be at least 1, not {getattr(self, name)}")
        for name in ("warmup_steps", "workers", "seed", "weight_decay"):
            _require(
                getattr(self, name) >= 0, f"loop.{name} must not be negative, but is {getattr(self, name)}"
            )
        _require(
            self.workers <= 256,
            f"loop.workers must be at most 256, not {self.workers}",
            "one per core is plenty",
        )
        for name in ("validate_every", "decay_steps"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"loop.{name} must be at least 1 or none, not {value}")
        for name in ("lr", "epsilon", "clip_norm", "stop_after_minutes"):
            value = getattr(self, name)
            good = value is None or (math.isfinite(value) and value > 0)
            _require(good, f"loop.{name} must be a number above 0, not {value}")
        _require(0 <= self.final_lr <= 1, f"loop.final_lr must be in [0, 1], not {self.final_lr}")
        good = self.ema_decay is None or 0 <= self.ema_decay < 1
        _require(good, f"loop.ema_decay must be in [0, 1) or none, not {self.ema_decay}")
        _require(all(0 <= b < 1 for b in self.betas), f"loop.betas must be in [0, 1), not {self.betas}")
        if self.export_weights == "best" or self.best_metric:
            good = self.best_metric is not None and self.validate_every is not None
            _require(
                good, "the best weights need loop.best_metric and loop.validate_every, one of them is none"
            )


class TaskConfig(Protocol):
    """The configuration of a task: a frozen dataclass that can build it, without torch until then."""

    def build(self, loop: LoopConfig) -> Task:
        """The task, with the seed, batch size and length of `loop`; called under a seeded random state."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A complete training: `name` (for people and for ``--resume``), what is trained, and how."""

    name: str
    task: Any  # a TaskConfig
    loop: LoopConfig

    def __post_init__(self) -> None:
        frozen = dataclasses.is_dataclass(self.task) and self.task.__dataclass_params__.frozen  # type: ignore[union-attr]
        _require(
            frozen and not isinstance(self.task, type), f"the task of {self.name!r} is no frozen dataclass"
        )
        _require(hasattr(self.task, "build"), f"the task configuration of {self.name!r} has no build(loop)")


def _require(condition: bool, message: str, hint: str = "") -> None:
    if not condition:
        raise InputError(message, hint)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf value of nested dataclasses or mappings by its full key, e.g. ``{"loop.steps": 100}``."""
    if dataclasses.is_dataclass(config):
        config = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        found: dict[str, Any] = {}
        for name, value in config.items():
            found |= flat(value, f"{prefix}.{name}" if prefix else str(name))
        return found if config or not prefix else {prefix: {}}
    return {prefix: config}


def keys(recipe: Recipe) -> list[str]:
    """Every key that ``--set`` accepts for this recipe, in the order of the fields."""
    return [*flat(recipe.task, "task"), *flat(recipe.loop, "loop")]


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``key=value`` texts applied, the last one of a key counts; the given recipe stays as it
    is. What must fit together is checked once all are applied.

    Raises InputError for a text without ``=``, an unknown key (naming the nearest), a value of the wrong
    type, and values that the configuration refuses.
    """
    known, values = keys(recipe), dict[str, Any]()
    for setting in settings:
        key, sign, text = setting.partition("=")
        key = key.strip()
        _require(bool(sign), f"expected key=value, got {setting!r}", "for example --set loop.steps=100")
        if key not in known:
            raise InputError(f"recipe {recipe.name!r} has no key {key!r}", _hint(key, known))
        values[key] = _parsed(recipe, key, text.strip())
    parts = {part: _replaced(getattr(recipe, part), values, f"{part}.") for part in ("task", "loop")}
    return dataclasses.replace(recipe, **parts) if values else recipe


def _parsed(recipe: Recipe, key: str, text: str) -> Any:
    """`text` as a value of the field that `key` names."""
    *path, name = key.split(".")
    owner: Any = recipe
    for part in path:
        owner = getattr(owner, part)
    return parse(text, typing.get_type_hints(type(owner))[name], key)


def _hint(key: str, known: list[str]) -> str:
    """The nearest full key; its first part may have been left out or wrong."""
    last = {name.rpartition(".")[2]: name for name in reversed(known)}
    end = key.rpartition(".")[2]
    best = last.get(end) or nearest(key, known) or last.get(nearest(end, last) or "")
    return f"did you mean {best}?" if best else f"keys are {', '.join(known)}"


def _replaced(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    """`config`, whose keys begin with `prefix`, with all of `values` that are below it; itself if none is."""
    changes = {}
    for field in dataclasses.fields(config):
        key = f"{prefix}{field.name}"
        if key in values:
            changes[field.name] = values[key]
        elif any(one.startswith(f"{key}.") for one in values):
            changes[field.name] = _replaced(getattr(config, field.name), values, f"{key}.")
    return dataclasses.replace(config, **changes) if changes else config


def parse(text: str, annotation: Any, key: str = "value") -> Any:
    """`text` read as a value of `annotation`: int, float, bool, str, Path, Literal, Optional, unions, tuples.

    Integers are exact (``1e3`` is refused), floats accept integers, booleans are ``true``/``false``,
    ``none`` is None where the annotation allows it, tuples are comma-separated. Raises InputError naming
    `key`.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _parse_union(text, arguments, key)
    if origin is Literal:
        for choice in arguments:
            if text == str(choice):
                return choice
        best = nearest(text, map(str, arguments))
        hint = f"did you mean {best}?" if best else ""
        raise InputError(f"{key} must be one of {', '.join(map(str, arguments))}, not {text!r}", hint)
    if origin is tuple or annotation is tuple:
        return _parse_tuple(text, arguments or (str, ...), key)
    return _parse_plain(text, annotation, key)


def _parse_union(text: str, choices: tuple[Any, ...], key: str) -> Any:
    if type(None) in choices and text.lower() in ("none", "null"):
        return None
    rest = [choice for choice in choices if choice is not type(None)]
    errors = []
    for choice in rest:
        try:
            return parse(text, choice, key)
        except InputError as error:
            errors.append(error)
    note = " or none" if type(None) in choices else ""
    raise InputError(errors[0].message + note, errors[0].hint)


def _parse_tuple(text: str, items: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(parse(part, items[0], key) for part in parts)
    _require(len(parts) == len(items), f"{key} takes {len(items)} comma-separated values, got {text!r}")
    return tuple(parse(part, item, key) for part, item in zip(parts, items, strict=True))


def _parse_plain(text: str, annotation: Any, key: str) -> Any:
    if annotation is bool:
        _require(text.lower() in ("true", "false"), f"{key} must be true or false, not {text!r}")
        return text.lower() == "true"
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            kind = "a whole number" if annotation is int else "a number"
            hint = "write all its digits, as in 1000" if annotation is int else ""
            raise InputError(f"{key} must be {kind}, not {text!r}", hint) from None
    if annotation in (str, Path):
        return annotation(text)
    raise InputError(f"{key} cannot be set from text ({annotation})", "change the recipe in Python instead")


def resolved(recipe: Recipe, launch: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole recipe as JSON values, with `launch`: what the environment decided."""
    return {
        "name": recipe.name,
        "task_type": f"{type(recipe.task).__module__}.{type(recipe.task).__qualname__}",
        "task": _json(recipe.task),
        "loop": _json(recipe.loop),
        "launch": dict(launch or {}),
    }


def _json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


COMPARED = ("name", "task_type", "task", "loop", "launch")
"""Parts of a resolved recipe that decide the result."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Lines ``key: before -> now`` for each value of two resolved recipes that forbids resuming."""
    old, new = (flat({part: whole.get(part) for part in COMPARED}) for whole in (before, now))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and key not in MAY_CHANGE]
    return [f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}" for key in changed]
