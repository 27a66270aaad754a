"""Are the asked colours where they were asked for? A check without any trained judge.

For every instance whose phrase names a colour of the palette, two questions: which palette colour does
its box have that its surroundings do not have, and which region of the picture does the asked colour fill
there?

* ``found``: of all palette colours the asked one exceeds its surroundings most, by at least `EXCESS` of
  the box;
* ``iou``: IoU of the box with the bounding box of the connected region of the asked colour that lies in it;
  0 where the asked colour does not exceed its surroundings by `EXCESS`.

Colours are compared in OKLab with lightness weighing half, so that shade does not change the name. What
is compared with the surroundings are shades (`LEVELS` per channel): a white cat on snow is found by its
other white. The surroundings are the box grown by `AROUND` of its size on each side, without the box
itself and without the boxes of instances that ask for the same colour.

It is a colour and position check, not a detector: it does not look at shapes. `REACH`, `LEVELS`,
`AROUND` and `EXCESS` were chosen on drawn toybox scenes alone (seeds 20000 to 20299: found in 98 % of 641
boxes, in 4 % of them when scenes and pictures are swapped; on the next 300 seeds from 30000 on: 97 % of
640 and 6 %). The first thing to print beside it is its value on real renders (the ceiling).

Letters: H W pixels, K palette colours, S shades, N instances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scenewright.scene import Box, Scene
from scenewright.scene.oklab import oklab

EXCESS = 0.25
"""Least share of the box by which the asked colour's shades must exceed the surroundings."""
REACH = 0.1
"""A pixel further than this (OKLab, half-weighted lightness) from every palette colour has no palette
colour."""
LEVELS = 8
"""Shades per channel."""
AROUND = 0.25
"""Width of the surroundings as a share of the box's width and height."""

