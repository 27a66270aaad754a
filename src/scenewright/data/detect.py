"""One door for every file that holds scenes: the format is found by looking at the content, or named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.data import (
    box_list,
    coco,
    foreign,
    gligen_args,
    instancediffusion,
    planned,
    prompt_classes,
)
from scenewright.data.foreign import DEFAULT_SIZE_WH, XYWH_PX, XYXY_PX, SizeWH
from scenewright.errors import InputError, SceneError, nearest
from scenewright.scene import Scene
from scenewright.scene.files import parse_json, read_bytes
from scenewright.scene.io import SIGNATURE, is_picture, png_document


@dataclass(frozen=True)
class Format:
    """A format of files: its `name`, one line about it, and `read`, which makes scenes of a parsed document,
    given the file's name and the canvas where the file names none."""

    name: str
    words: str
    read: Callable[[Any, str, SizeWH], list[Scene]]


def _own(document: Any, name: str, size_wh: SizeWH) -> list[Scene]:
    """One scene, or a list of scenes."""
    if isinstance(document, list):
        return [scene for k, entry in enumerate(document) for scene in _own(entry, f"{name}[{k}]", size_wh)]
    try:
        return [Scene.from_json(document)]
    except SceneError as fault:
        raise SceneError(f"{name}: {fault.message}", fault.hint) from fault


def _each(read: Callable[[Any, str], Scene]) -> Callable[[Any, str, SizeWH], list[Scene]]:
    """A reader of one object as a reader of one or a list of them."""

    def many(document: Any, name: str, size_wh: SizeWH) -> list[Scene]:
        if isinstance(document, list):
            return [read(entry, f"{name}[{k}]") for k, entry in enumerate(document)]
        return [read(document, name)]

    return many


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("scene", "a scene, or a list of scenes, as this package writes them", _own),
        Format(
            "instancediffusion",
            "caption, width, height, annos with bbox x, y, width, height in pixels",
            _each(instancediffusion.from_json),
        ),
        Format("planned", "the same with bbox x0, y0, x1, y1 in pixels", _each(planned.from_json)),
        Format("gligen", "prompt, phrases, boxes x0, y0, x1, y1 in fractions", gligen_args.from_json),
        Format("prompts", "a list of {prompt, classes}", prompt_classes.from_json),
        Format(
            "box-list",
            "a list of {id, desc, bbox}, bbox y0, x0, y1, x1 on 0..1000",
            lambda document, name, size_wh: [box_list.from_json(document, name, size_wh)],
        ),
        Format(
            "coco",
            "images, annotations, categories of COCO",
            lambda document, name, size_wh: coco.from_json(document, name),
        ),
        Format(
            "coco-captions",
            "images, annotations with captions of COCO",
            lambda document, name, size_wh: coco.captions_from_json(document, name),
        ),
    )
}
"""All JSON formats by name. A PNG saved as a Record is read as well."""

FORMATS_HINT = "docs/guides/formats.md describes all formats, docs/concepts/scene-format.md our own"


def read_scenes(path: Path | str, fmt: str = "auto", size_wh: SizeWH = DEFAULT_SIZE_WH) -> list[Scene]:
    """All scenes of a file: our own JSON, the PNG of a Record, or any format in `FORMATS`.

    fmt       name of the format, or "auto": found by the content
    size_wh   canvas in pixels for formats that name none

    Raises StorageError (missing file, naming the nearest; folder; cut off), InputError (no JSON, unknown
    format, a format that cannot be told, boxes that do not fit); warns `ClippedBoxes`.
    """
    if fmt != "auto" and fmt not in FORMATS:
        close = nearest(fmt, FORMATS)
        hint = f"Did you mean {close!r}?" if close else f"Known are auto, {', '.join(FORMATS)}."
        raise InputError(f"there is no format {fmt!r}", hint)
    content, name = read_bytes(path), str(path)
    if content.startswith(SIGNATURE):
        return [_from_png(content, name)]
    if is_picture(content):
        raise InputError(
            f"{name} is a picture that holds no scene", "Only PNG pictures saved by Scenewright do."
        )
    document = parse_json(content, name)
    try:
        found = FORMATS[detect(document, name) if fmt == "auto" else fmt].read(document, name, size_wh)
    except InputError as fault:
        fault.hint = fault.hint or FORMATS_HINT
        raise
    if not found:
        raise InputError(f"{name} holds no scene: its list is empty", FORMATS_HINT)
    return found


def detect(document: Any, name: str = "the file") -> str:
    """The name of the format of a parsed file. Raises InputError when none fits, or when two do."""
    sample = document
    if isinstance(document, list):
        if not document:
            raise InputError(
                f"{name} is an empty list; at least one scene was expected", "[] holds nothing to draw."
            )
        sample = document[0]
    if not isinstance(sample, dict):
        raise InputError(f"{name}: expected scenes, got {foreign.shown(document)}", _known())
    keys = set(sample)
    if {"images", "annotations"} <= keys:
        return _which_coco(sample)
    if "annos" in keys:
        return _which_corners(document, name)
    if keys & {"phrases", "gligen_phrases", "gligen_boxes", "locations"}:
        return "gligen"
    if "classes" in keys:
        return "prompts"
    if "desc" in keys or ("boxes" in keys and "instances" not in keys):
        return "box-list" if "desc" in keys or _has_rows(sample["boxes"]) else "gligen"
    if any(nearest(key, ("instances", "size_wh", "schema_version", "prompt")) for key in keys):
        return "scene"
    raise InputError(
        f"{name}: no known format has the keys {', '.join(map(repr, sorted(keys)[:8])) or '(none)'}",
        _known(),
    )


def _known() -> str:
    return f"Known are {', '.join(FORMATS)}, and PNG pictures saved by Scenewright."


def _has_rows(boxes: Any) -> bool:
    """Rows with descriptions rather than bare numbers; an empty list counts as such."""
    return isinstance(boxes, list) and all(isinstance(row, dict) for row in boxes)


def _which_coco(document: dict[str, Any]) -> str:
    rows = document["annotations"]
    first = rows[0] if isinstance(rows, list) and rows else {}
    captions = isinstance(first, dict) and "caption" in first and "category_id" not in first
    return "coco-captions" if captions or ("categories" not in document and not rows) else "coco"


def _which_corners(document: Any, name: str) -> str:
    """InstanceDiffusion's x, y, width, height or a planner's corners: the reading that fits all boxes."""
    entries = document if isinstance(document, list) else [document]
    if any(isinstance(entry, dict) and "bbox_format" in entry for entry in entries):
        return "instancediffusion"
    rows = [row for entry in entries for row in instancediffusion.box_rows(entry, name)]
    as_sides, as_corners = foreign.count_bad(rows, XYWH_PX), foreign.count_bad(rows, XYXY_PX)
    if as_sides == as_corners and rows:
        raise InputError(
            f"{name}: its boxes could be {XYWH_PX.words} or {XYXY_PX.words}; "
            f"either way {as_sides} of {len(rows)} are off the canvas or inside out",
            f"Name the format: {XYWH_PX.format!r} or {XYXY_PX.format!r} (--format on the command line).",
        )
    return XYWH_PX.format if as_sides < as_corners or not rows else XYXY_PX.format


def _from_png(content: bytes, name: str) -> Scene:
    document = png_document(content, name)
    if not isinstance(document, dict) or "scene" not in document:
        raise InputError(
            f"{name} holds no scene",
            "Only pictures saved by Scenewright and not re-saved by another program do.",
        )
    return _own(document["scene"], f"the scene inside {name}", DEFAULT_SIZE_WH)[0]
