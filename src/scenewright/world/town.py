"""The town: streets with the 19 Cityscapes classes, in six looks of the same geometry.

"game" is the look of a labelled source domain; clear, fog, rain, snow and night are targets. `draw` gives the
same street and the same ground truth for a seed in every look.

H, W pixels; ground truth is exact because colour and region number are written by one stroke.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from scenewright.errors import InputError, nearest
from scenewright.scene import Box, Instance, Mask, Scene
from scenewright.world import town_people, town_posts, town_street, town_vehicles
from scenewright.world.drawn import Drawn
from scenewright.world.town_caption import View, caption, phrase_of
from scenewright.world.town_classes import NAMES as CLASSES
from scenewright.world.town_looks import LOOKS as _LOOKS
from scenewright.world.town_paint import Brush, Camera
from scenewright.world.town_people import Figure
from scenewright.world.town_plan import Item, Plan, make_plan
from scenewright.world.town_weather import finish, paint_sky

__all__ = ["CLASSES", "LOOKS", "SIZE_WH", "draw"]

SIZE_WH = (192, 96)
"""Standard size: width, height in pixels."""

LOOKS: tuple[str, ...] = tuple(_LOOKS)
"""Names of the looks; the first, "game", is the labelled source."""

SMALLEST = 14 / (192 * 96)
"""A thing with a smaller visible share of the picture is in the label map but is no instance."""


@dataclass(frozen=True)
class _Thing:
    """A drawn thing before it is known how much of it is seen."""

    kind: str
    colour: str
    depth: float
    view: str


def draw(seed: int, *, size_wh: tuple[int, int] = SIZE_WH, look: str = "game") -> Drawn:
    """Draw the street of `seed`.

    Args: seed any whole number from 0; size_wh pixels, multiples of 8, at least 32; look one of `LOOKS`.
    Returns: picture, scene (visible masks, boxes, z by distance, caption, `style` = look), instance map and
    semantic map (training ids of `CLASSES`); both maps are equal for all looks of a seed and size.
    Raises: InputError for an unknown look, a negative seed, or a size outside these rules.
    """
    _check(seed, size_wh, look)
    plan = make_plan(seed)
    scale = max(2, round(384 / size_wh[0]))
    high = size_wh[1] * scale
    camera = Camera(1.2 * high, size_wh[0] * scale / 2, plan.horizon * high, plan.eye)
    brush = Brush(camera, _LOOKS[look], size_wh, scale)
    paint_sky(brush, random.Random(f"sky {seed}"))
    things = _paint(brush, plan)
    numbers_HW = brush.numbers()
    labels_HW = np.array([region.label for region in brush.regions], np.uint8)[numbers_HW]
    image = finish(brush, numbers_HW, labels_HW, seed)
    instance_map, instances = _instances(brush, numbers_HW, things)
    scene = _scene(seed, plan, look, labels_HW, instances)
    return Drawn(image, scene, instance_map, labels_HW, "town")


def _check(seed: int, size_wh: tuple[int, int], look: str) -> None:
    if seed < 0:
        raise InputError(f"seed {seed} given, expected a whole number from 0")
    if look not in _LOOKS:
        close = nearest(look, LOOKS)
        raise InputError(
            f"unknown look {look!r}, expected one of {', '.join(LOOKS)}",
            f"did you mean {close!r}?" if close else "",
        )
    if any(side % 8 or side < 32 for side in size_wh):
        raise InputError(
            f"size {size_wh[0]}x{size_wh[1]} given, expected multiples of 8 from 32 on",
            "the standard size is 192x96",
        )


def _paint(brush: Brush, plan: Plan) -> list[_Thing]:
    """Draw everything, far things first; returns the things by the number their regions carry."""
    things: list[_Thing] = []
    town_street.draw_skyline(brush, plan)
    town_street.draw_ground(brush, plan)
    for low in (False, True):
        for side in plan.sides:
            if (side.kind in ("wall", "fence", "hedge")) == low:
                town_street.draw_side(brush, side)
    for item in plan.items:
        if abs(brush.camera.x(item.X, item.Z) - brush.camera.cx) < 2.2 * brush.camera.cx:
            _draw_item(brush, item, things)
    return things


def _open(brush: Brush, things: list[_Thing], kind: str, item: Item, colour: str) -> None:
    """Open the region of a new thing."""
    brush.start(kind, item.Z, thing=len(things))
    things.append(_Thing(kind, colour, item.Z, item.heading))


def _draw_item(brush: Brush, item: Item, things: list[_Thing]) -> None:
    if item.kind == "tree":
        town_posts.draw_tree(brush, item)
    elif item.kind == "lamp":
        town_posts.draw_lamp(brush, item)
    elif item.kind == "light":
        for place in town_posts.light_posts(brush, item):
            _open(brush, things, "traffic light", item, "")
            town_posts.draw_light_box(brush, item, place)
    elif item.kind == "sign":
        place = town_posts.sign_post(brush, item)
        _open(brush, things, "traffic sign", item, "")
        town_posts.draw_sign(brush, item, place)
    elif item.kind == "person":
        _draw_person(brush, item, things)
    elif item.kind in ("bicycle", "motorcycle"):
        _draw_two_wheeler(brush, item, things)
    else:
        _open(brush, things, item.kind, item, item.colour_name)
        pose = town_vehicles.Pose(item.X, item.Z, item.heading, parked=item.number == 1)
        town_vehicles.draw_vehicle(brush, item.kind, item.variant, pose, item.colour, item.trim)


def _draw_person(brush: Brush, item: Item, things: list[_Thing]) -> None:
    _open(brush, things, "person", item, item.colour_name)
    turn = 1.0 if item.heading == "right" else -1.0
    if item.outfit is not None:
        figure = Figure(brush, item.X, item.Z, turn, item.size)
        town_people.draw_person(figure, item.outfit, (0.12, 0.4, 0.56)[item.number])


def _draw_two_wheeler(brush: Brush, item: Item, things: list[_Thing]) -> None:
    motor = item.kind == "motorcycle"
    _open(brush, things, item.kind, item, item.colour_name)
    if item.heading == "away":
        figure = Figure(brush, item.X, item.Z)
        town_people.end_view(figure, item.colour, motor)
    else:
        figure = Figure(brush, item.X, item.Z, 1.0 if item.heading == "right" else -1.0)
        draw_it = town_people.draw_motorcycle if motor else town_people.draw_bicycle
        draw_it(figure, item.colour)
    if item.outfit is None:
        return
    _open(brush, things, "rider", item, item.outfit.name)
    if item.heading == "away":
        town_people.rider_end_view(figure, item.outfit, motor)
    else:
        town_people.draw_rider(figure, item.outfit, motor)


def _instances(
    brush: Brush, numbers_HW: np.ndarray, things: list[_Thing]
) -> tuple[np.ndarray, list[tuple[_Thing, int, Box, Mask]]]:
    """Instance map and, for each thing that is seen well enough, its visible area, box and mask."""
    high, wide = numbers_HW.shape
    areas = np.bincount(numbers_HW.reshape(-1), minlength=256)
    table = np.zeros(256, np.uint8)
    found: list[tuple[_Thing, int, Box, Mask]] = []
    least = max(6, round(SMALLEST * high * wide))
    for number, region in enumerate(brush.regions):
        if region.thing < 0 or areas[number] < least:
            continue
        seen_HW = numbers_HW == number
        rows, columns = np.flatnonzero(seen_HW.any(1)), np.flatnonzero(seen_HW.any(0))
        box = Box.from_xyxy_px(
            int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1, (wide, high)
        )
        found.append((things[region.thing], int(areas[number]), box, Mask.from_array(seen_HW)))
        table[number] = len(found)
    return table[numbers_HW], found


def _scene(
    seed: int, plan: Plan, look: str, labels_HW: np.ndarray, found: list[tuple[_Thing, int, Box, Mask]]
) -> Scene:
    instances = []
    counts: dict[str, int] = {}
    sizes: list[tuple[int, str]] = []
    for z, (thing, area, box, mask) in enumerate(found):
        phrase = phrase_of(thing.kind, thing.colour)
        known: dict[str, float | str] = {"depth_m": round(thing.depth, 2), "area_px": area}
        if thing.colour:
            known["colour"] = thing.colour
        if thing.view:
            known["view"] = thing.view
        instances.append(
            Instance(
                phrase, id=f"i{z + 1}", box=box, mask=mask, z=z, category=thing.kind, extra={"town": known}
            )
        )
        counts[thing.kind] = counts.get(thing.kind, 0) + 1
        sizes.append((area, phrase))
    phrases = [phrase for _, phrase in sorted(sizes, key=lambda pair: -pair[0])]
    shares = dict(
        zip(CLASSES, np.bincount(labels_HW.reshape(-1), minlength=len(CLASSES)) / labels_HW.size, strict=True)
    )
    view = View(plan.kind, look, shares, counts, phrases)
    prompt = caption(random.Random(f"caption {seed} {look}"), view)
    extra = {"town": {"look": look, "seed": seed, "kind": plan.kind}}
    size_wh = (labels_HW.shape[1], labels_HW.shape[0])
    return Scene(prompt, size_wh, tuple(instances), style=look, seed=seed, extra=extra)
