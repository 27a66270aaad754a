"""Statistics of label files and lists of them, interchangeable with those of DGInStyle and its segmenters.

==============================  ==========================================================================
``sample_class_stats.json``     list of {train id: pixels, "file": path}
``sample_class_stats_dict.json``  path -> {train id: pixels}
``samples_with_class.json``     train id -> list of [path, pixels]
``dataset_file.json``           JSON lines {"text", "image", "conditioning_image"}, sorted by name
generation list                 JSON list of {"class": train id, "class_name", "file_name"}
==============================  ==========================================================================

Paths stand there as they were given, so they may be relative to the folder in which the files were written.
Sources: Hoyer et al., DAFormer (CVPR 2022); Jia et al., DGInStyle (ECCV 2024).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, StorageError
from scenewright.scene.files import atomic_write_all, read_bytes, read_json
from scenewright.scene.label_space import load

STATS, STATS_DICT, WITH_CLASS = (
    "sample_class_stats.json",
    "sample_class_stats_dict.json",
    "samples_with_class.json",
)
DATASET_FILE = "dataset_file.json"


@dataclass(frozen=True)
class Statistics:
    """Per label file its path and its classes: train id -> pixels, above 0."""

    rows: tuple[tuple[str, Mapping[int, int]], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def totals(self) -> dict[int, int]:
        """Train id -> pixels in all files, in the order in which the classes first appear."""
        found: dict[int, int] = {}
        for _, counts in self.rows:
            for id, n in counts.items():
                found[id] = found.get(id, 0) + n
        return found

    def files_with(self, id: int, more_than: int = 0) -> tuple[str, ...]:
        """Files with strictly more than so many pixels of a class."""
        return tuple(path for path, counts in self.rows if counts.get(id, 0) > more_than)

    def contents(self) -> dict[str, bytes]:
        """The three files by name."""
        listed = [{**_texts(counts), "file": path} for path, counts in self.rows]
        with_class: dict[str, list[list[Any]]] = {}
        for path, counts in self.rows:
            for id, n in counts.items():
                with_class.setdefault(str(id), []).append([path, n])
        by_path = {path: _texts(counts) for path, counts in self.rows}
        values = {STATS: listed, STATS_DICT: by_path, WITH_CLASS: with_class}
        return {name: _json(value) for name, value in values.items()}

    def write(self, folder: Path) -> list[Path]:
        """Write the three files. Raises StorageError."""
        return atomic_write_all({folder / name: content for name, content in self.contents().items()})

    @classmethod
    def read(cls, folder: Path) -> Statistics:
        """The statistics in a folder: ``sample_class_stats.json``, else one of the other two files.

        Raises StorageError if there is none, InputError for a file that is no such list.
        """
        names = [name for name in (STATS, STATS_DICT, WITH_CLASS) if (folder / name).is_file()]
        if not names:
            raise StorageError(
                f"{folder} has no {STATS}", f"`scenewright dataset import gta {folder}` writes it"
            )
        value, where = read_json(folder / names[0]), str(folder / names[0])
        if names[0] == STATS:
            return cls(tuple(_row(one, f"{where}[{k}]") for k, one in enumerate(_list(value, where))))
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, got a {type(value).__name__}")
        if names[0] == STATS_DICT:
            return cls(tuple((str(path), _counts(one, f"{where}: {path}")) for path, one in value.items()))
        return cls(_turned(value, where))


def _turned(value: Mapping[str, Any], where: str) -> tuple[tuple[str, Mapping[int, int]], ...]:
    """Rows from lists by class; files sorted by name."""
    found: dict[str, dict[str, Any]] = {}
    for id, pairs in value.items():
        for k, pair in enumerate(_list(pairs, f"{where}: {id}")):
            if not isinstance(pair, list) or len(pair) != 2:
                raise InputError(f"{where}: {id}[{k}]: expected [path, pixels], got {str(pair)[:60]}")
            found.setdefault(str(pair[0]), {})[id] = pair[1]
    ordered = {path: dict(sorted(one.items(), key=lambda pair: int(pair[0]))) for path, one in found.items()}
    return tuple((path, _counts(ordered[path], f"{where}: {path}")) for path in sorted(ordered))


# --- lists -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """A line of ``dataset_file.json``: the names of the classes, the picture, the label file of raw ids."""

    text: str
    image: str
    conditioning_image: str


def dataset_file_bytes(lines: Iterable[Listed]) -> bytes:
    """The content of ``dataset_file.json``, or of a list to validate on: one JSON object a line."""
    return b"".join(json.dumps(one.__dict__, ensure_ascii=False).encode() + b"\n" for one in lines)


def read_dataset_file(path: Path) -> list[Listed]:
    """The lines of such a file. Raises StorageError, or InputError naming the line."""
    found = []
    for number, line in enumerate(read_bytes(path).decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            found.append(Listed(*(str(value[key]) for key in ("text", "image", "conditioning_image"))))
        except (ValueError, KeyError, TypeError) as fault:
            raise InputError(
                f"line {number} of {path} has no text, image and conditioning_image: {fault}",
                "one JSON object a line is expected",
            ) from fault
    return found


@dataclass(frozen=True)
class Wanted:
    """An entry of a generation list: a class (train id) and a label file of train ids that has it."""

    id: int
    file: str


def generation_list_bytes(wanted: Sequence[Wanted], vocabulary: str = "cityscapes") -> bytes:
    """The content of a generation list."""
    known = load(vocabulary)
    rows = [
        {"class": str(one.id), "class_name": known.by_id(one.id).name, "file_name": one.file}
        for one in wanted
    ]
    return _json(rows)


def read_generation_list(path: Path, vocabulary: str = "cityscapes") -> list[Wanted]:
    """The entries of a generation list. Raises StorageError, or InputError for a class that does not exist or
    whose name is another one's."""
    known, found = load(vocabulary), []
    for k, row in enumerate(_list(read_json(path), str(path))):
        where = f"{path}[{k}]"
        if not isinstance(row, dict) or not {"class", "file_name"} <= set(row):
            raise InputError(f"{where}: expected class and file_name, got {str(row)[:80]}")
        id = _whole(row["class"], f"{where}.class")
        name = known.by_id(id).name
        if str(row.get("class_name", name)) != name:
            raise InputError(f"{where}: the class {id} is {name!r}, not {row['class_name']!r}")
        found.append(Wanted(id, str(row["file_name"])))
    return found


