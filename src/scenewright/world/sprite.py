"""One toy drawn in inks: shapes in design units become an index picture at twice the size.

A sprite knows no colours. Each pixel holds an ink number (0 = nothing, `BODY` = the main colour, ...), which
`surface.paint` turns into colours, texture and shading. Shapes are given in the design units of their class
(about 100 across, x right, y down, facing right) and pass one affine map: mirror, stretch, turn, scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = Sequence[tuple[float, float]]

MARGIN: Final = 8
"""Empty subpixels around a sprite: room for outlines and fluff."""


class Ink(IntEnum):
    """What a sprite pixel is made of. The first four follow the main colour and its texture."""

    NONE = 0
    BODY = 1
    SHADE = 2
    LIGHT = 3
    DEEP = 4
    LINE = 5
    WHITE = 6
    BLACK = 7
    GREY = 8
    DARK = 9
    GLASS = 10
    SKIN = 11
    BROWN = 12
    LEAF = 13
    GOLD = 14
    ORANGE = 15
    ROSE = 16
    RED = 17
    TAN = 18
    SCREEN = 19


class Sprite:
    """Index picture of one toy.

    design_wh   width and height of the design, in design units.
    size        length of the longer design side in subpixels.
    flip        mirror so that the toy faces left.
    angle       turn in radians, clockwise on the screen.
    stretch     width factor; the height is divided by it.
    outline     width of outlines in subpixels; half of it lies outside the shape.
    """

    def __init__(
        self,
        design_wh: tuple[float, float],
        size: float,
        *,
        flip: bool = False,
        angle: float = 0.0,
        stretch: float = 1.0,
        outline: int = 4,
    ) -> None:
        wide, high = design_wh
        scale = size / max(wide, high)
        sx, sy = scale * math.sqrt(stretch), scale / math.sqrt(stretch)
        cos, sin = math.cos(angle), math.sin(angle)
        half_w = (abs(cos) * wide * sx + abs(sin) * high * sy) / 2 + MARGIN
        half_h = (abs(sin) * wide * sx + abs(cos) * high * sy) / 2 + MARGIN
        self.flip = flip
        self.outline = outline
        self.unit = math.sqrt(sx * sy)
        mirror = -1.0 if flip else 1.0
        a, b, c, d = mirror * cos * sx, -sin * sy, mirror * sin * sx, cos * sy
        self._affine = (
            a,
            b,
            half_w - a * wide / 2 - b * high / 2,
            c,
            d,
            half_h - c * wide / 2 - d * high / 2,
        )
        self.image = Image.new("L", (math.ceil(2 * half_w), math.ceil(2 * half_h)), 0)
        self.parts: list[tuple[str, tuple[float, float, float, float]]] = []
        self.joints: dict[str, tuple[float, float]] = {}
        self._draw = ImageDraw.Draw(self.image)
        self._open: list[list[tuple[float, float]]] = []

    def poly(self, points: Points, ink: int = Ink.BODY, line: bool = True) -> None:
        """Polygon through `points`."""
        self._fill(self._map(points), ink, line)

    def blob(self, points: Points, ink: int = Ink.BODY, line: bool = True) -> None:
        """Smooth closed curve (Catmull-Rom) through `points`."""
        smooth = _spline(len(points)) @ np.asarray(points, dtype=np.float64)
        self._fill(self._map(smooth.tolist()), ink, line)

    def oval(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float | None = None,
        ink: int = Ink.BODY,
        line: bool = True,
    ) -> None:
        """Ellipse around (cx, cy) with half axes `rx` and `ry` (a circle when `ry` is None)."""
        ring = _CIRCLE if rx * self.unit > 8 else _SMALL_CIRCLE
        high = rx if ry is None else ry
        self._fill(self._map([(cx + rx * x, cy + high * y) for x, y in ring]), ink, line)

    def rect(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        ink: int = Ink.BODY,
        r: float = 0.0,
        line: bool = True,
    ) -> None:
        """Rectangle with corners rounded by `r`."""
        if r <= 0:
            self._fill(self._map([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), ink, line)
            return
        ring = []
        for cx, cy, quarter in (
            (x1 - r, y0 + r, 0),
            (x1 - r, y1 - r, 1),
            (x0 + r, y1 - r, 2),
            (x0 + r, y0 + r, 3),
        ):
            ring += [(cx + r * x, cy + r * y) for x, y in _CORNERS[quarter]]
        self._fill(self._map(ring), ink, line)

    def stroke(self, points: Points, width: float, ink: int = Ink.BODY, line: bool = True) -> None:
        """Polyline `width` units thick with round ends."""
        xy = self._map(points)
        wide = max(2, round(width * self.unit))
        for spots in self._open:
            spots += [(x + side * wide / 2, y + side * wide / 2) for x, y in xy for side in (-1, 1)]
        if line and self.outline:
            self._limb(xy, wide + self.outline, Ink.LINE)
        self._limb(xy, wide, ink)

    def curve(self, points: Points, width: float, ink: int = Ink.BODY, line: bool = True) -> None:
        """Smooth open curve through `points`, `width` units thick."""
        smooth = _open_spline(len(points)) @ np.asarray(points, dtype=np.float64)
        self.stroke(smooth.tolist(), width, ink, line)

    def thin(self, points: Points, ink: int = Ink.LINE, width: float = 1.6) -> None:
        """A detail line without outline, never thinner than two subpixels."""
        self._draw.line(self._map(points), fill=int(ink), width=max(2, round(width * self.unit)))

    def eye(self, cx: float, cy: float, r: float, look: float = 0.25) -> None:
        """White eye with a dark pupil that looks forward by `look` radii."""
        self.oval(cx, cy, r, ink=Ink.WHITE, line=False)
        self.oval(cx + look * r, cy, r * 0.62, ink=Ink.BLACK, line=False)

    def dot(self, cx: float, cy: float, r: float, ink: int = Ink.BLACK) -> None:
        """A small disc without outline."""
        self.oval(cx, cy, r, ink=ink, line=False)

    def joint(self, name: str, x: float, y: float) -> None:
        """Record a body joint; left and right swap when the figure is mirrored."""
        if self.flip:
            name = name.replace("left", "*").replace("right", "left").replace("*", "right")
        self.joints[name] = self._map([(x, y)])[0]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """All shapes drawn inside belong to a part called `name`."""
        self._open.append([])
        yield
        xy = self._open.pop()
        if xy:
            xs, ys = [p[0] for p in xy], [p[1] for p in xy]
            self.parts.append((name, (min(xs), min(ys), max(xs), max(ys))))

    def inks(self) -> NDArray[np.uint8]:
        """The index picture, HW uint8 (subpixels)."""
        return np.asarray(self.image)

    def _map(self, points: Points) -> list[tuple[float, float]]:
        a, b, tx, c, d, ty = self._affine
        xy = [(a * x + b * y + tx, c * x + d * y + ty) for x, y in points]
        for spots in self._open:
            spots += xy
        return xy

    def _fill(self, xy: list[tuple[float, float]], ink: int, line: bool) -> None:
        if line and self.outline:
            self._draw.line([*xy, xy[0], xy[1]], fill=int(Ink.LINE), width=self.outline)
        self._draw.polygon(xy, fill=int(ink))

    def _limb(self, xy: list[tuple[float, float]], wide: int, ink: int) -> None:
        self._draw.line(xy, fill=int(ink), width=wide)
        r = wide / 2 - 0.5
        if r >= 1:
            for x, y in xy:
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=int(ink))


def _ring(count: int) -> list[tuple[float, float]]:
    return [(math.cos(2 * math.pi * k / count), math.sin(2 * math.pi * k / count)) for k in range(count)]


_CIRCLE: Final = _ring(28)
_SMALL_CIRCLE: Final = _ring(12)
_CORNERS: Final = [
    [(math.cos(math.pi / 2 * (q - 1 + k / 4)), math.sin(math.pi / 2 * (q - 1 + k / 4))) for k in range(5)]
    for q in range(4)
]


@lru_cache(maxsize=64)
def _spline(count: int, steps: int = 5) -> NDArray[np.float64]:
    """Matrix from `count` knots to `count * steps` points of a closed uniform Catmull-Rom curve."""
    rows = np.zeros((count * steps, count))
    for k in range(count):
        for j in range(steps):
            for offset, weight in zip((-1, 0, 1, 2), _weights(j / steps), strict=True):
                rows[k * steps + j, (k + offset) % count] += weight
    return rows


@lru_cache(maxsize=64)
def _open_spline(count: int, steps: int = 5) -> NDArray[np.float64]:
    """The same for an open curve: `(count - 1) * steps + 1` points, ends repeated."""
    rows = np.zeros(((count - 1) * steps + 1, count))
    for k in range(count - 1):
        for j in range(steps):
            for offset, weight in zip((-1, 0, 1, 2), _weights(j / steps), strict=True):
                rows[k * steps + j, min(max(k + offset, 0), count - 1)] += weight
    rows[-1, -1] = 1.0
    return rows


def _weights(t: float) -> tuple[float, float, float, float]:
    return (
        (-t + 2 * t * t - t**3) / 2,
        (2 - 5 * t * t + 3 * t**3) / 2,
        (t + 4 * t * t - 3 * t**3) / 2,
        (t**3 - t * t) / 2,
    )
