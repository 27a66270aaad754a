"""Cut a data set into a part to train on and a part to validate on, so that no scene is in both.

Pictures of the same scene (prompt, size, what is asked for and where; seeds do not count) stay together:
what a model has seen drawn once is not new to it when it is drawn with another seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.evaluate.protocol import sample_key
from scenewright.flows.dataset.copies import place
from scenewright.flows.dataset.folder import (
    DESCRIPTION,
    Dataset,
    description_bytes,
    files_of,
    sweep,
)
from scenewright.flows.dataset.journal import JOURNAL, Entry, lines
from scenewright.scene import Scene
from scenewright.scene.files import atomic_write, read_bytes, read_json

TRAIN, VALIDATION = "train", "val"
PARTS = (TRAIN, VALIDATION)

Progress = Callable[[float, int], None]


@dataclass(frozen=True, kw_only=True)
class Split:
    """What `split` wrote: the folders, pictures and scenes of each part, and the classes that only one of
    them has (a note for the user)."""

    folders: dict[str, Path]
    pictures: dict[str, int]
    scenes: dict[str, int]
    only_in: dict[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            part: {
                "folder": str(self.folders[part]),
                "pictures": self.pictures[part],
                "scenes": self.scenes[part],
                "classes_only_here": list(self.only_in[part]),
            }
            for part in PARTS
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: classes that are in one part only."""
        return tuple(f"only in {part}: {', '.join(names)}" for part, names in self.only_in.items() if names)


def split(
    data: Dataset, out: Path, share: float = 0.1, seed: int = 0, on_progress: Progress | None = None
) -> Split:
    """Write the data sets ``OUT/train`` and ``OUT/val``; the latter gets about `share` of the pictures.

    Which scenes it gets depends on the scenes and `seed` alone. Files are second names of those of `data`
    where the disk can. The same call again continues after an interruption. Raises InputError for a share
    that leaves a part empty, or when `out` holds something else; StorageError.
    """
    if not 0 < share < 1:
        raise InputError(f"share is {share}; expected a number between 0 and 1", "0.1 is usual")
    keys = {name: sample_key(Scene.from_json(data.document(name)["scene"])) for name in data.kept}
    chosen = validation_keys(list(keys.values()), share, seed)
    entries = {one.name: one for one in data.journal if one.state == "kept"}
    parts = {
        TRAIN: [n for n in keys if keys[n] not in chosen],
        VALIDATION: [n for n in keys if keys[n] in chosen],
    }
    described = {part: _described(data, part, names, share, seed) for part, names in parts.items()}
    for part in PARTS:
        _check(out / part, described[part])
    done = 0
    for part, names in parts.items():
        atomic_write(out / part / DESCRIPTION, description_bytes(described[part]))
        kept = []
        for name in names:
            kept.append(_carry(data, entries[name], out / part))
            done += 1
            if on_progress:
                on_progress(done, len(keys))
        sweep(out / part)
        atomic_write(out / part / JOURNAL, lines(kept))
    classes = {part: {c for n in names for c in entries[n].classes} for part, names in parts.items()}
    return Split(
        folders={part: out / part for part in PARTS},
        pictures={part: len(names) for part, names in parts.items()},
        scenes={part: len({keys[name] for name in names}) for part, names in parts.items()},
        only_in={
            part: tuple(sorted(classes[part] - classes[other]))
            for part, other in ((TRAIN, VALIDATION), (VALIDATION, TRAIN))
        },
    )


def validation_keys(keys: Sequence[str], share: float, seed: int) -> set[str]:
    """The scenes to validate on: in an order of their own, as many as come nearest to `share` of the
    pictures, but at least one, and never all. Raises InputError for a single scene."""
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    if len(counts) < 2:
        raise InputError(
            f"the data set has {len(counts)} different scene, which cannot be in both parts",
            "scenes with other prompts or classes are needed",
        )
    order = sorted(counts, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).hexdigest())
    wanted, chosen, number = share * len(keys), set[str](), 0
    for key in order[:-1]:
        if chosen and abs(number + counts[key] - wanted) >= abs(number - wanted):
            break
        chosen.add(key)
        number += counts[key]
    return chosen


def _described(data: Dataset, part: str, names: Sequence[str], share: float, seed: int) -> dict[str, Any]:
    """The description of a part: how it was cut, its pictures, and how those were made."""
    kept = {key: data.description[key] for key in ("source", "model", "labels") if key in data.description}
    of = hashlib.sha256("\n".join(names).encode()).hexdigest()
    told = {"part": part, "share": share, "seed": seed, "digest": of}
    return {"kind": "split", "pictures": len(names), "split": told, **kept}


def _check(folder: Path, described: dict[str, Any]) -> None:
    """Raises InputError when the folder holds something else than (a beginning of) this part."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / DESCRIPTION).is_file():
        raise InputError(f"{folder} is not empty and holds no data set", "choose another --out")
    found = read_json(folder / DESCRIPTION)
    if read_bytes(folder / DESCRIPTION) != description_bytes(described):
        told = found.get("split", {}) if isinstance(found, dict) else {}
        raise InputError(
            f"{folder} holds another data set" + (f", split with {told}" if told else ""),
            "choose another --out",
        )


def _carry(data: Dataset, entry: Entry, folder: Path) -> Entry:
    """The files of one picture; an entry without checksums gets them."""
    names = tuple(entry.files) or files_of(entry.name, latent=data.latent_path(entry.name).is_file())
    for name in names:
        place(data.folder / name, folder / name)
    if entry.files:
        return entry
    sums = {name: hashlib.sha256(read_bytes(data.folder / name)).hexdigest() for name in names}
    return replace(entry, files=sums)


def summary(found: Split) -> list[str]:
    """As the command line prints it."""
    return [
        f"{found.folders[part]}  {found.pictures[part]} pictures of {found.scenes[part]} scenes"
        for part in PARTS
    ]
