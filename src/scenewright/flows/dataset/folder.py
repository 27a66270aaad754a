"""A data set on disk: its description, its journal, its records and latents.

Any folder of Records without a description (from ``generate`` or ``world sample``) is read as well; what
needs a journal says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scenewright.data.latents import LATENT_SUFFIX, StoredLatent
from scenewright.errors import InputError, StorageError, nearest
from scenewright.flows.dataset import journal
from scenewright.flows.dataset.journal import JOURNAL, Entry
from scenewright.flows.samples import OWN_ENDS, OWN_SHEETS
from scenewright.scene import Record
from scenewright.scene import io as picture_files
from scenewright.scene.files import read_json, to_json_bytes
from scenewright.scene.record import SCENE_SUFFIX

DESCRIPTION = "dataset.json"
DATASET_VERSION = 1

GALLERY = "gallery.html"
STATS = "stats"
MANIFEST, QUALITY = "manifest.jsonl", "quality.json"
"""What `view` and `stats` write into a data set, and `build` into one of label maps."""

TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.tmp")
"""Names under which files are written before they are renamed."""


@dataclass(frozen=True)
class Dataset:
    """An opened data set: its folder, its description (empty for a plain folder of Records), its journal."""

    folder: Path
    description: Mapping[str, Any]
    journal: tuple[Entry, ...]
    torn: bool = False

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """The data set in a folder.

        Raises StorageError when there is none, InputError when it holds neither a data set nor Records.
        """
        if not folder.is_dir():
            names = [one.name for one in folder.parent.iterdir()] if folder.parent.is_dir() else []
            close = nearest(folder.name, names)
            hint = f"did you mean {folder.parent / close}?" if close else "`dataset build --out` writes one"
            raise StorageError(f"there is no folder {folder}", hint)
        if (folder / DESCRIPTION).is_file():
            found = journal.read(folder / JOURNAL)
            return cls(folder, _description(folder / DESCRIPTION), found.entries, found.torn)
        if (folder / JOURNAL).is_file():
            raise InputError(
                f"{folder} has a journal but no {DESCRIPTION}",
                "the same `dataset build` again continues it, if it was cut off at its very beginning",
            )
        entries = tuple(Entry(name=path.name.removesuffix(".png"), state="kept") for path in _records(folder))
        if not entries:
            raise InputError(f"{folder} holds no data set", "`dataset build --out FOLDER` writes one")
        return cls(folder, {}, entries)

    @property
    def described(self) -> bool:
        """Whether it has a description and a journal."""
        return bool(self.description)

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """Names of the records, in the order of the journal."""
        return tuple(one.name for one in self.journal if one.state == "kept")

    @property
    def total(self) -> int:
        """Number of pictures when it is finished."""
        return int(self.description.get("pictures", len(self.journal)))

    def record(self, name: str) -> Record:
        """The record of that name. Raises as `Record.load` does."""
        return Record.load(self.folder / f"{name}.png")

    def document(self, name: str) -> dict[str, Any]:
        """What the record says besides its pixels, which are not decoded."""
        path = self.folder / f"{name}.png"
        found = picture_files.read_png_document(path)
        if not isinstance(found, dict) or "scene" not in found:
            raise InputError(f"{path} holds no record", "it was saved again by another program")
        return found

    def latent(self, name: str) -> StoredLatent | None:
        """The latent of that record, None if it was stored without one."""
        path = self.latent_path(name)
        return StoredLatent.read(path) if path.is_file() else None

    def latent_path(self, name: str) -> Path:
        """Where the latent of that record lies, if it has one."""
        return self.folder / f"{name}{LATENT_SUFFIX}"

    def records(self) -> Iterator[tuple[str, Record]]:
        """All kept records with their names."""
        return ((name, self.record(name)) for name in self.kept)


def files_of(name: str, *, latent: bool = True) -> tuple[str, ...]:
    """Names of the files of a kept picture."""
    return (*((f"{name}{LATENT_SUFFIX}",) if latent else ()), f"{name}{SCENE_SUFFIX}", f"{name}.png")


def is_ours(name: str) -> bool:
    """Whether a file belongs to a data set as such, not to one of its pictures."""
    return name in (DESCRIPTION, JOURNAL, GALLERY, STATS, MANIFEST, QUALITY, *OWN_SHEETS)


def sweep(folder: Path) -> int:
    """Remove what a kill left of files that were being written; returns their number."""
    left = [path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name)]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def description_bytes(description: Mapping[str, Any]) -> bytes:
    """The content of ``dataset.json``."""
    return to_json_bytes({"dataset_version": DATASET_VERSION, **description}, indent=1)


def _description(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("pictures"), int):
        raise InputError(f"{path} is no description of a data set")
    if (version := found.pop("dataset_version", None)) != DATASET_VERSION:
        raise InputError(
            f"{path} is of version {version!r}; this program reads {DATASET_VERSION}", "update Scenewright"
        )
    return found


def _records(folder: Path) -> list[Path]:
    """Pictures that a scene file lies beside."""
    found = [path for path in sorted(folder.glob("*.png")) if not path.name.startswith(".")]
    return [
        path
        for path in found
        if path.name not in OWN_SHEETS
        and not path.stem.endswith(OWN_ENDS)
        and path.with_name(path.stem + SCENE_SUFFIX).is_file()
    ]
