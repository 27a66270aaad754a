"""What a look adds after drawing: sky, shadows, haze by distance, wet reflections, streaks, flakes, halos.

H, W are final pixels. Everything works on float32 colours 0..255 and only reads the ground truth.
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw

from scenewright.world.palette import mix
from scenewright.world.town_classes import TRAIN_ID
from scenewright.world.town_looks import Look
from scenewright.world.town_paint import GROUND, LEFT, Brush

SKY = TRAIN_ID["sky"]


def depths(brush: Brush, numbers_HW: np.ndarray) -> np.ndarray:
    """Distance of every pixel in metres [H, W] float32, from its object, ground row or front's column."""
    camera, scale = brush.camera, brush.scale
    high, wide = numbers_HW.shape
    table = np.array([region.depth for region in brush.regions], np.float32)
    kinds = np.array([region.kind for region in brush.regions], np.uint8)
    kind_HW = kinds[numbers_HW]
    depth_HW = table[numbers_HW]
    rows = (np.arange(high) + 0.5) * scale - camera.horizon
    ground_H = camera.focal * camera.height / np.maximum(rows, 1.0)
    columns = (np.arange(wide) + 0.5) * scale - camera.cx
    side_W = (camera.focal / np.maximum(np.abs(columns), 1.0)).astype(np.float32)
    depth_HW = np.where(kind_HW == GROUND, ground_H[:, None].astype(np.float32), depth_HW)
    return np.where(kind_HW >= LEFT, side_W[None] * np.abs(depth_HW), depth_HW)


def _edges_of_sky(depth_HW: np.ndarray, sky_HW: np.ndarray) -> np.ndarray:
    """Sky pixels beside something get its distance, because a part of their colour is its."""
    near_HW = depth_HW.copy()
    np.minimum(near_HW[:-1], depth_HW[1:], out=near_HW[:-1])
    np.minimum(near_HW[:, 1:], depth_HW[:, :-1], out=near_HW[:, 1:])
    np.minimum(near_HW[:, :-1], depth_HW[:, 1:], out=near_HW[:, :-1])
    return np.where(sky_HW, near_HW, depth_HW)


def finish(brush: Brush, numbers_HW: np.ndarray, labels_HW: np.ndarray, seed: int) -> np.ndarray:
    """The final picture [H, W, 3] uint8 of what `brush` has drawn, in its look."""
    look = brush.look
    rng = random.Random(f"weather {seed}")
    image = brush.colours().copy()
    kinds = np.array([region.kind for region in brush.regions], np.uint8)
    ground_HW = kinds[numbers_HW] == GROUND
    shade_HW = np.where(ground_HW, 1.0 - look.shadow * (1.0 - brush.shadows()), 1.0)
    image *= shade_HW[..., None].astype(np.float32)
    sky_HW = labels_HW == SKY
    if look.name == "rain":
        _reflect(image, labels_HW, brush)
    if look.haze_m:
        depth_HW = _edges_of_sky(depths(brush, numbers_HW), sky_HW)
        keep = np.where(depth_HW > 999, 1.0, np.exp(-depth_HW / look.haze_m)).astype(np.float32)
        haze = np.array(look.haze, np.float32)
        image = haze + (image - haze) * keep[..., None]
    if look.name == "night":
        _headlights(image, ground_HW, brush)
    if look.lamps:
        _halos(image, brush, numbers_HW)
    if look.name in ("rain", "snow"):
        _fall(image, look, brush.scale, rng)
    return np.clip(image, 0, 255).astype(np.uint8)


def paint_sky(brush: Brush, rng: random.Random) -> None:
    """Fill the empty canvas with the look's sky: gradient, clouds or stars. Region 0 is the sky."""
    look = brush.look
    wide, high = brush.picture.size
    horizon = max(1.0, brush.camera.horizon)
    share_H1 = np.clip(np.arange(high, dtype=np.float32) / horizon, 0, 1)[:, None]
    top, low = np.array(look.sky_top, np.float32), np.array(look.sky_low, np.float32)
    rows_H3 = top + (low - top) * share_H1
    rows_H4 = np.concatenate([rows_H3, np.zeros((high, 1), np.float32)], 1).astype(np.uint8)
    sky = Image.fromarray(rows_H4[:, None]).resize((wide, high), Image.Resampling.NEAREST)
    brush.picture.paste(sky)
    clouds, stars = rng.randint(2, 4), 14
    for _ in range(clouds if look.cloud else 0):
        x, y, r = rng.uniform(0, wide), rng.uniform(0, horizon * 0.8), rng.uniform(0.03, 0.06) * wide
        colour = mix(mix(look.sky_top, look.sky_low, y / horizon), (248, 248, 250), look.cloud)
        for dx, k in ((-1.2, 0.6), (0, 1.0), (1.3, 0.7)):
            brush.oval(x + dx * r, y, k * r * 1.5, k * r * 0.55, colour, lit=True)
    for _ in range(stars if look.name == "night" else 0):
        x, y = rng.uniform(0, wide), rng.uniform(0, horizon * 0.7)
        brush.box(x, y, x + 1, y + 1, (190, 194, 214), lit=True)


