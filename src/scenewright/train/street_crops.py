"""Crops of labelled street pictures to train on: around rare classes, anywhere, or from the middle.

Jia et al., "DGInStyle", ECCV 2024 (arXiv 2312.03048), and its code: a class by its rareness, a file with
enough of it, a crop around one of its pixels. A class that is lost when a picture is made smaller is no error
here: the crop lies anywhere then.

Letters: H W pixels of a picture, h w pixels of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenewright.data.rare_classes import (
    LEAST_IN_FILE,
    TEMPERATURE,
    RareClasses,
    centred_window,
    least_pixels,
    middle_window,
    training_window,
)
from scenewright.data.street import LAYOUTS, TRAIN_END, Street, StreetSet, check_sizes, map_stem, open_streets
from scenewright.data.street_stats import Listed, Statistics, find_file, read_dataset_file
from scenewright.errors import InputError, StorageError
from scenewright.scene import Transform

Where = Literal["rare", "random", "middle"]

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Which part of which picture a sample shows."""

    where: Where = "rare"  # around a pixel of a rare class; anywhere; the middle
    temperature: float = TEMPERATURE  # of the odds of classes; smaller: rarer classes
    least: float = LEAST_IN_FILE  # share of a file that must be of a class for it to be drawn
    ratios: tuple[float, ...] = (1.0,)  # one of these scales a picture before the crop
    flip: bool = False  # mirror half of the crops

    def __post_init__(self) -> None:
        if not self.ratios or not all(0.05 <= ratio <= 20 for ratio in self.ratios):
            raise InputError(
                f"ratios are {self.ratios}; expected numbers from 0.05 to 20", "1 keeps the size"
            )


