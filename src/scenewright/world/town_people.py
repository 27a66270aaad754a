"""People, riders and two-wheelers as flat figures that stand upright and face the camera or its side.

Figures are drawn in metres: `Figure.at(a, h)` is `a` metres right of the middle and `h` metres up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scenewright.world.palette import RGB, darker
from scenewright.world.town_paint import Brush

SKINS: tuple[RGB, ...] = ((238, 196, 164), (204, 150, 112), (140, 92, 64), (92, 60, 44))
HAIRS: tuple[RGB, ...] = ((40, 28, 24), (92, 60, 32), (196, 160, 90), (120, 120, 122))
TROUSERS: tuple[RGB, ...] = ((40, 48, 80), (60, 58, 56), (90, 74, 56), (30, 30, 34))
TYRE: RGB = (26, 26, 28)
METAL: RGB = (140, 142, 148)


@dataclass(frozen=True)
class Figure:
    """Where a figure stands and how it is turned.

    `X`, `Z` metres; `turn` shrinks widths (1 side view, 0.5 half turned) and mirrors them when negative;
    `size` body height in metres.
    """

    brush: Brush
    X: float
    Z: float
    turn: float = 1.0
    size: float = 1.75

    @property
    def px(self) -> float:
        """Canvas pixels per metre at this distance."""
        return self.brush.camera.focal / self.Z

    def at(self, a: float, h: float) -> tuple[float, float]:
        """Canvas point `a` metres aside (turned) and `h` metres up."""
        camera = self.brush.camera
        return camera.x(self.X + a * self.turn, self.Z), camera.y(h, self.Z)

    def poly(self, points: tuple[tuple[float, float], ...], colour: RGB) -> None:
        """Filled polygon through (a, h) points."""
        xy: list[float] = []
        for a, h in points:
            xy += self.at(a, h)
        self.brush.poly(xy, colour)

    def limb(self, points: tuple[tuple[float, float], ...], colour: RGB, width: float) -> None:
        """Polyline through (a, h) points, `width` in metres."""
        xy: list[float] = []
        for a, h in points:
            xy += self.at(a, h)
        self.brush.line(xy, colour, width * self.px)

    def oval(self, a: float, h: float, radius: float, colour: RGB, tall: float = 1.0) -> None:
        """Filled ellipse; not narrowed by the turn."""
        x, y = self.at(a, h)
        self.brush.oval(x, y, radius * self.px, radius * tall * self.px, colour)

    def shadow(self, half: float) -> None:
        """A soft patch on the ground."""
        (x, y), r = self.at(0, 0), half * self.px
        self.brush.shade((x - r, y, x, y - 0.25 * r, x + 1.3 * r, y, x, y + 0.25 * r), 0.6)


@dataclass(frozen=True)
class Outfit:
    """Colours of one person: coat, trousers, skin, hair.

    `name` colour word of the coat; `bag` True with a bag; `skirt` True with a long coat.
    """

    coat: RGB
    trousers: RGB
    skin: RGB
    hair: RGB
    name: str = ""
    bag: bool = False
    skirt: bool = False


def draw_person(figure: Figure, outfit: Outfit, stride: float) -> None:
    """A person on foot; `stride` in metres between the feet."""
    k = figure.size / 1.75
    figure.shadow(0.4)
    half = stride / 2
    for foot, tone in ((-half, 0.8), (half, 1.0)):
        legs = darker(outfit.trousers, tone)
        a, h = foot * k, 0.88 * k
        figure.poly(((-0.12 * k, h), (0.1 * k, h), (a + 0.09 * k, 0.0), (a - 0.1 * k, 0.0)), legs)
        figure.limb(((a - 0.1 * k, 0.04), (a + 0.16 * k, 0.04)), (28, 26, 26), 0.09)
    coat = outfit.coat
    hem = 0.6 if outfit.skirt else 0.82
    figure.limb(((-0.2 * k, 1.38 * k), (-0.3 * k - 0.3 * half, 0.95 * k)), darker(coat, 0.75), 0.13 * k)
    figure.poly(((-0.25 * k, 1.44 * k), (0.25 * k, 1.44 * k), (0.2 * k, hem * k), (-0.2 * k, hem * k)), coat)
    figure.limb(((0.2 * k, 1.38 * k), (0.29 * k + 0.3 * half, 0.95 * k)), darker(coat, 0.85), 0.13 * k)
    if outfit.bag:
        figure.poly(
            ((0.22 * k, 0.95 * k), (0.45 * k, 0.95 * k), (0.45 * k, 0.6 * k), (0.22 * k, 0.6 * k)),
            (120, 70, 36),
        )
    _head(figure, outfit, 0.0, 1.61 * k, k)


def _head(figure: Figure, outfit: Outfit, a: float, h: float, k: float) -> None:
    figure.oval(a, h + 0.04 * k, 0.15 * k, outfit.hair, 1.0)
    figure.oval(a, h - 0.03 * k, 0.125 * k, outfit.skin, 1.1)


def draw_bicycle(figure: Figure, colour: RGB) -> None:
    """A bicycle seen from its side (narrowed by `figure.turn`), front to the right."""
    figure.shadow(0.8 * abs(figure.turn))
    for a in (-0.52, 0.52):
        x, y = figure.at(a, 0.34)
        r = 0.34 * figure.px
        figure.brush.ring(x, y, max(1.5, r * abs(figure.turn)), r, TYRE, max(2, 0.075 * figure.px))
    frame = ((-0.52, 0.34), (-0.22, 0.82), (0.36, 0.84), (0.0, 0.32), (-0.22, 0.82))
    figure.limb(frame, colour, 0.08)
    figure.limb(((-0.52, 0.34), (0.0, 0.32)), colour, 0.07)
    figure.limb(((0.52, 0.34), (0.36, 0.84), (0.32, 1.0), (0.46, 1.02)), colour, 0.07)
    figure.limb(((-0.36, 0.9), (-0.1, 0.9)), TYRE, 0.09)


def draw_motorcycle(figure: Figure, colour: RGB) -> None:
    """A motorcycle seen from its side (narrowed by `figure.turn`), front to the right."""
    figure.shadow(0.95 * abs(figure.turn))
    for a in (-0.68, 0.7):
        x, y = figure.at(a, 0.33)
        r = 0.33 * figure.px
        wide = max(1.5, r * abs(figure.turn))
        figure.brush.oval(x, y, wide, r, TYRE)
        figure.brush.oval(x, y, wide * 0.45, r * 0.45, METAL)
    figure.poly(((-0.5, 0.3), (0.35, 0.28), (0.45, 0.62), (-0.4, 0.62)), (58, 58, 62))
    figure.poly(((-0.95, 0.82), (-0.5, 0.6), (0.1, 0.66), (0.45, 0.96), (0.05, 1.0), (-0.2, 0.8)), colour)
    figure.poly(((-0.85, 0.84), (-0.15, 0.8), (-0.2, 0.9), (-0.8, 0.94)), TYRE)
    figure.limb(((0.7, 0.33), (0.42, 1.0), (0.24, 1.12)), METAL, 0.08)
    figure.oval(0.58, 0.88, 0.12, (240, 236, 200))
    figure.limb(((-0.9, 0.36), (-0.1, 0.3)), METAL, 0.09)


def draw_rider(figure: Figure, outfit: Outfit, motor: bool) -> None:
    """The person on a two-wheeler drawn at the same place."""
    seat, hip = (0.92, -0.3) if motor else (0.95, -0.24)
    knee, foot = ((0.2, 0.72), (0.0, 0.34)) if motor else ((0.14, 0.68), (0.02, 0.26))
    figure.limb(((hip, seat), knee, foot), outfit.trousers, 0.17)
    neck = (0.0, 1.45)
    figure.poly(
        (
            (hip - 0.16, seat),
            (hip + 0.14, seat - 0.02),
            (neck[0] + 0.16, neck[1] - 0.06),
            (neck[0] - 0.16, neck[1] + 0.05),
        ),
        outfit.coat,
    )
    hand = (0.28, 1.1) if motor else (0.4, 1.02)
    figure.limb(((0.04, 1.36), (0.16, 1.1), hand), darker(outfit.coat, 0.8), 0.12)
    if motor:
        figure.oval(0.08, 1.6, 0.17, outfit.hair)
        figure.oval(0.16, 1.59, 0.09, (40, 44, 52))
    else:
        _head(figure, outfit, 0.08, 1.6, 1.0)


def end_view(figure: Figure, colour: RGB, motor: bool) -> None:
    """A two-wheeler seen from behind: one upright wheel, a bar, a lamp."""
    figure.shadow(0.35)
    wide = 0.11 if motor else 0.05
    figure.poly(((-wide, 0), (wide, 0), (wide, 0.66), (-wide, 0.66)), TYRE)
    if motor:
        figure.poly(((-0.2, 0.5), (0.2, 0.5), (0.16, 0.95), (-0.16, 0.95)), colour)
        figure.poly(((-0.09, 0.7), (0.09, 0.7), (0.09, 0.82), (-0.09, 0.82)), (206, 24, 26))
    else:
        figure.poly(((-0.1, 0.6), (0.1, 0.6), (0.06, 0.95), (-0.06, 0.95)), colour)
    bar = 0.42 if motor else 0.32
    figure.limb(((-bar, 1.05), (bar, 1.05)), darker(METAL, 0.8), 0.07)


def rider_end_view(figure: Figure, outfit: Outfit, motor: bool) -> None:
    """The rider of a two-wheeler seen from behind."""
    for side in (-1, 1):
        figure.limb(((side * 0.12, 0.95), (side * 0.22, 0.62), (side * 0.14, 0.28)), outfit.trousers, 0.14)
        figure.limb(((side * 0.22, 1.4), (side * 0.36, 1.05)), darker(outfit.coat, 0.8), 0.12)
    figure.poly(((-0.25, 1.46), (0.25, 1.46), (0.18, 0.86), (-0.18, 0.86)), outfit.coat)
    radius = 0.17 if motor else 0.15
    figure.oval(0, 1.63, radius, outfit.hair)
    if not motor:
        figure.oval(0, 1.56, math.sqrt(radius) * 0.25, outfit.skin)
