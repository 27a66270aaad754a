"""The toybox: toys in eight settings, with a caption and exact ground truth.

`draw(seed)` is a pure function of its arguments. What the scene says is measured on the drawn picture: masks
and boxes are of what is visible, captions state only what is true. Part boxes are those of the drawn shapes,
cut to the visible box of their toy; parts of which less than 40 % of width or height remain are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from scenewright.errors import InputError, nearest
from scenewright.scene import Box, Instance, Keypoints, Mask, Part, Point, Scene, Scribble
from scenewright.world import (
    captions,
    layout,
    toys_animals,
    toys_home,
    toys_person,
    toys_things,
    toys_vehicles,
)
from scenewright.world.canvas import SCALE, Canvas
from scenewright.world.classes import BY_NAME, INDOORS, SETTINGS, THINGS, semantic_ids
from scenewright.world.drawn import Drawn
from scenewright.world.layout import Layout, Placed
from scenewright.world.palette import RGB
from scenewright.world.settings import paint_setting, shadow
from scenewright.world.sprite import Sprite
from scenewright.world.surface import STYLES, outline_sub, paint
from scenewright.world.toys import TOYS

CLASSES: Final[tuple[str, ...]] = tuple(thing.name for thing in THINGS)
"""Names of all toys; the first twenty are the classes of PASCAL VOC."""

DRAWINGS: Final = (toys_vehicles, toys_animals, toys_home, toys_things, toys_person)
"""The modules that hold the drawings."""

LEAST_VISIBLE: Final = 0.4
"""Smallest visible share of a toy."""

ATTEMPTS: Final = 16
"""How often a layout that hides too much of a toy is drawn anew before the call gives up."""

_ID: Final = semantic_ids()
_SKINS: Final[tuple[RGB, ...]] = ((250, 214, 180), (236, 190, 148), (198, 146, 104), (142, 98, 68))


@dataclass(frozen=True)
class _Stamped:
    """A drawn toy: its sprite's corner in subpixels, parts and joints in sprite subpixels, full area."""

    corner: tuple[int, int]
    sprite: Sprite
    area_sub: int


def draw(
    seed: int,
    *,
    size_px: int = 128,
    count: tuple[int, int] = (1, 5),
    style: str | None = None,
    classes: Sequence[str] | None = None,
) -> Drawn:
    """Draw one scene.

    seed      whole number >= 0; equal arguments give equal pictures.
    size_px   side of the square picture, a multiple of 8 in 64..256.
    count     smallest and largest number of toys, 0..8; small numbers are more frequent.
    style     "flat", "outlined" or "shaded"; None picks one.
    classes   toys to choose from (default: all of `CLASSES`).

    Raises InputError for values outside these ranges and for unknown names.
    """
    _check(seed, size_px, count, style, classes)
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        canvas, plan, stamped, look = _paint(rng, size_px, count, style, classes)
        numbers = canvas.instances()
        shares = _visible_shares(numbers, stamped)
        if all(share >= LEAST_VISIBLE for share in shares):
            break
    else:
        raise InputError(
            f"no layout of {count[0]} to {count[1]} toys showed all of them (seed {seed})",
            "ask for fewer toys",
        )
    return _finish(rng, seed, canvas, numbers, plan, stamped, shares, look)


def _paint(
    rng: np.random.Generator,
    size_px: int,
    count: tuple[int, int],
    style: str | None,
    classes: Sequence[str] | None,
) -> tuple[Canvas, Layout, list[_Stamped], tuple[str, str]]:
    """Background, then the toys from far to near."""
    canvas = Canvas((size_px, size_px))
    setting = list(SETTINGS)[rng.integers(len(SETTINGS))]
    drawn_style = style or STYLES[rng.integers(len(STYLES))]
    horizon = paint_setting(canvas, setting, rng)
    chosen = layout.pick_toys(rng, layout.pick_count(rng, count), classes)
    plan = layout.place(rng, chosen, horizon, setting)
    stamped: dict[int, _Stamped] = {}
    for k in sorted(range(len(plan.toys)), key=lambda k: plan.toys[k].depth):
        stamped[k] = _stamp(canvas, plan.toys[k], k + 1, drawn_style, setting, size_px / layout.UNITS)
    return canvas, plan, [stamped[k] for k in range(len(plan.toys))], (setting, drawn_style)


