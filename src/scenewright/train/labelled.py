"""Pictures with true class maps, to train segmenters on: folders of Records, datasets, and renders.

Records are read when they are needed, so a folder may be larger than the memory. A map holds the outputs of a
`LabelSpace`, and `IGNORE` where nothing is known.

Letters: H W pixels of a picture, h w pixels of what is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scenewright.data.label_sets import LabelSet, open_label_set
from scenewright.data.record_files import record_files
from scenewright.errors import InputError
from scenewright.scene import IGNORE, Record, Transform
from scenewright.scene.label_space import LabelSpace, Map, class_map
from scenewright.train.annotated import CHECK_SEED, Annotated, AnnotatedSource, open_annotated
from scenewright.train.progress import say

Picture = NDArray[np.uint8]

TRIES = 10
"""Views of a picture until one shows the class that it was drawn for; the last one is taken then."""

GREY = 127
"""What lies outside of a picture."""

DRAWN = ("toybox", "town")
"""Vocabularies whose classes a world of that name draws."""


class Labelled(Protocol):
    """Pictures with class maps."""

    def __len__(self) -> int:
        """How many there are."""

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]."""


@dataclass(frozen=True)
class RecordSet:
    """The Records of files, with the maps that `class_map` finds."""

    paths: tuple[Path, ...]
    space: LabelSpace

    def __len__(self) -> int:
        return len(self.paths)

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]. Raises StorageError or InputError, naming the file."""
        record = Record.load(self.paths[index])
        try:
            return record.image, class_map(record, self.space)
        except InputError as fault:
            raise InputError(f"{self.paths[index]}: {fault.message}", fault.hint) from fault


@dataclass(frozen=True)
class FileSet:
    """The pictures of a dataset, as `data.label_sets` finds them, with outputs of its vocabulary's space."""

    files: LabelSet
    space: LabelSpace

    def __len__(self) -> int:
        return len(self.files)

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]. Raises StorageError or InputError, naming the file."""
        image_HW3, labels_HW = self.files.item(index)
        return image_HW3, self.space.outputs(labels_HW)


@dataclass(frozen=True, eq=False)
class RenderSet:
    """Renders of a drawn world, with their exact semantic maps."""

    pictures: Annotated
    space: LabelSpace

    def __len__(self) -> int:
        return len(self.pictures)

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]."""
        at = np.array([index])
        return self.pictures.images(at)[0], self.space.outputs(self.pictures.semantics(at)[0])


@dataclass(frozen=True)
class Hidden:
    """The same pictures as if nobody had labelled some classes: their pixels are `IGNORE`."""

    shown: Labelled
    outputs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.shown)

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]."""
        image_HW3, map_HW = self.shown.item(index)
        return image_HW3, np.where(np.isin(map_HW, self.outputs), np.uint16(IGNORE), map_HW)


@dataclass(frozen=True)
class Joined:
    """Several sets, one after the other."""

    sets: tuple[Labelled, ...]

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]."""
        for one in self.sets:
            if index < len(one):
                return one.item(index)
            index -= len(one)
        raise IndexError(index)


