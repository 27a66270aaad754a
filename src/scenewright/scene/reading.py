"""Scenes from JSON and to JSON; older versions are upgraded on the way in.

The document is first checked against the JSON schema (`scenewright.scene.jsonschema`), then built; the
dataclasses check what a schema cannot say. All errors are `SceneError` with the path of the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scenewright.errors import InputError, SceneError
from scenewright.scene import checks, files, jsonschema, structure
from scenewright.scene.boxes import Box
from scenewright.scene.marks import Keypoints, Point, Scribble
from scenewright.scene.masks import Mask
from scenewright.scene.schema import SCHEMA_VERSION, ImageRef, Instance, Part, Scene
from scenewright.scene.semantic import SemanticMap

Json = dict[str, Any]
T = TypeVar("T")


def read_scene(path: Path | str) -> Scene:
    """The scene in a JSON file. `StorageError`: it cannot be read; `SceneError`: it is no scene."""
    try:
        return scene_from_json(files.read_json(path))
    except SceneError as error:
        named = SceneError(f"{path}: {error.message}", error.hint)
        named.path = error.path
        raise named from error
    except InputError as error:
        raise SceneError(error.message, error.hint) from error


def write_scene(scene: Scene, path: Path | str) -> None:
    """The scene as a JSON file, whole or not at all; `StorageError` if it cannot be written."""
    files.atomic_write(path, scene_text(scene).encode("utf-8"))


def scene_text(scene: Scene) -> str:
    """The scene as readable JSON text, lists of numbers on one line."""
    text = json.dumps(scene_to_json(scene), indent=2, ensure_ascii=False, allow_nan=False)
    number = r"-?[0-9][0-9.eE+\-]*"
    lists = re.compile(rf"\[\n\s*({number}(?:,\n\s*{number})*)\n\s*\]")  # no line ends inside JSON texts
    return lists.sub(lambda found: "[" + re.sub(r",\n\s*", ", ", found[1]) + "]", text) + "\n"


# --- reading -----------------------------------------------------------------------------------------------


def scene_from_json(document: Any) -> Scene:
    """A scene from a parsed document, which is not changed."""
    try:
        plain = checks.plain(document, "")
    except RecursionError:
        raise SceneError("expected a scene, got a document that is nested too deeply") from None
    _check_version(plain)
    schema = jsonschema.shared_schema()
    structure.check(plain, schema, schema)
    return _scene(upgraded(plain))


def upgraded(document: Json) -> Json:
    """The document in the present version; the argument is not changed.

    Version 0 called `box` "bbox" and knew no ids.
    """
    if document.get("schema_version", SCHEMA_VERSION) == 0:
        instances = [
            {("box" if key == "bbox" else key): item for key, item in instance.items()}
            for instance in document.get("instances", [])
        ]
        document = {**document, "schema_version": 1, "instances": instances}
    return document


def _check_version(document: Any) -> None:
    if not isinstance(document, dict):
        raise SceneError(f"expected a scene as a JSON object, got {checks.shown(document)}")
    version = document.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, (int, float)) and version > SCHEMA_VERSION:
        raise SceneError(
            f"expected at most {SCHEMA_VERSION}, got {version}",
            "this file was written by a newer Scenewright: update the package",
            "schema_version",
        )


def _scene(document: Json) -> Scene:
    fields = dict(document)
    fields["size_wh"] = tuple(document["size_wh"])
    fields["instances"] = _each(document, "instances", _instance)
    _convert(
        fields, "semantic_map", lambda value: SemanticMap(**{**value, "size_hw": tuple(value["size_hw"])})
    )
    _convert(fields, "picture", lambda value: ImageRef(**value))
    return Scene(**{**fields, "schema_version": SCHEMA_VERSION})


def _instance(document: Json) -> Instance:
    fields = dict(document)
    fields["points"] = _each(document, "points", _point)
    fields["parts"] = _each(document, "parts", _part)
    _convert(fields, "box", _box)
    _convert(fields, "mask", _mask)
    _convert(fields, "scribble", lambda value: Scribble(tuple(_point(item) for item in value)))
    _convert(fields, "keypoints", lambda value: Keypoints(**value))
    _convert(fields, "reference", lambda value: ImageRef(**value))
    return Instance(**fields)


def _part(document: Json) -> Part:
    fields = dict(document)
    _convert(fields, "box", _box)
    _convert(fields, "mask", _mask)
    return Part(**fields)


def _box(value: Sequence[float]) -> Box:
    return Box(*value)


def _point(value: Sequence[float]) -> Point:
    return Point(*value)


def _mask(value: Json) -> Mask:
    return Mask(tuple(value["size_hw"]), value["counts"])


def _convert(fields: Json, key: str, build: Callable[[Any], Any]) -> None:
    """Replace fields[key], if there, by what `build` makes of it; errors get the key in their path."""
    if key in fields:
        fields[key] = _at(key, build, fields[key])


def _each(document: Json, key: str, build: Callable[[Any], T]) -> tuple[T, ...]:
    return tuple(_at(f"{key}[{k}]", build, item) for k, item in enumerate(document.get(key, ())))


def _at(path: str, build: Callable[[Any], T], value: Any) -> T:
    try:
        return build(value)
    except SceneError as error:
        raise checks.under(path, error) from None


# --- writing -----------------------------------------------------------------------------------------------


def scene_to_json(scene: Scene) -> Json:
    """A JSON document; fields that hold their default are left out, but for version and instances."""
    return {
        "schema_version": scene.schema_version,
        "prompt": scene.prompt,
        "size_wh": list(scene.size_wh),
        "instances": [_instance_json(instance) for instance in scene.instances],
        **_given(negative=scene.negative, style=scene.style, seed=scene.seed),
        **({"semantic_map": _map_json(scene.semantic_map)} if scene.semantic_map else {}),
        **({"picture": _image_json(scene.picture)} if scene.picture else {}),
        **({"extra": checks.plain(dict(scene.extra), "extra")} if scene.extra else {}),
    }


def _instance_json(item: Instance) -> Json:
    return {
        "id": item.id,
        "phrase": item.phrase,
        **_given(category=item.category, negative=item.negative, z=item.z or None),
        **({"box": list(item.box.xyxy)} if item.box else {}),
        **({"mask": _mask_json(item.mask)} if item.mask else {}),
        **({"points": [list(point.xy) for point in item.points]} if item.points else {}),
        **({"scribble": [list(point.xy) for point in item.scribble.points]} if item.scribble else {}),
        **({"keypoints": _keypoints_json(item.keypoints)} if item.keypoints else {}),
        **({"parts": [_part_json(part) for part in item.parts]} if item.parts else {}),
        **({"reference": _image_json(item.reference)} if item.reference else {}),
        **({"extra": checks.plain(dict(item.extra), "extra")} if item.extra else {}),
    }


def _part_json(part: Part) -> Json:
    mask = {"mask": _mask_json(part.mask)} if part.mask else {}
    return {"name": part.name, "box": list(part.box.xyxy), **mask}


def _mask_json(mask: Mask) -> Json:
    return {"size_hw": list(mask.size_hw), "counts": mask.counts}


def _map_json(labels: SemanticMap) -> Json:
    return {"vocabulary": labels.vocabulary, "size_hw": list(labels.size_hw), "data": labels.data}


def _keypoints_json(keypoints: Keypoints) -> Json:
    return {"skeleton": keypoints.skeleton, "points": [list(joint) for joint in keypoints.points]}


def _image_json(image: ImageRef) -> Json:
    return _given(path=image.path, sha256=image.sha256)


def _given(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}