def _stamp(canvas: Canvas, toy: Placed, number: int, style: str, setting: str, unit: float) -> _Stamped:
    """Draw one toy onto the canvas; `unit` is pixels per layout unit."""
    drawing = TOYS[toy.name]
    outline = max(1, round(outline_sub(style, toy.size) * unit))
    sprite = Sprite(
        drawing.sizes[toy.variant],
        toy.size * unit * SCALE,
        flip=toy.flip,
        angle=toy.angle,
        stretch=toy.stretch,
        outline=outline,
    )
    drawing.draw(sprite, toy.variant)
    skin = _SKINS[toy.phase % len(_SKINS)] if toy.name == "person" else None
    painted = paint(sprite.inks(), toy.colour, toy.texture, style, toy.phase, skin)
    wide, high = sprite.image.size
    corner = (round(toy.cx * unit * SCALE - wide / 2), round(toy.cy * unit * SCALE - high / 2))
    if not toy.flying and setting != "sky":
        x0, _, x1, y1 = toy.xyxy
        shadow(canvas, toy.cx * unit, (y1 - 1.0) * unit, (x1 - x0) * 1.12 * unit)
    canvas.stamp(painted.image, painted.mask, corner, alpha=painted.alpha, instance=number)
    return _Stamped(corner, sprite, painted.mask.histogram()[255])


def _visible_shares(numbers: NDArray[np.uint8], stamped: Sequence[_Stamped]) -> list[float]:
    """Visible part of each toy's whole area, about 0..1."""
    seen = np.bincount(numbers.ravel(), minlength=len(stamped) + 1)
    return [min(1.0, SCALE**2 * int(seen[k + 1]) / max(1, toy.area_sub)) for k, toy in enumerate(stamped)]


def _finish(
    rng: np.random.Generator,
    seed: int,
    canvas: Canvas,
    numbers: NDArray[np.uint8],
    plan: Layout,
    stamped: Sequence[_Stamped],
    shares: Sequence[float],
    look: tuple[str, str],
) -> Drawn:
    """Measure the picture and write the scene."""
    setting, style = look
    side = canvas.size_wh[0]
    ranks = np.argsort(np.argsort([toy.depth for toy in plan.toys], kind="stable"), kind="stable")
    instances, told = [], []
    for k, toy in enumerate(plan.toys):
        mask_HW = numbers == k + 1
        box = _mask_box(mask_HW)
        word = captions.pick_word(rng, toy.name)
        aloft = toy.flying and setting not in INDOORS
        told.append(captions.Told(toy.name, word, toy.colour, toy.texture, box.xyxy, aloft))
        inner, ends = _inner_marks(mask_HW, box)
        instances.append(
            Instance(
                phrase=captions.phrase(word, toy.colour, toy.texture),
                id=f"i{k + 1}",
                box=box,
                mask=Mask.from_array(mask_HW),
                points=(inner,),
                scribble=Scribble(ends),
                keypoints=_keypoints(stamped[k], mask_HW) if toy.name == "person" else None,
                parts=_parts(stamped[k], box, side),
                z=int(ranks[k]),
                category=toy.name,
                extra={"toybox": _facts(toy, shares[k])},
            )
        )
    caption, relations = captions.write(rng, told, setting, style, plan.pairing)
    stated = [
        {"kind": r.kind, "subject": f"i{r.subject + 1}", "target": f"i{r.target + 1}"} for r in relations
    ]
    scene = Scene(
        prompt=caption,
        size_wh=(side, side),
        instances=tuple(instances),
        style=style,
        seed=seed,
        extra={"toybox": {"setting": setting, "relations": stated}},
    )
    classes = np.array([0] + [_ID[toy.name] for toy in plan.toys], dtype=np.uint8)
    semantic = np.where(numbers > 0, classes[numbers], canvas.semantics())
    return Drawn(canvas.picture(), scene, numbers, semantic, "toybox")


def _facts(toy: Placed, share: float) -> dict[str, Any]:
    return {
        "colour": toy.colour,
        "texture": toy.texture,
        "facing": "left" if toy.flip else "right",
        "variant": toy.variant,
        "visible": round(share, 3),
    }


