"""A pinhole camera over a street and a brush that writes colour and object number in one stroke.

Axes in metres: X to the right, h up from the ground, Z forward from the camera. Screen coordinates are
those of the enlarged canvas (x right, y down). The canvas is an RGBA picture whose fourth channel holds a
*region number*, so colour and ground truth cannot disagree: whatever stroke is seen is also what is labelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from scenewright.world.palette import RGB
from scenewright.world.town_classes import TRAIN_ID
from scenewright.world.town_looks import Look

GROUND, FLAT, LEFT, RIGHT = 0, 1, 2, 3


@dataclass(frozen=True)
class Camera:
    """`focal` in canvas pixels, `cx`, `horizon` in canvas pixels, `height` of the eye in metres."""

    focal: float
    cx: float
    horizon: float
    height: float

    def x(self, X: float, Z: float) -> float:
        """Canvas column of lateral position `X` at distance `Z`."""
        return self.cx + self.focal * X / Z

    def y(self, h: float, Z: float) -> float:
        """Canvas row of height `h` at distance `Z`."""
        return self.horizon + self.focal * (self.height - h) / Z


@dataclass(frozen=True)
class Region:
    """What one region number means: training id, distance, and the drawn thing (-1: stuff).

    `depth` in metres; for fronts along the street (`kind` LEFT or RIGHT) it is their lateral position, and
    for GROUND it has no meaning: there the distance follows from the place in the picture.
    """

    label: int
    depth: float
    kind: int = FLAT
    thing: int = -1


class Brush:
    """Draws filled shapes for one picture. `start` opens a region; later strokes belong to it.

    Args: camera; look (its `tone` colours every stroke); size_wh final pixels; scale canvas pixels per pixel.
    """

    def __init__(self, camera: Camera, look: Look, size_wh: tuple[int, int], scale: int) -> None:
        self.camera = camera
        self.look = look
        self.scale = scale
        canvas_wh = (size_wh[0] * scale, size_wh[1] * scale)
        self.picture = Image.new("RGBA", canvas_wh, (0, 0, 0, 0))
        self.shadow = Image.new("L", canvas_wh, 255)
        self._pen = ImageDraw.Draw(self.picture)
        self._shade = ImageDraw.Draw(self.shadow)
        self.regions: list[Region] = [Region(TRAIN_ID["sky"], 1e4)]
        self.glows: list[tuple[float, float, float, RGB, int]] = []
        self._stuff: dict[tuple[int, int], int] = {}
        self._number = 0
        self._tones: dict[RGB, RGB] = {}

    def start(self, name: str, depth: float, kind: int = FLAT, thing: int = -1) -> None:
        """Open a region of class `name`; ground and side stuff of one class share a number."""
        label = TRAIN_ID[name]
        step = round(depth / 4) if kind == FLAT else -kind - 1
        key = (label, step)
        if thing < 0 and key in self._stuff:
            self._number = self._stuff[key]
            return
        if len(self.regions) >= 256:
            self._number = max(i for i, region in enumerate(self.regions) if region.label == label)
            return
        self._number = len(self.regions)
        self.regions.append(Region(label, depth, kind, thing))
        if thing < 0:
            self._stuff[key] = self._number

    def _ink(self, colour: RGB, lit: bool) -> tuple[int, int, int, int]:
        if lit:
            return (*colour, self._number)
        tone = self._tones.get(colour)
        if tone is None:
            tone = self._tones[colour] = self.look.tone(colour)
        return (tone[0], tone[1], tone[2], self._number)

    def poly(self, xy: Sequence[float], colour: RGB, lit: bool = False) -> None:
        """Filled polygon, `xy` = x0, y0, x1, y1, … in canvas pixels. `lit` colours are light sources."""
        self._pen.polygon(xy, self._ink(colour, lit))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, lit: bool = False) -> None:
        """Filled upright rectangle; corners in any order."""
        self._pen.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), self._ink(colour, lit))

    def oval(self, x: float, y: float, rx: float, ry: float, colour: RGB, lit: bool = False) -> None:
        """Filled ellipse around (x, y)."""
        self._pen.ellipse((x - rx, y - ry, x + rx, y + ry), self._ink(colour, lit))

    def ring(self, x: float, y: float, rx: float, ry: float, colour: RGB, width: float) -> None:
        """Ellipse outline around (x, y)."""
        box = (x - rx, y - ry, x + rx, y + ry)
        self._pen.ellipse(box, None, self._ink(colour, False), max(1, round(width)))

    def line(self, xy: Sequence[float], colour: RGB, width: float, lit: bool = False) -> None:
        """Polyline of `width` canvas pixels (at least 2, so that it survives the reduction)."""
        self._pen.line(xy, self._ink(colour, lit), max(2, round(width)))

    def ground(self, X0: float, X1: float, Z0: float, Z1: float, colour: RGB) -> None:
        """Rectangle on the ground between two lateral positions and two distances, in exactly this colour."""
        camera = self.camera
        near, far = camera.y(0, Z0), camera.y(0, Z1)
        self.poly(
            (camera.x(X0, Z0), near, camera.x(X1, Z0), near, camera.x(X1, Z1), far, camera.x(X0, Z1), far),
            colour,
            lit=True,
        )

    def side(
        self, X: float, h0: float, h1: float, Z0: float, Z1: float, colour: RGB, lit: bool = False
    ) -> None:
        """Upright rectangle in the plane at lateral position `X`."""
        camera = self.camera
        x0, x1 = camera.x(X, Z0), camera.x(X, Z1)
        self.poly(
            (x0, camera.y(h0, Z0), x0, camera.y(h1, Z0), x1, camera.y(h1, Z1), x1, camera.y(h0, Z1)),
            colour,
            lit,
        )

    def face(self, corners: Sequence[tuple[float, float, float]], colour: RGB, lit: bool = False) -> None:
        """Filled polygon through street points (X, h, Z)."""
        camera = self.camera
        xy: list[float] = []
        for X, h, Z in corners:
            xy += (camera.x(X, Z), camera.y(h, Z))
        self.poly(xy, colour, lit)

    def shade(self, xy: Sequence[float], strength: float = 0.5) -> None:
        """Shadow on the ground only: darkens by `strength` (0..1) wherever ground is seen."""
        self._shade.polygon(xy, round(255 * (1 - strength)))

    def glow(self, x: float, y: float, radius: float, colour: RGB) -> None:
        """A light whose halo is added after drawing (canvas pixels)."""
        self.glows.append((x, y, radius, colour, self._number))

    def numbers(self) -> np.ndarray:
        """Region number of every final pixel [H, W] uint8: the canvas sample nearest to its centre."""
        alpha = np.asarray(self.picture.getchannel("A"))
        half = self.scale // 2
        return np.ascontiguousarray(alpha[half :: self.scale, half :: self.scale])

    def colours(self) -> np.ndarray:
        """Mean colour of every final pixel [H, W, 3] float32 in 0..255."""
        red, green, blue, _ = self.picture.split()
        small = Image.merge("RGB", (red, green, blue)).reduce(self.scale)
        return np.asarray(small, dtype=np.float32)

    def shadows(self) -> np.ndarray:
        """Mean light left on the ground [H, W] float32 in 0..1."""
        return np.asarray(self.shadow.reduce(self.scale), dtype=np.float32) / 255.0
