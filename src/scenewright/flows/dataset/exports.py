"""Data sets in other people's formats. A new format is a function and a line in `EXPORTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.data import coco_write
from scenewright.data.street import TRAIN_END, map_stem
from scenewright.data.street_stats import STATS, STATS_DICT, WITH_CLASS, Statistics
from scenewright.errors import InputError, nearest
from scenewright.flows.dataset.copies import place
from scenewright.flows.dataset.folder import MANIFEST, Dataset, sweep
from scenewright.flows.dataset.weather import prefix
from scenewright.flows.maps import KEY
from scenewright.scene import IGNORE, ImageRef, Record, SemanticMap
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.scene.io import grey_png_bytes
from scenewright.scene.label_maps import class_pixels
from scenewright.scene.label_space import LabelSpace

Progress = Callable[[float, int], None]

ANNOTATIONS = "annotations.json"
IMAGES, LABELS = "images", "labels"


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


def to_maps(data: Dataset, out: Path, on_progress: Progress | None = None) -> Path:
    """The published archive of generated streets: ``images/X.png``, ``labels/X_labelTrainIds.png``.

    X begins with "a" (adverse weather) or "n" (night) and ends in "_genid" and the picture's number. What is
    not labelled is 255. With statistics of the label files, and the manifest where there is one.
    """
    _check(out, (IMAGES, LABELS, MANIFEST, STATS, STATS_DICT, WITH_CLASS))
    rows = []
    for done, (name, record) in enumerate(data.records(), 1):
        if record.labels is None:
            raise InputError(
                f"{name} has no label map", "`dataset build MAPS --vocabulary cityscapes` makes some"
            )
        labels_HW = train_map(record.labels)
        stem = archive_stem(name, record)
        target = out / LABELS / f"{stem}{TRAIN_END}"
        place(data.folder / f"{name}.png", out / IMAGES / f"{stem}.png")
        atomic_write(target, grey_png_bytes(labels_HW))
        rows.append((str(target), class_pixels(labels_HW, LabelSpace.of(record.labels.vocabulary), name)))
        if on_progress:
            on_progress(done, len(data.kept))
    sweep(out / IMAGES)
    Statistics(tuple(rows)).write(out)
    if (data.folder / MANIFEST).is_file():
        place(data.folder / MANIFEST, out / MANIFEST)
    return out / STATS


def train_map(labels: SemanticMap) -> NDArray[np.uint8]:
    """A label map as 8-bit files hold it, 255 for what is not labelled. InputError for ids beyond 254."""
    labels_HW = np.where(labels.labels() == IGNORE, np.uint16(255), labels.labels())
    if int(labels_HW.max()) > 255:
        raise InputError(
            f"the vocabulary {labels.vocabulary!r} has ids beyond 254, which 8-bit files cannot hold"
        )
    return labels_HW.astype(np.uint8)


def archive_stem(name: str, record: Record) -> str:
    """What a picture is called in the archive; of records that come from no map file their name."""
    told = record.scene.extra.get(KEY, {})
    if not {"source", "item"} <= set(told):
        return name
    return f"{prefix(told.get('weather', ''))}{map_stem(Path(told['source']))}_genid{told['item']}"


def _check(out: Path, ours: tuple[str, ...] = (ANNOTATIONS, IMAGES)) -> None:
    if out.is_dir() and (foreign := [p.name for p in out.iterdir() if p.name not in ours]):
        raise InputError(f"{out} is not empty: there is {sorted(foreign)[0]}", "choose a new folder")


EXPORTERS: dict[str, Exporter] = {
    one.name: one
    for one in (
        Exporter("coco", "COCO instances with run-length masks, and the pictures", to_coco),
        Exporter("maps", "label maps of 8 bits, and the pictures, as DGInStyle's archive", to_maps),
    )
}
"""All formats by name."""
