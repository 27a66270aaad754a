"""InstanceDiffusion's input files: one JSON object with `caption`, `width`, `height` and `annos`.

Each entry of `annos` has `caption` and `category_name`, and any of `bbox` (x, y, width, height in pixels;
zeros or absent: none), `mask` (COCO run lengths or polygons; empty: none), `point` (x, y in pixels) and
`scribble` (x, y in pixels, flat or in pairs). Source: Wang et al., InstanceDiffusion, CVPR 2024, demo
files.

Other keys are kept in `extra["instancediffusion"]` and written back.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.foreign import XYWH_PX, XYXY_PX, Convention, SizeWH
from scenewright.errors import InputError
from scenewright.scene import Box, Instance, Mask, Scene, Scribble
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

NAMESPACE = "instancediffusion"
SCRIBBLE_POINTS = 20
"""Points of a scribble in these files."""

_BOX_KEYS = {"xywh": XYWH_PX, "xyxy": XYXY_PX}
_TOP = ("caption", "width", "height", "annos", "bbox_format")
_ROW = ("caption", "category_name", "bbox", "mask", "point", "scribble")


def read(path: Path, convention: Convention = XYWH_PX) -> list[Scene]:
    """The scene of a file. Raises StorageError, InputError; warns `ClippedBoxes`."""
    return [from_json(read_json(path), str(path), convention)]


def from_json(document: Any, name: str, convention: Convention = XYWH_PX) -> Scene:
    """A scene from a parsed file; `name` is how messages call it.

    The key `bbox_format` ("xywh" or "xyxy"), which our own files have, wins over `convention`.
    """
    document = foreign.object_of(document, name)
    size_wh = foreign.size_of(document, name)
    annos = foreign.rows_of(foreign.need(document, "annos", name), f"{name}: annos")
    convention = _stated(document, name) or convention
    rows = [_row_box(anno, f"{name}: annos[{k}].bbox") for k, anno in enumerate(annos)]
    boxes = foreign.place_boxes(rows, [size_wh] * len(rows), convention, name, tuple(_BOX_KEYS.values()))
    instances = [
        _instance(anno, box, size_wh, f"{name}: annos[{k}]")
        for k, (anno, box) in enumerate(zip(annos, boxes, strict=True))
    ]
    with foreign.named(name):
        return Scene(
            prompt=foreign.text(foreign.need(document, "caption", name), f"{name}: caption"),
            size_wh=size_wh,
            instances=tuple(instances),
            extra=_rest(document, _TOP),
        )


def box_rows(document: Any, name: str) -> list[tuple[foreign.Four, SizeWH]]:
    """Boxes as written with their canvas, for telling conventions apart. Raises InputError."""
    document = foreign.object_of(document, name)
    size_wh = foreign.size_of(document, name)
    annos = foreign.rows_of(foreign.need(document, "annos", name), f"{name}: annos")
    rows = [_row_box(anno, f"{name}: annos[{k}].bbox") for k, anno in enumerate(annos)]
    return [(row, size_wh) for row in rows if row is not None]


def to_json(scene: Scene, convention: str = "xywh") -> dict[str, Any]:
    """The file's object. `convention` "xywh" or "xyxy" says how boxes are written; it is noted in
    `bbox_format`.

    Instances without a box get the box of their mask or marks. A scribble is written with 20 points taken
    at equal steps of the index. Parts, keypoints, negatives and depth order have no place in this format.
    """
    if convention not in _BOX_KEYS:
        raise InputError(f"expected the convention 'xywh' or 'xyxy', got {convention!r}")
    return {
        **scene.extra.get(NAMESPACE, {}),
        "caption": scene.prompt,
        "width": scene.size_wh[0],
        "height": scene.size_wh[1],
        "bbox_format": convention,
        "annos": [_anno(instance, scene.size_wh, convention) for instance in scene.instances],
    }


def write(scene: Scene, path: Path, convention: str = "xywh") -> Path:
    """Write a scene as such a file, whole or not at all. Raises StorageError."""
    return atomic_write(path, to_json_bytes(to_json(scene, convention), indent=1))


def _stated(document: dict[str, Any], name: str) -> Convention | None:
    stated = document.get("bbox_format")
    if stated is None:
        return None
    if stated not in _BOX_KEYS:
        raise InputError(f"{name}: bbox_format: expected 'xywh' or 'xyxy', got {stated!r}")
    return _BOX_KEYS[stated]


def _row_box(anno: dict[str, Any], where: str) -> foreign.Four | None:
    if not anno.get("bbox"):
        return None
    row = foreign.four(anno["bbox"], where)
    return row if any(row) else None


def _instance(anno: dict[str, Any], box: Box | None, size_wh: SizeWH, where: str) -> Instance:
    phrase = anno.get("caption") or anno.get("category_name")
    if not phrase:
        raise InputError(f"{where}: neither 'caption' nor 'category_name' says what it is")
    point = anno.get("point")
    with foreign.named(where):
        return Instance(
            phrase=foreign.text(phrase, "caption"),
            category=foreign.text(anno.get("category_name") or "", "category_name") or None,
            box=box,
            mask=foreign.mask_of(anno.get("mask"), size_wh, "mask"),
            points=(_point(point, size_wh),) if point else (),
            scribble=_scribble(anno.get("scribble"), size_wh),
            extra=_rest(anno, _ROW),
        )


def _point(value: Any, size_wh: SizeWH) -> Any:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"point: expected x, y, got {foreign.shown(value)}")
    return foreign.point_of(foreign.number(value[0], "point"), foreign.number(value[1], "point"), size_wh)


def _scribble(value: Any, size_wh: SizeWH) -> Scribble | None:
    """Flat numbers or pairs; all zeros mean none."""
    if not value:
        return None
    if not isinstance(value, list):
        raise InputError(f"scribble: expected a list of points, got {foreign.shown(value)}")
    pairs = value if isinstance(value[0], list) else [value[k : k + 2] for k in range(0, len(value), 2)]
    points = tuple(_point(pair, size_wh) for pair in pairs)
    if all(point.xy == (0, 0) for point in points):
        return None
    return Scribble(points)


def _anno(instance: Instance, size_wh: SizeWH, convention: str) -> dict[str, Any]:
    box = instance.location_box
    row: dict[str, Any] = {
        **instance.extra.get(NAMESPACE, {}),
        "bbox": [0, 0, 0, 0] if box is None else _written(box, size_wh, convention),
        "mask": [] if instance.mask is None else _rle(instance.mask),
        "category_name": instance.category or "",
        "caption": instance.phrase,
    }
    if instance.points:
        x, y = instance.points[0].xy
        row["point"] = [foreign.plain_number(x * size_wh[0]), foreign.plain_number(y * size_wh[1])]
    if instance.scribble is not None:
        chosen = _evenly(instance.scribble.points, SCRIBBLE_POINTS)
        row["scribble"] = [
            foreign.plain_number(side)
            for point in chosen
            for side in (point.x * size_wh[0], point.y * size_wh[1])
        ]
    return row


def _written(box: Box, size_wh: SizeWH, convention: str) -> list[float]:
    values = box.to_xywh_px(size_wh) if convention == "xywh" else box.to_xyxy_px(size_wh)
    return [foreign.plain_number(value) for value in values]


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": list(mask.size_hw), "counts": mask.counts}


def _evenly(points: Sequence[Any], n: int) -> list[Any]:
    """`n` of the points at equal steps of the index, with repetition when there are fewer."""
    last = len(points) - 1
    return [points[round(k * last / (n - 1))] for k in range(n)]


def _rest(row: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    rest = {key: value for key, value in row.items() if key not in known}
    return {NAMESPACE: rest} if rest else {}
