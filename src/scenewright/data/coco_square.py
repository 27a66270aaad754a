"""The annotation file that InstanceDiffusion is evaluated with: COCO's, stretched to squares.

Every picture, box and mask is stretched (not cut, not padded) to 512 x 512 pixels (Wang et al.,
InstanceDiffusion, CVPR 2024, released evaluation). The published file has such sizes already, and may give a
`point` (x, y in pixels) and a `scribble` (x, y in turn) with an annotation; both are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.coco_head import NAMESPACE, Head
from scenewright.data.coco_write import write
from scenewright.data.foreign import SizeWH
from scenewright.errors import InputError
from scenewright.scene import Instance, Point, Scene, Scribble, Transform
from scenewright.scene.checks import shown

SIDE_PX = 512
"""Side of the published squares."""


def is_square(scenes: Sequence[Scene], side_px: int = SIDE_PX) -> bool:
    """Whether all pictures of an annotation file have that size already."""
    return all(scene.size_wh == (side_px, side_px) for scene in scenes)


def squared(scene: Scene, side_px: int = SIDE_PX) -> Scene:
    """The scene of a photograph stretched to a square: boxes, masks, points and scribbles with it."""
    marked = scene.replace(instances=tuple(with_marks(one, scene.size_wh) for one in scene.instances))
    moved = Transform.fit(scene.size_wh, (side_px, side_px), mode="stretch").scene(marked)
    return moved.replace(instances=tuple(_restated(one, side_px) for one in moved.instances))


def with_marks(one: Instance, size_wh: SizeWH) -> Instance:
    """The instance with the point and the scribble that its annotation gives, if it gives any.

    A scribble is flat or in pairs, in pixels, or in fractions if no number is above 1. Raises InputError for
    other values.
    """
    row: Mapping[str, Any] = one.extra.get(NAMESPACE, {})
    changes: dict[str, Any] = {}
    if row.get("point"):
        changes["points"] = (_point(row["point"], size_wh, f"{one.id}: point"),)
    if row.get("scribble"):
        changes["scribble"] = _scribble(row["scribble"], size_wh, f"{one.id}: scribble")
    return one.replace(**changes) if changes else one


def write_squared(scenes: Sequence[Scene], path: Path, head: Head | None, side_px: int = SIDE_PX) -> Path:
    """Write the scenes as an annotation file of squares; ids, categories, crowds and unknown keys stay.

    `head` is what `coco.read_head` returned. Raises StorageError.
    """
    return write([squared(scene, side_px) for scene in scenes], path, head)


def _restated(one: Instance, side_px: int) -> Instance:
    """The instance whose annotation gives its marks in pixels of the square."""
    row = dict(one.extra.get(NAMESPACE, {}))
    if row.get("point") and one.points:
        row["point"] = [side * side_px for side in one.points[0].xy]
    if row.get("scribble") and one.scribble is not None:
        row["scribble"] = [side * side_px for point in one.scribble.points for side in point.xy]
    return one.replace(extra={**one.extra, NAMESPACE: row}) if NAMESPACE in one.extra else one


def _point(value: Any, size_wh: SizeWH, where: str) -> Point:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{where}: expected x, y in pixels, got {shown(value)}")
    return foreign.point_of(foreign.number(value[0], where), foreign.number(value[1], where), size_wh)


def _scribble(value: Any, size_wh: SizeWH, where: str) -> Scribble:
    rows = value if isinstance(value, list) else []
    flat = [number for row in rows for number in (row if isinstance(row, list) else [row])]
    if len(flat) < 4 or len(flat) % 2:
        raise InputError(f"{where}: expected x, y in turn, at least two points, got {shown(value)}")
    numbers = [foreign.number(number, where) for number in flat]
    scale = (1, 1) if max(numbers) <= 1 else size_wh
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return Scribble(tuple(foreign.point_of(x, y, scale) for x, y in pairs))
