"""From inks to colours: main colour, texture, rendering style.

A table maps (ink, texture level, shade level) to a colour; textures and shading are maps of levels 0..15,
so painting a sprite is one table lookup per pixel. Only the inks that follow the main colour are textured.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from scenewright.world.palette import COLOURS, RGB, lighter, mix
from scenewright.world.sprite import Ink

STYLES: Final[tuple[str, ...]] = ("flat", "outlined", "shaded")
"""Rendering styles: plain areas, bold dark lines, soft light from the upper left."""

OUTLINE_SUB: Final = {"flat": 2, "outlined": 3, "shaded": 2}
"""Outline width in subpixels for each style."""

_FIXED: Final[dict[Ink, RGB]] = {
    Ink.WHITE: (250, 250, 248),
    Ink.BLACK: (28, 28, 32),
    Ink.GREY: (168, 172, 180),
    Ink.DARK: (74, 76, 84),
    Ink.GLASS: (176, 222, 244),
    Ink.SKIN: (246, 204, 168),
    Ink.BROWN: (134, 84, 46),
    Ink.LEAF: (76, 168, 74),
    Ink.GOLD: (255, 216, 84),
    Ink.ORANGE: (250, 146, 40),
    Ink.ROSE: (248, 160, 176),
    Ink.RED: (222, 70, 56),
    Ink.TAN: (232, 190, 144),
    Ink.SCREEN: (206, 232, 236),
}
_FOLLOWS: Final = (Ink.BODY, Ink.SHADE, Ink.LIGHT, Ink.DEEP)
_SPAN: Final = 768
"""Side of the level maps in subpixels; sprites are smaller."""


class Paint(NamedTuple):
    """RGB image, "L" mask (0 or 255) and, for translucent toys, an "L" alpha; sizes in subpixels."""

    image: Image.Image
    mask: Image.Image
    alpha: Image.Image | None


def paint(
    inks: NDArray[np.uint8], colour: str, texture: str | None, style: str, phase: int, skin: RGB | None = None
) -> Paint:
    """Colour the index picture `inks` (HW uint8).

    `phase` (any integer) shifts the texture; `skin` replaces the skin ink.
    """
    if texture == "fluffy":
        inks = _fluff(inks, phase)
    rim = _rim(inks > 0) if texture in ("rubber", "glass", "leather") or style == "shaded" else None
    levels = _texture_levels(texture, inks, rim, phase)
    shade = _shade_levels(inks.shape, rim) if style == "shaded" and rim is not None else np.uint8(8)
    key = (inks.astype(np.uint16) << 8) | (levels.astype(np.uint16) << 4) | shade
    table = _table(colour, texture, style)
    if skin is not None:
        table = table.copy()
        table[Ink.SKIN << 8 : (Ink.SKIN + 1) << 8] = skin
    image = Image.fromarray(table[key])
    mask = Image.fromarray((inks > 0).view(np.uint8) * np.uint8(255))
    alpha = Image.fromarray(_GLASS_ALPHA[inks]) if texture == "glass" else None
    return Paint(image, mask, alpha)


_GLASS_ALPHA: Final = np.array([0] + [196] * 4 + [255] * 27, dtype=np.uint8)


@lru_cache(maxsize=512)
def _table(colour: str, texture: str | None, style: str) -> NDArray[np.uint8]:
    """Colours of every key: [inks * 256, 3] uint8."""
    base = COLOURS[colour]
    table = np.zeros((32, 16, 16, 3), dtype=np.float64)
    for ink, rgb in _FIXED.items():
        table[ink] = rgb
    table[Ink.LINE] = _line_colour(base, style)
    dark = sum(base) < 200
    shades = {
        Ink.BODY: base,
        Ink.SHADE: mix(base, (120, 120, 130), 0.3) if dark else mix(base, (30, 20, 50), 0.16),
        Ink.LIGHT: lighter(base, 0.3 if not dark else 0.22),
        Ink.DEEP: mix(base, (150, 150, 160), 0.4) if dark else mix(base, (30, 20, 50), 0.38),
    }
    tint_16 = _texture_tints(texture)
    for ink in _FOLLOWS:
        table[ink] = shades[ink]
        if texture is not None:
            table[ink] = _tinted(np.asarray(shades[ink], float), tint_16, dark)[:, None, :]
    if style == "shaded":
        light_16 = (np.arange(16) - 8) / 8 * 0.26
        soft = table.copy()
        for k, amount in enumerate(light_16):
            target, share = ((255, 255, 255), amount) if amount > 0 else ((16, 10, 36), -amount * 1.3)
            soft[:, :, k] += (np.asarray(target) - soft[:, :, k]) * share
        soft[Ink.LINE] = table[Ink.LINE]
        table = soft
    return np.clip(np.rint(table), 0, 255).astype(np.uint8).reshape(-1, 3)


def _line_colour(base: RGB, style: str) -> RGB:
    if style == "outlined":
        return (22, 20, 26) if sum(base) >= 200 else (104, 104, 116)
    if sum(base) < 200:
        return (92, 92, 104)
    return mix(base, (24, 14, 40), 0.62 if style == "shaded" else 0.55)


def _tinted(rgb_3: NDArray[np.float64], tint_16: NDArray[np.float64], dark: bool) -> NDArray[np.float64]:
    """Colours of the 16 texture levels: tints below 0 darken, above 0 whiten. Dark bases brighten instead."""
    tint_161 = tint_16[:, None]
    down = np.clip(-tint_161, 0, 1)
    up = np.clip(tint_161, 0, 1)
    if dark:
        return rgb_3 + (np.array([150.0, 150.0, 160.0]) - rgb_3) * np.clip(down * 0.75 + up * 0.8, 0, 1)
    low = rgb_3 + (np.array([30.0, 16.0, 30.0]) - rgb_3) * down
    return low + (255 - low) * up


def _texture_tints(texture: str | None) -> NDArray[np.float64]:
    ramp = np.arange(16) / 15
    tints = {
        "metallic": np.where(ramp < 0.6, -0.34 + ramp * 0.55, (ramp - 0.6) * 2.0),
        "wooden": -0.5 * ramp,
        "plastic": 0.85 * ramp,
        "fluffy": -0.4 * ramp,
        "leather": np.where(np.arange(16) == 15, 0.7, -0.42 * ramp),
        "fabric": np.where(np.arange(16) < 8, -0.5 * np.arange(16) / 7, (np.arange(16) - 8) / 7 * 0.5),
        "glass": 0.75 * ramp,
        "rubber": -0.72 * ramp,
    }
    return tints[texture] if texture is not None else np.zeros(16)


def _texture_levels(
    texture: str | None, inks: NDArray[np.uint8], rim: NDArray[np.uint8] | None, phase: int
) -> NDArray[np.uint8]:
    """Texture level of every pixel, HW uint8 in 0..15."""
    high, wide = inks.shape
    if texture is None:
        return np.zeros((1, 1), dtype=np.uint8)
    if texture == "plastic":
        return _highlight(high, wide)
    if texture == "metallic":
        return _sheen(high, wide, phase)
    dx, dy = (phase * 37) % 128, (phase * 53) % 128
    pattern = _pattern(texture)[dy : dy + high, dx : dx + wide]
    if texture == "rubber" and rim is not None:
        return np.maximum(pattern, _RUBBER_RIM[rim])
    if texture == "leather" and rim is not None:
        return np.where((rim > 168) & (rim < 206) & (pattern > 7), 15, _LEATHER_RIM[rim]).astype(np.uint8)
    if texture == "glass" and rim is not None:
        return np.maximum(_streaks(high, wide), _GLASS_RIM[rim])
    return pattern


_RUBBER_RIM: Final = np.clip((238 - np.arange(256)) / 110 * 15, 0, 15).astype(np.uint8)
_LEATHER_RIM: Final = np.clip((180 - np.arange(256)) / 60 * 7, 0, 7).astype(np.uint8)
_GLASS_RIM: Final = np.clip((200 - np.arange(256)) / 60 * 15, 0, 13).astype(np.uint8)


@lru_cache(maxsize=16)
def _pattern(texture: str) -> NDArray[np.uint8]:
    """Level map of one texture, `_SPAN` square."""
    y, x = np.mgrid[:_SPAN, :_SPAN].astype(np.float64)
    if texture == "wooden":
        bend = 3.2 * np.sin(x / 33) + 2.2 * np.sin(x / 14.0 + y / 31)
        grain = 0.5 + 0.5 * np.sin((y + bend) * 2 * np.pi / 13)
        level = 15 * np.clip(grain * 1.7 - 0.55, 0, 1)
    elif texture == "fabric":
        across, down = (x // 7) % 2, (y // 7) % 2
        level = np.select([(across == 1) & (down == 1), across != down], [7, 3], 11)
    elif texture == "fluffy":
        row = y // 11
        cx = (x + (row % 2) * 9) % 18 - 9
        bow = np.hypot(cx, (y % 11) - 0.5)
        level = np.clip(15 - np.abs(bow - 8.2) * 8, 0, 15)
    elif texture == "leather":
        level = np.where(((x // 7) + (y // 7)) % 2 == 0, 15, 0)
    elif texture == "rubber":
        row = y // 12
        cx = (x + (row % 2) * 7) % 14 - 7
        level = np.clip((3.6 - np.hypot(cx, y % 12 - 6)) * 6, 0, 9)
    else:
        level = np.zeros_like(x)
    return level.astype(np.uint8)


def _sheen(high: int, wide: int, phase: int) -> NDArray[np.uint8]:
    """Broad bright diagonal bands."""
    period = max(26.0, 0.62 * max(high, wide))
    place = (np.arange(high + wide) + phase * 7) / period % 1.0
    profile = np.clip(1.0 - np.abs(place - 0.5) / 0.17, 0, 1) * 9
    second = np.clip(1.0 - np.abs(place - 0.8) / 0.05, 0, 1) * 7
    ramp = (6 + profile + second - 6 * np.clip(np.abs(place - 0.5) * 2 - 0.5, 0, 0.5) * 2).clip(0, 15)
    return ramp.astype(np.uint8)[np.arange(high)[:, None] + np.arange(wide)[None, :]]


def _highlight(high: int, wide: int) -> NDArray[np.uint8]:
    """One glossy spot towards the upper left and a small one beside it."""
    y, x = np.ogrid[:high, :wide]
    turn = 0.6 * (x / wide - 0.34) + (y / high - 0.33)
    spot = ((x / wide - 0.34) / 0.17) ** 2 + (turn / 0.085) ** 2 < 1
    small = ((x / wide - 0.6) / 0.05) ** 2 + ((y / high - 0.24) / 0.05) ** 2 < 1
    return (spot | small) * np.uint8(14)


def _streaks(high: int, wide: int) -> NDArray[np.uint8]:
    """Two thin diagonal reflections."""
    place = (np.arange(high)[:, None] + np.arange(wide)[None, :]) / (high + wide)
    return (((place > 0.40) & (place < 0.45)) | ((place > 0.485) & (place < 0.505))) * np.uint8(13)


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """About 128 at the edge of the mask rising to 255 some subpixels inside."""
    size = min(mask.shape)
    picture = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    return np.asarray(picture.filter(ImageFilter.BoxBlur(max(3, size // 22))))


def _shade_levels(shape_hw: tuple[int, ...], rim: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light from the upper left, darker towards the lower right and the rim: HW uint8 in 0..15."""
    high, wide = shape_hw
    fall = np.linspace(4.5, -4.5, high)[:, None] + np.linspace(2.5, -2.5, wide)[None, :]
    edge = (rim.astype(np.int16) - 255) >> 5
    return (fall + edge + 9).clip(0, 15).astype(np.uint8)


@lru_cache(maxsize=4)
def _bumps() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets that make any edge scalloped."""
    y, x = np.mgrid[:_SPAN, :_SPAN].astype(np.float64)
    dx = 2.6 * np.sin(y * 2 * np.pi / 11) + 1.2 * np.sin(x * 2 * np.pi / 17)
    dy = 2.6 * np.sin(x * 2 * np.pi / 11) + 1.2 * np.sin(y * 2 * np.pi / 17)
    return np.rint(dx).astype(np.int64), np.rint(dy).astype(np.int64)


def _fluff(inks: NDArray[np.uint8], phase: int) -> NDArray[np.uint8]:
    """The sprite with a wavy, scalloped silhouette."""
    high, wide = inks.shape
    shift = (phase * 29) % 64
    dx, dy = (m[shift : shift + high, shift : shift + wide] for m in _bumps())
    rows = np.clip(np.arange(high)[:, None] + dy, 0, high - 1)
    columns = np.clip(np.arange(wide)[None, :] + dx, 0, wide - 1)
    return inks[rows, columns]
