"""Are the asked colours where they were asked for? A check without any trained judge.

For every instance whose phrase names a colour of the palette: which palette colour is the most frequent inside
its box, does that colour stand out against the picture around the box, and which region of the picture does it
fill? The three answers give

* ``found``: the asked colour is the box's most frequent palette colour, covers at least `COVER` of the box's
  inner part, and is at least `CONTRAST` times as dense there as in the rest of the picture;
* ``iou``: IoU of the box with the bounding box of the connected region of the asked colour that overlaps it most.

It is a colour and position check, not a detector: it does not look at shapes. The first thing to print beside it
is its value on real renders (the ceiling).

Letters: H W pixels, K palette colours, N instances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenewright.scene import Box, Scene

COVER = 0.25
CONTRAST = 2.0
REACH = 90.0
"""A pixel further than this (Euclidean, 8-bit sRGB) from every palette colour has no palette colour."""

NO_COLOUR = 255
Palette = Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class ColourFinding:
    """What was seen of one instance.

    `asked` palette colour of the phrase; `seen` most frequent palette colour inside the box ("" if none);
    `cover` share 0..1 of the box's inner part in the asked colour; `contrast` its density there over the density
    in the rest of the picture; `iou` 0..1 of the box and the asked colour's region; `found` the verdict.
    """

    instance: str
    asked: str
    seen: str
    cover: float
    contrast: float
    iou: float
    found: bool


def colour_map(image_HW3: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Index HW of each pixel's nearest palette colour, `NO_COLOUR` where none is within `REACH`."""
    names_K3 = np.array(list(palette.values()), dtype=np.int32)
    gap_KHW = ((image_HW3[None].astype(np.int32) - names_K3[:, None, None]) ** 2).sum(-1)
    index_HW = gap_KHW.argmin(0).astype(np.uint8)
    index_HW[gap_KHW.min(0) > REACH**2] = NO_COLOUR
    return index_HW


def asked_colour(phrase: str, palette: Palette) -> str | None:
    """The first palette colour named in a phrase, or None."""
    return next((word for word in phrase.lower().replace(",", " ").split() if word in palette), None)


def check_colours(image_HW3: NDArray[np.uint8], scene: Scene, palette: Palette) -> list[ColourFinding]:
    """One finding per instance that has a location and a palette colour in its phrase, in scene order."""
    index_HW = colour_map(image_HW3, palette)
    findings = []
    for one in scene.instances:
        asked, box = asked_colour(one.phrase, palette), one.location_box
        if asked is not None and box is not None:
            findings.append(_finding(one.id, asked, box, index_HW, list(palette)))
    return findings


def _finding(
    name: str, asked: str, box: Box, index_HW: NDArray[np.uint8], names: Sequence[str]
) -> ColourFinding:
    target = names.index(asked)
    rows, columns = _inner(box, index_HW.shape)
    inside = index_HW[rows, columns]
    counts = np.bincount(inside[inside != NO_COLOUR], minlength=len(names))
    seen = names[int(counts.argmax())] if counts.any() else ""
    asked_HW = index_HW == target
    cover = float((inside == target).mean())
    rest_px = max(1, asked_HW.size - inside.size)
    rest = float(asked_HW.sum() - (inside == target).sum()) / rest_px
    contrast = cover / max(rest, 1e-3)
    found = seen == asked and cover >= COVER and contrast >= CONTRAST
    return ColourFinding(
        instance=name,
        asked=asked,
        seen=seen,
        cover=round(cover, 4),
        contrast=round(contrast, 3),
        iou=round(_region_iou(asked_HW, box), 4),
        found=found,
    )


def _inner(box: Box, size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """The middle 80 % of a box in each direction, at least one pixel."""
    height, width = size_hw
    spans = []
    for low, high, size in ((box.y0, box.y1, height), (box.x0, box.x1, width)):
        edge = 0.1 * (high - low)
        start = min(size - 1, math.floor((low + edge) * size))
        spans.append(slice(start, max(start + 1, math.ceil((high - edge) * size))))
    return spans[0], spans[1]


def _region_iou(asked_HW: NDArray[np.bool_], box: Box) -> float:
    """IoU of `box` and the bounding box of the 4-connected region that shares most pixels with it."""
    rows, columns = _inner(box, asked_HW.shape)
    seeds = np.zeros_like(asked_HW)
    seeds[rows, columns] = asked_HW[rows, columns]
    if not seeds.any():
        return 0.0
    region = _grow(_densest(seeds), asked_HW)
    ys, xs = np.nonzero(region)
    height, width = asked_HW.shape
    found = Box(
        float(xs.min()) / width,
        float(ys.min()) / height,
        float(xs.max() + 1) / width,
        float(ys.max() + 1) / height,
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