def _reflect(image: np.ndarray, labels_HW: np.ndarray, brush: Brush) -> None:
    """Wet road: a smeared mirror image of what stands above each place."""
    high = image.shape[0]
    horizon = int(brush.camera.horizon / brush.scale)
    source = np.clip(2 * horizon - np.arange(horizon, high) + 6, 0, high - 1)
    mirror = image[source]
    smooth = (mirror + np.roll(mirror, 2, 0) + np.roll(mirror, -2, 0) + np.roll(mirror, 4, 0)) / 4
    road = (labels_HW[horizon:] == TRAIN_ID["road"])[..., None]
    part = image[horizon:]
    image[horizon:] = np.where(road, part * 0.55 + smooth * 0.45, part)


def _headlights(image: np.ndarray, ground_HW: np.ndarray, brush: Brush) -> None:
    """The camera car lights the ground in front of it."""
    high, wide = ground_HW.shape
    horizon = brush.camera.horizon / brush.scale
    y = (np.arange(high, dtype=np.float32)[:, None] - horizon) / max(1.0, high - horizon)
    x = (np.arange(wide, dtype=np.float32)[None] - wide / 2) / wide
    cone = (
        np.exp(-((x / (0.1 + 0.25 * np.clip(y, 0, 1))) ** 2)) * np.exp(-(((y - 0.45) / 0.33) ** 2)) * (y > 0)
    )
    image += (cone * np.where(ground_HW, 1.0, 0.35))[..., None] * np.array((92, 86, 66), np.float32)


_HALO = {"night": 0.85, "rain": 0.45, "fog": 0.3}


def _halos(image: np.ndarray, brush: Brush, numbers_HW: np.ndarray) -> None:
    """Soft light around every lamp that is not hidden by something nearer."""
    high, wide = image.shape[:2]
    strength = _HALO[brush.look.name]
    for x, y, radius, colour, number in brush.glows:
        x, y, radius = x / brush.scale, y / brush.scale, min(14.0, max(1.5, radius / brush.scale))
        row, column = min(max(int(y), 0), high - 1), min(max(int(x), 0), wide - 1)
        if numbers_HW[row, column] != number:
            continue
        x0, x1 = max(0, int(x - 2 * radius)), min(wide, int(x + 2 * radius) + 1)
        y0, y1 = max(0, int(y - 2 * radius)), min(high, int(y + 2 * radius) + 1)
        if x0 >= x1 or y0 >= y1:
            continue
        gx = np.arange(x0, x1, dtype=np.float32)[None] + 0.5 - x
        gy = np.arange(y0, y1, dtype=np.float32)[:, None] + 0.5 - y
        light = np.exp(-(gx * gx + gy * gy) / (radius * radius)) * strength
        patch = image[y0:y1, x0:x1]
        patch += (np.array(colour, np.float32) - patch * 0.6) * light[..., None] * 0.8


def _fall(image: np.ndarray, look: Look, scale: int, rng: random.Random) -> None:
    """Rain streaks or snow flakes, larger ones nearer."""
    high, wide = image.shape[:2]
    layer = Image.new("L", (wide * 2, high * 2), 0)
    pen = ImageDraw.Draw(layer)
    unit = high / 48
    if look.name == "rain":
        for _ in range(110):
            x, y, length = rng.uniform(0, wide * 2), rng.uniform(-8, high * 2), rng.uniform(3.5, 8) * unit
            pen.line((x, y, x - 0.28 * length, y + length), rng.randint(80, 190), 1)
        colour = (206, 216, 230)
    else:
        for _ in range(75):
            x, y, r = rng.uniform(0, wide * 2), rng.uniform(0, high * 2), rng.choice((0.35, 0.5, 0.75)) * unit
            pen.ellipse((x - r, y - r, x + r, y + r), 245)
        colour = (255, 255, 255)
    cover = np.asarray(layer.reduce(2), np.float32)[..., None] / 255
    image += (np.array(colour, np.float32) - image) * cover
