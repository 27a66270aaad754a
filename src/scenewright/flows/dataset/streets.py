"""Bring in a dataset of streets: train ids, statistics and the training list, in one step that resumes.

For every label file ``STEM_labelTrainIds.png`` appears beside it, and in the folder itself the three files of
statistics and ``dataset_file.json``, as the published tools write them in two steps. Pairs of picture and
labels that do not fit together are left out and named. ``import.jsonl`` says what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.coco_maps import MappedPicture, annotation_files, read_coco_maps
from scenewright.data.label_tables import label_table
from scenewright.data.street import (
    TRAIN_END,
    VOCABULARY,
    Street,
    StreetSet,
    check_sizes,
    detect_layout,
    open_streets,
)
from scenewright.data.street import read_street_labels as read_labels
from scenewright.data.street_stats import DATASET_FILE, Listed, Statistics, dataset_file_bytes
from scenewright.errors import InputError, ScenewrightError, StorageError, nearest
from scenewright.flows.dataset.build import Done, Progress
from scenewright.flows.dataset.copies import place
from scenewright.flows.dataset.journal import Entry, Journal, forget
from scenewright.scene.files import atomic_write
from scenewright.scene.io import grey_png_bytes, picture_size
from scenewright.scene.label_maps import class_caption, class_pixels
from scenewright.scene.label_space import LabelSpace

JOURNAL = "import.jsonl"

SOURCES = (
    "gta",
    "cityscapes",
    "bdd100k",
    "mapillary",
    "acdc",
    "dark-zurich",
    "generated",
    "maps",
    "coco-stuff",
)
"""What can be brought in."""

COCO_TABLE = "coco-stuff-to-cityscapes"


@dataclass(frozen=True)
class ImportedStreets:
    """A folder with statistics: its journal in order, the statistics, the files written last, and how many
    maps were converted just now."""

    folder: Path
    entries: tuple[Entry, ...]
    statistics: Statistics
    files: tuple[Path, ...]
    fresh: int

    @property
    def failed(self) -> tuple[Entry, ...]:
        """What was left out, and why."""
        return tuple(one for one in self.entries if one.state == "failed")

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            "folder": str(self.folder),
            "maps": len(self.statistics),
            "new": self.fresh,
            "left_out": [one.name for one in self.failed],
            "pixels": {str(id): n for id, n in sorted(self.statistics.totals().items())},
            "files": [str(path) for path in self.files],
        }


@dataclass(frozen=True)
class _Task:
    """One label map to make: its name in the journal, the file, how it is made, and its line in the list."""

    name: str
    target: Path
    make: Callable[[], NDArray[np.uint8]]
    image: str
    conditioning: str


def import_streets(
    root: Path,
    layout: str = "auto",
    *,
    split: str = "",
    out: Path | None = None,
    on_done: Done | None = None,
    on_progress: Progress | None = None,
) -> ImportedStreets:
    """Convert the label maps of a dataset and count them; the same call again continues.

    layout  name of `data.street.LAYOUTS`, "auto", or "coco-stuff" (with `out`): label maps of COCO-Stuff in
            the classes of Cityscapes, written as a folder of ``images/`` and ``labels/``
    split   the part; "" the training part where there is one
    out     folder for label maps and statistics; None: beside the labels, and into `root`

    Raises StorageError, InputError (unknown layout, no label files, none that could be converted).
    """
    folder = out or root
    if layout == "coco-stuff":
        if out is None:
            raise InputError("COCO-Stuff becomes a new folder", "--out names it")
        tasks = list(_of_coco(root, out))
    else:
        streets = _opened(root, layout, split)
        tasks = [_of_street(one, streets, out) for one in streets.streets]
    return _run(tasks, folder, on_done, on_progress)


def _run(
    tasks: list[_Task], folder: Path, on_done: Done | None, on_progress: Progress | None
) -> ImportedStreets:
    space, fresh = LabelSpace.of(VOCABULARY), 0
    rows: list[tuple[str, Mapping[int, int]]] = []
    lines: list[Listed] = []
    if (folder / JOURNAL).is_file():
        forget(folder / JOURNAL, ("failed",))  # what was wrong may be right by now
    with Journal(folder / JOURNAL) as journal:
        for done, task in enumerate(tasks, 1):
            entry, labels_HW = journal.entries.get(task.name), None
            if entry is None or (entry.state == "kept" and not task.target.is_file()):
                made, labels_HW = _make(task)
                if entry is None:
                    journal.append(made)
                    entry, fresh = made, fresh + 1
                    if on_done:
                        on_done(made)
            if entry.state == "kept":
                if labels_HW is None:
                    labels_HW = read_labels(task.target, "generated")
                rows.append((str(task.target), class_pixels(labels_HW, space, str(task.target))))
                if task.image:
                    lines.append(Listed(class_caption(labels_HW, space), task.image, task.conditioning))
            if on_progress:
                on_progress(done, len(tasks))
        entries = tuple(journal.entries.values())
    if not rows:
        first = next(iter(entries))
        raise InputError(f"none of {len(tasks)} label maps could be used: {first.error}", first.hint)
    statistics = Statistics(tuple(rows))
    files = statistics.write(folder)
    files.append(atomic_write(folder / DATASET_FILE, dataset_file_bytes(lines)))
    return ImportedStreets(folder, entries, statistics, tuple(files), fresh)


def _make(task: _Task) -> tuple[Entry, NDArray[np.uint8] | None]:
    """Write one map; a file that is wrong is a failure of its own, a full disk ends the run."""
    try:
        labels_HW = task.make()
    except ScenewrightError as fault:
        return Entry(name=task.name, state="failed", error=str(fault), hint=fault.hint), None
    if not task.target.is_file():
        atomic_write(task.target, grey_png_bytes(labels_HW))
    return Entry(name=task.name, state="kept"), labels_HW


def _opened(root: Path, layout: str, split: str) -> StreetSet:
    """The streets of a part: of the training one, if there is one and none is named."""
    if split or not root.is_dir():
        return open_streets(root, layout, split)
    layout = detect_layout(root) if layout == "auto" else layout
    for part in ("train", "training", ""):
        try:
            return open_streets(root, layout, part)
        except InputError:
            if not part:
                raise
    raise AssertionError("the last part raises")


def _of_street(one: Street, streets: StreetSet, out: Path | None) -> _Task:
    inner = one.label.parent.relative_to(streets.root)
    end = next((end for end, _ in streets.layout.maps if end.endswith(TRAIN_END)), one.label.name)
    name = f"{one.stem}{end}" if end != one.label.name else end
    target = (out or streets.root) / inner / name
    return _Task(
        name=(inner / one.stem).as_posix(),
        target=target,
        make=lambda: _checked(one, streets),
        image=str(one.image or ""),
        conditioning=str(_conditioning(one)),
    )


def _conditioning(one: Street) -> Path:
    """The label file that the published lists name: raw ids of GTA, colours of Cityscapes."""
    for end in (f"{one.stem}.png", f"{one.stem}_gtFine_color.png"):
        if (path := one.label.with_name(end)).is_file():
            return path
    return one.label


def _checked(one: Street, streets: StreetSet) -> NDArray[np.uint8]:
    """The train ids of a street whose picture is there and of the same size."""
    if not streets.layout.pictures:
        return read_labels(one.label, one.ids)
    if one.image is None:
        raise StorageError(
            f"{one.label} has no picture", f"expected one of that name in {streets.layout.images}"
        )
    labels_HW = read_labels(one.label, one.ids)
    check_sizes(picture_size(one.image)[::-1], labels_HW.shape, one)
    return labels_HW


def _of_coco(root: Path, out: Path) -> Iterator[_Task]:
    files, images = annotation_files(root)
    table = label_table(COCO_TABLE)
    for picture in read_coco_maps(files):
        stem = Path(picture.name).stem
        image = out / "images" / picture.name

        def make(picture: MappedPicture = picture, image: Path = image) -> NDArray[np.uint8]:
            labels_HW = table.translated(picture.labels())
            place(images / image.name, image)
            return labels_HW.astype(np.uint8)

        target = out / "labels" / f"{stem}{TRAIN_END}"
        yield _Task(stem, target, make, str(image), str(target))


def lines(found: ImportedStreets) -> Iterable[str]:
    """As the command line prints it: counts, then the classes by rising number of pixels."""
    from scenewright.scene.label_space import load

    known, totals = load(VOCABULARY), found.statistics.totals()
    whole = sum(totals.values())
    yield f"{len(found.statistics)} label maps, {len(found.failed)} left out"
    for id, n in sorted(totals.items(), key=lambda pair: pair[1]):
        files = len(found.statistics.files_with(id))
        yield f"{known.by_id(id).name:14} {100 * n / whole:8.4f} %  in {files} maps"
    absent = [one.name for one in known if one.id not in totals]
    if absent:
        yield f"in no map: {', '.join(absent)}"
    yield from map(str, found.files)


def kind_of(words: Sequence[str]) -> tuple[str, Path]:
    """What a user brings in: a kind of `SOURCES` (or "auto") and a folder, or "" and a folder of samples.

    Raises InputError for other words.
    """
    if len(words) == 1:
        return "", Path(words[0])
    known = (*SOURCES, "auto")
    if len(words) != 2 or words[0] not in known:
        close = nearest(words[0], known) if words else None
        raise InputError(
            f"{' '.join(words)!r} was given; expected KIND FOLDER, or the folder of samples alone",
            f"did you mean {close}?" if close else f"kinds are {', '.join(known)}",
        )
    return words[0], Path(words[1])
