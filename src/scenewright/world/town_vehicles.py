"""Cars, trucks, buses and trams as extruded side profiles, seen from any of four headings.

A `Shape` is a side profile in metres (u from the tail forward, h up) swept across a width that narrows
above `shoulder`. Panels are coloured by kind: body, glass, dark, trim.
"""

from __future__ import annotations

from dataclasses import dataclass

from scenewright.world.palette import RGB, darker, mix
from scenewright.world.town_paint import Brush

GLASS: RGB = (44, 58, 74)
GLASS_LIT: RGB = (250, 226, 160)
DARK: RGB = (30, 30, 34)
TYRE: RGB = (22, 22, 24)
HUB: RGB = (150, 152, 156)
TAIL: RGB = (150, 10, 22)
TAIL_ON: RGB = (255, 44, 36)
HEAD: RGB = (236, 236, 222)
HEAD_ON: RGB = (255, 250, 214)
PLATE: RGB = (238, 238, 230)

HEADINGS: dict[str, tuple[int, int]] = {"away": (0, 1), "towards": (0, -1), "right": (1, 0), "left": (-1, 0)}


@dataclass(frozen=True)
class Shape:
    """Side profile `outline` ((u, h) from tail-bottom over the roof to nose-bottom), `kinds` of its panels.

    `width`, `length` in metres; above `shoulder` the half width shrinks by `tuck` per metre; `windows` are
    side windows as (u0, u1, h0, h1, slant_rear, slant_front); `wheels` (u, radius).
    """

    name: str
    length: float
    width: float
    outline: tuple[tuple[float, float], ...]
    kinds: str
    windows: tuple[tuple[float, float, float, float, float, float], ...]
    wheels: tuple[tuple[float, float], ...]
    shoulder: float = 0.95
    tuck: float = 0.3
    stripe: tuple[float, float] | None = None
    cargo: bool = False

    def half_width(self, h: float) -> float:
        """Half width in metres at height `h`."""
        return self.width / 2 - max(0.0, h - self.shoulder) * self.tuck


_BUS_WINDOWS = tuple((0.4 + 1.28 * k, 1.52 + 1.28 * k, 1.35, 2.45, 0.0, 0.0) for k in range(7))
_TRAM_WINDOWS = tuple((1.2 + 1.64 * k, 2.6 + 1.64 * k, 1.35, 2.5, 0.0, 0.0) for k in (0, 1, 3, 4, 5, 7, 8))

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(
            "sedan", 4.5, 1.84,
            ((0, 0.3), (0.02, 0.86), (0.7, 0.98), (1.3, 1.42), (2.7, 1.42), (3.35, 0.98), (4.4, 0.8),
             (4.5, 0.3)),
            "bbgbgbb",
            ((0.85, 1.95, 0.97, 1.33, 0.5, 0.0), (2.05, 3.2, 0.97, 1.33, 0.0, 0.5)),
            ((0.85, 0.33), (3.6, 0.33)),
        ),
        Shape(
            "hatchback", 3.9, 1.76,
            ((0, 0.3), (0.02, 0.9), (0.42, 1.46), (2.3, 1.5), (3.0, 1.0), (3.8, 0.84), (3.9, 0.3)),
            "bgbgbb",
            ((0.35, 1.45, 0.98, 1.38, 0.25, 0.0), (1.55, 2.8, 0.98, 1.38, 0.0, 0.55)),
            ((0.7, 0.33), (3.1, 0.33)),
        ),
        Shape(
            "suv", 4.6, 1.95,
            ((0, 0.36), (0, 1.05), (0.3, 1.74), (2.9, 1.78), (3.5, 1.16), (4.5, 1.02), (4.6, 0.36)),
            "bgbgbb",
            ((0.3, 1.7, 1.12, 1.64, 0.15, 0.0), (1.8, 3.3, 1.12, 1.64, 0.0, 0.5)),
            ((0.85, 0.38), (3.7, 0.38)), shoulder=1.1,
        ),
        Shape(
            "van", 5.0, 2.0,
            ((0, 0.34), (0, 1.2), (0.08, 2.05), (3.7, 2.1), (4.45, 1.25), (4.95, 0.95), (5.0, 0.34)),
            "bgbgbb",
            ((0.4, 1.9, 1.25, 1.85, 0.0, 0.0), (2.0, 3.0, 1.25, 1.85, 0.0, 0.0),
             (3.1, 4.2, 1.25, 1.85, 0.0, 0.6)),
            ((0.95, 0.36), (4.1, 0.36)), shoulder=1.2, tuck=0.12,
        ),
        Shape(
            "bus", 11.0, 2.5,
            ((0, 0.35), (0, 1.3), (0.05, 2.6), (0.1, 3.05), (10.8, 3.05), (10.95, 2.65), (11.0, 1.1),
             (11.0, 0.35)),
            "bgbbbgb", (*_BUS_WINDOWS, (9.5, 10.75, 0.5, 2.45, 0.0, 0.0)),
            ((2.6, 0.5), (8.6, 0.5)), shoulder=9.0, stripe=(0.75, 1.1),
        ),
        Shape(
            "train", 18.0, 2.5,
            ((0, 0.25), (0, 1.15), (0.45, 2.75), (0.9, 3.35), (17.1, 3.35), (17.55, 2.75), (18.0, 1.15),
             (18.0, 0.25)),
            "bgbbbgb",
            (*_TRAM_WINDOWS, (4.5, 5.8, 0.45, 2.55, 0.0, 0.0), (11.06, 12.3, 0.45, 2.55, 0.0, 0.0)),
            (), shoulder=2.0, tuck=0.18, stripe=(0.3, 0.95),
        ),
        Shape(
            "truck cab", 2.1, 2.3,
            ((0, 0.5), (0, 2.6), (1.55, 2.6), (1.95, 1.55), (2.1, 1.45), (2.1, 0.4)), "bbgbb",
            ((0.75, 1.75, 1.5, 2.25, 0.0, 0.3),), ((1.35, 0.5),), shoulder=9.0,
        ),
        Shape(
            "truck box", 5.2, 2.5, ((0, 0.95), (0, 3.5), (5.2, 3.5), (5.2, 0.95)), "bbb", (),
            ((0.9, 0.5), (1.9, 0.5)), shoulder=9.0, cargo=True,
        ),
    )
}  # fmt: skip

