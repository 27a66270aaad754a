"""The street itself: ground, marks, skyline and the fronts that line it."""

from __future__ import annotations

import random

from scenewright.world.palette import RGB, darker, lighter, mix
from scenewright.world.town_paint import GROUND, LEFT, RIGHT, Brush
from scenewright.world.town_plan import LANE, Plan, Side

FAR = 75.0
SNOW: RGB = (246, 249, 254)
MARK: RGB = (236, 234, 226)
YELLOW: RGB = (240, 196, 40)
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
    brush.box(0, camera.horizon, wide, high, base, lit=True)
    if plan.crossing:
        brush.start("sidewalk", 20, GROUND)
        brush.ground(-99, 99, max(near, plan.crossing - 6), plan.crossing + 6, look.walk)
    brush.start("sidewalk", 20, GROUND)
    brush.ground(plan.kerb_left, plan.kerb_right, near, FAR, look.walk)
    for edge, sign in ((plan.left, -1), (plan.right, 1)):
        brush.ground(edge, edge + 0.18 * sign, near, FAR, lighter(look.walk, 0.25))
    brush.start("road", 20, GROUND)
    brush.ground(plan.left, plan.right, near, FAR, look.road)
    if plan.crossing:
        brush.ground(-99, 99, plan.crossing - 4, plan.crossing + 4, look.road)
    _marks(brush, plan, near)


def _marks(brush: Brush, plan: Plan, near: float) -> None:
    look = brush.look
    white = mix(look.tone(MARK), look.road, 0.12 + 0.5 * look.snow)
    yellow = mix(look.tone(YELLOW), look.road, 0.1 + 0.6 * look.snow)
    gap = (plan.crossing - 7.5, plan.crossing + 5) if plan.crossing else (0.0, 0.0)
    if look.snow:
        track = mix(look.road, (120, 124, 132), 0.55)
        for X in (-0.75, 0.75, -LANE - 0.75, -LANE + 0.75):
            brush.ground(X - 0.22, X + 0.22, near, FAR, track)
    if plan.rails:
        for X in (-LANE - 0.72, -LANE + 0.72):
            brush.ground(X - 0.09, X + 0.09, near, FAR, mix(look.tone((52, 50, 52)), look.road, 0.15))
    middle = -LANE / 2
    for low, high in ((near, gap[0]), (gap[1], FAR)) if plan.crossing else ((near, FAR),):
        if high > low:
            for X in (middle - 0.16, middle + 0.06) if not plan.rails else ():
                brush.ground(X, X + 0.1, low, high, yellow)
    lines = [X for X in (LANE / 2, middle - LANE) if plan.left + 1.0 < X < plan.right - 1.0]
    for X in lines:
        Z = 3.0
        while Z < 45:
            if not gap[0] < Z + 2 < gap[1] + 2:
                brush.ground(X - 0.08, X + 0.08, Z, Z + 2.4, white)
            Z += 5.5
    if plan.zebra:
        X = plan.left + 0.3
        while X < plan.right - 0.5:
            brush.ground(X, X + 0.5, plan.crossing - 7.4, plan.crossing - 4.8, white)
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
            for _ in range(4):
                lx, ly = rng.uniform(x, x + step - 2), rng.uniform(top, camera.horizon)
                if brush.look.name == "night":
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
    eave = (side.X - 0.4 * sign, h - 0.25)
    brush.face(
        ((*eave, near), (middle, ridge, near), (middle, ridge, side.Z1), (*eave, side.Z1)),
        roof,
    )
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
    X, h, back = side.X, side.height, side.X + (1.6 if side.X > 0 else -1.6)
    brush.face(((X, 0, near), (X, h, near), (back, h, near), (back, 0, near)), dark, True)
    brush.face(((X, 0, near), (X, h, near), (X, h, side.Z1), (X, 0, side.Z1)), mid, True)
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
