"""Datasets of streets to train segmenters on, and rare-class sampling of any labelled pictures.

Hoyer et al., "DAFormer", CVPR 2022, section 3.3, as in the training on DGInStyle's pictures (Jia et al., ECCV
2024): a class is drawn by its rareness, a picture that has enough of it, then views until one shows it.

Letters: H W pixels of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenewright.data.rare_classes import RareClasses, least_pixels
from scenewright.data.street import StreetSet, detect_layout, map_stem, open_streets
from scenewright.data.street_stats import STATS, Statistics
from scenewright.errors import InputError
from scenewright.scene import IGNORE
from scenewright.scene.label_space import LabelSpace, Map
from scenewright.train.labelled import First, Joined, Labelled, Picture, open_records

STREETS = ("cityscapes", "town")
"""Vocabularies whose ids are train ids."""


@dataclass(frozen=True)
class StreetPictures:
    """The pictures of a dataset of streets."""

    streets: StreetSet
    space: LabelSpace

    def __len__(self) -> int:
        return len(self.streets)

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]. Raises as `StreetSet.item` does."""
        image_HW3, labels_HW = self.streets.item(index)
        return image_HW3, self.space.outputs(labels_HW)

    def counts(self) -> list[Mapping[int, int]]:
        """Of each picture output -> pixels: from the statistics in its folder, else by reading its labels."""
        known: dict[str, Mapping[int, int]] = {}
        if (self.streets.root / STATS).is_file():
            known = {map_stem(Path(path)): n for path, n in Statistics.read(self.streets.root).rows}
        if not all(one.stem in known for one in self.streets.streets):
            maps = (self.space.outputs(self.streets.labels(k)) for k in range(len(self)))
            return [_counted(map_HW) for map_HW in maps]
        outputs = {id: k for k, id in enumerate(self.space.ids)}
        rows = (known[one.stem] for one in self.streets.streets)
        return [{outputs[id]: n for id, n in row.items() if id in outputs} for row in rows]


@dataclass(frozen=True, eq=False)
class Rare:
    """Pictures of which rare classes are shown more often.

    shown    the pictures
    classes  what is drawn from: outputs of the label space, and positions of pictures as text
    least    share of a view that should be of the class it was drawn for
    """

    shown: Labelled
    classes: RareClasses
    least: float

    def __len__(self) -> int:
        return len(self.shown)

    def item(self, index: int) -> tuple[Picture, Map]:
        """A picture [H,W,3] and its map [H,W]."""
        return self.shown.item(index)

    def drawn(self, rng: np.random.Generator) -> tuple[Picture, Map, int]:
        """A picture, its map, and the output that it was drawn for."""
        output, place = self.classes.draw(rng)
        return *self.shown.item(int(place)), output


def rare(shown: Labelled, temperature: float, least_in_file: float, least_in_view: float) -> Rare:
    """Rare-class sampling of a set; both shares are of a picture's pixels, strictly more is enough.

    All label maps are read once, where no statistics lie beside them. Raises InputError if no class is large
    enough in any picture.
    """
    if isinstance(shown, StreetPictures):
        rows, (height, width) = shown.counts(), shown.streets.labels(0).shape
    else:
        maps = [shown.item(k)[1] for k in range(len(shown))]
        rows, (height, width) = [_counted(map_HW) for map_HW in maps], maps[0].shape
    statistics = Statistics(tuple((str(k), row) for k, row in enumerate(rows)))
    least = least_pixels(least_in_file, (width, height))
    return Rare(shown, RareClasses.of(statistics, min_pixels=least, temperature=temperature), least_in_view)


def open_pictures(folders: Sequence[Path], space: LabelSpace, count: int = 0) -> Labelled:
    """The first `count` pictures in folders, all if 0: of datasets of streets in their layouts, of Records,
    or of other datasets (`open_records`).

    Raises StorageError, InputError; the first picture is read.
    """
    layouts = [_layout(folder) if space.vocabulary in STREETS else "" for folder in folders]
    if not any(layouts):
        return open_records(folders, space, count)
    found: list[Labelled] = [
        StreetPictures(open_streets(folder, layout), space) if layout else open_records([folder], space)
        for folder, layout in zip(folders, layouts, strict=True)
    ]
    whole = found[0] if len(found) == 1 else Joined(tuple(found))
    if count > len(whole):
        raise InputError(f"{count} pictures were asked for, {', '.join(map(str, folders))} has {len(whole)}")
    whole.item(0)
    return First(whole, count) if count else whole


def _layout(folder: Path) -> str:
    """The layout of a folder of streets, "" for anything else."""
    try:
        return detect_layout(folder) if folder.is_dir() else ""
    except InputError:
        return ""


def _counted(map_HW: Map) -> dict[int, int]:
    """Output -> pixels, of those that are there."""
    counts = np.bincount(map_HW[map_HW != IGNORE])
    return {k: int(n) for k, n in enumerate(counts) if n}
