"""Lines on stderr: errors with their hints, warnings, remarks."""

from __future__ import annotations

import sys
from typing import Any

from scenewright.errors import SceneError, ScenewrightError, StorageError


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def fail(message: str, hint: str, code: int) -> int:
    """The two lines of an error; returns `code`."""
    say(f"error: {message}" + (f"\nhint: {hint}" if hint else ""))
    return code


def advice(fault: ScenewrightError) -> str:
    """The error's own hint, or where to read more."""
    if fault.hint:
        return fault.hint
    if isinstance(fault, SceneError):
        return "docs/concepts/scene-format.md explains every field; examples/ has scenes to copy"
    return (
        "check the path"
        if isinstance(fault, StorageError)
        else "--help after the command lists what it takes"
    )


def warn(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """A warning as one line, in place of Python's two with a file name."""
    own = category.__module__.startswith("scenewright") or category is UserWarning
    say(f"warning: {message}" if own else f"warning: {category.__name__}: {message}")