CAR_SHAPES = ("sedan", "hatchback", "suv", "van")


@dataclass(frozen=True)
class Pose:
    """Centre on the ground (X, Z) in metres, heading (a key of `HEADINGS`); parked: no lights on."""

    X: float
    Z: float
    heading: str
    parked: bool = False


class _Body:
    """One shape at one pose: turns (u, v, h) into canvas points."""

    def __init__(self, brush: Brush, shape: Shape, pose: Pose) -> None:
        self.brush, self.shape, self.pose = brush, shape, pose
        self.ax, self.az = HEADINGS[pose.heading]
        self.px = brush.camera.focal / max(1.0, pose.Z)

    def at(self, u: float, v: float, h: float) -> tuple[float, float]:
        """Canvas point of a place on the body: `u` forward from the tail, `v` to its right, `h` up."""
        camera, along = self.brush.camera, u - self.shape.length / 2
        Z = max(0.8, self.pose.Z + along * self.az - v * self.ax)
        scale = camera.focal / Z
        return (
            camera.cx + scale * (self.pose.X + along * self.ax + v * self.az),
            camera.horizon + scale * (camera.height - h),
        )

    def face(self, corners: tuple[tuple[float, float, float], ...]) -> list[float]:
        """Flat canvas coordinates of several such places."""
        xy: list[float] = []
        for u, v, h in corners:
            xy += self.at(u, v, h)
        return xy

    def near_side(self) -> int:
        """+1 if the right flank is seen, -1 if the left one is."""
        if self.ax:
            return self.ax
        return 1 if self.pose.X * self.az < 0 else -1


def draw_vehicle(brush: Brush, kind: str, variant: str, pose: Pose, colour: RGB, trim: RGB) -> None:
    """Draw a car, bus, truck or train; the caller has opened its region.

    Args: kind class name; variant a key of `SHAPES` for cars (ignored otherwise); colour of the body,
    trim of stripe, cargo or cab.
    """
    if kind != "truck":
        name = variant if kind == "car" else kind
        _draw_body(_Body(brush, SHAPES[name], pose), colour, trim, kind)
        return
    ax, az = HEADINGS[pose.heading]
    cab = Pose(pose.X + 2.75 * ax, pose.Z + 2.75 * az, pose.heading)
    box = Pose(pose.X - 0.95 * ax, pose.Z - 0.95 * az, pose.heading)
    parts = [(cab, "truck cab", colour), (box, "truck box", trim)]
    for part, name, paint in parts if az >= 0 else parts[::-1]:
        _draw_body(_Body(brush, SHAPES[name], part), paint, darker(paint, 0.8), kind)


