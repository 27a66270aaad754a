"""Scenes: what should be in a picture, and where; the one format that every part of the package speaks.

Needs numpy and the standard library only. What reads and draws pictures is loaded when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scenewright.scene.boxes import Box, area, clip, iou_matrix, pixels
from scenewright.scene.marks import SKELETONS, Keypoints, Point, Scribble, Skeleton
from scenewright.scene.masks import Mask
from scenewright.scene.schema import SCHEMA_VERSION, SIZE_STEP, ImageRef, Instance, Part, Scene
from scenewright.scene.semantic import IGNORE, SemanticMap

if TYPE_CHECKING:
    from scenewright.scene.draw import contact_sheet, layout_picture, overlay
    from scenewright.scene.files import atomic_write
    from scenewright.scene.io import read_image, read_png_scene, write_png
    from scenewright.scene.jsonschema import json_schema
    from scenewright.scene.record import Record
    from scenewright.scene.transform import Transform
    from scenewright.scene.vocabulary import VocabClass, Vocabulary

_LATER = {
    "Record": "record",
    "Transform": "transform",
    "VocabClass": "vocabulary",
    "Vocabulary": "vocabulary",
    "atomic_write": "files",
    "contact_sheet": "draw",
    "json_schema": "jsonschema",
    "layout_picture": "draw",
    "overlay": "draw",
    "read_image": "io",
    "read_png_scene": "io",
    "write_png": "io",
}

__all__ = [
    "IGNORE", "SCHEMA_VERSION", "SIZE_STEP", "SKELETONS",
    "Box", "ImageRef", "Instance", "Keypoints", "Mask", "Part", "Point", "Record", "Scene", "Scribble",
    "SemanticMap", "Skeleton", "Transform", "VocabClass", "Vocabulary",
    "area", "atomic_write", "clip", "contact_sheet", "iou_matrix", "json_schema", "layout_picture", "overlay",
    "pixels", "read_image", "read_png_scene", "write_png",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
