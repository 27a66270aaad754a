"""Who stands where: sizes, places and depth order of the toys of one scene.

Units are 1/128 of the picture's side, x right and y down. Boxes here are the design rectangles; what is
visible in the end is measured on the drawn picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scenewright.world.classes import BY_NAME, THINGS
from scenewright.world.palette import COLOURS, TEXTURES
from scenewright.world.toys import TOYS

UNITS: Final = 128.0
SIZES: Final = {1: (36.0, 90.0), 2: (28.0, 72.0), 3: (26.0, 58.0), 4: (24.0, 48.0)}
"""Number of toys -> range of the longer side (five and more: as four, a little smaller)."""

COUNT_WEIGHTS: Final = (0.36, 0.32, 0.18, 0.08, 0.06)
"""Share of scenes with 1, 2, ... toys."""

TEXTURED: Final = 0.4
"""Share of toys that carry a texture."""


@dataclass(frozen=True)
class Placed:
    """One toy of a layout: what, how it looks, and its design rectangle by centre and size."""

    name: str
    colour: str
    texture: str | None
    variant: int
    flip: bool
    angle: float
    stretch: float
    phase: int
    size: float
    cx: float = 0.0
    cy: float = 0.0
    flying: bool = False
    depth: float = 0.0

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the turned design rectangle."""
        wide, high = TOYS[self.name].sizes[self.variant]
        scale = self.size / max(wide, high)
        w, h = wide * scale * math.sqrt(self.stretch), high * scale / math.sqrt(self.stretch)
        cos, sin = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        return w * cos + h * sin, w * sin + h * cos

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The rectangle's corners."""
        w, h = self.extent
        return self.cx - w / 2, self.cy - h / 2, self.cx + w / 2, self.cy + h / 2


@dataclass(frozen=True)
class Layout:
    """Toys in caption order, and how the first two were put: "on top", "side by side" or None."""

    toys: tuple[Placed, ...]
    pairing: str | None = None


def pick_count(rng: np.random.Generator, count: tuple[int, int]) -> int:
    """How many toys: between `count[0]` and `count[1]`, small numbers preferred."""
    numbers = np.arange(count[0], count[1] + 1)
    weights = np.array([COUNT_WEIGHTS[min(max(n, 1), 5) - 1] * (0.5 if n == 0 else 1.0) for n in numbers])
    return int(rng.choice(numbers, p=weights / weights.sum()))


def pick_toys(rng: np.random.Generator, number: int, classes: Sequence[str] | None) -> list[Placed]:
    """Looks of `number` toys, not yet placed: mostly different classes and colours."""
    names = list(classes) if classes is not None else [thing.name for thing in THINGS]
    repeat = rng.random() < 0.1 or number > len(names)
    chosen = [names[k] for k in rng.choice(len(names), number, replace=bool(repeat))]
    palette = list(COLOURS)
    colours = [palette[k] for k in rng.choice(8, number, replace=bool(rng.random() < 0.15 or number > 8))]
    low, high = SIZES.get(number, SIZES[4])
    toys = []
    for name, colour in zip(chosen, colours, strict=True):
        air = BY_NAME[name].habit == "air"
        toys.append(
            Placed(
                name=name,
                colour=colour,
                texture=TEXTURES[rng.integers(8)] if rng.random() < TEXTURED else None,
                variant=int(rng.integers(len(TOYS[name].sizes))),
                flip=bool(rng.random() < 0.5),
                angle=float(rng.uniform(-1, 1) * (0.26 if air else 0.08)) if rng.random() < 0.6 else 0.0,
                stretch=float(np.clip(np.exp(rng.normal(0, 0.07)), 0.85, 1.18)),
                phase=int(rng.integers(1 << 16)),
                size=float(np.exp(rng.uniform(math.log(low), math.log(high)))) * (0.9 if number > 4 else 1.0),
            )
        )
    return toys


def place(rng: np.random.Generator, toys: list[Placed], horizon: float, setting: str) -> Layout:
    """Give every toy a place; `horizon` is a fraction of the height."""
    pairing = None
    done: list[Placed] = []
    if len(toys) >= 2:
        draw = rng.random()
        if draw < 0.16:
            pairing, done = "on top", _stack(rng, toys[0], toys[1], horizon)
        elif draw < 0.32:
            pairing, done = "side by side", _beside(rng, toys[0], toys[1], horizon)
    for toy in toys[len(done) :]:
        done.append(_drop(rng, toy, done, horizon, setting))
    return Layout(tuple(done), pairing)


