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


def outline_sub(style: str, size: float) -> int:
    """Width of outlines in subpixels for a toy whose longer side is `size` units (1/128 of the picture)."""
    if style == "outlined":
        return 5 if size >= 72 else 4 if size >= 44 else 3
    return 3 if size >= 44 else 2


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
_SHADOWS: Final[dict[str, RGB]] = {
    "black": (8, 8, 14),
    "white": (112, 122, 142),
    "red": (84, 0, 18),
    "green": (0, 58, 34),
    "yellow": (160, 84, 0),
    "blue": (6, 14, 96),
    "pink": (168, 30, 96),
    "purple": (50, 0, 84),
}
"""Where each colour goes in the shade: darker, without changing its name."""

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
    alpha = None
    if texture == "glass":
        alpha = Image.fromarray((_DARK_GLASS_ALPHA if colour == "black" else _GLASS_ALPHA)[inks])
    return Paint(image, mask, alpha)


_GLASS_ALPHA: Final = np.array([0] + [196] * 4 + [255] * 27, dtype=np.uint8)
_DARK_GLASS_ALPHA: Final = np.array([0] + [222] * 4 + [255] * 27, dtype=np.uint8)


@lru_cache(maxsize=512)
def _table(colour: str, texture: str | None, style: str) -> NDArray[np.uint8]:
    """Colours of every key: [inks * 256, 3] uint8."""
    base = COLOURS[colour]
    table = np.zeros((32, 16, 16, 3), dtype=np.float64)
    for ink, rgb in _FIXED.items():
        table[ink] = rgb
    table[Ink.LINE] = _line_colour(colour, style)
    dark = sum(base) < 200
    shades = {
        Ink.BODY: base,
        Ink.SHADE: mix(base, (120, 120, 130), 0.3) if dark else mix(base, _SHADOWS[colour], 0.22),
        Ink.LIGHT: lighter(base, 0.3 if not dark else 0.22),
        Ink.DEEP: mix(base, (150, 150, 160), 0.4) if dark else mix(base, _SHADOWS[colour], 0.42),
    }
    tint_16 = _texture_tints(texture, light=min(base) > 200)
    ground = {
        "wooden": (104, 92, 62) if min(base) > 200 else mix((88, 44, 16), _SHADOWS[colour], 0.4),
        "glass": (60, 120, 170),
    }.get(texture or "", _SHADOWS[colour])
    for ink in _FOLLOWS:
        table[ink] = shades[ink]
        if texture is not None:
            table[ink] = _tinted(np.asarray(shades[ink], float), tint_16, dark, ground)[:, None, :]
    if style == "shaded":
        light_16 = (np.arange(16) - 8) / 8 * 0.26
        soft = table.copy()
        for k, amount in enumerate(light_16):
            target, share = ((255, 255, 255), amount) if amount > 0 else (_SHADOWS[colour], -amount * 1.6)
            soft[:, :, k] += (np.asarray(target) - soft[:, :, k]) * share
        soft[Ink.LINE] = table[Ink.LINE]
        table = soft
    return np.clip(np.rint(table), 0, 255).astype(np.uint8).reshape(-1, 3)


def _line_colour(colour: str, style: str) -> RGB:
    base, deep = COLOURS[colour], _SHADOWS[colour]
    if style == "outlined":
        return mix(deep, (16, 12, 20), 0.75) if sum(base) >= 200 else (100, 100, 112)
    if sum(base) < 200:
        return (92, 92, 104)
    return mix(base, deep, 0.9)


def _tinted(
    rgb_3: NDArray[np.float64], tint_16: NDArray[np.float64], dark: bool, ground: RGB
) -> NDArray[np.float64]:
    """Colours of the 16 texture levels: tints below 0 go towards `ground`, above 0 towards white.

    Dark bases brighten instead.
    """
    tint_161 = tint_16[:, None]
    down = np.clip(-tint_161, 0, 1)
    up = np.clip(tint_161, 0, 1)
    if dark:
        return rgb_3 + (np.array([150.0, 150.0, 160.0]) - rgb_3) * np.clip(down * 0.85 + up * 0.9, 0, 1)
    low = rgb_3 + (np.asarray(ground) - rgb_3) * down
    return low + (255 - low) * up


