"""How pictures are sampled: everything a user may choose that is not in the scene. Needs no torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from scenewright.errors import InputError, nearest
from scenewright.scene.masks import LARGEST_PX

Gate = tuple[float, float, float]
Overflow = Literal["error", "largest"]

MOST_STEPS = 1000
"""Networks are trained on this many noise levels; more steps than that do not exist."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """How pictures are sampled; checked when made (InputError names the field and its value)."""

    steps: int = 20  # sampler steps, 1 to 1000
    guidance: float = 4.0  # classifier-free guidance scale, from 0; 1 switches it off
    negative: str = ""  # negative prompt of scenes that have none of their own
    gate: Gate = (1.0, 0.0, 0.0)  # shares of the steps with gate 1, falling to 0, at 0; their sum is 1
    scheduler: str = ""  # name in `backbone.schedulers.SCHEDULERS`; empty: the model's own
    overflow: Overflow = "error"  # with more instances than slots: refuse, or keep the largest
    layout: bool = True  # False draws from the prompt alone, without the adapter
    null_layout: bool = False  # True gives the adapter its null layout in place of the scenes' own
    batch: int = 8  # pictures sampled together, at least 1

    def __post_init__(self) -> None:
        _whole(self.steps, "steps", 1, MOST_STEPS, "20 to 50 are usual")
        _whole(self.batch, "batch", 1, 4096, "8 suits most machines")
        if not _finite(self.guidance) or self.guidance < 0:
            raise InputError(
                f"guidance is {self.guidance!r}; expected a finite number from 0",
                "4 to 8 are usual, 1 is off",
            )
        check_gate(self.gate)
        if self.null_layout and not self.layout:
            raise InputError(
                "null_layout without layout was asked for",
                "the null layout is given to the adapter: keep layout on",
            )
        if self.overflow not in get_args(Overflow):
            close = nearest(str(self.overflow), get_args(Overflow))
            hint = f"did you mean {close}?" if close else "largest keeps the largest instances"
            raise InputError(f"overflow is {self.overflow!r}; expected error or largest", hint)


def check_gate(gate: Gate) -> None:
    """Raises InputError unless `gate` is three shares from 0 to 1 with the sum 1."""
    good = isinstance(gate, tuple) and len(gate) == 3 and all(_finite(share) for share in gate)
    if not good or min(gate) < 0 or abs(sum(gate) - 1) > 1e-6:
        raise InputError(
            f"gate is {gate!r}; expected three shares of the steps, each from 0 to 1, with the sum 1",
            "0.3 alone means 0.3,0,0.7: the layout acts in the first 30 % of the steps",
        )


def parse_gate(text: str) -> Gate:
    """Gate shares from "0.3" (that share of the steps at 1, then 0) or "0.3,0.2,0.5".

    Raises InputError for anything else.
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) == 1:
        shares = [shares[0], 0.0, 1.0 - shares[0]]
    if len(shares) != 3:
        raise InputError(
            f"gate {text!r} given; expected one share of the steps or three", "for example 0.3 or 0.3,0.2,0.5"
        )
    gate = (shares[0], shares[1], shares[2])
    check_gate(gate)
    return gate


def parse_size(text: str) -> tuple[int, int]:
    """Width, height in pixels from "192x96" or "128". Raises InputError for anything else."""
    found = re.fullmatch(r"\s*(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?\s*", text)
    if not found:
        raise InputError(f"size {text!r} given, expected WIDTHxHEIGHT or one number", "for example 192x96")
    wide, high = int(found[1]), int(found[2] or found[1])
    if min(wide, high) < 1 or max(wide, high) > LARGEST_PX:
        raise InputError(
            f"size {text!r} given, expected sides from 1 to {LARGEST_PX} pixels", "for example 192x96"
        )
    return wide, high


def _whole(value: object, name: str, low: int, high: int, advice: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; expected a whole number from {low} to {high}", advice)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
