"""The street itself: sky, ground, fronts, trees and posts."""

from __future__ import annotations

import random

from scenewright.world.palette import RGB, darker, lighter, mix
from scenewright.world.town_paint import GROUND, LEFT, RIGHT, Brush
from scenewright.world.town_plan import LANE, Item, Plan, Side

FAR = 75.0
SNOW: RGB = (246, 249, 254)
MARK: RGB = (236, 234, 226)
YELLOW: RGB = (240, 196, 40)
METAL: RGB = (96, 100, 106)
WINDOW: RGB = (66, 88, 110)
WINDOW_LIT: tuple[RGB, ...] = ((255, 214, 118), (255, 232, 170), (255, 196, 92))
FRONTS: tuple[RGB, ...] = (
    (176, 92, 70), (206, 182, 142), (150, 152, 158), (222, 214, 196), (120, 130, 148), (196, 150, 100),
    (146, 112, 92), (104, 134, 158),
)  # fmt: skip
ROOFS: tuple[RGB, ...] = ((150, 66, 48), (96, 70, 62), (84, 88, 98))
AWNINGS: tuple[RGB, ...] = ((200, 44, 40), (36, 120, 70), (40, 80, 170), (230, 180, 50))


def draw_ground(brush: Brush, plan: Plan) -> None:
    """Land, pavements, verge, road, marks, cross street and zebra crossing."""
    look, camera = brush.look, brush.camera
    wide, high = brush.picture.size
    near = max(0.9, camera.focal * camera.height / max(1.0, high - camera.horizon) * 0.9)
    brush.start("terrain" if plan.verge > 0 else "sidewalk", 20, GROUND)
    base = look.grass if plan.verge > 0 else look.walk
    _lit_box(brush, 0, camera.horizon, wide, high, base)
    if plan.crossing:
        brush.start("sidewalk", 20, GROUND)
        _lit_ground(brush, -99, 99, max(near, plan.crossing - 6), plan.crossing + 6, look.walk)
    brush.start("sidewalk", 20, GROUND)
    _lit_ground(brush, plan.kerb_left, plan.kerb_right, near, FAR, look.walk)
    for edge, sign in ((plan.left, -1), (plan.right, 1)):
        _lit_ground(brush, edge, edge + 0.18 * sign, near, FAR, lighter(look.walk, 0.25))
    brush.start("road", 20, GROUND)
    _lit_ground(brush, plan.left, plan.right, near, FAR, look.road)
    if plan.crossing:
        _lit_ground(brush, -99, 99, plan.crossing - 4, plan.crossing + 4, look.road)
    _marks(brush, plan, near)