@dataclass(frozen=True, eq=False)
class Crops:
    """Pictures with labels, and how crops of `size_wh` are cut from them."""

    streets: StreetSet
    size_wh: tuple[int, int]
    config: CropConfig
    rare: RareClasses | None
    index: dict[str, int]

    def __len__(self) -> int:
        return len(self.streets)

    def draw(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """A crop [h, w, 3] and its train ids [h, w]. Raises InputError, StorageError for unfit files."""
        chosen = None
        if self.rare is not None:
            chosen, file = self.rare.draw(rng)
            k = self.index[map_stem(Path(file))]
        else:
            k = int(rng.integers(len(self)))
        image_HW3, labels_HW = self.streets.item(k)
        ratio = self.config.ratios[int(rng.integers(len(self.config.ratios)))]
        scaled = rescaled((image_HW3.shape[1], image_HW3.shape[0]), self.size_wh, ratio)
        image_HW3, labels_HW = scaled.image(image_HW3), scaled.labels(labels_HW)
        window = self._window(labels_HW, chosen, rng)
        cut = Transform(scaled.out_wh).crop(window)
        if self.config.flip and rng.random() < 0.5:
            cut = cut.flip()
        return cut.image(image_HW3), cut.labels(labels_HW)

    def middle(self, k: int, ratio: float = 1.0) -> tuple[Picture, Picture]:
        """The middle of picture `k` and its train ids; labels alone count where there is no picture."""
        labels_HW = self.streets.labels(k)
        scaled = rescaled((labels_HW.shape[1], labels_HW.shape[0]), self.size_wh, ratio)
        moved_HW = scaled.labels(labels_HW)
        cut = Transform(scaled.out_wh).crop(middle_window(_hw(moved_HW), self.size_wh))
        if self.streets.streets[k].image is None:
            return np.zeros((*self.size_wh[::-1], 3), np.uint8), cut.labels(moved_HW)
        image_HW3 = self.streets.image(k)
        check_sizes(image_HW3.shape[:2], labels_HW.shape, self.streets.streets[k])
        return cut.image(scaled.image(image_HW3)), cut.labels(moved_HW)

    def _window(
        self, labels_HW: Picture, chosen: int | None, rng: np.random.Generator
    ) -> tuple[int, int, int, int]:
        height, width = _hw(labels_HW)
        if chosen is not None and bool((labels_HW == chosen).any()):
            return training_window(labels_HW, chosen, self.size_wh, rng)
        if self.config.where == "middle":
            return middle_window((height, width), self.size_wh)
        x = int(rng.integers(self.size_wh[0] // 2, width - self.size_wh[0] // 2 + 1))
        y = int(rng.integers(self.size_wh[1] // 2, height - self.size_wh[1] // 2 + 1))
        return centred_window(x, y, (height, width), self.size_wh)


def open_crops(place: Path, size_wh: tuple[int, int], config: CropConfig, *, layout: str = "auto") -> Crops:
    """Crops of a dataset's folder, or of the pictures that a ``dataset_file.json`` lists.

    Rare classes need the statistics that ``dataset import`` writes into the folder (for a list: beside it).
    Raises StorageError, InputError.
    """
    listed = place.is_file()
    streets = listed_streets(place) if listed else open_streets(place, layout)
    lacking = [one for one in streets.streets if one.image is None]
    if lacking:
        raise InputError(f"{len(lacking)} label maps in {place} have no picture, e.g. {lacking[0].label}")
    index = {one.stem: k for k, one in enumerate(streets.streets)}
    rare = None
    if config.where == "rare":
        folder = place.parent if listed else place
        known = Statistics.read(folder)
        kept = Statistics(tuple(row for row in known.rows if map_stem(Path(row[0])) in index))
        if not len(kept):
            raise InputError(f"the statistics in {folder} are of other files", "import the folder again")
        sample = streets.labels(index[map_stem(Path(kept.rows[0][0]))])
        least = least_pixels(config.least, (sample.shape[1], sample.shape[0]))
        rare = RareClasses.of(kept, min_pixels=least, temperature=config.temperature)
    return Crops(streets, size_wh, config, rare, index)


def listed_streets(path: Path) -> StreetSet:
    """The pictures that a list of JSON lines names (``dataset_file.json``, or a list to validate on).

    A line names a label file of raw ids or in colours; train ids beside it are taken where they are. Pictures
    that are not there are no error: a list to validate on needs none. Raises StorageError, InputError.
    """
    lines = read_dataset_file(path)
    if not lines:
        raise InputError(f"{path} lists nothing", "one JSON object a line is expected")
    streets = tuple(_street(line, path.parent) for line in lines)
    return StreetSet(path.parent, LAYOUTS["gta"], streets)


def _street(line: Listed, folder: Path) -> Street:
    image: Path | None
    try:
        image = find_file(line.image, folder)
    except StorageError:
        image = None
    given = line.conditioning_image
    for name, ids in _candidates(given):
        try:
            label = find_file(name, folder)
        except StorageError:
            continue
        return Street(map_stem(label), label, ids, image)
    find_file(given, folder)  # says where it was looked for
    raise InputError(f"{given} is no label file that is known", f"expected NAME.png or NAME{TRAIN_END}")


def _candidates(name: str) -> list[tuple[str, str]]:
    """Files that may hold a line's labels, the best first, and what they hold."""
    if name.endswith("_color.png"):
        return [(name.replace("_color.png", TRAIN_END), "train"), (name, "colour")]
    if name.endswith(TRAIN_END):
        return [(name, "generated")]
    return [(name.removesuffix(".png") + TRAIN_END, "train"), (name, "city")]


def rescaled(size_wh: tuple[int, int], least_wh: tuple[int, int], ratio: float) -> Transform:
    """A picture of `size_wh` scaled by `ratio`, rounded down, or by as much more as a crop needs."""
    width, height = (int(side * ratio) for side in size_wh)
    if width < least_wh[0] or height < least_wh[1]:
        ratio = max(need / side for need, side in zip(least_wh, size_wh, strict=True))
        width, height = (round(side * ratio) for side in size_wh)
    return Transform(size_wh).resize((max(width, least_wh[0]), max(height, least_wh[1])))


def _hw(array: Picture) -> tuple[int, int]:
    return int(array.shape[0]), int(array.shape[1])
