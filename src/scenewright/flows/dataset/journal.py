"""The journal of a data set: one line for every picture that is done, appended when its files are whole.

A line is JSON with sorted keys and no clock, so that equal runs give equal journals. It is written after the
picture's files and in one piece; what a kill leaves of a line is cut off when the journal is opened again,
and that picture is made again. One process writes a journal at a time; it holds a lock that ends with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from scenewright.errors import InputError, StorageError
from scenewright.flows.dataset.filters import Reason
from scenewright.scene.files import atomic_write, cannot, read_bytes, to_json_bytes

JOURNAL = "journal.jsonl"

State = Literal["kept", "refused", "failed"]
"""A record was written; the filter turned the picture down; it could not be made."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of a picture.

    classes  what was looked for, the labeller's names
    files    of a kept one: file name -> sha256 in hex
    reasons  of a refused one
    error    of a failed one, with a `hint`
    """

    name: str
    state: State
    classes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; what is empty is left out."""
        found: dict[str, Any] = {"name": self.name, "state": self.state, "classes": list(self.classes)}
        if self.files:
            found["files"] = dict(self.files)
        if self.reasons:
            found["reasons"] = [one.to_json() for one in self.reasons]
        for key in ("error", "hint"):
            if getattr(self, key):
                found[key] = getattr(self, key)
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Entry:
        """From a parsed line. Raises KeyError, TypeError or ValueError for one that is none."""
        if value["state"] not in get_args(State):
            raise ValueError(f"unknown state {value['state']!r}")
        return cls(
            name=str(value["name"]),
            state=value["state"],
            classes=tuple(value.get("classes", ())),
            files=dict(value.get("files", {})),
            reasons=tuple(Reason.from_json(one) for one in value.get("reasons", ())),
            error=str(value.get("error", "")),
            hint=str(value.get("hint", "")),
        )


@dataclass(frozen=True)
class Read:
    """A journal as it lies there: `entries` in order, and the bytes of its whole lines; what comes after
    those is what a kill left."""

    entries: tuple[Entry, ...]
    whole: int
    torn: bool


def read(path: Path) -> Read:
    """The journal in a file; an empty one where there is none.

    Raises InputError for a line in the middle that is no entry, and for a name that stands in it twice.
    """
    content = read_bytes(path) if path.is_file() else b""
    end = content.rfind(b"\n") + 1
    entries = tuple(_entry(line, number, path) for number, line in enumerate(content[:end].splitlines(), 1))
    seen: set[str] = set()
    for one in entries:
        if one.name in seen:
            raise InputError(f"{path} has two lines about {one.name}", "was it joined from two journals?")
        seen.add(one.name)
    return Read(entries, end, end < len(content))


def lines(entries: Iterable[Entry]) -> bytes:
    """Entries as they stand in a journal."""
    return b"".join(to_json_bytes(one.to_json()) + b"\n" for one in entries)


class Journal:
    """A journal opened for appending; a context manager.

    Opening makes the file if there is none, takes the lock and cuts off an unfinished line. Raises
    StorageError when it cannot be opened, InputError when another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as fault:
            raise cannot("write", path, fault) from fault
        try:
            _lock(self._file, path)
            found = read(path)
            if found.torn:
                os.ftruncate(self._file, found.whole)
        except BaseException:
            os.close(self._file)
            raise
        self._length = found.whole
        self.entries: dict[str, Entry] = {one.name: one for one in found.entries}

    def append(self, entry: Entry) -> None:
        """Write a line and wait until it is on the disk. Raises StorageError; the line is then not there."""
        content = lines([entry])
        try:
            _write(self._file, content)
            os.fsync(self._file)
        except OSError as fault:
            os.ftruncate(self._file, self._length)
            raise cannot("write", self.path, fault) from fault
        self._length += len(content)
        self.entries[entry.name] = entry

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def forget(path: Path, states: Iterable[State]) -> int:
    """Take the lines with these states out of a journal, so that the pictures are tried again.

    Returns their number. Raises as `Journal` and `read` do.
    """
    unwanted = set(states)
    with Journal(path) as journal:
        kept = [one for one in journal.entries.values() if one.state not in unwanted]
        gone = len(journal.entries) - len(kept)
        if gone:
            atomic_write(path, lines(kept))
    return gone


def _entry(line: bytes, number: int, path: Path) -> Entry:
    try:
        return Entry.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(
            f"line {number} of {path} is no entry of a journal: {fault}",
            "copy the journal again, or build the data set in another folder",
        ) from fault


def _write(file: int, content: bytes) -> None:
    """All of it; `os.write` may take a part."""
    while content:
        content = content[os.write(file, content) :]


def _lock(file: int, path: Path) -> None:
    """Take the lock of an open file; systems without `fcntl` go without one."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise InputError(
            f"another process is writing {path}", "wait for it to end, or choose another --out"
        ) from fault
    except OSError as fault:
        raise StorageError(
            f"cannot lock {path}: {fault.strerror}", "choose a folder on a local disk"
        ) from fault