def _mask_box(mask_HW: NDArray[np.bool_]) -> Box:
    """The box around a mask with at least one pixel."""
    high, wide = mask_HW.shape
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return Box(
        int(columns[0]) / wide,
        int(rows[0]) / high,
        (int(columns[-1]) + 1) / wide,
        (int(rows[-1]) + 1) / high,
    )


def _inner_marks(mask_HW: NDArray[np.bool_], box: Box) -> tuple[Point, tuple[Point, ...]]:
    """A point deep inside the mask, and a line of three points through it that stays inside."""
    high, wide = mask_HW.shape
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(box.xyxy, (wide, high, wide, high), strict=True))
    part = np.pad(mask_HW[y0:y1, x0:x1], 1)
    picture = Image.fromarray(part.view(np.uint8) * np.uint8(255))
    radius = max(2, min(part.shape) // 5)
    depth = np.asarray(picture.filter(ImageFilter.BoxBlur(radius))).astype(np.int16)
    y, x = divmod(int(np.where(part, depth, -1).argmax()), part.shape[1])
    rays = []
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        reach = [_reach(part, x, y, sign * dx, sign * dy) for sign in (1, -1)]
        rays.append((sum(reach) * (dx * dx + dy * dy) ** 0.5, reach, dx, dy))
    _, (ahead, back), dx, dy = max(rays, key=lambda ray: ray[0])

    def point(px: int, py: int) -> Point:
        return Point((px - 1 + x0 + 0.5) / wide, (py - 1 + y0 + 0.5) / high)

    middle = point(x, y)
    return middle, (point(x - back * dx, y - back * dy), middle, point(x + ahead * dx, y + ahead * dy))


def _reach(part_HW: NDArray[np.bool_], x: int, y: int, dx: int, dy: int) -> int:
    """How many steps one can go from (x, y) inside the mask, less a fifth; the border is empty."""
    steps = 0
    while part_HW[y + (steps + 1) * dy, x + (steps + 1) * dx]:
        steps += 1
    return steps - steps // 5


def _parts(stamped: _Stamped, box: Box, side: int) -> tuple[Part, ...]:
    """Parts whose box still has some area inside the visible box of the toy."""
    found = []
    big = side * SCALE
    cx, cy = stamped.corner
    for name, (x0, y0, x1, y1) in stamped.sprite.parts:
        a, b = max(box.x0, (x0 + cx) / big), max(box.y0, (y0 + cy) / big)
        c, d = min(box.x1, (x1 + cx) / big), min(box.y1, (y1 + cy) / big)
        if c - a > 0.4 * (x1 - x0) / big and d - b > 0.4 * (y1 - y0) / big:
            found.append(Part(name, Box(a, b, c, d)))
    return tuple(found)


def _keypoints(stamped: _Stamped, mask_HW: NDArray[np.bool_]) -> Keypoints:
    """Joints: 2 visible, 1 hidden by another toy, 0 outside the picture."""
    high, wide = mask_HW.shape
    joints: list[tuple[float, float, int]] = []
    for name in toys_person.JOINTS:
        x, y = stamped.sprite.joints[name]
        px, py = (x + stamped.corner[0]) / SCALE, (y + stamped.corner[1]) / SCALE
        if not (0 <= px < wide and 0 <= py < high):
            joints.append((0.0, 0.0, 0))
        else:
            joints.append((px / wide, py / high, 2 if mask_HW[int(py), int(px)] else 1))
    return Keypoints(tuple(joints))


def _check(
    seed: int, size_px: int, count: tuple[int, int], style: str | None, classes: Sequence[str] | None
) -> None:
    if seed < 0:
        raise InputError(f"seed is {seed}, expected a whole number of at least 0")
    if size_px % 8 or not 64 <= size_px <= 256:
        raise InputError(f"size_px is {size_px}, expected a multiple of 8 from 64 to 256")
    if not 0 <= count[0] <= count[1] <= 8:
        raise InputError(f"count is {count}, expected (least, most) with 0 <= least <= most <= 8")
    if style is not None and style not in STYLES:
        raise InputError(f"there is no style {style!r}, expected one of {', '.join(STYLES)}")
    if classes is not None and not classes:
        raise InputError("classes is empty, expected at least one class name")
    for name in classes or ():
        if name not in BY_NAME:
            close = nearest(name, CLASSES)
            raise InputError(f"there is no toy {name!r}", f"did you mean {close!r}?" if close else "")
