"""Rare-class sampling: which class, which file, which crop. Numpy only.

Hoyer et al., "DAFormer", CVPR 2022, eq. 9 to 11, as used by DGInStyle (Jia et al., ECCV 2024) for training
crops, for what to generate, and for the segmenter. With n_c pixels of class c in all files:

    f_c = n_c / sum n        P(c) = softmax_c((1 - f_c) / T)

over the classes that occur, T = 0.01. A class is drawn by P, a file evenly among those with more than a least
number of its pixels, a crop around one of its pixels.

Letters: H W pixels of a map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.street_stats import Statistics
from scenewright.errors import InputError
from scenewright.scene.schema import LARGEST_SEED

Labels = NDArray[np.integer[Any]]
Window = tuple[int, int, int, int]
"""x0, y0 (inclusive), x1, y1 (exclusive), in pixels."""

TEMPERATURE = 0.01
LEAST_IN_FILE = 3000 / (1914 * 1052)
"""Share of a file that must be of a class: 3000 pixels of GTA's pictures."""
LEAST_IN_CROP = 0.01
"""Share of a crop that should be of its class."""
TRIES = 10


@dataclass(frozen=True)
class Odds:
    """Classes (ids) by rising number of pixels, and their probabilities, which sum to 1."""

    classes: tuple[int, ...]
    probabilities: tuple[float, ...]


