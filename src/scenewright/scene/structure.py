"""Checks a JSON document against a JSON schema, with errors meant for people.

Only the keywords that `scenewright.scene.jsonschema` uses are known; those beginning with ``x-`` are rules
that the dataclasses check themselves when the document is built.
"""

from __future__ import annotations

import re
from typing import Any

from scenewright.errors import SceneError, nearest
from scenewright.scene.checks import joined, shown

Json = dict[str, Any]

_KINDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "array": "a list",
    "object": "an object",
}


def check(value: Any, schema: Json, root: Json, path: str = "") -> None:
    """Raise `SceneError` naming the field unless `value` fits `schema`; references point into `root`."""
    if "$ref" in schema:
        check(value, _target(schema["$ref"], root), root, path)
    if "type" in schema and not _is(value, schema["type"]):
        hint = "leave the key out to have its default" if value is None else ""
        raise SceneError(f"expected {_expected(schema)}, got {shown(value)}", hint, path)
    if "const" in schema and value != schema["const"]:
        raise SceneError(f"expected {schema['const']!r}, got {shown(value)}", path=path)
    if isinstance(value, dict):
        _check_object(value, schema, root, path)
    elif isinstance(value, list):
        _check_list(value, schema, root, path)
    elif isinstance(value, str):
        _check_text(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_number(value, schema, path)
    if "if" in schema:
        check(value, schema["then" if _fits(value, schema["if"], root) else "else"], root, path)


def _check_object(value: Json, schema: Json, root: Json, path: str) -> None:
    properties = schema.get("properties", {})
    if schema.get("additionalProperties") is False:
        for key in value:
            if key not in properties:
                raise _unknown(
                    key, [name for name in properties if name not in value], list(properties), path
                )
    for key in schema.get("required", ()):
        if key not in value:
            expected = _expected(_resolved(properties.get(key, {}), root))
            raise SceneError(f"missing, expected {expected}", path=joined(path, key))
    if len(value) < schema.get("minProperties", 0):
        raise SceneError(f"expected at least one of {', '.join(properties)}, got an empty object", path=path)
    if "propertyNames" in schema:
        for key in value:
            if re.search(schema["propertyNames"]["pattern"], key) is None:
                message = f"expected keys such as 'coco' or 'org.example', got {key!r}"
                raise SceneError(message, "lower case letters, digits, '_', '-', parts joined by dots", path)
    for key, item in value.items():
        if key in properties:
            check(item, properties[key], root, joined(path, key))


def _check_list(value: list[Any], schema: Json, root: Json, path: str) -> None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        raise SceneError(f"expected {_expected(schema)}, got {shown(value)}", path=path)
    for k, item in enumerate(value):
        first = schema.get("prefixItems", ())
        check(item, first[k] if k < len(first) else schema.get("items", {}), root, f"{path}[{k}]")


def _check_text(value: str, schema: Json, path: str) -> None:
    if "enum" in schema and value not in schema["enum"]:
        close = nearest(value, schema["enum"])
        hint = f"did you mean {close!r}?" if close else ""
        raise SceneError(f"expected one of {', '.join(schema['enum'])}, got {value!r}", hint, path)
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        if schema["pattern"] == r"\S":
            raise SceneError("expected a text, got an empty one", path=path)
        hint = schema.get("description", "")
        raise SceneError(f"expected a text that matches {schema['pattern']}, got {shown(value)}", hint, path)


def _check_number(value: float, schema: Json, path: str) -> None:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    if not low <= value <= high:
        hint = "places are fractions of the canvas, from 0 to 1" if (low, high) == (0, 1) else ""
        raise SceneError(f"expected {_expected(schema)}, got {shown(value)}", hint, path)
    step = schema.get("multipleOf")
    if step and value % step:
        up = (int(value) // step + 1) * step
        raise SceneError(
            f"expected a multiple of {step}, got {shown(value)}", f"use {up - step or up} or {up}", path
        )


def _unknown(key: str, free: list[str], known: list[str], path: str) -> SceneError:
    """Advice for a key that is not in the schema: the nearest name, an alias, or the list of names."""
    close = (
        ALIASES.get(key) if ALIASES.get(key) in known else nearest(key, free or known) or nearest(key, known)
    )
    hint = f"did you mean {close!r}?" if close else f"known keys are {', '.join(known)}"
    return SceneError("unknown key", hint, joined(path, key))


ALIASES = {
    "bbox": "box", "boxes": "box", "caption": "phrase", "label": "phrase", "text": "phrase", "name": "phrase",
    "class": "category", "category_id": "category", "segmentation": "mask", "rle": "mask", "order": "z",
    "objects": "instances", "annotations": "instances", "annos": "instances", "negative_prompt": "negative",
    "size": "size_wh", "resolution": "size_wh", "width": "size_wh", "height": "size_wh", "depth": "z",
    "version": "schema_version", "image": "picture", "labels": "semantic_map",
}  # fmt: skip
"""What other formats call our fields."""


def _expected(schema: Json) -> str:
    """What a schema asks for, in words."""
    kind = schema.get("type", "")
    words = _KINDS.get(kind, "a value")
    if kind in ("number", "integer") and "minimum" in schema and "maximum" in schema:
        return f"{words} from {schema['minimum']} to {schema['maximum']}"
    if kind == "array" and schema.get("minItems") is not None:
        low, high = schema["minItems"], schema.get("maxItems")
        amount = f"{low}" if low == high else f"at least {low}" if high is None else f"{low} to {high}"
        about = schema.get("description", "").rstrip(".")
        return f"a list of {amount}" + (f" ({about})" if about else "")
    return words


def _is(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "array":
        return isinstance(value, list)
    if kind == "object":
        return isinstance(value, dict)
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and (kind == "number" or isinstance(value, int) or value.is_integer())


def _fits(value: Any, schema: Json, root: Json) -> bool:
    try:
        check(value, schema, root)
    except SceneError:
        return False
    return True


def _resolved(schema: Json, root: Json) -> Json:
    return {**_target(schema["$ref"], root), **schema} if "$ref" in schema else schema


def _target(reference: str, root: Json) -> Json:
    target: Json = root["$defs"][reference.removeprefix("#/$defs/")]
    return target
