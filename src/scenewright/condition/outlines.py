"""Points that stand for a mask or a scribble, as InstanceDiffusion samples them.

Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv 2402.03290),
and its released code. A polygon is half contour, half interior. Outline "published" repeats the released
code, whose contour runs through the first pixels outside and is shifted by the padding it was traced with:
0 to 2 pixels off. "exact" runs between the pixels, and takes their centres inside.

Letters: H, W pixels; P points, each x, y.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scenewright.scene import Mask, Scribble

Outline = Literal["published", "exact"]
OUTLINES = get_args(Outline)

Floats = NDArray[np.float64]
Vertex = tuple[float, float]


def by_distance(points_P2: Floats) -> Floats:
    """The points sorted by their distance from (0, 0)."""
    order = np.argsort(np.hypot(points_P2[:, 0], points_P2[:, 1]), kind="stable")
    return points_P2[order]


def scribble_points(scribble: Scribble, count: int) -> Floats:
    """`count` points of a drawn scribble, fractions of the canvas, sorted by distance from (0, 0).

    Its points are sorted and taken at equal steps of the index, with repetition where there are fewer.
    """
    points_P2 = by_distance(np.array([point.xy for point in scribble.points], dtype=np.float64))
    chosen = np.linspace(0, len(points_P2) - 1, count).round().astype(np.int64)
    return by_distance(points_P2[chosen])


def scribble_of_mask(mask: Mask, count: int, rng: np.random.Generator | None = None) -> Floats:
    """`count` pixel centres inside a mask, without repeats while there are enough, sorted by distance.

    `rng` None draws the same points for the same mask. Raises SceneError for an empty mask.
    """
    points = mask.points(rng or rng_of(mask), count)
    return by_distance(np.array([point.xy for point in points], dtype=np.float64))


def polygon_of_mask(
    mask: Mask, count: int, outline: Outline = "published", rng: np.random.Generator | None = None
) -> Floats:
    """`count` points of a mask that is not empty, fractions of the canvas, sorted by distance from (0, 0).

    The first half is contour, at equal steps along all contours; the rest is interior: the pixels sorted by
    distance from their middle, cut into runs of equal length, of each the one in its middle.
    """
    bits_HW = mask.array()
    interior = count - count // 2
    found_P2 = np.concatenate(
        [
            _along(contours(bits_HW, 0.0 if outline == "published" else 0.5), count // 2),
            _inside(bits_HW, interior, rng or rng_of(mask)),
        ]
    )
    if outline == "exact":
        found_P2[: count // 2] -= 0.5  # the padding is 1, a pixel's centre at a half
        found_P2[count // 2 :] += 0.5
    height, width = bits_HW.shape
    return by_distance((found_P2 / [width, height]).clip(0.0, 1.0))


def rng_of(mask: Mask) -> np.random.Generator:
    """A generator that depends on the mask alone."""
    return np.random.default_rng(zlib.crc32(mask.counts.encode()))


def contours(bits_HW: NDArray[np.bool_], level: float) -> list[Floats]:
    """Closed outlines of a mask as x, y of the mask padded by one pixel; holes are outlines too.

    `level` 0 puts vertices on the pixels outside, 0.5 between the pixels. Every square of four pixels gives a
    piece of outline with the inside on its left; pieces are joined in reading order, so that the vertex that
    an outline starts with is that of the tracer the released code uses.
    """
    joined: dict[int, deque[Vertex]] = {}
    begin: dict[Vertex, int] = {}
    end: dict[Vertex, int] = {}
    for number, (start, stop) in enumerate(_pieces(np.pad(bits_HW, 1), level)):
        after, before = begin.pop(stop, None), end.pop(start, None)
        if after is None and before is None:
            joined[number] = deque([start, stop])
            begin[start], end[stop] = number, number
        elif before is None:
            assert after is not None
            joined[after].appendleft(start)
            begin[start] = after
        elif after is None or after == before:
            joined[before].append(stop)
            if after is None:
                end[stop] = before
        else:
            keep, gone = min(after, before), max(after, before)
            line = joined[before] + joined[after]
            joined[keep] = line
            del joined[gone]
            begin[line[0]], end[line[-1]] = keep, keep
    return [np.array([(x, y) for y, x in line], dtype=np.float64) for line in joined.values()]


_TURNS: dict[int, tuple[str, ...]] = {
    1: ("tl",), 2: ("rt",), 3: ("rl",), 4: ("lb",), 5: ("tb",), 6: ("rt", "lb"), 7: ("rb",),
    8: ("br",), 9: ("tl", "br"), 10: ("bt",), 11: ("bl",), 12: ("lr",), 13: ("tr",), 14: ("lt",),
}  # fmt: skip
"""From which to which side a piece of outline runs, by the pixels of the square that are inside (1 upper
left, 2 upper right, 4 lower left, 8 lower right)."""


def _pieces(padded_HW: NDArray[np.bool_], level: float) -> list[tuple[Vertex, Vertex]]:
    """Pieces of outline (from, to), each end as y, x, square by square in reading order."""
    bits = padded_HW.astype(np.int64)
    case_HW = bits[:-1, :-1] + 2 * bits[:-1, 1:] + 4 * bits[1:, :-1] + 8 * bits[1:, 1:]
    found = []
    for y, x in np.argwhere((case_HW > 0) & (case_HW < 15)).tolist():
        for turn in _TURNS[int(case_HW[y, x])]:
            start, stop = (_side(padded_HW, y, x, side, level) for side in turn)
            if start != stop:
                found.append((start, stop))
    return found


def _side(padded_HW: NDArray[np.bool_], y: int, x: int, side: str, level: float) -> Vertex:
    """Where the outline crosses one side (t, b, l, r) of the square at y, x."""
    if side in "tb":
        row = y + (side == "b")
        return float(row), x + (1 - level if padded_HW[row, x] else level)
    column = x + (side == "r")
    return y + (1 - level if padded_HW[y, column] else level), float(column)


def _along(lines: list[Floats], count: int) -> Floats:
    joined_P2 = np.concatenate(lines)
    return joined_P2[np.linspace(0, len(joined_P2) - 1, count).astype(np.int64)].copy()


def _inside(bits_HW: NDArray[np.bool_], count: int, rng: np.random.Generator) -> Floats:
    yx_P2 = np.argwhere(bits_HW).astype(np.float64)
    if len(yx_P2) < count:
        return yx_P2[rng.integers(len(yx_P2), size=count)][:, ::-1].copy()
    middle_2 = yx_P2.mean(axis=0)
    order = np.argsort(np.hypot(*(yx_P2 - middle_2).T), kind="stable")
    run = len(yx_P2) // count
    return yx_P2[order[np.arange(count) * run + run // 2]][:, ::-1].copy()