def class_odds(totals: Mapping[int, int], temperature: float = TEMPERATURE) -> Odds:
    """P(c) of the classes that occur; `totals` are id -> pixels, classes with none are left out.

    Raises InputError for a temperature that is not above 0, and if no class occurs.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; expected a number above 0", "0.01 is published")
    there = sorted(((id, n) for id, n in totals.items() if n > 0), key=lambda pair: pair[1])
    if not there:
        raise InputError("no class has a pixel, so none can be drawn", "are all labels ignored?")
    number = np.array([n for _, n in there], np.float64)
    exponent = (1 - number / number.sum()) / temperature
    share = np.exp(exponent - exponent.max())
    return Odds(tuple(id for id, _ in there), tuple((share / share.sum()).tolist()))


def least_pixels(share: float, size_wh: tuple[int, int]) -> int:
    """The published kind of threshold, a number of pixels, from a share of pictures of `size_wh`."""
    return round(share * size_wh[0] * size_wh[1])


@dataclass(frozen=True)
class RareClasses:
    """What is drawn from: the odds of all classes that occur, and of each the files with enough of it.

    `files` has no entry for classes that are nowhere large enough (`scarce`): they are not drawn, and the
    others share their probability.
    """

    odds: Odds
    files: Mapping[int, tuple[str, ...]]

    @classmethod
    def of(cls, statistics: Statistics, *, min_pixels: int, temperature: float = TEMPERATURE) -> RareClasses:
        """From statistics; a file is eligible with strictly more than `min_pixels` of a class.

        Raises InputError if no class is large enough in any file.
        """
        odds = class_odds(statistics.totals(), temperature)
        eligible = {id: statistics.files_with(id, min_pixels) for id in odds.classes}
        files = {id: names for id, names in eligible.items() if names}
        if not files:
            raise InputError(
                f"no class has more than {min_pixels} pixels in any file", "a smaller threshold finds some"
            )
        return cls(odds, files)

    @property
    def scarce(self) -> tuple[int, ...]:
        """Classes that occur, but nowhere in more than the least number of pixels."""
        return tuple(id for id in self.odds.classes if id not in self.files)

    def draw(self, rng: np.random.Generator) -> tuple[int, str]:
        """A class by its odds, then one of its files, all equally likely."""
        ids, shares = self._shares()
        id = ids[int(rng.choice(len(ids), p=shares))]
        return id, self.files[id][int(rng.integers(len(self.files[id])))]

    def picks(self, count: int, seed: int) -> list[tuple[int, str]]:
        """`count` draws, the k-th from a generator of its own (`item_seed`); files may repeat."""
        return [self.draw(np.random.default_rng(item_seed(seed, k))) for k in range(count)]

    def subset(self, count: int, rng: np.random.Generator) -> list[tuple[int, str]]:
        """`count` draws of different files, as if draws of files that were taken already were thrown away.

        Raises InputError for more than there are files.
        """
        every = {name for names in self.files.values() for name in names}
        if not 0 <= count <= len(every):
            raise InputError(
                f"{count} different files were asked for, {len(every)} have enough of a class",
                "ask for fewer, or lower the threshold",
            )
        ids, shares = self._shares()
        owners: dict[str, list[int]] = {}
        for k, id in enumerate(ids):
            for name in self.files[id]:
                owners.setdefault(name, []).append(k)
        left = np.array([len(self.files[id]) for id in ids], np.float64)
        size, taken, found = left.copy(), set[str](), []
        for _ in range(count):
            weight = shares * left / size
            weight = weight if weight.sum() > 0 else left
            id = ids[int(rng.choice(len(ids), p=weight / weight.sum()))]
            free = [name for name in self.files[id] if name not in taken]
            name = free[int(rng.integers(len(free)))]
            taken.add(name)
            left[owners[name]] -= 1
            found.append((id, name))
        return found

    def _shares(self) -> tuple[list[int], NDArray[np.float64]]:
        """Classes with files, and their probabilities among each other."""
        pairs = [pair for pair in zip(*self._lists(), strict=True) if pair[0] in self.files]
        share = np.array([p for _, p in pairs])
        share = share if share.sum() > 0 else np.ones(len(pairs))
        return [id for id, _ in pairs], share / share.sum()

    def _lists(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        return self.odds.classes, self.odds.probabilities


def item_seed(seed: int, index: int) -> int:
    """The seed of item `index` of a run: a hash of both, so that items do not depend on each other."""
    digest = hashlib.sha256(f"item {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (LARGEST_SEED + 1)


# --- crops -------------------------------------------------------------------------------------------------


def centred_window(x: int, y: int, size_hw: tuple[int, int], to_wh: tuple[int, int]) -> Window:
    """The window of `to_wh` pixels around a pixel, moved into a picture of `size_hw`.

    Raises InputError for a window larger than the picture.
    """
    (height, width), (to_w, to_h) = size_hw, to_wh
    if to_w > width or to_h > height:
        raise InputError(
            f"a crop of {to_w} x {to_h} pixels does not fit into a map of {width} x {height}",
            "take a smaller crop, or larger maps",
        )
    x0 = min(max(0, x - to_w // 2), width - to_w)
    y0 = min(max(0, y - to_h // 2), height - to_h)
    return x0, y0, x0 + to_w, y0 + to_h


def middle_window(size_hw: tuple[int, int], to_wh: tuple[int, int]) -> Window:
    """The window in the middle. See `centred_window` for errors."""
    x0, y0 = (size_hw[1] - to_wh[0]) // 2, (size_hw[0] - to_wh[1]) // 2
    return centred_window(x0 + to_wh[0] // 2, y0 + to_wh[1] // 2, size_hw, to_wh)


def pixels_of(labels_HW: Labels, label: int) -> NDArray[np.int64]:
    """Positions of the pixels of a class, counted row by row. Raises InputError if there are none."""
    found = np.flatnonzero(labels_HW.reshape(-1) == label)
    if not len(found):
        raise InputError(f"the map has no pixel of the class {label}", "it was resized, or is another file")
    return found


def window_at(labels_HW: Labels, label: int, k: int, to_wh: tuple[int, int]) -> Window:
    """The window around the k-th pixel of a class, counted row by row."""
    places = pixels_of(labels_HW, label)
    if not 0 <= k < len(places):
        raise InputError(f"pixel {k} of the class {label} was asked for, it has {len(places)}")
    y, x = divmod(int(places[k]), labels_HW.shape[1])
    return centred_window(x, y, (labels_HW.shape[0], labels_HW.shape[1]), to_wh)


def training_window(
    labels_HW: Labels, label: int, to_wh: tuple[int, int], rng: np.random.Generator
) -> Window:
    """The window around any pixel of a class, all equally likely: a crop for training."""
    return window_at(labels_HW, label, int(rng.integers(len(pixels_of(labels_HW, label)))), to_wh)


def generation_window(
    labels_HW: Labels,
    label: int,
    to_wh: tuple[int, int],
    rng: np.random.Generator,
    *,
    least: float = LEAST_IN_CROP,
    tries: int = TRIES,
    published: bool = False,
) -> Window:
    """A window that shows more than the share `least` of a class; after `tries` draws the last one.

    `published` never draws the class's last pixel, as the published code does, which fails for a class of one
    pixel (InputError).
    """
    number = len(pixels_of(labels_HW, label)) - (1 if published else 0)
    if number < 1:
        raise InputError(f"the class {label} has one pixel, of which the published rule never draws the last")
    for _ in range(tries):
        window = window_at(labels_HW, label, int(rng.integers(number)), to_wh)
        if class_share(labels_HW, label, window) > least:
            break
    return window


def class_share(labels_HW: Labels, label: int, window: Window) -> float:
    """The share of a window that is of a class."""
    x0, y0, x1, y1 = window
    return float((labels_HW[y0:y1, x0:x1] == label).mean())


def crop(labels_HW: Labels, window: Window) -> Labels:
    """A copy of what is in a window."""
    x0, y0, x1, y1 = window
    return labels_HW[y0:y1, x0:x1].copy()
