"""What stands where in one street: numbers only, drawn from a seed, the same for every look.

Lengths in metres; X is 0 at the camera, positive to the right; the ego lane is centred on the camera.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from scenewright.world.palette import COLOURS, RGB
from scenewright.world.town_people import HAIRS, SKINS, TROUSERS, Outfit
from scenewright.world.town_vehicles import CAR_SHAPES

KINDS = ("downtown", "suburb", "avenue", "outskirts")
LANE = 3.2


@dataclass(frozen=True)
class Side:
    """One piece of what lines the street: `kind` building, house, wall, fence, hedge or open.

    `X` signed lateral position of its front, from `Z0` to `Z1`, `height`, `style` a number that
    fixes details.
    """

    kind: str
    X: float
    Z0: float
    Z1: float
    height: float
    style: int


@dataclass(frozen=True)
class Item:
    """One free-standing object. `kind` class name (tree, lamp, light and sign name whole posts).

    `X`, `Z` foot; `heading` as in `town_vehicles.HEADINGS` or ""; `variant` shape name; RGB `colour`, `trim`;
    `colour_name` word for captions ("" if none); `number` a style number (1 on parked cars); `size` metres;
    `outfit` of people.
    """

    kind: str
    X: float
    Z: float
    heading: str = ""
    variant: str = ""
    colour: RGB = (128, 128, 128)
    trim: RGB = (220, 220, 220)
    colour_name: str = ""
    number: int = 0
    size: float = 1.0
    outfit: Outfit | None = None


@dataclass(frozen=True)
class Plan:
    """A whole street. `left`, `right` road edges; `kerb_left`, `kerb_right` outer edges of the pavements."""

    kind: str
    left: float
    right: float
    kerb_left: float
    kerb_right: float
    verge: float
    horizon: float
    eye: float
    crossing: float
    zebra: bool
    rails: bool
    skyline: int
    sides: tuple[Side, ...]
    items: tuple[Item, ...]


CAR_PAINT: tuple[tuple[str, float], ...] = (
    ("white", 0.2), ("black", 0.13), ("silver", 0.17), ("red", 0.17), ("blue", 0.15),
    ("green", 0.06), ("yellow", 0.07), ("purple", 0.03), ("pink", 0.02),
)  # fmt: skip
SILVER: RGB = (162, 168, 176)
COATS = ("red", "blue", "yellow", "green", "black", "white", "pink", "purple")


def paint(name: str) -> RGB:
    """RGB of a colour word used in the town (the palette's eight and "silver")."""
    return SILVER if name == "silver" else COLOURS[name]


def make_plan(seed: int) -> Plan:
    """The street of a seed. Same seed, same plan, on every machine."""
    rng = random.Random(f"town {seed}")
    kind = rng.choices(KINDS, (0.44, 0.24, 0.17, 0.15))[0]
    lanes_left = rng.choice((1, 1, 2))
    parking = (rng.random() < 0.55, rng.random() < 0.55)
    rails = rng.random() < (0.13 if kind in ("downtown", "avenue") else 0.03)
    left = -(LANE / 2 + LANE * lanes_left + (2.3 if parking[0] else 0.3))
    right = LANE / 2 + rng.choice((0.0, 0.0, LANE)) + (2.3 if parking[1] else 0.3)
    walk_left, walk_right = rng.uniform(1.8, 3.6), rng.uniform(1.8, 3.6)
    verge = {
        "downtown": 0.0,
        "suburb": rng.uniform(1.5, 4.0),
        "avenue": rng.uniform(2.5, 5.0),
        "outskirts": rng.uniform(0, 4),
    }[kind]
    crossing = rng.uniform(13.0, 30.0) if rng.random() < (0.45 if kind == "downtown" else 0.22) else 0.0
    base = Plan(
        kind, left, right, left - walk_left, right + walk_right, verge, rng.uniform(0.42, 0.5),
        rng.uniform(1.45, 2.0), crossing,
        crossing > 0 and rng.random() < 0.75, rails, rng.getrandbits(30), (), (),
    )  # fmt: skip
    sides = tuple(_sides(rng, base, -1) + _sides(rng, base, 1))
    items = _street_furniture(rng, base) + _traffic(rng, base, parking) + _people(rng, base)
    items.sort(key=lambda item: -item.Z)
    return Plan(**{**base.__dict__, "sides": sides, "items": tuple(items)})


_SIDE_WEIGHTS = {
    "downtown": (("building", 0.86), ("wall", 0.03), ("fence", 0.04), ("open", 0.07)),
    "suburb": (("house", 0.62), ("building", 0.08), ("hedge", 0.1), ("fence", 0.13), ("wall", 0.03),
               ("open", 0.04)),
    "avenue": (("hedge", 0.3), ("open", 0.3), ("building", 0.25), ("fence", 0.1), ("wall", 0.05)),
    "outskirts": (("fence", 0.3), ("wall", 0.22), ("building", 0.2), ("open", 0.2), ("hedge", 0.08)),
}  # fmt: skip


def _sides(rng: random.Random, plan: Plan, sign: int) -> list[Side]:
    """Everything that lines one side, far pieces first."""
    found: list[Side] = []
    front = plan.kerb_right if sign > 0 else -plan.kerb_left
    names, weights = zip(*_SIDE_WEIGHTS[plan.kind], strict=True)
    tall = rng.uniform(9, 26)
    Z = rng.uniform(1.5, 4.0)
    while Z < 70:
        kind = rng.choices(names, weights)[0]
        end = Z + {"building": rng.uniform(8, 18), "house": rng.uniform(7, 11)}.get(kind, rng.uniform(9, 20))
        if plan.crossing and Z < plan.crossing + 4.5 and end > plan.crossing - 4.5:
            if Z > plan.crossing - 9:
                Z = plan.crossing + 5.0
                continue
            end = plan.crossing - 5.0
        if kind == "building":
            low = plan.kind in ("suburb", "outskirts")
            height = rng.uniform(4, 8) if low else max(6.0, tall * rng.uniform(0.6, 1.5))
            X = front + plan.verge
        elif kind == "house":
            height, X = rng.uniform(3.2, 6.2), front + plan.verge + rng.uniform(1.0, 4.0)
        else:
            height = {
                "wall": rng.uniform(1.8, 3.2),
                "fence": rng.uniform(1.1, 1.9),
                "hedge": rng.uniform(1.0, 2.4),
            }.get(kind, 0.0)
            X = front + plan.verge * 0.6 + 0.1
        found.append(Side(kind, sign * X, Z, end, height, rng.getrandbits(40)))
        if kind == "house" and rng.random() < 0.5:
            low_kind = rng.choice(("fence", "fence", "hedge", "wall"))
            low_height = {"fence": 1.0, "hedge": 0.9, "wall": 0.9}[low_kind]
            found.append(
                Side(low_kind, sign * (front + plan.verge * 0.5), Z, end, low_height, rng.getrandbits(40))
            )
        Z = end + (rng.uniform(1.0, 4.0) if kind == "house" else rng.choice((0.0, 0.0, 0.0, 3.0)))
    return found[::-1]


def _street_furniture(rng: random.Random, plan: Plan) -> list[Item]:
    items: list[Item] = []
    trees = {"downtown": 0.35, "suburb": 0.6, "avenue": 0.95, "outskirts": 0.4}[plan.kind]
    for sign, edge, outer in ((-1, plan.left, plan.kerb_left), (1, plan.right, plan.kerb_right)):
        row = rng.random() < trees
        kind = rng.choices((0, 1, 2), (0.7, 0.2, 0.1))[0]
        Z = rng.uniform(7, 14)
        while row and Z < 60:
            if abs(Z - plan.crossing) > 6:
                X = outer - 0.5 * sign if plan.verge < 1 else outer + sign * 0.5 * plan.verge
                items.append(
                    Item(
                        "tree",
                        X,
                        Z,
                        number=rng.getrandbits(30),
                        variant=str(kind),
                        size=rng.uniform(4.0, 8.0),
                    )
                )
            Z += rng.uniform(6, 13)
        if rng.random() < 0.65:
            Z, step = rng.uniform(7, 16), rng.uniform(13, 22)
            while Z < 60:
                items.append(Item("lamp", edge + 0.4 * sign, Z, number=sign, size=rng.choice((6.0, 7.5))))
                Z += step
        for _ in range(rng.choices((0, 1, 2), (0.5, 0.35, 0.15))[0]):
            Z = rng.uniform(6.5, 24)
            items.append(
                Item("sign", edge + 0.5 * sign, Z, number=rng.randrange(7), size=rng.uniform(2.3, 2.9))
            )
    items += _lights(rng, plan)
    return items


def _lights(rng: random.Random, plan: Plan) -> list[Item]:
    if not plan.crossing or rng.random() < 0.25:
        return []
    state = rng.randrange(3)
    Z = plan.crossing - 5.2
    items = []
    for sign, edge in ((-1, plan.left), (1, plan.right)):
        if rng.random() < 0.8:
            style = "arm" if rng.random() < 0.4 else "post"
            items.append(
                Item(
                    "light",
                    edge + 0.45 * sign,
                    Z,
                    variant=style,
                    number=state * 2 + (sign > 0),
                    size=abs(edge),
                )
            )
    return items


def _vehicle(rng: random.Random, kind: str, X: float, Z: float, heading: str) -> Item:
    names, weights = zip(*CAR_PAINT, strict=True)
    name = rng.choices(names, weights)[0]
    trim = rng.choice(
        (COLOURS["white"], COLOURS["white"], SILVER, COLOURS["blue"], COLOURS["green"], COLOURS["red"])
    )
    if kind in ("bus", "train"):
        name = rng.choice(
            ("red", "yellow", "white", "green", "blue")
            if kind == "bus"
            else ("red", "yellow", "green", "white")
        )
        trim = COLOURS["white"] if name != "white" else rng.choice((COLOURS["red"], COLOURS["blue"]))
    if kind == "truck":
        name = rng.choice(("red", "blue", "white", "yellow", "green"))
    shape = rng.choices(CAR_SHAPES, (0.34, 0.3, 0.24, 0.12))[0]
    return Item(kind, X, Z, heading, shape, paint(name), trim, name)


_LENGTH = {"car": 4.6, "truck": 7.4, "bus": 11.0, "train": 18.0}


def _traffic(rng: random.Random, plan: Plan, parking: tuple[bool, bool]) -> list[Item]:
    items: list[Item] = []

    def lane(X: float, heading: str, first: float, chance: float, gap: tuple[float, float]) -> None:
        Z = first
        while Z < 55:
            kind = rng.choices(("car", "truck", "bus"), (0.9, 0.05, 0.05))[0]
            length = _LENGTH[kind]
            clear = not plan.crossing or abs(Z + length / 2 - plan.crossing) > 4.5 + length / 2
            if rng.random() < chance and clear:
                items.append(_vehicle(rng, kind, X + rng.uniform(-0.3, 0.3), Z + length / 2, heading))
            Z += length + rng.uniform(*gap)

    density = rng.choice((0.25, 0.5, 0.75))
    lane(0.0, "away", rng.uniform(6.5, 14), density, (3, 14))
    lanes_left = round((-plan.left - LANE / 2) // LANE)
    tram = plan.rails and rng.random() < 0.75
    for number in range(lanes_left):
        if tram and number == 0:
            items.append(_vehicle(rng, "train", -LANE, rng.uniform(19, 32), "towards"))
            continue
        lane(-LANE * (number + 1), "towards", rng.uniform(5, 16), density, (4, 16))
    if plan.right > LANE * 1.5:
        lane(LANE, "away", rng.uniform(4.5, 14), density, (3, 12))
    for here, X, heading in (
        (parking[0], plan.left + 1.15, "towards"),
        (parking[1], plan.right - 1.15, "away"),
    ):
        Z = rng.uniform(5, 9)
        while here and Z < 50:
            if rng.random() < 0.7 and (not plan.crossing or abs(Z - plan.crossing) > 9):
                items.append(replace(_vehicle(rng, "car", X, Z, heading), number=1))
            Z += rng.uniform(5.2, 7.0)
    if plan.crossing and rng.random() < 0.6:
        kind = rng.choices(("car", "truck", "bus"), (0.62, 0.18, 0.2))[0]
        heading = rng.choice(("left", "right"))
        items.append(
            _vehicle(
                rng, kind, rng.uniform(-9, 9), plan.crossing + (1.6 if heading == "right" else -1.0), heading
            )
        )
    return items + _two_wheelers(rng, plan)


def _outfit(rng: random.Random) -> Outfit:
    name = rng.choice(COATS)
    skin, hair, legs = rng.choice(SKINS), rng.choice(HAIRS), rng.choice(TROUSERS)
    return Outfit(COLOURS[name], legs, skin, hair, name, bag=rng.random() < 0.25, skirt=rng.random() < 0.2)


def _two_wheelers(rng: random.Random, plan: Plan) -> list[Item]:
    items: list[Item] = []
    for kind, ridden, parked in (("bicycle", 0.14, 0.16), ("motorcycle", 0.08, 0.07)):
        name = rng.choice(("red", "blue", "green", "yellow", "black", "white"))
        outfit = _outfit(rng)
        if rng.random() < ridden:
            view = rng.choice(("away", "left", "right"))
            X = (
                plan.right - 0.8 - (1.6 if rng.random() < 0.5 else 0)
                if view == "away"
                else rng.uniform(-3, 3)
            )
            Z = rng.uniform(6, 16)
            items.append(Item(kind, X, Z, view, "ridden", COLOURS[name], outfit.coat, name, outfit=outfit))
        if rng.random() < parked:
            sign, edge = rng.choice(((-1, plan.left), (1, plan.right)))
            view = rng.choice(("left", "right"))
            items.append(
                Item(
                    kind,
                    edge + sign * rng.uniform(0.7, 1.4),
                    rng.uniform(6, 15),
                    view,
                    "parked",
                    COLOURS[name],
                    colour_name=name,
                )
            )
    return items


def _people(rng: random.Random, plan: Plan) -> list[Item]:
    items: list[Item] = []
    busy = {"downtown": (2, 7), "suburb": (0, 4), "avenue": (1, 5), "outskirts": (0, 2)}[plan.kind]
    for _ in range(rng.randint(*busy)):
        if plan.zebra and rng.random() < 0.35:
            X, Z = rng.uniform(plan.left, plan.right), plan.crossing - 6.0 + rng.uniform(-0.8, 0.8)
        else:
            low, high = rng.choice(((plan.kerb_left, plan.left), (plan.right, plan.kerb_right)))
            X, Z = rng.uniform(low + 0.4, high - 0.4), 5.5 + 16 * rng.random() ** 1.6
        outfit = _outfit(rng)
        size = rng.choice((1.0, 1.0, 1.0, 0.68)) * rng.uniform(1.62, 1.86)
        items.append(
            Item(
                "person",
                X,
                Z,
                rng.choice(("left", "right")),
                "",
                outfit.coat,
                colour_name=outfit.name,
                number=rng.randrange(3),
                size=size,
                outfit=outfit,
            )
        )
    return items