def _draw_body(body: _Body, colour: RGB, trim: RGB, kind: str) -> None:
    _ground_shadow(body)
    if body.ax == 0:
        _tyres_from_behind(body)
    _panels(body, colour)
    _flank(body, colour, trim)
    if body.ax == 0:
        _end(body, colour, trim, kind)
    else:
        _edge_lights(body)
    if kind == "train":
        _pantograph(body)


def _ground_shadow(body: _Body) -> None:
    shape = body.shape
    w = shape.width / 2 + 0.12
    body.brush.shade(
        body.face(
            (
                (-0.15, -w, 0),
                (-0.15, w + 0.3, 0),
                (shape.length + 0.1, w + 0.3, 0),
                (shape.length + 0.1, -w, 0),
            )
        ),
        0.75,
    )


def _tyres_from_behind(body: _Body) -> None:
    shape = body.shape
    if not shape.wheels:
        return
    u = 0.5 if body.az > 0 else shape.length - 0.5
    w, radius = shape.width / 2, shape.wheels[0][1]
    for v0, v1 in ((-w + 0.05, -w + 0.32), (w - 0.32, w - 0.05)):
        body.brush.poly(body.face(((u, v0, 0), (u, v1, 0), (u, v1, 2 * radius), (u, v0, 2 * radius))), TYRE)


def _panels(body: _Body, colour: RGB) -> None:
    """Every panel of the swept profile that faces the camera, far ones first."""
    shape, brush = body.shape, body.brush
    order = range(len(shape.kinds))
    snow = brush.look.snow
    for index in reversed(order) if body.az > 0 else order:
        (u0, h0), (u1, h1) = shape.outline[index], shape.outline[index + 1]
        w0, w1 = shape.half_width(h0), shape.half_width(h1)
        xy = body.face(((u0, -w0, h0), (u0, w0, h0), (u1, w1, h1), (u1, -w1, h1)))
        area = sum(xy[i] * xy[(i + 3) % 8] - xy[(i + 2) % 8] * xy[i + 1] for i in (0, 2, 4, 6))
        if area >= 0:
            continue
        flat = abs(h1 - h0) < 0.35 * abs(u1 - u0)
        if shape.kinds[index] == "g":
            brush.poly(xy, colour)
            brush.poly(_inset(xy, 0.1), GLASS)
        elif flat:
            top = mix(colour, (255, 255, 255), 0.16)
            brush.poly(xy, mix(top, (246, 248, 252), snow))
        else:
            brush.poly(xy, colour)


def _inset(xy: list[float], share: float) -> list[float]:
    """The quad `xy` shrunk towards its centre."""
    cx, cy = sum(xy[0::2]) / 4, sum(xy[1::2]) / 4
    keep = 1 - share
    return [v * keep + (cx if i % 2 == 0 else cy) * share for i, v in enumerate(xy)]


def _flank(body: _Body, colour: RGB, trim: RGB) -> None:
    shape, brush, side = body.shape, body.brush, body.near_side()
    xy = body.face(tuple((u, side * shape.half_width(h), h) for u, h in shape.outline))
    wide = max(xy[0::2]) - min(xy[0::2])
    if wide < 2:
        return
    brush.poly(xy, darker(colour, 0.86 if body.ax else 0.74))
    if wide < 5:
        return
    if shape.stripe:
        _side_quad(body, side, (0.1, shape.length - 0.1, *shape.stripe, 0, 0), trim)
    lit = brush.look.lamps and brush.look.name == "night" and shape.length > 6
    for window in shape.windows:
        _side_quad(body, side, window, GLASS_LIT if lit else GLASS, lit)
    if shape.cargo:
        _side_quad(body, side, (0.3, shape.length - 0.3, 1.9, 2.6, 0, 0), trim)
        _side_quad(body, side, (0, shape.length, 0.55, 0.95, 0, 0), DARK)
    if not body.ax:
        wheels = shape.wheels if body.px > 8 else ()
    else:
        wheels = shape.wheels
    for u, radius in wheels:
        _wheel(body, side, u, radius)


def _side_quad(
    body: _Body,
    side: int,
    window: tuple[float, float, float, float, float, float],
    colour: RGB,
    lit: bool = False,
) -> None:
    u0, u1, h0, h1, slant0, slant1 = window
    w0, w1 = side * body.shape.half_width(h0), side * body.shape.half_width(h1)
    body.brush.poly(
        body.face(((u0, w0, h0), (u1, w0, h0), (u1 - slant1, w1, h1), (u0 + slant0, w1, h1))), colour, lit
    )


_WHEEL = (
    (1.0, 0.0),
    (0.71, 0.71),
    (0.0, 1.0),
    (-0.71, 0.71),
    (-1.0, 0.0),
    (-0.71, -0.71),
    (0.0, -1.0),
    (0.71, -0.71),
)