@dataclass(frozen=True)
class First:
    """The first `count` pictures of a set."""

    every: Labelled
    count: int

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]."""
        if index >= self.count:
            raise IndexError(index)
        return self.every.item(index)


def open_records(folders: Sequence[Path], space: LabelSpace, count: int = 0) -> Labelled:
    """The first `count` Records in folders, all if 0; see `record_files` for order and errors.

    Where folders hold no Records, they may be datasets of the space's vocabulary as they are downloaded: of
    these the training parts are taken (`open_files`). The first picture is read; raises InputError, too, if
    it has no map.
    """
    found: Labelled
    try:
        found = RecordSet(record_files(folders, count), space)
    except InputError as fault:
        try:
            parts = [open_files(folder, space) for folder in folders]
        except InputError as other:
            raise InputError(fault.message, f"{fault.hint}; or a dataset: {other.message}") from other
        found = parts[0] if len(parts) == 1 else Joined(tuple(parts))
        if count > len(found):
            raise fault
        found = First(found, count) if count else found
    found.item(0)
    return found


def open_files(root: Path, space: LabelSpace, split: str = "train", count: int = 0) -> FileSet:
    """The first `count` pictures of a dataset's part, all if 0; the first one is read.

    Raises as `open_label_set` and `LabelSet.item` do.
    """
    found = FileSet(open_label_set(root, space.vocabulary, split).first(count), space)
    found.item(0)
    return found


def drawn_checks(count: int, size_wh: tuple[int, int], space: LabelSpace, cache: Path) -> RenderSet:
    """`count` drawings of the vocabulary's own world to validate on, the same for every training.

    Raises InputError for classes that no world draws.
    """
    if space.vocabulary not in DRAWN:
        raise InputError(
            f"there is nothing to validate classes of {space.vocabulary!r} on",
            "set task.check to a folder of Records",
        )
    world: Any = space.vocabulary
    drawn = AnnotatedSource(world=world, count=count, first_seed=CHECK_SEED, size_wh=size_wh)
    return RenderSet(open_annotated([drawn], cache, say), space)


def view(
    size_wh: tuple[int, int],
    to_wh: tuple[int, int],
    zoom: tuple[float, float],
    rng: np.random.Generator,
) -> Transform:
    """A window of a picture of `size_wh`, stretched to `to_wh`, half of the time mirrored.

    The largest window of that shape is enlarged by a factor between the two of `zoom`, evenly in its
    logarithm; windows larger than the picture reach over its edges.
    """
    (width, height), (to_w, to_h) = size_wh, to_wh
    factor = float(np.exp(rng.uniform(*np.log(zoom))))
    whole = min(width / to_w, height / to_h)
    wide, high = (max(1, round(side * whole / factor)) for side in to_wh)
    left, top = _start(width - wide, rng), _start(height - high, rng)
    window = Transform(size_wh).crop((left, top, left + wide, top + high)).resize(to_wh)
    return window.flip() if rng.random() < 0.5 else window


def _start(room: int, rng: np.random.Generator) -> int:
    """Where a window with `room` pixels to move begins; negative if the picture moves inside of it."""
    return int(rng.integers(min(room, 0), max(room, 0) + 1))


def batch(
    sets: Sequence[Labelled],
    odds: Sequence[float],
    count: int,
    to_wh: tuple[int, int],
    zoom: tuple[float, float],
    rng: np.random.Generator,
    zooms: Sequence[tuple[float, float]] = (),
) -> dict[str, NDArray[Any]]:
    """`count` views of pictures: "images" [B,h,w,3] uint8, "labels" [B,h,w] int32, "sets" [B], their sets.

    A picture is of set k with a probability in proportion to `odds[k]`, and any of that set, or as a set with
    rare classes (`streets.Rare`) draws it. `zooms`, one for each set, take the place of `zoom`.
    """
    share = np.asarray(odds, float) / np.sum(odds)
    images, labels = [], []
    drawn = rng.choice(len(sets), size=count, p=share)
    for which in drawn:
        image_HW3, map_HW, wanted = _picture(sets[which], rng)
        within = zooms[which] if zooms else zoom
        least = getattr(sets[which], "least", 0.0)
        for _ in range(1 if wanted is None else TRIES):
            window = view((image_HW3.shape[1], image_HW3.shape[0]), to_wh, within, rng)
            labels_hw = window.labels(map_HW, fill=IGNORE)
            if wanted is None or float((labels_hw == wanted).mean()) > least:
                break
        images.append(window.image(image_HW3, fill=GREY))
        labels.append(labels_hw)
    return {
        "images": np.stack(images),
        "labels": np.stack(labels).astype(np.int32),
        "sets": drawn.astype(np.int32),
    }


def _picture(chosen: Labelled, rng: np.random.Generator) -> tuple[Picture, Map, int | None]:
    """A picture of a set with its map, and the output that its view should show, if any."""
    if (draw := getattr(chosen, "drawn", None)) is not None:
        image_HW3, map_HW, wanted = draw(rng)
        return image_HW3, map_HW, wanted
    return *chosen.item(int(rng.integers(len(chosen)))), None
