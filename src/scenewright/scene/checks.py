"""Small checks shared by the dataclasses of this package: each says what was given and what was expected.

Every function returns the value in its stored form or raises `SceneError` with `path` naming the field.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard, TypeVar

from scenewright.errors import SceneError

T = TypeVar("T")

DEEPEST = 100
"""Most levels of lists and objects inside each other in a document."""

SHOWN = 60
"""Longest piece of a wrong value that a message repeats, in characters."""


def shown(value: object) -> str:
    """`value` as a message names it: its kind, and its text if that is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= SHOWN else f"a text of {len(value)} characters"
    if isinstance(value, (list, tuple)):
        text = repr(list(value)) if len(value) <= 8 else ""
        return text if 0 < len(text) <= SHOWN else f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    return f"a {type(value).__name__}"


def number(value: object, path: str, low: float, high: float) -> float:
    """A finite real number in [low, high], as float. Booleans are not numbers."""
    if isinstance(value, bool) or not _is_real(value):
        raise SceneError(f"expected a number, got {shown(value)}", path=path)
    if not low <= value <= high and value == value:
        raise SceneError(f"expected a number from {low:g} to {high:g}, got {shown(value)}", path=path)
    found = float(value)
    if not math.isfinite(found):
        raise SceneError(f"expected a finite number, got {found}", path=path)
    return found + 0.0  # turns -0.0 into 0.0, so that equal values print equally


def whole(value: object, path: str, low: int, high: int) -> int:
    """A whole number in [low, high], as int. Booleans are refused; 8.0 counts as 8, as in JSON."""
    if isinstance(value, bool) or not _is_real(value):
        raise SceneError(f"expected a whole number, got {shown(value)}", path=path)
    if not isinstance(value, int) and not float(value).is_integer():
        raise SceneError(f"expected a whole number, got {shown(value)}", path=path)
    exact = int(value)
    if not low <= exact <= high:
        raise SceneError(f"expected a whole number from {low} to {high}, got {shown(exact)}", path=path)
    return exact


def text(value: object, path: str, *, blank: bool = False) -> str:
    """A Unicode text; with `blank=False` it must hold something other than white space."""
    if not isinstance(value, str):
        raise SceneError(f"expected a text, got {shown(value)}", path=path)
    if not value.isascii() and any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        raise SceneError("expected Unicode text, got a lone surrogate", path=path)
    if not blank and not value.strip():
        raise SceneError("expected a text, got an empty one", path=path)
    return value


def optional_text(value: object, path: str) -> str | None:
    """None, or any Unicode text (an empty one is a value of its own)."""
    return None if value is None else text(value, path, blank=True)


def made_of(value: object, kind: type[T], path: str) -> T:
    """`value` if it is a `kind`."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise SceneError(f"expected {article} {kind.__name__}, got {shown(value)}", path=path)
    return value


def tuple_of(values: object, kind: type[T], path: str) -> tuple[T, ...]:
    """A tuple of `kind` from any iterable of them (texts and mappings are not taken apart)."""
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise SceneError(f"expected a list of {kind.__name__}, got {shown(values)}", path=path)
    return tuple(made_of(value, kind, f"{path}[{k}]") for k, value in enumerate(values))


def pair(value: object, path: str, low: int, high: int) -> tuple[int, int]:
    """Two whole numbers in [low, high]."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise SceneError(f"expected two whole numbers, got {shown(value)}", path=path)
    return whole(value[0], f"{path}[0]", low, high), whole(value[1], f"{path}[1]", low, high)


def plain(value: Any, path: str, depth: int = 0) -> Any:
    """A deep copy of `value` made of dict, list, str, int, float, bool and None only; NaN is not JSON.

    `depth` is the number of levels above it; beyond `DEEPEST` levels the value is refused.
    """
    if depth > DEEPEST:
        raise SceneError(f"nested too deeply: expected at most {DEEPEST} levels", path=path.split(".")[0])
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return text(value, path, blank=True)
    if isinstance(value, float):
        return number(value, path, -math.inf, math.inf)
    if isinstance(value, (list, tuple)):
        return [
            item if item is None or type(item) is int else plain(item, f"{path}[{k}]", depth + 1)
            for k, item in enumerate(value)
        ]
    if isinstance(value, dict):
        return {
            text(key, path, blank=True): plain(item, joined(path, key), depth + 1)
            for key, item in value.items()
        }
    raise SceneError(f"expected plain JSON, got {shown(value)}", "convert it to lists and numbers", path)


def joined(path: str, key: object) -> str:
    """The path of `key` inside the object at `path`."""
    return f"{path}.{key}" if path else str(key)


def under(path: str, error: SceneError) -> SceneError:
    """The same error, its field named from outside: `box` under `instances[2]` is `instances[2].box`."""
    bare = error.message.removeprefix(f"{error.path}: ") if error.path else error.message
    return SceneError(bare, error.hint, joined(path, error.path) if error.path else path)


def _is_real(value: object) -> TypeGuard[float]:
    """True for Python and numpy integers and floats: anything that converts and is not text or array."""
    return isinstance(value, (int, float)) or (
        hasattr(value, "dtype") and getattr(value, "shape", None) == () and hasattr(value, "__float__")
    )
