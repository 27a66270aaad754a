"""Box lists, the layout that vision-language and recent image models speak: rows ``{id, desc, bbox}``.

`bbox` is y0, x0, y1, x1 on a grid of 0..1000. The list stands alone, or in ``{"prompt": …, "boxes": […]}``
with `size` ([width, height]) or `width` and `height` in pixels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.foreign import DEFAULT_SIZE_WH, XYXY_1, YXYX_1000, SizeWH
from scenewright.errors import InputError
from scenewright.scene import Box, Instance, Scene
from scenewright.scene.files import atomic_write, read_json, to_json_bytes
from scenewright.scene.schema import ID_PATTERN

_TOP = ("prompt", "boxes", "size", "width", "height", "seed")
_ROW = ("id", "desc", "bbox")


def read(path: Path, size_wh: SizeWH = DEFAULT_SIZE_WH) -> list[Scene]:
    """The scene of a file; `size_wh` is the canvas where the file names none.

    Raises StorageError, InputError; warns `ClippedBoxes`.
    """
    return [from_json(read_json(path), str(path), size_wh)]


def from_json(document: Any, name: str, size_wh: SizeWH = DEFAULT_SIZE_WH) -> Scene:
    """A scene from a parsed file; `name` is how messages call it. Without a prompt, the descriptions are
    one."""
    top = {"boxes": document} if isinstance(document, list) else foreign.object_of(document, name)
    foreign.refuse_unknown(top, _TOP, name)
    rows = foreign.rows_of(foreign.need(top, "boxes", name), f"{name}: boxes")
    for k, row in enumerate(rows):
        foreign.refuse_unknown(row, _ROW, f"{name}: boxes[{k}]")
    numbers = [
        foreign.four(foreign.need(row, "bbox", f"{name}: boxes[{k}]"), f"{name}: boxes[{k}].bbox")
        for k, row in enumerate(rows)
    ]
    if numbers and all(max(four) <= 1 for four in numbers):
        raise InputError(
            f"{name}: all boxes lie in 0..1; {YXYX_1000.words} were expected",
            f"Multiply by 1000, or use the format {XYXY_1.format!r}, whose boxes are {XYXY_1.words}.",
        )
    placed = foreign.place_boxes(numbers, [_size(top, size_wh, name)] * len(rows), YXYX_1000, name)
    descriptions = [
        foreign.text(foreign.need(row, "desc", f"{name}: boxes[{k}]"), f"{name}: boxes[{k}].desc")
        for k, row in enumerate(rows)
    ]
    with foreign.named(name):
        return Scene(
            prompt=foreign.text(top.get("prompt", ", ".join(descriptions)), "prompt"),
            size_wh=_size(top, size_wh, name),
            instances=tuple(
                _instance(row, box, f"{name}: boxes[{k}]")
                for k, (row, box) in enumerate(zip(rows, placed, strict=True))
            ),
            seed=top.get("seed"),
        )


def to_json(scene: Scene) -> dict[str, Any]:
    """The object with prompt, size and rows; boxes are rounded to the grid, so up to 0.0005 of a side is
    lost.

    Raises InputError for an instance without a place, which this format cannot say.
    """
    found: dict[str, Any] = {"prompt": scene.prompt, "size": list(scene.size_wh), "boxes": []}
    if scene.seed is not None:
        found["seed"] = scene.seed
    for instance in scene.instances:
        if instance.location_box is None:
            raise InputError(
                f"the instance {instance.id!r} ({instance.phrase}) has no place; every row needs a box",
                "Give it a box, or leave it out.",
            )
        found["boxes"].append(
            {"id": instance.id, "desc": instance.phrase, "bbox": _on_grid(instance.location_box)}
        )
    return found


def write(scene: Scene, path: Path) -> Path:
    """Write a scene as such a file, whole or not at all. Raises StorageError."""
    return atomic_write(path, to_json_bytes(to_json(scene), indent=1))


def _instance(row: dict[str, Any], box: Box | None, where: str) -> Instance:
    """Ids that are no ids here (spaces, odd letters) are replaced; numbers become text."""
    given = row.get("id", "")
    if not isinstance(given, (str, int)) or isinstance(given, bool):
        raise InputError(f"{where}: id: expected a text or a whole number, got {foreign.shown(given)}")
    id = str(given) if re.search(ID_PATTERN, str(given)) else ""
    with foreign.named(where):
        return Instance(phrase=row["desc"], id=id, box=box)


def _size(top: dict[str, Any], default: SizeWH, name: str) -> SizeWH:
    if "size" in top:
        size = top["size"]
        if not isinstance(size, list) or len(size) != 2:
            raise InputError(f"{name}: size: expected [width, height], got {foreign.shown(size)}")
        return foreign.whole(size[0], f"{name}: size[0]"), foreign.whole(size[1], f"{name}: size[1]")
    return foreign.size_of(top, name) if "width" in top or "height" in top else default


def _on_grid(box: Box) -> list[int]:
    """y0, x0, y1, x1 in 0..1000, at least 1 wide and high."""
    x0, y0 = min(round(box.x0 * 1000), 999), min(round(box.y0 * 1000), 999)
    return [y0, x0, max(round(box.y1 * 1000), y0 + 1), max(round(box.x1 * 1000), x0 + 1)]
