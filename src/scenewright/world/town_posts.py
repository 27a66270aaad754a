"""What stands beside the road: trees, street lamps, traffic lights and signs."""

from __future__ import annotations

import random

from scenewright.world.palette import RGB
from scenewright.world.town_paint import Brush
from scenewright.world.town_plan import Item

METAL: RGB = (96, 100, 106)
YELLOW: RGB = (240, 196, 40)


def draw_tree(brush: Brush, item: Item) -> None:
    """A broad tree, a slim one or a conifer; trunk included in the class vegetation."""
    rng = random.Random(item.number)
    camera, Z = brush.camera, item.Z
    px, x, foot = camera.focal / Z, camera.x(item.X, Z), camera.y(0, Z)
    mid, light, dark = brush.look.leaves
    tall, variant = item.size, int(item.variant)
    brush.shade((x - px, foot, x, foot - 0.2 * px, x + 2.2 * px, foot, x, foot + 0.2 * px), 0.5)
    brush.start("vegetation", Z)
    stem = 0.32 * tall if variant != 2 else 0.14 * tall
    brush.poly(
        (
            x - 0.16 * px,
            foot,
            x + 0.16 * px,
            foot,
            x + 0.1 * px,
            foot - (stem + 0.8) * px,
            x - 0.1 * px,
            foot - (stem + 0.8) * px,
        ),
        (96, 66, 44),
    )
    if variant == 2:
        for level, colour in ((0.0, dark), (0.28, mid), (0.54, light)):
            y, half = foot - (stem + level * tall) * px, (0.26 - 0.3 * level) * tall * px
            brush.poly((x - half, y, x + half, y, x, y - 0.44 * tall * px), colour, True)
        return
    wide = (0.3 if variant == 0 else 0.19) * tall * px
    cy, ry = foot - (stem + 0.34 * tall) * px, 0.34 * tall * px
    brush.oval(x, cy, wide, ry, dark, True)
    for _ in range(5):
        a, b, r = rng.uniform(-0.62, 0.62), rng.uniform(-0.62, 0.5), rng.uniform(0.4, 0.6)
        brush.oval(
            x + a * wide, cy + b * ry, r * wide, r * 0.8 * ry, mid if rng.random() < 0.5 else light, True
        )


def draw_lamp(brush: Brush, item: Item) -> None:
    """A street lamp: post, arm over the road, head."""
    camera, Z = brush.camera, item.Z
    px, x, foot = camera.focal / Z, camera.x(item.X, Z), camera.y(0, Z)
    brush.start("pole", Z)
    top, reach = foot - item.size * px, -1.7 * item.number * px
    brush.line((x, foot, x, top, x + reach, top - 0.3 * px), METAL, 0.16 * px)
    on = brush.look.lamps
    brush.box(
        x + reach - 0.45 * px,
        top - 0.45 * px,
        x + reach + 0.35 * px,
        top - 0.15 * px,
        (255, 236, 178) if on else (222, 222, 214),
        on,
    )
    if on:
        brush.glow(x + reach, top - 0.2 * px, 1.7 * px, (255, 214, 140))


BULBS: tuple[tuple[RGB, RGB], ...] = (
    ((255, 44, 34), (92, 24, 22)),
    ((255, 190, 30), (96, 72, 20)),
    ((40, 230, 100), (20, 78, 44)),
)


def _light_box(brush: Brush, x: float, y: float, px: float, state: int) -> None:
    """Three bulbs in a dark housing whose top middle is (x, y)."""
    w, h = max(2.6, 0.27 * px), max(6.5, 1.05 * px)
    brush.box(x - w, y, x + w, y + h, (34, 36, 34))
    r = min(w * 0.7, h * 0.15)
    for index, (on, off) in enumerate(BULBS):
        cy = y + h * (0.2 + 0.3 * index)
        brush.oval(x, cy, r, r, on if index == state else off, index == state)
        if index == state and brush.look.lamps:
            brush.glow(x, cy, 0.8 * px, on)