def is_generation_list(value: Any) -> bool:
    """Whether a parsed file is a generation list."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "file_name" in value[0]


def find_file(name: str, folder: Path) -> Path:
    """The file that a list or statistics in `folder` name: as it is written, from that folder on, or by its
    bare name in it, in ``labels`` or in ``images``.

    Raises StorageError if there is none.
    """
    bare = Path(name).name
    places = (Path(name), folder / name, folder / bare, folder / "labels" / bare, folder / "images" / bare)
    for place in places:
        if place.is_file():
            return place
    raise StorageError(
        f"there is no file {name}, neither from here nor in {folder}",
        "paths are relative to the folder in which the list was written",
    )


# --- JSON --------------------------------------------------------------------------------------------------


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _texts(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(id): n for id, n in counts.items()}


def _row(value: Any, where: str) -> tuple[str, Mapping[int, int]]:
    if not isinstance(value, dict) or not isinstance(value.get("file"), str):
        raise InputError(f"{where}: expected an object with a file, got {str(value)[:60]}")
    return value["file"], _counts({key: n for key, n in value.items() if key != "file"}, where)


def _counts(value: Any, where: str) -> Mapping[int, int]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected train id -> pixels, got {str(value)[:60]}")
    return {_whole(id, where): _whole(n, f"{where}: {id}") for id, n in value.items()}


def _whole(value: Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or isinstance(value, (bool, float)):
        raise InputError(f"{where}: expected a whole number from 0, got {value!r}")
    return number


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got a {type(value).__name__}")
    return value
