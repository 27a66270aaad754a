"""The JSON schema of scene files (draft 2020-12); the reader checks documents against this same schema.

What plain JSON schema cannot say is said by keywords of our own, which other validators ignore:

- ``x-box``: four numbers x0, y0, x1, y1 with x0 < x1 and y0 < y1
- ``x-run-lengths``: `counts` are compressed COCO run lengths that fill `size_hw` exactly
- ``x-labels``: `data` is base64 of zlib of exactly height * width little-endian uint16
- ``x-unique``: the items of a list differ in this key (where they have it)
- ``x-one-size``: every mask and map has the scene's size

``python -m scenewright.scene.jsonschema FILE`` writes the schema to a file.
"""

from __future__ import annotations

import copy
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from scenewright.scene import schema
from scenewright.scene.marks import SKELETONS
from scenewright.scene.masks import LARGEST_PX

Json = dict[str, Any]


def json_schema() -> Json:
    """The schema of scene files, as a new document each time.

    It covers the present version and the older ones that are upgraded on reading.
    """
    return copy.deepcopy(shared_schema())


def schema_text() -> str:
    """The schema as the text of ``docs/reference/scene.schema.json``."""
    return json.dumps(shared_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write the schema to the file named by the only argument."""
    from scenewright.scene.files import atomic_write

    if len(arguments) != 1:
        raise SystemExit("usage: python -m scenewright.scene.jsonschema FILE")
    atomic_write(Path(arguments[0]), schema_text().encode("utf-8"))


@cache
def shared_schema() -> Json:
    """The schema as one document for all readers, who must not change it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:scenewright:scene:1",
        "title": "Scene",
        "description": "What should be in a picture, and where. Places are fractions of the canvas, x from "
        "the left, y from the top. Numbers are finite and texts are Unicode.",
        "if": {"required": ["schema_version"], "properties": {"schema_version": {"const": 0}}},
        "then": {"$ref": "#/$defs/scene_0"},
        "else": {"$ref": "#/$defs/scene"},
        "$defs": {
            "scene": _scene(schema.SCHEMA_VERSION, "#/$defs/instance", _instances()),
            "scene_0": _scene(0, "#/$defs/instance_0", {}),
            "instance": _instance(
                "box", {"id": _text("Unique in its scene; given when left out.", schema.ID_PATTERN)}
            ),
            "instance_0": _instance("bbox", {}),
            **_marks(),
            **_references(),
        },
    }


def _scene(version: int, instance: str, rules: Json) -> Json:
    side = {"type": "integer", "minimum": 1, "maximum": LARGEST_PX}
    step = {"multipleOf": schema.SIZE_STEP, "minimum": schema.SIZE_STEP}
    version_field = {
        "type": "integer",
        "const": version,
        "description": "Left out, it is the present version.",
    }
    fields = {
        "schema_version": version_field,
        "prompt": _text("What the whole picture shows; may be empty.", None),
        "size_wh": _list(side, 2, 2, "Width, height in pixels: multiples of 8 unless `picture` is given."),
        "instances": {"type": "array", "items": {"$ref": instance}, **rules},
        "negative": _text("What the picture must not show.", None),
        "semantic_map": {"$ref": "#/$defs/semantic_map"},
        "style": _text("How the picture should look.", None),
        "seed": {"type": "integer", "minimum": 0, "maximum": schema.LARGEST_SEED},
        "picture": {
            "$ref": "#/$defs/image_ref",
            "description": "The existing picture that the scene describes.",
        },
        "extra": _extra(),
    }
    return {
        **_object(fields, ["prompt", "size_wh"]),
        "if": {"required": ["picture"]},
        "then": {},
        "else": {"properties": {"size_wh": {"items": step}}},
        "x-one-size": True,
    }


def _instances() -> Json:
    return {"x-unique": "id", "description": "Things in the picture; none is a valid scene."}


def _instance(box: str, more: Json) -> Json:
    fields = {
        "phrase": _text("What it is, in words."),
        **more,
        box: {"$ref": "#/$defs/box"},
        "mask": {"$ref": "#/$defs/mask"},
        "points": {"type": "array", "items": {"$ref": "#/$defs/point"}},
        "scribble": {"$ref": "#/$defs/scribble"},
        "keypoints": {"$ref": "#/$defs/keypoints"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
        "reference": {"$ref": "#/$defs/image_ref", "description": "A picture of how it looks."},
        "negative": _text("What this instance must not be.", None),
        "z": {
            "type": "integer",
            "minimum": -schema.LARGEST_SEED,
            "maximum": schema.LARGEST_SEED,
            "description": "Order in depth; higher is nearer.",
        },
        "category": _text("Name of its class.", None),
        "extra": _extra(),
    }
    return _object(fields, ["phrase"])


def _marks() -> Json:
    fraction = {"type": "number", "minimum": 0, "maximum": 1}
    joint = {
        "type": "array",
        "prefixItems": [fraction, fraction, {"type": "integer", "minimum": 0, "maximum": 2}],
        "minItems": 3,
        "maxItems": 3,
        "description": "x, y and 0 (not labelled), 1 (hidden) or 2 (visible).",
    }
    size_hw = _list(
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PX}, 2, 2, "Height, width in pixels."
    )
    counts = _text("Compressed COCO run lengths of the columns.", r"^(?!.*\n)[0-o]+$")
    data = _text(
        "base64 of zlib of little-endian uint16, row by row; 65535 is ignored.", r"^(?!.*\n)[A-Za-z0-9+/=]+$"
    )
    joints = [len(skeleton.names) for skeleton in SKELETONS.values()]
    return {
        "box": {**_list(fraction, 4, 4, "x0, y0, x1, y1: upper left and lower right corner."), "x-box": True},
        "point": _list(fraction, 2, 2, "x, y."),
        "scribble": {
            "type": "array",
            "items": {"$ref": "#/$defs/point"},
            "minItems": 2,
            "description": "A line.",
        },
        "keypoints": _object(
            {
                "points": _list(joint, min(joints), max(joints), "One entry per joint of the skeleton."),
                "skeleton": {"type": "string", "enum": list(SKELETONS)},
            },
            ["points"],
        ),
        "mask": {
            **_object({"size_hw": size_hw, "counts": counts}, ["size_hw", "counts"]),
            "x-run-lengths": True,
        },
        "semantic_map": {
            **_object(
                {"vocabulary": _text("Name of the vocabulary."), "size_hw": size_hw, "data": data},
                ["vocabulary", "size_hw", "data"],
            ),
            "x-labels": True,
        },
    }


def _references() -> Json:
    fields = {
        "path": _text("Relative to the scene's file, or absolute."),
        "sha256": _text("64 hex digits.", schema.HASH_PATTERN),
    }
    part = {"name": _text("Name."), "box": {"$ref": "#/$defs/box"}, "mask": {"$ref": "#/$defs/mask"}}
    return {"image_ref": {**_object(fields, []), "minProperties": 1}, "part": _object(part, ["name", "box"])}


def _object(properties: Json, required: list[str]) -> Json:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list(items: Json, low: int, high: int, description: str) -> Json:
    return {"type": "array", "items": items, "minItems": low, "maxItems": high, "description": description}


def _text(description: str, pattern: str | None = r"\S") -> Json:
    return {"type": "string", "description": description, **({"pattern": pattern} if pattern else {})}


def _extra() -> Json:
    return {
        "type": "object",
        "propertyNames": {"pattern": schema.EXTRA_PATTERN},
        "description": "Data of other programs under namespaced keys (coco, org.example); kept as it is.",
    }


if __name__ == "__main__":
    main(sys.argv[1:])