def light_posts(brush: Brush, item: Item) -> list[tuple[float, float]]:
    """Draws the post of a traffic light; returns the places (x, y) of its light boxes."""
    camera, Z = brush.camera, item.Z
    px, x, foot = camera.focal / Z, camera.x(item.X, Z), camera.y(0, Z)
    brush.start("pole", Z)
    if item.variant == "post":
        brush.line((x, foot, x, foot - 3.4 * px), METAL, 0.15 * px)
        return [(x, foot - 3.9 * px)]
    inward = -1 if item.X > 0 else 1
    reach = inward * min(5.0, item.size + 1.0) * px
    top = foot - 5.4 * px
    brush.line((x, foot, x, top, x + reach, top - 0.2 * px), METAL, 0.17 * px)
    return [(x, foot - 3.6 * px), (x + reach * 0.55, top - 0.1 * px), (x + reach * 0.97, top - 0.2 * px)]


def draw_light_box(brush: Brush, item: Item, place: tuple[float, float]) -> None:
    """One box of a traffic light; the caller has opened its region."""
    _light_box(brush, place[0], place[1], brush.camera.focal / item.Z, item.number // 2)


def sign_post(brush: Brush, item: Item) -> tuple[float, float]:
    """Draws the post of a sign; returns the middle of the plate."""
    camera, Z = brush.camera, item.Z
    px, x, foot = camera.focal / Z, camera.x(item.X, Z), camera.y(0, Z)
    brush.start("pole", Z)
    brush.line((x, foot, x, foot - item.size * px), (150, 154, 158), 0.1 * px)
    return x, foot - item.size * px


RED: RGB = (212, 32, 36)
BLUE: RGB = (32, 86, 190)
WHITE: RGB = (244, 244, 240)


def draw_sign(brush: Brush, item: Item, place: tuple[float, float]) -> None:
    """A plate: stop, limit, no entry, warning triangle, parking, priority diamond or crossing."""
    (x, y), px = place, brush.camera.focal / item.Z
    r = max(3.5, 0.48 * px)
    kind = item.number
    if kind in (0, 1, 2):
        brush.oval(x, y, r, r, RED)
        if kind == 0:
            brush.oval(x, y, r * 0.66, r * 0.66, WHITE)
            brush.box(x - r * 0.32, y - r * 0.3, x - r * 0.1, y + r * 0.3, (40, 40, 40))
            brush.box(x + r * 0.1, y - r * 0.3, x + r * 0.32, y + r * 0.3, (40, 40, 40))
        else:
            brush.box(x - r * 0.62, y - r * 0.2, x + r * 0.62, y + r * 0.2, WHITE)
    elif kind == 3:
        for k, colour in ((1.0, RED), (0.55, WHITE)):
            brush.poly((x - r * k, y + r * 0.8 * k, x + r * k, y + r * 0.8 * k, x, y - r * k), colour)
    elif kind == 5:
        for k, colour in ((1.1, WHITE), (0.75, YELLOW)):
            brush.poly((x - r * k, y, x, y - r * k, x + r * k, y, x, y + r * k), colour)
    else:
        brush.box(x - r * 0.9, y - r * 0.9, x + r * 0.9, y + r * 0.9, BLUE)
        if kind == 4:
            brush.box(x - r * 0.4, y - r * 0.6, x - r * 0.15, y + r * 0.6, WHITE)
            brush.box(x - r * 0.4, y - r * 0.6, x + r * 0.4, y + r * 0.1, WHITE)
            brush.box(x - r * 0.15, y - r * 0.35, x + r * 0.15, y - r * 0.12, BLUE)
        else:
            brush.poly((x - r * 0.65, y + r * 0.6, x + r * 0.65, y + r * 0.6, x, y - r * 0.65), WHITE)