def _texture_tints(texture: str | None, light: bool) -> NDArray[np.float64]:
    ramp = np.arange(16) / 15
    tints = {
        "metallic": np.where(ramp < 0.6, -0.34 + ramp * 0.55, (ramp - 0.6) * 2.0),
        "wooden": -0.6 * ramp,
        "plastic": -0.14 + 1.1 * ramp if light else 0.85 * ramp,
        "fluffy": -0.3 * ramp,
        "leather": np.where(np.arange(16) == 15, -0.5 if light else 0.5, -0.5 * ramp),
        "fabric": np.where(np.arange(16) < 8, -0.45 * np.arange(16) / 7, (np.arange(16) - 8) / 7 * 0.5),
        "glass": -0.36 * ramp if light else 0.75 * ramp,
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
        return _highlight(inks)
    if texture == "metallic":
        return _sheen(high, wide, phase)
    dx, dy = (phase * 37) % 128, (phase * 53) % 128
    pattern = _pattern(texture)[dy : dy + high, dx : dx + wide]
    if texture == "rubber" and rim is not None:
        return np.maximum(pattern, _RUBBER_RIM[rim])
    if texture == "leather" and rim is not None:
        return np.maximum(pattern, _LEATHER_RIM[rim])
    if texture == "glass" and rim is not None:
        return np.maximum(_streaks(high, wide), _GLASS_RIM[rim])
    return pattern


_RUBBER_RIM: Final = np.clip((250 - np.arange(256)) / 90 * 15, 0, 15).astype(np.uint8)
_LEATHER_RIM: Final = np.clip((205 - np.arange(256)) / 80 * 9, 0, 9).astype(np.uint8)
_GLASS_RIM: Final = np.clip((200 - np.arange(256)) / 60 * 15, 0, 13).astype(np.uint8)


@lru_cache(maxsize=16)
def _pattern(texture: str) -> NDArray[np.uint8]:
    """Level map of one texture, `_SPAN` square."""
    y, x = np.mgrid[:_SPAN, :_SPAN].astype(np.float64)
    if texture == "wooden":
        bend = 3.2 * np.sin(x / 33) + 2.2 * np.sin(x / 14.0 + y / 31)
        grain = 0.5 + 0.5 * np.sin((y + bend) * 2 * np.pi / 13)
        level = 15 * np.clip(grain * 2.4 - 1.3, 0, 1)
    elif texture == "fabric":
        across, down = (x // 7) % 2, (y // 7) % 2
        level = np.select([(across == 1) & (down == 1), across != down], [7, 3], 11)
    elif texture == "fluffy":
        row = y // 11
        cx = (x + (row % 2) * 9) % 18 - 9
        bow = np.hypot(cx, (y % 11) - 0.5)
        level = np.clip(15 - np.abs(bow - 8.2) * 8, 0, 15)
    elif texture == "leather":
        level = _quilt(x, y, 30.0)
    elif texture == "rubber":
        row = y // 12
        cx = (x + (row % 2) * 7) % 14 - 7
        level = np.clip((3.4 - np.hypot(cx, y % 12 - 6)) * 5, 0, 5)
    else:
        level = np.zeros_like(x)
    return level.astype(np.uint8)


def _quilt(x: NDArray[np.float64], y: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Diamonds with soft creases; along the creases runs a dashed seam."""
    level = np.zeros_like(x)
    seam = np.zeros(x.shape, dtype=bool)
    for across, along in ((x + y, x - y), (x - y, x + y)):
        gap = np.abs(across % period - period / 2)
        level = np.maximum(level, 6 - gap * 1.2)
        seam |= (gap < 1.5) & (along % 12 < 8)
    return np.where(seam, 15, np.clip(level, 0, 8))


def _sheen(high: int, wide: int, phase: int) -> NDArray[np.uint8]:
    """Broad bright diagonal bands."""
    period = max(26.0, 0.62 * max(high, wide))
    place = (np.arange(high + wide) + phase * 7) / period % 1.0
    profile = np.clip(1.0 - np.abs(place - 0.5) / 0.17, 0, 1) * 9
    second = np.clip(1.0 - np.abs(place - 0.8) / 0.05, 0, 1) * 7
    ramp = (6 + profile + second - 6 * np.clip(np.abs(place - 0.5) * 2 - 0.5, 0, 0.5) * 2).clip(0, 15)
    return ramp.astype(np.uint8)[np.arange(high)[:, None] + np.arange(wide)[None, :]]


def _highlight(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A glossy spot where the main colour has room, rather up and left, and a small one beside it."""
    high, wide = inks.shape
    body = (inks >= Ink.BODY) & (inks <= Ink.LIGHT)
    picture = Image.fromarray(body.view(np.uint8) * np.uint8(255))
    room = np.asarray(picture.filter(ImageFilter.BoxBlur(max(3, min(high, wide) // 9)))).astype(np.int16)
    lean = (
        np.arange(high, dtype=np.int16)[:, None] * 70 // high
        + np.arange(wide, dtype=np.int16)[None] * 70 // wide
    )
    cy, cx = divmod(int((room - lean).argmax()), wide)
    size = float(np.clip(0.24 * np.sqrt(body.sum()), 6, 34))
    y, x = np.ogrid[:high, :wide]
    along, across = (x - cx) * 0.8 - (y - cy) * 0.6, (x - cx) * 0.6 + (y - cy) * 0.8
    spot = (along / size) ** 2 + (across / (size * 0.46)) ** 2 < 1
    small = (along - size * 1.45) ** 2 + across**2 < (size * 0.26) ** 2
    return (spot | small) * np.uint8(15)


def _streaks(high: int, wide: int) -> NDArray[np.uint8]:
    """Two thin diagonal reflections."""
    place = (np.arange(high)[:, None] + np.arange(wide)[None, :]) / (high + wide)
    return (((place > 0.40) & (place < 0.45)) | ((place > 0.485) & (place < 0.505))) * np.uint8(13)


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """About 128 at the edge of the mask rising to 255 some subpixels inside."""
    size = min(mask.shape)
    picture = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    return np.asarray(picture.filter(ImageFilter.BoxBlur(max(3, size // 20))))


def _shade_levels(shape_hw: tuple[int, ...], rim: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light from the upper left, darker towards the lower right and the rim: HW uint8 in 0..15."""
    high, wide = shape_hw
    fall = np.linspace(4.5, -4.5, high)[:, None] + np.linspace(2.5, -2.5, wide)[None, :]
    edge = (rim.astype(np.int16) - 255) >> 5
    return (fall + edge + 9).clip(0, 15).astype(np.uint8)


@lru_cache(maxsize=2)
def _bumps(coarse: bool) -> NDArray[np.uint8]:
    """How near the edge (in levels of a blurred mask) fluff still grows, `_SPAN` square."""
    y, x = np.mgrid[:_SPAN, :_SPAN].astype(np.float64)
    period = 13.0 if coarse else 10.0
    row = np.floor(y / period)
    wave = np.hypot((x + row * 0.5 * period) % period - period / 2, y % period - period / 2) / period
    return ((52 if coarse else 70) + 130 * np.clip(wave * 1.25, 0, 0.62)).astype(np.uint8)


def _fluff(inks: NDArray[np.uint8], phase: int) -> NDArray[np.uint8]:
    """The sprite with a scalloped fringe of its main colour instead of its outline."""
    high, wide = inks.shape
    shift = (phase * 29) % 64
    coarse = min(high, wide) > 70
    inside = inks > 0
    blurred = Image.fromarray(inside.view(np.uint8) * np.uint8(255)).filter(
        ImageFilter.BoxBlur(5 if coarse else 4)
    )
    near = np.asarray(blurred)
    limit = _bumps(coarse)[shift : shift + high, shift : shift + wide]
    grown = np.where(
        near > limit, np.uint8(Ink.BODY), np.where(near > limit - 26, np.uint8(Ink.LINE), np.uint8(0))
    )
    bare = inside & ((inks != Ink.LINE) | (near > 205))
    return np.where(bare, inks, grown)