def _stack(rng: np.random.Generator, upper: Placed, lower: Placed, horizon: float) -> list[Placed]:
    """The first toy on top of the second."""
    lower = replace(lower, size=min(lower.size, 70.0), angle=0.0)
    upper = replace(upper, size=min(upper.size, 60.0), angle=0.0)
    room = UNITS - 4
    total = lower.extent[1] + upper.extent[1]
    if total > room:
        upper = replace(upper, size=upper.size * room / total)
        lower = replace(lower, size=lower.size * room / total)
    (wu, hu), (wl, hl) = upper.extent, lower.extent
    sink = hl * float(rng.uniform(0.02, 0.09))
    floor_y = max(hu + hl + 2, rng.uniform(min(max(horizon, 0.5), 0.75) * UNITS, UNITS - 2))
    cx = float(rng.uniform(max(wl, wu) / 2 + 1, UNITS - max(wl, wu) / 2 - 1))
    lower = replace(lower, cx=cx, cy=floor_y - hl / 2, depth=floor_y)
    offset = float(rng.uniform(-0.12, 0.12)) * wl
    cux = min(max(cx + offset, wu / 2 + 1), UNITS - wu / 2 - 1)
    upper = replace(upper, cx=cux, cy=floor_y - hl + sink - hu / 2, depth=floor_y + 0.1)
    return [upper, lower]


def _beside(rng: np.random.Generator, left: Placed, right: Placed, horizon: float) -> list[Placed]:
    """The two toys next to each other on one line, of similar size."""
    right = replace(right, size=float(np.clip(right.size, 0.8 * left.size, 1.25 * left.size)))
    gap = float(rng.uniform(0.5, 6.0))
    total = left.extent[0] + right.extent[0] + gap
    if total > UNITS - 4:
        share = (UNITS - 4 - gap) / (total - gap)
        left, right = (replace(toy, size=toy.size * share) for toy in (left, right))
    (wl, hl), (wr, hr) = left.extent, right.extent
    floor_y = float(rng.uniform(max(hl, hr) + 2, UNITS - 2))
    if rng.random() < 0.7:
        floor_y = max(floor_y, min(UNITS - 2, horizon * UNITS + 6))
    x = float(rng.uniform(2, UNITS - 2 - wl - wr - gap + 1e-6))
    left = replace(left, cx=x + wl / 2, cy=floor_y - hl / 2, depth=floor_y)
    return [left, replace(right, cx=x + wl + gap + wr / 2, cy=floor_y - hr / 2, depth=floor_y)]


def _drop(
    rng: np.random.Generator, toy: Placed, others: Sequence[Placed], horizon: float, setting: str
) -> Placed:
    """A free place for one toy: where its kind belongs, or anywhere; shrinks when there is no room."""
    allowed = 0.22 if rng.random() < 0.3 else 0.05
    best, least = toy, math.inf
    for attempt in range(30):
        if attempt and attempt % 8 == 0:
            toy = replace(toy, size=max(24.0, toy.size * 0.86))
        spot = _spot(rng, toy, horizon, setting)
        clash = max((_clash(spot, other) for other in others), default=0.0)
        if clash <= allowed:
            return spot
        if clash < least:
            best, least = spot, clash
    return best


def _spot(rng: np.random.Generator, toy: Placed, horizon: float, setting: str) -> Placed:
    """One random place. Half of the toys stand or fly where they belong, the others anywhere."""
    w, h = toy.extent
    slack = 0.12 if rng.random() < 0.08 else 0.0
    cx = rng.uniform(w * (0.5 - slack) + 1, UNITS - w * (0.5 - slack) - 1)
    low, high = h / 2 + 1, UNITS - h / 2 - 1
    sensible = rng.random() < 0.5
    air = BY_NAME[toy.name].habit == "air" or setting == "sky"
    if sensible and air:
        high = max(low + 1, min(high, horizon * UNITS - h * 0.25))
    elif sensible:
        low = min(high - 1, max(low, horizon * UNITS + 5 - h / 2))
    cy = float(rng.uniform(low, high))
    flying = air and cy + h * 0.2 < horizon * UNITS
    return replace(toy, cx=float(cx), cy=cy, flying=flying, depth=cy + h / 2 - (40 if flying else 0))


def _clash(first: Placed, second: Placed) -> float:
    """Intersection over the smaller rectangle."""
    a, b = first.xyxy, second.xyxy
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return w * h / area
