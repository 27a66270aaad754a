"""A canvas drawn at twice the size: smooth edges in the picture, exact label maps beside it.

Every fill writes up to three layers at once: the picture, the instance map (uint8 number) and the semantic
map (uint8 class id). Coordinates are floats in *final* pixels, x to the right and y down, (0, 0) the
top-left corner of the top-left pixel. `picture()` averages 2x2 subpixels, `instances()` and `semantics()`
give each pixel the label that most of its subpixels have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scenewright.world.palette import RGB

SCALE: Final = 2
"""Subpixels per pixel and direction."""

Points = Sequence[tuple[float, float]]


class Canvas:
    """Picture, instance map and semantic map of `size_wh` pixels, painted back to front.

    In all fills `colour` is an sRGB triple or None (leave the picture), `instance` and `semantic` are the
    uint8 labels to write or None (leave that layer).
    """

    def __init__(self, size_wh: tuple[int, int], colour: RGB = (255, 255, 255), semantic: int = 0) -> None:
        self.size_wh = size_wh
        big = (size_wh[0] * SCALE, size_wh[1] * SCALE)
        self.image = Image.new("RGB", big, colour)
        self.ids = Image.new("L", big, 0)
        self.stuff = Image.new("L", big, semantic)
        self._draw = ImageDraw.Draw(self.image)
        self._draw_ids = ImageDraw.Draw(self.ids)
        self._draw_stuff = ImageDraw.Draw(self.stuff)

    def polygon(
        self, points: Points, colour: RGB | None, *, instance: int | None = None, semantic: int | None = None
    ) -> None:
        """Fill the polygon through `points` (at least 3)."""
        xy = [(x * SCALE, y * SCALE) for x, y in points]
        for draw, ink in self._layers(colour, instance, semantic):
            draw.polygon(xy, fill=ink)

    def box(
        self,
        xyxy: tuple[float, float, float, float],
        colour: RGB | None,
        *,
        radius: float = 0.0,
        instance: int | None = None,
        semantic: int | None = None,
    ) -> None:
        """Fill the rectangle `xyxy`, its corners rounded by `radius` pixels."""
        x0, y0, x1, y1 = (round(v * SCALE) for v in xyxy)
        if x1 <= x0 or y1 <= y0:
            return
        corners = (x0, y0, x1 - 1, y1 - 1)
        for draw, ink in self._layers(colour, instance, semantic):
            if radius > 0:
                draw.rounded_rectangle(corners, radius * SCALE, fill=ink)
            else:
                draw.rectangle(corners, fill=ink)

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        colour: RGB | None,
        *,
        instance: int | None = None,
        semantic: int | None = None,
    ) -> None:
        """Fill the ellipse around `centre` with half axes `radii`."""
        (x, y), (rx, ry) = centre, radii
        corners = ((x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE - 1, (y + ry) * SCALE - 1)
        if corners[2] < corners[0] or corners[3] < corners[1]:
            return
        for draw, ink in self._layers(colour, instance, semantic):
            draw.ellipse(corners, fill=ink)

    def line(
        self,
        points: Points,
        width: float,
        colour: RGB | None,
        *,
        instance: int | None = None,
        semantic: int | None = None,
    ) -> None:
        """Draw a polyline `width` pixels wide."""
        xy = [(x * SCALE, y * SCALE) for x, y in points]
        wide = max(1, round(width * SCALE))
        for draw, ink in self._layers(colour, instance, semantic):
            draw.line(xy, fill=ink, width=wide, joint="curve" if wide > 3 else None)

    def gradient(
        self, rows_y: tuple[float, float], top: RGB, bottom: RGB, semantic: int | None = None
    ) -> None:
        """Fill the full-width band `rows_y` = (from, to) with a smooth vertical gradient."""
        wide, high = self.image.size
        y0 = min(high, max(0, round(rows_y[0] * SCALE)))
        y1 = min(high, max(0, round(rows_y[1] * SCALE)))
        if y1 <= y0:
            return
        self.image.paste(gradient_image((wide, y1 - y0), top, bottom), (0, y0))
        if semantic is not None:
            self.stuff.paste(semantic, (0, y0, wide, y1))

    def gradient_polygon(
        self,
        points: Points,
        top: RGB,
        bottom: RGB,
        *,
        instance: int | None = None,
        semantic: int | None = None,
    ) -> None:
        """Fill a polygon with a vertical gradient over its height."""
        xy = [(x * SCALE, y * SCALE) for x, y in points]
        x0, y0 = (math.floor(min(p[a] for p in xy)) for a in (0, 1))
        x1, y1 = (math.ceil(max(p[a] for p in xy)) + 1 for a in (0, 1))
        if x1 <= x0 or y1 <= y0:
            return
        mask = Image.new("L", (x1 - x0, y1 - y0), 0)
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in xy], fill=255)
        self.image.paste(gradient_image(mask.size, top, bottom), (x0, y0), mask)
        for draw, ink in self._layers(None, instance, semantic):
            draw.polygon(xy, fill=ink)

    def veil(self, mask: Image.Image, corner: tuple[float, float], colour: RGB = (0, 0, 0)) -> None:
        """Blend `colour` over the picture by the "L" image `mask` (subpixels), its corner at `corner`.

        For soft shadows, glows and haze: labels stay as they are.
        """
        self.image.paste(colour, (round(corner[0] * SCALE), round(corner[1] * SCALE)), mask)

    def stamp(
        self,
        sprite: Image.Image,
        mask: Image.Image,
        corner_sub: tuple[int, int],
        *,
        alpha: Image.Image | None = None,
        instance: int | None = None,
        semantic: int | None = None,
    ) -> None:
        """Paste an RGB `sprite` where the "L" `mask` is 255; both in subpixels, corner in subpixels.

        `alpha` replaces the mask for the picture only (translucent things); the labels follow `mask`.
        """
        self.image.paste(sprite, corner_sub, alpha or mask)
        if instance is not None:
            self.ids.paste(instance, corner_sub, mask)
        if semantic is not None:
            self.stuff.paste(semantic, corner_sub, mask)

    def picture(self) -> NDArray[np.uint8]:
        """The picture, HW3 uint8."""
        return np.asarray(self.image.reduce(SCALE))

    def instances(self) -> NDArray[np.uint8]:
        """The instance map, HW uint8, 0 where nothing was labelled."""
        return majority(np.asarray(self.ids))

    def semantics(self) -> NDArray[np.uint8]:
        """The semantic map, HW uint8."""
        return majority(np.asarray(self.stuff))

    def coverage(self, instance: int) -> NDArray[np.float32]:
        """Share of each pixel that the visible part of `instance` covers, HW float32 in [0, 1]."""
        wide, high = self.size_wh
        hit = np.asarray(self.ids) == instance
        return hit.reshape(high, SCALE, wide, SCALE).mean(axis=(1, 3), dtype=np.float32)

    def _layers(
        self, colour: RGB | None, instance: int | None, semantic: int | None
    ) -> Iterable[tuple[ImageDraw.ImageDraw, RGB | int]]:
        if colour is not None:
            yield self._draw, colour
        if instance is not None:
            yield self._draw_ids, instance
        if semantic is not None:
            yield self._draw_stuff, semantic


def gradient_image(size_wh: tuple[int, int], top: RGB, bottom: RGB) -> Image.Image:
    """An RGB image of `size_wh` that goes smoothly from `top` to `bottom`."""
    wide, high = size_wh
    share_H1 = np.linspace(0.0, 1.0, high)[:, None]
    rows_H3 = np.asarray(top) * (1 - share_H1) + np.asarray(bottom) * share_H1
    column = np.rint(rows_H3).astype(np.uint8)[:, None, :]
    return Image.fromarray(column).resize((wide, high), Image.Resampling.NEAREST)


def majority(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve a label map: each pixel gets the label most of its 2x2 subpixels have.

    Ties go to a label that at least two subpixels share, else to the top-left subpixel.
    """
    a, b = labels[::2, ::2], labels[::2, 1::2]
    c, d = labels[1::2, ::2], labels[1::2, 1::2]
    return np.where((b == c) | (b == d), b, np.where(c == d, c, a))