def _wheel(body: _Body, side: int, u: float, radius: float) -> None:
    v = side * body.shape.width / 2
    for scale, colour in ((1.0, TYRE), (0.5, HUB)):
        r = radius * scale
        if r * body.px < 1.5:
            continue
        body.brush.poly(body.face(tuple((u + r * a, v, radius + r * b) for a, b in _WHEEL)), colour)


def _quad_v(
    body: _Body, u: float, v0: float, v1: float, h0: float, h1: float, colour: RGB, lit: bool = False
) -> None:
    body.brush.poly(body.face(((u, v0, h0), (u, v1, h0), (u, v1, h1), (u, v0, h1))), colour, lit)


def _end(body: _Body, colour: RGB, trim: RGB, kind: str) -> None:
    """Lights, plate and grille of the end that faces the camera."""
    shape, brush = body.shape, body.brush
    rear = body.az > 0
    u = -0.02 if rear else shape.length + 0.02
    w = shape.width / 2
    on = brush.look.lamps and not body.pose.parked
    if kind == "truck" and shape.cargo:
        if rear:
            _quad_v(body, u, -0.03, 0.03, 1.0, 3.4, darker(colour, 0.6))
            _quad_v(body, u, -w, w, 0.6, 0.95, DARK)
            _lamps(body, u, (0.62, 0.88), 0.3, TAIL_ON if on else TAIL, on)
        return
    if kind == "truck" and rear:
        return
    if shape.stripe:
        _quad_v(body, u, -w, w, shape.stripe[0], shape.stripe[1], trim)
    big = shape.length > 6
    if big or kind == "truck":
        _quad_v(body, u, -w * 0.55, w * 0.55, 2.68, 2.98, (250, 190, 40) if big else DARK, on and big)
    low, high = (0.62, 0.82) if not big and kind != "truck" else (0.6, 0.9)
    if kind == "train":
        low, high = 0.72, 1.02
    lift = 0.1 if shape.name in ("suv", "van") else 0.0
    if rear:
        _lamps(body, u, (low + lift, high + lift), 0.36, TAIL_ON if on else TAIL, on)
        _quad_v(body, u, -0.26, 0.26, 0.5 + lift, 0.64 + lift, PLATE)
    else:
        _quad_v(body, u, -w * 0.5, w * 0.5, 0.42 + lift, 0.68 + lift, DARK)
        _lamps(body, u, (low + lift, high + lift), 0.38, HEAD_ON if on else HEAD, on)
    _quad_v(body, u, -w + 0.05, w - 0.05, 0.3, 0.38 + lift, DARK)


def _lamps(body: _Body, u: float, h: tuple[float, float], width: float, colour: RGB, on: bool) -> None:
    w = body.shape.width / 2
    radius = 0.75 * body.px if colour == HEAD_ON else 0.45 * body.px
    for v0, v1 in ((-w + 0.06, -w + 0.06 + width), (w - 0.06 - width, w - 0.06)):
        _quad_v(body, u, v0, v1, h[0], h[1], colour, on)
        if on:
            x, y = body.at(u, (v0 + v1) / 2, (h[0] + h[1]) / 2)
            body.brush.glow(x, y, radius, colour)


def _edge_lights(body: _Body) -> None:
    """Side view: a small lamp at either end."""
    side, length, on = body.near_side(), body.shape.length, body.brush.look.lamps and not body.pose.parked
    h = 0.75 if length < 6 else 0.85
    if body.shape.cargo:
        return
    _side_quad(
        body, side, (length - 0.28, length - 0.02, h - 0.12, h + 0.1, 0, 0), HEAD_ON if on else HEAD, on
    )
    if on:
        x, y = body.at(length, 0, h)
        body.brush.glow(x, y, 0.9 * body.px, HEAD_ON)
    if body.shape.name == "truck cab":
        return
    _side_quad(body, side, (0.02, 0.24, h - 0.08, h + 0.12, 0, 0), TAIL_ON if on else TAIL, on)


def _pantograph(body: _Body) -> None:
    u, top = body.shape.length * 0.5, 4.35
    for du, v in ((-0.8, -0.5), (0.8, 0.5)):
        a, b = body.at(u + du, v, 3.35), body.at(u, 0, top)
        body.brush.line((*a, *b), DARK, 0.07 * body.px)
    a, b = body.at(u, -0.8, top), body.at(u, 0.8, top)
    body.brush.line((*a, *b), DARK, 0.08 * body.px)
