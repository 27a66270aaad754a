"""Data sets in other people's formats. A new format is a function and a line in `EXPORTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scenewright.data import coco_write
from scenewright.errors import InputError, nearest
from scenewright.flows.dataset.copies import place
from scenewright.flows.dataset.folder import Dataset, sweep
from scenewright.scene import ImageRef, Record
from scenewright.scene.files import atomic_write, to_json_bytes

Progress = Callable[[float, int], None]

ANNOTATIONS = "annotations.json"
IMAGES = "images"


@dataclass(frozen=True)
class Exporter:
    """A format: its `name`, one line about it, and `write` (data set, folder, progress), which returns the
    file that a reader begins with."""

    name: str
    words: str
    write: Callable[[Dataset, Path, Progress | None], Path]


def export(data: Dataset, fmt: str, out: Path, on_progress: Progress | None = None) -> Path:
    """Write `data` into the folder `out` in the format called `fmt`; returns its main file.

    Raises InputError for an unknown format, a data set without pictures, or a folder that holds something
    else; StorageError.
    """
    if fmt not in EXPORTERS:
        close = nearest(fmt, EXPORTERS)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(EXPORTERS)}"
        raise InputError(f"there is no export format {fmt!r}", hint)
    if not data.kept:
        raise InputError(f"{data.folder} has no pictures to export")
    if out.resolve() == data.folder.resolve():
        raise InputError(f"{out} is the data set itself", "--out another folder")
    return EXPORTERS[fmt].write(data, out, on_progress)


def to_coco(data: Dataset, out: Path, on_progress: Progress | None = None) -> Path:
    """COCO instances: ``annotations.json`` with run-length masks, and ``images/``.

    Only labelled things are written: an instance without a mask was not found. Their category is that of the
    scene, else the labeller's class.
    """
    _check(out)
    images = out / IMAGES
    for name in data.kept:
        place(data.folder / f"{name}.png", images / f"{name}.png")
    sweep(images)
    document = coco_write.from_records(_coco_records(data, on_progress))
    return atomic_write(out / ANNOTATIONS, to_json_bytes(document))


def _coco_records(data: Dataset, on_progress: Progress | None) -> Iterator[Record]:
    """The records with the labelled instances alone, their pictures named."""
    for done, (name, record) in enumerate(data.records(), 1):
        told = record.scores.get("labels", {})
        scene = record.scene.replace(
            picture=ImageRef(path=f"{name}.png"),
            instances=tuple(
                one if one.category else one.replace(category=told.get(one.id, {}).get("class"))
                for one in record.scene.instances
                if one.id in record.masks
            ),
        )
        yield record.replace(scene=scene)
        if on_progress:
            on_progress(done, len(data.kept))


def _check(out: Path) -> None:
    if out.is_dir() and (foreign := [p.name for p in out.iterdir() if p.name not in (ANNOTATIONS, IMAGES)]):
        raise InputError(f"{out} is not empty: there is {sorted(foreign)[0]}", "choose a new folder")


EXPORTERS: dict[str, Exporter] = {
    one.name: one
    for one in (Exporter("coco", "COCO instances with run-length masks, and the pictures", to_coco),)
}
"""All formats by name."""
