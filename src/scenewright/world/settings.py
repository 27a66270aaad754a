"""Backgrounds of the toybox: eight settings made of stuff regions in muted colours.

Every setting paints picture and semantic map and returns the height of its horizon as a fraction of the
picture (0 top, 1 bottom): above it things fly, below it they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scenewright.world.canvas import SCALE, Canvas
from scenewright.world.classes import semantic_ids
from scenewright.world.palette import RGB, jitter, mix

_ID: Final = semantic_ids()


def paint_setting(canvas: Canvas, setting: str, rng: np.random.Generator) -> float:
    """Paint `setting` over the whole canvas; returns the horizon as a fraction of the height."""
    return _PAINTERS[setting](canvas, rng)


def shadow(canvas: Canvas, centre_x: float, foot_y: float, width: float) -> None:
    """A soft shadow on the ground, `width` pixels wide, its middle at (centre_x, foot_y)."""
    high = max(4.0, width * 0.24)
    size = (max(2, round(width * SCALE)), max(2, round(high * SCALE)))
    canvas.veil(_soft_disc().resize(size), (centre_x - width / 2, foot_y - high / 2), (30, 30, 50))


@lru_cache(maxsize=1)
def _soft_disc() -> Image.Image:
    disc = Image.new("L", (96, 48), 0)
    ImageDraw.Draw(disc).ellipse((12, 8, 84, 40), fill=84)
    return disc.filter(ImageFilter.GaussianBlur(5))


def _sky(canvas: Canvas, rng: np.random.Generator, down_to: float, clouds: int) -> None:
    wide = canvas.size_wh[0]
    top = jitter(((188, 220, 244), (200, 214, 238), (196, 230, 238))[rng.integers(3)], rng, 6)
    canvas.gradient((0, down_to), top, mix(top, (252, 250, 246), 0.6), _ID["sky"])
    for _ in range(clouds):
        x, y = rng.uniform(0, wide), rng.uniform(0.05, 0.75) * down_to
        size = rng.uniform(0.05, 0.085) * wide
        shade = mix(top, (255, 255, 255), 0.72)
        for dx, dy, r in ((-1.2, 0.2, 0.7), (0.0, 0.0, 1.0), (1.1, 0.25, 0.75)):
            canvas.ellipse(
                (x + dx * size, min(y + dy * size, down_to - size)), (r * size * 1.2, r * size * 0.7), shade
            )


def _horizon(rng: np.random.Generator, low: float = 0.34, high: float = 0.6) -> float:
    return float(rng.uniform(low, high))


def _grass(canvas: Canvas, rng: np.random.Generator) -> float:
    wide, high = canvas.size_wh
    horizon = _horizon(rng)
    _sky(canvas, rng, horizon * high + 2, int(rng.integers(0, 4)))
    green = jitter((178, 212, 160), rng, 8)
    if rng.random() < 0.6:
        x0, rise = rng.uniform(0.1, 0.9) * wide, rng.uniform(0.06, 0.14) * high
        hill = [
            (x0 + 0.7 * wide * np.cos(t), horizon * high + 2 - rise * np.sin(t))
            for t in np.linspace(0, np.pi, 15)
        ]
        canvas.polygon(hill, mix(green, (150, 190, 170), 0.5), semantic=_ID["grass"])
    canvas.gradient((horizon * high, high), green, mix(green, (120, 178, 110), 0.45), _ID["grass"])
    tuft = mix(green, (92, 150, 84), 0.55)
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.uniform(0.02, 0.98) * wide, rng.uniform(horizon + 0.06, 0.98) * high
        r = 0.02 * wide
        canvas.line([(x - r, y - r), (x, y), (x + r, y - r)], 0.009 * wide, tuft)
    return horizon


def _waves(canvas: Canvas, rng: np.random.Generator, rows: tuple[float, float], count: int, ink: RGB) -> None:
    wide, high = canvas.size_wh
    for _ in range(count):
        x, y = rng.uniform(0, wide), rng.uniform(*rows) * high
        r = rng.uniform(0.03, 0.06) * wide
        wave = [(x - r, y), (x - r / 2, y - r / 4), (x, y), (x + r / 2, y - r / 4), (x + r, y)]
        canvas.line(wave, 0.01 * wide, ink)


def _beach(canvas: Canvas, rng: np.random.Generator) -> float:
    _, high = canvas.size_wh
    horizon = _horizon(rng, 0.26, 0.42)
    shore = horizon + float(rng.uniform(0.12, 0.22))
    _sky(canvas, rng, horizon * high + 1, int(rng.integers(0, 3)))
    sea = jitter((142, 198, 220), rng, 8)
    canvas.gradient((horizon * high, shore * high), sea, mix(sea, (190, 228, 232), 0.6), _ID["sea"])
    _waves(
        canvas, rng, (horizon + 0.03, shore - 0.02), int(rng.integers(1, 5)), mix(sea, (255, 255, 255), 0.5)
    )
    sand = jitter((240, 224, 184), rng, 6)
    canvas.gradient((shore * high, high), sand, mix(sand, (220, 192, 140), 0.5), _ID["sand"])
    return shore


def _sea(canvas: Canvas, rng: np.random.Generator) -> float:
    _, high = canvas.size_wh
    horizon = _horizon(rng)
    _sky(canvas, rng, horizon * high + 1, int(rng.integers(0, 4)))
    sea = jitter((150, 202, 222), rng, 8)
    canvas.gradient((horizon * high, high), sea, mix(sea, (84, 152, 194), 0.6), _ID["sea"])
    _waves(canvas, rng, (horizon + 0.05, 0.98), int(rng.integers(5, 12)), mix(sea, (255, 255, 255), 0.45))
    return horizon


def _snow(canvas: Canvas, rng: np.random.Generator) -> float:
    wide, high = canvas.size_wh
    horizon = _horizon(rng)
    _sky(canvas, rng, horizon * high + 2, int(rng.integers(0, 2)))
    for _ in range(int(rng.integers(1, 4))):
        x, top, half = (
            rng.uniform(0, 1) * wide,
            rng.uniform(0.3, 0.7) * horizon * high,
            rng.uniform(0.2, 0.36) * wide,
        )
        base = horizon * high + 2
        rock = jitter((172, 184, 204), rng, 8)
        canvas.polygon([(x - half, base), (x, top), (x + half, base)], rock, semantic=_ID["mountain"])
        cap = 0.34
        y = top + cap * (base - top)
        peak = [
            (x - cap * half, y),
            (x, top),
            (x + cap * half, y),
            (x + cap * half / 3, y - 1),
            (x - cap * half / 4, y + 2),
        ]
        canvas.polygon(peak, (244, 248, 252), semantic=_ID["mountain"])
    canvas.gradient((horizon * high, high), (246, 249, 252), jitter((216, 228, 242), rng, 5), _ID["snow"])
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0, wide), rng.uniform(horizon + 0.1, 1.0) * high
        canvas.line(
            [(x - 0.12 * wide, y), (x, y - 0.02 * high), (x + 0.12 * wide, y)], 0.01 * wide, (204, 218, 236)
        )
    return horizon


_WALLS: Final[tuple[RGB, ...]] = (
    (236, 226, 208),
    (214, 226, 216),
    (226, 216, 228),
    (212, 222, 232),
    (240, 218, 206),
)


def _kitchen(canvas: Canvas, rng: np.random.Generator) -> float:
    wide, high = canvas.size_wh
    floor = _horizon(rng, 0.6, 0.72)
    counter = floor - float(rng.uniform(0.16, 0.22))
    wall = jitter(_WALLS[rng.integers(len(_WALLS))], rng, 5)
    canvas.gradient((0, counter * high), mix(wall, (255, 255, 255), 0.25), wall, _ID["wall"])
    grout = mix(wall, (150, 150, 150), 0.28)
    step = wide * float(rng.choice([0.125, 0.1, 0.1667]))
    for k in range(1, round(wide / step) + 1):
        canvas.line([(k * step, 0), (k * step, counter * high)], 0.006 * wide, grout)
    for k in range(1, int(counter * high / step) + 1):
        canvas.line([(0, counter * high - k * step), (wide, counter * high - k * step)], 0.006 * wide, grout)
    wood = jitter((204, 184, 164), rng, 10)
    canvas.box((0, counter * high, wide, floor * high), wood, semantic=_ID["cabinet"])
    canvas.box((0, counter * high, wide, (counter + 0.03) * high), mix(wood, (120, 110, 110), 0.45))
    for k in range(1, 4):
        x = k * wide / 4
        canvas.line(
            [(x, (counter + 0.03) * high), (x, floor * high)], 0.008 * wide, mix(wood, (110, 90, 80), 0.4)
        )
    tile = jitter((222, 218, 214), rng, 6)
    canvas.gradient((floor * high, high), tile, mix(tile, (190, 186, 186), 0.4), _ID["floor"])
    dark = mix(tile, (150, 156, 166), 0.4)
    rows = np.linspace(floor, 1.0, 4) * high
    for r in range(3):
        for c in range(-1, 9):
            if (r + c) % 2:
                x = [
                    (wide / 2 + (c + d - 4) * wide * (0.13 + 0.03 * (r + e))) for e in (0, 1) for d in (0, 1)
                ]
                canvas.polygon(
                    [(x[0], rows[r]), (x[1], rows[r]), (x[3], rows[r + 1]), (x[2], rows[r + 1])], dark
                )
    return floor


def _room(canvas: Canvas, rng: np.random.Generator) -> float:
    wide, high = canvas.size_wh
    floor = _horizon(rng, 0.5, 0.7)
    wall = jitter(_WALLS[rng.integers(len(_WALLS))], rng, 8)
    canvas.gradient((0, floor * high), wall, mix(wall, (200, 190, 190), 0.25), _ID["wall"])
    if rng.random() < 0.7:
        x, y = rng.uniform(0.05, 0.65) * wide, rng.uniform(0.06, 0.14) * high
        w, h = 0.28 * wide, min(0.3, floor - 0.22) * high
        canvas.box((x - 2, y - 2, x + w + 2, y + h + 2), mix(wall, (120, 100, 90), 0.45))
        canvas.box((x, y, x + w, y + h), (206, 226, 240))
        canvas.line([(x + w / 2, y), (x + w / 2, y + h)], 0.014 * wide, mix(wall, (120, 100, 90), 0.45))
    wood = jitter((216, 190, 160), rng, 8)
    canvas.gradient((floor * high, high), mix(wood, (180, 150, 120), 0.3), wood, _ID["floor"])
    canvas.box((0, (floor - 0.03) * high, wide, floor * high), mix(wall, (255, 255, 255), 0.6))
    plank = mix(wood, (150, 116, 84), 0.4)
    for k in range(-2, 9):
        x = k * wide / 6
        canvas.line(
            [(wide / 2 + (x - wide / 2) * 0.8, floor * high), (wide / 2 + (x - wide / 2) * 1.5, high)],
            0.007 * wide,
            plank,
        )
    return floor


def _road(canvas: Canvas, rng: np.random.Generator) -> float:
    wide, high = canvas.size_wh
    walk = _horizon(rng, 0.48, 0.6)
    _sky(canvas, rng, walk * high + 1, int(rng.integers(0, 3)))
    x = -float(rng.uniform(0, 0.2)) * wide
    while x < wide:
        w, top = rng.uniform(0.16, 0.3) * wide, rng.uniform(0.12, 0.36) * high
        tone = jitter(
            ((212, 196, 186), (196, 204, 208), (218, 208, 184), (204, 192, 204))[rng.integers(4)], rng, 6
        )
        canvas.box((x, top, x + w, walk * high), tone, semantic=_ID["building"])
        pane = mix(tone, (140, 160, 180), 0.35)
        for row in np.arange(top + 0.05 * high, walk * high - 0.07 * high, 0.1 * high):
            for k in range(2):
                a = x + w * (0.16 + 0.42 * k)
                canvas.box((a, row, a + w * 0.26, row + 0.055 * high), pane)
        x += w
    canvas.box(
        (0, walk * high, wide, (walk + 0.07) * high),
        jitter((222, 216, 208), rng, 5),
        semantic=_ID["sidewalk"],
    )
    grey = jitter((182, 184, 190), rng, 8)
    canvas.gradient(((walk + 0.07) * high, high), grey, mix(grey, (150, 152, 160), 0.6), _ID["road"])
    y, shift = (walk + 0.07 + (0.93 - walk) * 0.5) * high, rng.uniform(0, 0.2) * wide
    for k in range(-1, 5):
        a = shift + k * 0.26 * wide
        canvas.box((a, y - 0.012 * high, a + 0.14 * wide, y + 0.012 * high), (240, 240, 236))
    return walk + 0.04


def _open_sky(canvas: Canvas, rng: np.random.Generator) -> float:
    _sky(canvas, rng, canvas.size_wh[1], int(rng.integers(2, 7)))
    return 1.0


_PAINTERS: Final[dict[str, Callable[[Canvas, np.random.Generator], float]]] = {
    "grass": _grass,
    "beach": _beach,
    "sea": _sea,
    "snow": _snow,
    "kitchen": _kitchen,
    "room": _room,
    "road": _road,
    "sky": _open_sky,
}
