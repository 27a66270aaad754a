"""Is a data set whole? Checksums, missing and foreign files, records and latents that are read and agree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scenewright.data.latents import LATENT_SUFFIX, StoredLatent
from scenewright.errors import ScenewrightError
from scenewright.flows.dataset.folder import TEMPORARY, Dataset, is_ours
from scenewright.flows.dataset.journal import Entry
from scenewright.scene import Record
from scenewright.scene.files import read_bytes

Progress = Callable[[float, int], None]


@dataclass(frozen=True)
class Problem:
    """What is wrong: its kind ("missing", "changed", "unreadable", "disagrees", "foreign", "unfinished"), the
    file or picture, and more words."""

    kind: str
    name: str
    words: str = ""

    def to_json(self) -> dict[str, str]:
        """As the command line prints it with --json."""
        return {"kind": self.kind, "name": self.name, "words": self.words}

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}" + (f": {self.words}" if self.words else "")


@dataclass(frozen=True)
class Verified:
    """The result: pictures that were checked, their problems, and notes about what could not be checked."""

    pictures: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            "pictures": self.pictures,
            "problems": [one.to_json() for one in self.problems],
            "notes": list(self.notes),
        }


def verify(data: Dataset, *, deep: bool = True, on_progress: Progress | None = None) -> Verified:
    """Check everything; with `deep` records and latents are read as well, not only their checksums.

    `on_progress` is told (pictures checked, pictures in all).
    """
    problems = list(_of_folder(data)) if data.described else []
    entries = [one for one in data.journal if one.state == "kept"]
    for done, entry in enumerate(entries, 1):
        wrong = list(_files(data, entry))
        if deep and not wrong:
            wrong = list(_content(data, entry))
        problems += wrong
        if on_progress:
            on_progress(done, len(entries))
    notes = () if data.described else ("there is no journal: checksums and completeness cannot be checked",)
    return Verified(len(entries), tuple(problems), notes)


def _of_folder(data: Dataset) -> Iterator[Problem]:
    """Unfinished work, and files that belong to no picture."""
    if data.torn:
        yield Problem("unfinished", "journal.jsonl", "its last line was cut off; building again continues")
    if (missing := data.total - len(data.journal)) > 0:
        yield Problem("unfinished", f"{missing} of {data.total} pictures", "building again continues")
    known = {name for one in data.journal for name in one.files}
    for path in sorted(data.folder.iterdir()):
        if path.name in known or is_ours(path.name):
            continue
        left = (
            "left by a run that was killed" if TEMPORARY.fullmatch(path.name) else "in no line of the journal"
        )
        yield Problem("foreign", path.name, left)


def _files(data: Dataset, entry: Entry) -> Iterator[Problem]:
    """The files of a picture against the journal."""
    for name, wanted in entry.files.items():
        path = data.folder / name
        if not path.is_file():
            yield Problem("missing", name)
            continue
        try:
            content = read_bytes(path)
        except ScenewrightError as fault:
            yield Problem("unreadable", name, str(fault))
            continue
        if hashlib.sha256(content).hexdigest() != wanted:
            yield Problem("changed", name, "its checksum is not that of the journal")


def _content(data: Dataset, entry: Entry) -> Iterator[Problem]:
    """The record with its scene file, and the latent with its record."""
    try:
        record = Record.load(data.folder / f"{entry.name}.scene.json")
    except ScenewrightError as fault:
        yield Problem("unreadable", f"{entry.name}.png", str(fault))
        return
    told = record.scores.get("labels", {})
    there = {told.get(id, {}).get("class") for id in record.masks} | set(record.scores.get("map", {}))
    for name in entry.classes:
        if data.described and name not in there:
            yield Problem("disagrees", f"{entry.name}.png", f"no label {name!r}, which the journal names")
    try:
        latent = data.latent(entry.name)
    except ScenewrightError as fault:
        yield Problem("unreadable", f"{entry.name}{LATENT_SUFFIX}", str(fault))
        return
    if latent is not None:
        for words in _disagreements(latent, record):
            yield Problem("disagrees", f"{entry.name}{LATENT_SUFFIX}", words)


def _disagreements(latent: StoredLatent, record: Record) -> Iterator[str]:
    """Where a latent is not that of its record."""
    made = record.provenance
    backbone = made.get("backbone", {})
    pairs = {
        "seed": (latent.seed, made.get("seed")),
        "steps": (latent.steps, made.get("steps")),
        "guidance": (latent.guidance, made.get("guidance")),
        "scheduler": (latent.scheduler, made.get("scheduler")),
        "backbone": (latent.fingerprint, backbone.get("fingerprint") if isinstance(backbone, dict) else None),
    }
    for key, (own, of_record) in pairs.items():
        if own != of_record:
            yield f"{key} {own}, the record says {of_record}"
    high, wide = latent.z_Chw.shape[1:]
    if high * record.size_hw[1] != wide * record.size_hw[0]:
        yield f"{high} x {wide} cells, another shape than the picture's {record.size_hw}"
