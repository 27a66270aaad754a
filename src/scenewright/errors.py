"""What can go wrong, as one small tree.

::

    ScenewrightError            anything the package raises on purpose
    ├── InputError              the user's input cannot be used (also a ValueError)
    │   ├── SceneError          a scene or one of its fields; `path` names the field
    │   └── ModelError          an unknown, incomplete or mismatched model
    └── StorageError            a file or folder cannot be read or written (also an OSError)

Every message says what was given and what was expected; `hint` says what to do next. The command line
prints both and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ScenewrightError(Exception):
    """Base of all errors raised on purpose. `message` is the fact, `hint` the advice (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(ScenewrightError, ValueError):
    """The user's input cannot be used."""


class SceneError(InputError):
    """A scene, or one field of it, is not valid. `path` names the field, e.g. ``instances[2].box``."""

    def __init__(self, message: str, hint: str = "", path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, hint)
        self.path = path


class ModelError(InputError):
    """A model is unknown, incomplete, or does not belong to what it is used with."""


class StorageError(ScenewrightError, OSError):
    """A file or folder cannot be read or written."""


def ignored(options: Sequence[str], beside: str, hint: str) -> InputError:
    """The refusal of `options` that would change nothing `beside` what else was asked: "without --tile"."""
    one = len(options) == 1
    return InputError(
        f"{', '.join(options)} {'was' if one else 'were'} given {beside} and would be ignored",
        f"{hint}, or leave {'it' if one else 'them'} out" if hint else f"leave {'it' if one else 'them'} out",
    )


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice closest to `word` by spelling, or None if nothing is close."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return found[0] if found else None