NO_COLOUR = 255
Palette = Mapping[str, tuple[int, int, int]]
_WEIGHTS = np.array([0.5, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class ColourFinding:
    """What was seen of one instance.

    `asked` palette colour of the phrase; `seen` palette colour that exceeds the surroundings most ("" if
    none does); `cover` share 0..1 of the box's inner part in the asked colour; `excess` share 0..1 of it
    in shades of the asked colour beyond their share in the surroundings; `iou` 0..1 of the box and the
    asked colour's region; `found` the verdict.
    """

    instance: str
    asked: str
    seen: str
    cover: float
    excess: float
    iou: float
    found: bool


def colour_map(image_HW3: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Index HW of each pixel's nearest palette colour, `NO_COLOUR` where none is within `REACH`."""
    table = _table(tuple(palette.values()))
    fine_HW3 = (image_HW3 >> 2).astype(np.int32)
    found: NDArray[np.uint8] = table[fine_HW3[..., 0] << 12 | fine_HW3[..., 1] << 6 | fine_HW3[..., 2]]
    return found


@lru_cache(maxsize=8)
def _table(colours: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """The palette index of every colour of 6 bits per channel, [262144]."""
    level = np.arange(64) * 4 + 1.5
    lab_T3 = oklab(np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)) * _WEIGHTS
    lab_K3 = oklab(np.array(colours, dtype=np.float64)) * _WEIGHTS
    gap_KT = np.stack([((lab_T3 - one) ** 2).sum(1) for one in lab_K3])
    index_T = gap_KT.argmin(0).astype(np.uint8)
    index_T[gap_KT.min(0) > REACH**2] = NO_COLOUR
    return index_T


def asked_colour(phrase: str, palette: Palette) -> str | None:
    """The first palette colour named in a phrase, or None."""
    return next((word for word in phrase.lower().replace(",", " ").split() if word in palette), None)


def check_colours(image_HW3: NDArray[np.uint8], scene: Scene, palette: Palette) -> list[ColourFinding]:
    """One finding per instance that has a location and a palette colour in its phrase, in scene order."""
    asked = []
    for one in scene.instances:
        colour, box = asked_colour(one.phrase, palette), one.location_box
        if colour is not None and box is not None:
            asked.append((one.id, colour, box))
    index_HW = colour_map(image_HW3, palette)
    step = 256 // LEVELS
    shade_HW3 = (image_HW3 // step).astype(np.int32)
    shade_HW = (shade_HW3[..., 0] * LEVELS + shade_HW3[..., 1]) * LEVELS + shade_HW3[..., 2]
    names = list(palette)
    found = []
    for k, (name, colour, box) in enumerate(asked):
        rivals = [other for j, (_, same, other) in enumerate(asked) if same == colour or j == k]
        found.append(_finding(name, colour, box, index_HW, shade_HW, names, rivals))
    return found


def _finding(
    name: str,
    asked: str,
    box: Box,
    index_HW: NDArray[np.uint8],
    shade_HW: NDArray[np.int32],
    names: Sequence[str],
    rivals: Sequence[Box],
) -> ColourFinding:
    target, inner = names.index(asked), _inner(box, index_HW.shape)
    around_HW = _surroundings(box, rivals, index_HW.shape)
    # Which shades, of which palette colour, has the box beyond its surroundings? [S, K + 1]
    joint_HW = shade_HW * (len(names) + 1) + np.minimum(index_HW, len(names))
    size = LEVELS**3 * (len(names) + 1)
    inside, outside = joint_HW[inner], joint_HW[around_HW]
    beyond = np.bincount(inside.ravel(), minlength=size) / inside.size
    beyond -= np.bincount(outside, minlength=size) / max(1, outside.size)
    excess_K = np.maximum(beyond, 0).reshape(-1, len(names) + 1).sum(0)[:-1]
    seen = int(excess_K.argmax())
    enough = bool(excess_K[target] >= EXCESS)
    iou = _region_iou((index_HW == target) & (beyond > 0)[joint_HW], box) if enough else 0.0
    return ColourFinding(
        instance=name,
        asked=asked,
        seen=names[seen] if excess_K[seen] > 0 else "",
        cover=round(float((index_HW[inner] == target).mean()), 4),
        excess=round(float(excess_K[target]), 4),
        iou=round(iou, 4),
        found=enough and seen == target,
    )


def _surroundings(box: Box, rivals: Sequence[Box], size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels around a box, outside all `rivals`; the whole rest of the picture where there are none."""
    rest_HW = np.ones(size_hw, dtype=bool)
    for one in rivals:
        rest_HW[_span(one, size_hw, 0.0)] = False
    around_HW: NDArray[np.bool_] = np.zeros(size_hw, dtype=bool)
    grown = _span(box, size_hw, AROUND)
    around_HW[grown] = rest_HW[grown]
    return around_HW if around_HW.any() else rest_HW


def _inner(box: Box, size_hw: tuple[int, ...]) -> tuple[slice, slice]:
    """The middle 80 % of a box in each direction, at least one pixel."""
    return _span(box, size_hw, -0.1)


def _span(box: Box, size_hw: tuple[int, ...], margin: float) -> tuple[slice, slice]:
    """Pixels that a box touches once it is grown by `margin` of its size on each side; at least one."""
    spans = []
    for low, high, size in ((box.y0, box.y1, size_hw[0]), (box.x0, box.x1, size_hw[1])):
        edge = margin * (high - low)
        start = min(size - 1, max(0, math.floor((low - edge) * size)))
        spans.append(slice(start, max(start + 1, math.ceil((high + edge) * size))))
    return spans[0], spans[1]


def _region_iou(asked_HW: NDArray[np.bool_], box: Box) -> float:
    """IoU of `box` and the bounding box of the 4-connected regions of the asked colour that lie in its
    middle."""
    inner = _inner(box, asked_HW.shape)
    seeds = np.zeros_like(asked_HW)
    seeds[inner] = asked_HW[inner]
    if not seeds.any():
        return 0.0
    region = _grow(_densest(seeds), asked_HW)
    ys, xs = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    height, width = asked_HW.shape
    found = Box(
        float(xs[0]) / width, float(ys[0]) / height, float(xs[-1] + 1) / width, float(ys[-1] + 1) / height
    )
    return box.iou(found)


def _densest(seeds_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Seeds without specks: those with at least half of their 3x3 neighbourhood set; all if none is left."""
    padded = np.pad(seeds_HW.astype(np.uint8), 1)
    height, width = seeds_HW.shape
    near = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    kept = seeds_HW & (near >= 5)
    return kept if kept.any() else seeds_HW


def _grow(seeds_HW: NDArray[np.bool_], allowed_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All pixels of `allowed_HW` 4-connected to `seeds_HW`."""
    region = seeds_HW.copy()
    while True:
        grown = region.copy()
        grown[1:] |= region[:-1]
        grown[:-1] |= region[1:]
        grown[:, 1:] |= region[:, :-1]
        grown[:, :-1] |= region[:, 1:]
        grown &= allowed_HW
        if (grown == region).all():
            return region
        region = grown


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, eq. for the score interval); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    z, share = 1.959964, successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