def _lit_box(brush: Brush, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
    brush.box(x0, y0, x1, y1, colour, lit=True)


def _lit_ground(brush: Brush, X0: float, X1: float, Z0: float, Z1: float, colour: RGB) -> None:
    """Ground colours come from the look itself, so they are not recoloured."""
    camera = brush.camera
    near, far = camera.y(0, Z0), camera.y(0, Z1)
    brush.poly(
        (camera.x(X0, Z0), near, camera.x(X1, Z0), near, camera.x(X1, Z1), far, camera.x(X0, Z1), far),
        colour,
        lit=True,
    )


def _marks(brush: Brush, plan: Plan, near: float) -> None:
    look = brush.look
    white = mix(look.tone(MARK), look.road, 0.12 + 0.5 * look.snow)
    yellow = mix(look.tone(YELLOW), look.road, 0.1 + 0.6 * look.snow)
    gap = (plan.crossing - 7.5, plan.crossing + 5) if plan.crossing else (0.0, 0.0)
    if look.snow:
        track = mix(look.road, (120, 124, 132), 0.55)
        for X in (-0.75, 0.75, -LANE - 0.75, -LANE + 0.75):
            _lit_ground(brush, X - 0.22, X + 0.22, near, FAR, track)
    if plan.rails:
        for X in (-LANE - 0.72, -LANE + 0.72):
            _lit_ground(brush, X - 0.09, X + 0.09, near, FAR, mix(look.tone((52, 50, 52)), look.road, 0.15))
    middle = -LANE / 2
    for low, high in ((near, gap[0]), (gap[1], FAR)) if plan.crossing else ((near, FAR),):
        if high > low:
            for X in (middle - 0.16, middle + 0.06) if not plan.rails else ():
                _lit_ground(brush, X, X + 0.1, low, high, yellow)
    lines = [X for X in (LANE / 2, middle - LANE) if plan.left + 1.0 < X < plan.right - 1.0]
    for X in lines:
        Z = 3.0
        while Z < 45:
            if not gap[0] < Z + 2 < gap[1] + 2:
                _lit_ground(brush, X - 0.08, X + 0.08, Z, Z + 2.4, white)
            Z += 5.5
    if plan.zebra:
        X = plan.left + 0.3
        while X < plan.right - 0.5:
            _lit_ground(brush, X, X + 0.5, plan.crossing - 7.4, plan.crossing - 4.8, white)
            X += 1.0


def draw_skyline(brush: Brush, plan: Plan) -> None:
    """What closes the view: a far row of buildings or trees on the horizon."""
    rng = random.Random(plan.skyline)
    camera = brush.camera
    wide = brush.picture.size[0]
    px = camera.focal / FAR
    town = plan.kind == "downtown" or rng.random() < 0.4
    x = -10.0
    while x < wide:
        step = rng.uniform(5, 14) * px
        tall = rng.uniform(6, 26 if plan.kind == "downtown" else 13)
        colour = rng.choice(FRONTS)
        if town and rng.random() < 0.8:
            brush.start("building", FAR)
            colour = mix(colour, (150, 160, 176), 0.5)
            top = camera.y(tall, FAR)
            brush.box(x, top, x + step, camera.horizon + 3 * px, colour)
            if brush.look.name == "night":
                for _ in range(4):
                    lx, ly = rng.uniform(x, x + step), rng.uniform(top, camera.horizon)
                    brush.box(lx, ly, lx + 1, ly + 1, WINDOW_LIT[0], True)
        else:
            brush.start("vegetation", FAR)
            r = step * 0.7
            brush.poly(
                (
                    x,
                    camera.horizon + 3 * px,
                    x + step,
                    camera.horizon + 3 * px,
                    x + step,
                    camera.horizon - 2 * px,
                    x,
                    camera.horizon - 2 * px,
                ),
                brush.look.leaves[2],
                True,
            )
            brush.oval(
                x + step / 2, camera.horizon - 2 * px, r, rng.uniform(2, 5) * px, brush.look.leaves[2], True
            )
        x += step


def draw_side(brush: Brush, side: Side) -> None:
    """One piece of the street's lining."""
    _SIDE_DRAWERS[side.kind](brush, side, random.Random(side.style))


def _nothing(brush: Brush, side: Side, rng: random.Random) -> None:
    """An open plot."""


def _front_face(brush: Brush, side: Side, height: float, colour: RGB, depth: float) -> None:
    """The end wall that looks towards the camera."""
    camera = brush.camera
    x0 = camera.x(side.X, side.Z0)
    x1 = camera.x(side.X + (depth if side.X > 0 else -depth), side.Z0)
    brush.box(x0, camera.y(height, side.Z0), x1, camera.y(0, side.Z0), colour)


def _building(brush: Brush, side: Side, rng: random.Random) -> None:
    brush.start("building", side.X, LEFT if side.X < 0 else RIGHT)
    colour = rng.choice(FRONTS)
    _front_face(brush, side, side.height, darker(colour, 0.78), 14)
    near = max(side.Z0, 1.2)
    brush.side(side.X, 0, side.height, near, side.Z1, colour)
    brush.side(
        side.X,
        side.height - 0.5,
        side.height,
        near,
        side.Z1,
        mix(darker(colour, 0.75), SNOW, brush.look.snow),
    )
    shop = rng.random() < 0.6 and side.height > 7
    _windows(brush, side, rng, near, 3.6 if shop else 1.0)
    if shop:
        _shop(brush, side, rng, near)
    elif rng.random() < 0.8:
        Z = near + (side.Z1 - near) * rng.uniform(0.3, 0.7)
        brush.side(side.X, 0, 2.3, Z, Z + 1.3, darker(colour, 0.4))


def _windows(brush: Brush, side: Side, rng: random.Random, near: float, first: float) -> None:
    """Rows and columns of windows in perspective; bands where they would be too small to see."""
    camera, night = brush.camera, brush.look.name == "night"
    storey, pitch = rng.choice((2.9, 3.3)), rng.choice((2.2, 2.8, 3.4))
    share = rng.choice((0.5, 0.6, 0.8))
    bits, lit_share = rng.getrandbits(256), rng.choice((2, 3))
    top = min(side.height - 1.2, camera.height + camera.horizon * side.Z1 / camera.focal)
    columns: list[tuple[float, float]] = []
    Z = near + 0.5 * (1 - share) * pitch
    while Z + pitch * share < side.Z1:
        columns.append((Z, Z + pitch * share))
        Z += pitch
    tall = storey * 0.55
    index = 0
    for Z0, Z1 in columns:
        x0, x1 = camera.x(side.X, Z0), camera.x(side.X, Z1)
        if abs(x1 - x0) < 1.3 or max(x0, x1) < 0 or min(x0, x1) > brush.picture.size[0]:
            continue
        s0, s1 = camera.focal / Z0, camera.focal / Z1
        h = first
        while h + tall < top + storey and h + tall < side.height - 0.4:
            index += 1
            lit = night and (bits >> (index * 2 % 254)) & 3 < lit_share - 1
            low, high = camera.height - h, camera.height - h - tall
            brush.poly(
                (x0, camera.horizon + s0 * low, x0, camera.horizon + s0 * high,
                 x1, camera.horizon + s1 * high, x1, camera.horizon + s1 * low),
                WINDOW_LIT[index % 3] if lit else WINDOW, lit,
            )  # fmt: skip
            h += storey


def _shop(brush: Brush, side: Side, rng: random.Random, near: float) -> None:
    night = brush.look.lamps
    awning = rng.choice(AWNINGS)
    brush.side(side.X, 0.4, 2.5, near + 0.6, side.Z1 - 0.6, (255, 222, 150) if night else (70, 84, 96), night)
    inner = side.X - (0.9 if side.X > 0 else -0.9)
    camera = brush.camera
    Z0, Z1 = near + 0.4, side.Z1 - 0.4
    brush.poly(
        (camera.x(side.X, Z0), camera.y(3.2, Z0), camera.x(side.X, Z1), camera.y(3.2, Z1),
         camera.x(inner, Z1), camera.y(2.6, Z1), camera.x(inner, Z0), camera.y(2.6, Z0)),
        mix(awning, SNOW, brush.look.snow),
    )  # fmt: skip


def _house(brush: Brush, side: Side, rng: random.Random) -> None:
    brush.start("building", side.X, LEFT if side.X < 0 else RIGHT)
    camera, sign = brush.camera, 1 if side.X > 0 else -1
    colour, roof = lighter(rng.choice(FRONTS), 0.25), rng.choice(ROOFS)
    roof = mix(roof, SNOW, brush.look.snow)
    near, h = max(side.Z0, 1.2), side.height
    ridge, deep = h + 2.6, 7.0
    middle, back = side.X + sign * deep / 2, side.X + sign * deep
    x0, xm, x1 = camera.x(side.X, near), camera.x(middle, near), camera.x(back, near)
    y = camera.y
    brush.poly(
        (x0, y(0, near), x0, y(h, near), xm, y(ridge, near), x1, y(h, near), x1, y(0, near)),
        darker(colour, 0.8),
    )
    if near * 6 < camera.focal:
        wx0, wx1 = camera.x(side.X + sign * 2.4, near), camera.x(side.X + sign * 4.2, near)
        brush.box(
            wx0,
            y(2.2, near),
            wx1,
            y(1.0, near),
            WINDOW_LIT[0] if brush.look.name == "night" else WINDOW,
            brush.look.name == "night",
        )
    brush.side(side.X, 0, h, near, side.Z1, colour)
    brush.poly(
        (camera.x(side.X - 0.4 * sign, near), y(h - 0.25, near), xm, y(ridge, near), camera.x(middle, side.Z1), y(ridge, side.Z1),
         camera.x(side.X - 0.4 * sign, side.Z1), y(h - 0.25, side.Z1)),
        roof,
    )  # fmt: skip
    _windows(brush, side, rng, near, 0.9)
    Z = near + (side.Z1 - near) * rng.uniform(0.35, 0.6)
    brush.side(side.X, 0, 2.1, Z, Z + 1.1, rng.choice(AWNINGS))


def _wall(brush: Brush, side: Side, rng: random.Random) -> None:
    brush.start("wall", side.X, LEFT if side.X < 0 else RIGHT)
    colour = rng.choice(((168, 104, 84), (172, 166, 156), (138, 136, 134)))
    near = max(side.Z0, 1.2)
    _front_face(brush, side, side.height, darker(colour, 0.75), 0.35)
    brush.side(side.X, 0, side.height, near, side.Z1, colour)
    for row in range(1, 4):
        h = side.height * row / 4
        brush.side(side.X, h - 0.04, h + 0.04, near, side.Z1, darker(colour, 0.72))
    Z = near + 1.0
    while Z < side.Z1:
        brush.side(side.X, 0, side.height, Z, Z + 0.12, darker(colour, 0.72))
        Z += 2.5
    brush.side(
        side.X,
        side.height - 0.02,
        side.height + 0.14,
        near,
        side.Z1,
        mix(lighter(colour, 0.3), SNOW, brush.look.snow),
    )


def _fence(brush: Brush, side: Side, rng: random.Random) -> None:
    brush.start("fence", side.X, LEFT if side.X < 0 else RIGHT)
    colour = rng.choice(((232, 228, 220), (146, 96, 54), (70, 78, 74), (150, 156, 162)))
    near = max(side.Z0, 1.2)
    brush.side(side.X, 0.1, side.height, near, side.Z1, darker(colour, 0.45))
    for share in (0.3, 0.86):
        brush.side(side.X, side.height * share - 0.07, side.height * share + 0.07, near, side.Z1, colour)
    Z = near
    while Z < side.Z1:
        if abs(brush.camera.x(side.X, Z) - brush.camera.x(side.X, Z + 0.45)) > 2.5:
            brush.side(side.X, 0, side.height + 0.1, Z, Z + 0.22, colour)
            Z += 0.45
        else:
            brush.side(side.X, 0, side.height + 0.1, Z, Z + 0.7, colour)
            Z += 2.4


def _hedge(brush: Brush, side: Side, rng: random.Random) -> None:
    brush.start("vegetation", side.X, LEFT if side.X < 0 else RIGHT)
    mid, light, dark = brush.look.leaves
    near, camera = max(side.Z0, 1.2), brush.camera
    _front = side.X + (1.6 if side.X > 0 else -1.6)
    brush.poly(
        (camera.x(side.X, near), camera.y(0, near), camera.x(side.X, near), camera.y(side.height, near),
         camera.x(_front, near), camera.y(side.height, near), camera.x(_front, near), camera.y(0, near)), dark, True,
    )  # fmt: skip
    brush.poly(
        (camera.x(side.X, near), camera.y(0, near), camera.x(side.X, near), camera.y(side.height, near),
         camera.x(side.X, side.Z1), camera.y(side.height, side.Z1), camera.x(side.X, side.Z1), camera.y(0, side.Z1)), mid, True,
    )  # fmt: skip
    Z = side.Z1
    while Z > near:
        r = side.height * 0.3 * camera.focal / Z
        brush.oval(
            camera.x(side.X, Z),
            camera.y(side.height * 0.92, Z),
            r * 1.2,
            r,
            light if rng.random() < 0.5 else mid,
            True,
        )
        Z -= max(0.9, side.height * 0.6)


_SIDE_DRAWERS = {
    "building": _building,
    "house": _house,
    "wall": _wall,
    "fence": _fence,
    "hedge": _hedge,
    "open": _nothing,
}


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
