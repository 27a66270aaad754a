"""Weights of the recorded networks, drawn again from the recipes beside the recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def sets(golden: Path, method: str) -> list[Path]:
    """The folders with recordings of a method: every one that holds a ``config.json``."""
    return sorted(path.parent for path in (golden / method).glob("*/config.json"))


def gligen_shapes(folder: Path, name: str) -> dict[str, list[int]]:
    """Original keys and shapes of one recorded GLIGEN module, with differences from a base resolved."""
    return resolve(json.loads((folder / "keys.json").read_text()), name)


def resolve(table: Mapping[str, dict], name: str) -> dict[str, list[int]]:
    """One entry of a table of shapes; an entry with `base` lists what differs from that other entry."""
    entry = table[name]
    if "base" not in entry:
        return dict(entry)
    shapes = resolve(table, entry["base"])
    for key in entry["remove"]:
        del shapes[key]
    return shapes | entry["add_or_change"]


def gligen_weights(shapes: Mapping[str, Sequence[int]], seed: int, mode: str = "live") -> dict[str, Tensor]:
    """Weights by GLIGEN's recipe: one legacy generator, original keys in plain string order."""
    rng = np.random.RandomState(seed)
    state: dict[str, Tensor] = {}
    for key in sorted(shapes):
        shape = tuple(shapes[key])
        draw = np.asarray(rng.standard_normal(shape) if shape else rng.standard_normal(), dtype=np.float64)
        if mode == "std002":
            value = draw * 0.02
        elif len(shape) >= 2:
            value = draw / np.sqrt(np.prod(shape[1:]))
        else:
            value = draw * 0.1 if len(shape) == 1 else draw
        if len(shape) == 1 and key.endswith("weight"):
            value = value + 1
        state[key] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return state


def instancediffusion_weights(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, Tensor]:
    """Weights by InstanceDiffusion's recipe: the gains make grounding visible in the outputs."""
    rng = np.random.RandomState(seed)
    state: dict[str, Tensor] = {}
    for key in sorted(shapes):
        shape = tuple(shapes[key])
        value = 0.02 * np.asarray(rng.standard_normal(shape) if shape else rng.standard_normal())
        if len(shape) == 1 and key.endswith("weight"):
            value = value + 1
        last = key.split(".")[-1]
        if not shape:
            value = 5 * value + 1
        elif last.startswith(("scaleu_", "null_")) or last == "gamma":
            value = 25 * value
        elif len(shape) >= 2 and last != "pos_embedding":
            value = value * 50 / np.sqrt(np.prod(shape[1:]))
        state[key] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return state
