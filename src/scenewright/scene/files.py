"""Files and JSON: writing that is whole or absent, reading whose errors say what to do.

Nothing here knows about pictures or scenes.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, StorageError, nearest

_HINTS = {
    errno.ENOSPC: "The disk is full: free some space or write somewhere else.",
    errno.EDQUOT: "The disk quota is used up: free some space or write somewhere else.",
    errno.EFBIG: "The file would be larger than this system allows.",
    errno.EACCES: "You have no permission there: choose another folder.",
    errno.EPERM: "You have no permission there: choose another folder.",
    errno.EROFS: "That place is read-only: choose another folder.",
    errno.ENOTDIR: "A part of the path is a file, not a folder.",
    errno.EEXIST: "There is a file where a folder is needed.",
    errno.EISDIR: "There is a folder of that name: choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


# --- writing -----------------------------------------------------------------------------------------------


def atomic_write(path: Path | str, content: bytes) -> Path:
    """Write a file so that it is either complete or absent; folders on the way are made.

    Raises StorageError (full disk, no permission, …); an older file of that name is then untouched.
    """
    return atomic_write_all({Path(path): content})[0]


def atomic_write_all(contents: Mapping[Path, bytes]) -> list[Path]:
    """Write several files: all are written under temporary names first, then renamed one after another.

    What a full disk or a missing permission would break is therefore known before the first of them appears.
    """
    waiting: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
            waiting.append((temporary, path))
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in waiting:
            os.replace(temporary, path)
    except OSError as fault:
        raise cannot("write", path, fault) from fault
    finally:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
    return [path for _, path in waiting]


def cannot(verb: str, path: Path, fault: OSError) -> StorageError:
    """A StorageError for `fault` at `path`, with advice that fits the reason."""
    hint = _HINTS.get(fault.errno or 0, "")
    return StorageError(f"cannot {verb} {path}: {fault.strerror or fault}", hint)


def to_json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as UTF-8, keys sorted, so that equal values give equal bytes. NaN and infinity are refused."""
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        text = json.dumps(
            value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators
        )
        return text.encode() if indent is None else (text + "\n").encode()
    except (TypeError, ValueError) as fault:
        raise InputError(f"cannot be written as JSON: {fault}") from fault


# --- reading -----------------------------------------------------------------------------------------------


def read_bytes(path: Path | str, limit: int = 2**30) -> bytes:
    """The content of a file. Raises StorageError when it is missing (naming the nearest file), a folder,
    unreadable or longer than `limit` bytes."""
    path = Path(path)
    try:
        if path.is_dir():
            raise StorageError(f"{path} is a folder; a file was expected", "Name one of the files in it.")
        size = path.stat().st_size
        if size <= limit:
            with open(path, "rb") as file:
                content = file.read(limit + 1)  # a device or a pipe has no size
            size = len(content)
        if size > limit:
            raise StorageError(f"{path} has {size:,} bytes or more; at most {limit:,} are read")
        return content
    except FileNotFoundError as fault:
        raise StorageError(f"there is no file {path}", _nearest_file(path)) from fault
    except OSError as fault:
        if isinstance(fault, StorageError):
            raise
        raise cannot("read", path, fault) from fault


def _nearest_file(path: Path) -> str:
    """Advice for a missing file: the nearest name beside it, or the part of the path that is missing."""
    if not path.parent.is_dir():
        return f"The folder {path.parent} does not exist either."
    names = sorted(entry.name for entry in path.parent.iterdir())
    guess = nearest(path.name, names)
    return f"Did you mean {path.parent / guess}?" if guess else ""


def read_json(path: Path | str) -> Any:
    """The JSON value in a file. Raises StorageError (file) or InputError (not JSON, with line and column)."""
    return parse_json(read_bytes(path), str(path))


def parse_json(content: bytes, name: str) -> Any:
    """JSON from bytes (UTF-8, a byte order mark is allowed); repeated keys, NaN and infinity are refused.

    `name` is how messages call the source. Raises InputError with line and column.
    """
    if not content.strip():
        raise InputError(f"{name} is empty; JSON was expected", "Was it saved, or copied in full?")
    try:
        return json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as fault:
        hint = "This looks like a picture, not a scene." if is_picture(content) else "Save it as UTF-8."
        raise InputError(f"{name} is not JSON: byte {fault.start} is not UTF-8 text", hint) from fault
    except json.JSONDecodeError as fault:
        hint = "Check the commas and quotes just before that place."
        raise InputError(
            f"{name} is not JSON: {fault.msg} in line {fault.lineno}, column {fault.colno}", hint
        ) from fault
    except RecursionError as fault:
        raise InputError(
            f"{name} is nested too deeply to be read", "Scenes need about ten levels."
        ) from fault
    except ValueError as fault:
        raise InputError(
            f"{name} is not JSON: {fault}", "Each key may occur once, and numbers must be finite."
        ) from fault


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return result


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number that JSON knows")


def is_picture(content: bytes) -> bool:
    """Whether the content begins like a PNG, JPEG, WebP, GIF, BMP or TIFF file."""
    return content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*"))
