"""The benchmark `grounding`: masks of named classes against true masks.

A picture is asked for the classes that it shows, by name; what is measured is where they are. IoU of a class
is taken of the pixel counts of all pictures together, then averaged over classes (Everingham et al. 2010);
the mean over seen and that over unseen classes are combined by their harmonic mean (Xian et al., "Zero-Shot
Learning - The Good, the Bad and the Ugly", 2017, section 4). Beside it stands the figure of the published
evaluation of grounding modules: the mean IoU of the labels of a picture, each mask alone, averaged over
pictures. Which metric means what: docs/reference/protocol.md.

Letters: P pictures, K classes, H W pixels, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Floats, Statistic, ratio
from scenewright.evaluate.measures import Measure, Measured, Part, within
from scenewright.evaluate.splits import LONG_TAIL, PARTS, SEEN, UNSEEN, ClassSplit

MOST_CLASSES = 4
"""Pictures that are asked for this many classes or more form one group."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Pixels of one class in one picture: right (`shared`), of the class (`truth`), and `found`, where every
    pixel has one class at most; and the IoU of its mask `alone`, 0 where nothing is there or found."""

    shared: int
    truth: int
    found: int
    alone: float


@dataclass(frozen=True)
class PictureCounts:
    """One picture: counts of each class that it was asked for, and of the pixels of none of them."""

    name: str
    classes: Mapping[str, ClassCounts]
    background: ClassCounts

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "name": self.name,
            "classes": {name: _row(one) for name, one in self.classes.items()},
            "background": _row(self.background),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PictureCounts:
        """From what `to_json` gave; KeyError, TypeError or ValueError for anything else."""
        classes = {name: ClassCounts(*row) for name, row in value["classes"].items()}
        return cls(value["name"], classes, ClassCounts(*value["background"]))


def _row(one: ClassCounts) -> list[float]:
    return [one.shared, one.truth, one.found, one.alone]


def count_masks(
    name: str, classes: Sequence[str], truth_KHW: Bools, found_KHW: Bools, alone_KHW: Bools
) -> PictureCounts:
    """Counts of one picture that was asked for `classes`.

    `found_KHW` has one class at most in every pixel (argmax with background), `alone_KHW` each mask decided
    by itself. Raises InputError for shapes that differ, a class that is named twice and pixels found twice.
    """
    shapes = {one.shape for one in (truth_KHW, found_KHW, alone_KHW)}
    if len(shapes) != 1 or truth_KHW.ndim != 3 or len(truth_KHW) != len(classes):
        raise InputError(
            f"{name}: expected masks [{len(classes)}, H, W] of one size, got "
            f"{', '.join(str(list(shape)) for shape in sorted(shapes))}"
        )
    if len(set(classes)) != len(classes):
        raise InputError(f"{name}: a class is asked for twice: {', '.join(classes)}")
    if (found_KHW.sum(axis=0) > 1).any():
        raise InputError(f"{name}: a pixel was given to two classes", "decide by argmax")
    per_class = {one: _counts(truth_KHW[k], found_KHW[k], alone_KHW[k]) for k, one in enumerate(classes)}
    none = (np.asarray(~masks_KHW.any(axis=0)) for masks_KHW in (truth_KHW, found_KHW, alone_KHW))
    return PictureCounts(name, per_class, _counts(*none))


def _counts(truth_HW: Bools, found_HW: Bools, alone_HW: Bools) -> ClassCounts:
    union = int((truth_HW | alone_HW).sum())
    alone = int((truth_HW & alone_HW).sum()) / union if union else 0.0
    shared = int((truth_HW & found_HW).sum())
    return ClassCounts(shared, int(truth_HW.sum()), int(found_HW.sum()), round(alone, 6))


@dataclass(frozen=True, slots=True)
class GroundingTable:
    """Counts of all pictures as arrays, classes in the order of `names`; zeros where a class was not asked.

    `asked_PK` says where it was; `shared_PK`, `truth_PK`, `found_PK` are pixels; `alone_PK` IoUs of masks
    alone; the last column of each is the background, asked everywhere.
    """

    names: tuple[str, ...]
    asked_PK: Floats
    shared_PK: Floats
    truth_PK: Floats
    found_PK: Floats
    alone_PK: Floats

    @classmethod
    def of(cls, pictures: Sequence[PictureCounts]) -> GroundingTable:
        """The table of pictures; names are sorted."""
        names = sorted({name for one in pictures for name in one.classes})
        table_5PK = np.zeros((5, len(pictures), len(names) + 1))
        for p, one in enumerate(pictures):
            for k, name in enumerate([*names, None]):
                found = one.background if name is None else one.classes.get(name)
                if found is not None:
                    table_5PK[:, p, k] = 1, found.shared, found.truth, found.found, found.alone
        return cls(tuple(names), *table_5PK)

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return len(self.asked_PK)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Columns of the classes that were asked for somewhere."""
        return [self.names.index(name) for name in names if name in self.names]

    def iou(self, columns: Sequence[int]) -> Statistic:
        """Dataset-level IoU of classes, averaged over those that are there or found; NaN if none is."""
        shared_PC, truth_PC, found_PC = (
            one[:, list(columns)] for one in (self.shared_PK, self.truth_PK, self.found_PK)
        )

        def statistic(weights_BP: Floats) -> Floats:
            shared_BC = weights_BP @ shared_PC
            union_BC = weights_BP @ truth_PC + weights_BP @ found_PC - shared_BC
            iou_BC = _divided(shared_BC, union_BC)
            there_BC = np.isfinite(iou_BC)
            return _divided(np.where(there_BC, iou_BC, 0.0).sum(axis=1), there_BC.sum(axis=1))

        return statistic

    def alone(self, columns: Sequence[int]) -> Statistic:
        """The published figure: mean IoU over the asked classes of a picture, then over pictures with any."""
        asked_PC = self.asked_PK[:, list(columns)]
        there_P = asked_PC.any(axis=1).astype(np.float64)
        sum_P = np.asarray((self.alone_PK[:, list(columns)] * asked_PC).sum(axis=1))
        return ratio(_divided(sum_P, asked_PC.sum(axis=1), 0.0), there_P)


def _divided(part: Floats, whole: Floats, empty: float = np.nan) -> Floats:
    filled = np.full(part.shape, empty)
    return np.asarray(np.divide(part, whole, out=filled, where=whole > 0))


def harmonic(one: Statistic, other: Statistic) -> Statistic:
    """The harmonic mean of two statistics in [0, 1]; 0 where both are, NaN where one is."""

    def statistic(weights_BP: Floats) -> Floats:
        a_B, b_B = one(weights_BP), other(weights_BP)
        return np.where(a_B + b_B == 0, 0.0, 2 * a_B * b_B / np.where(a_B + b_B == 0, 1.0, a_B + b_B))

    return statistic


def grounding(pictures: Sequence[PictureCounts], split: ClassSplit) -> Measured:
    """All figures of the benchmark; `split` says which classes were seen in training.

    Raises InputError if no picture was asked for anything.
    """
    table = GroundingTable.of(pictures)
    if not table.names:
        raise InputError(
            "no picture was asked for any class", "pictures need scenes with categories and masks"
        )
    parts = {part: table.columns(split.only(table.names, part)) for part in PARTS}
    every = table.columns(table.names)
    iou = {part: table.iou(columns) for part, columns in parts.items()}
    statistics = {
        "miou": table.iou(every),
        "miou_seen": iou[SEEN],
        "miou_unseen": iou[UNSEEN],
        "harmonic": harmonic(iou[SEEN], iou[UNSEEN]),
        "miou_long_tail": iou[LONG_TAIL],
        "background": table.iou([len(table.names)]),
        "published": table.alone(every),
        "published_seen": table.alone(parts[SEEN]),
        "published_unseen": table.alone(parts[UNSEEN]),
    }
    groups = {f"{part} class": _by_class(table, columns) for part, columns in parts.items() if columns}
    return Measured(
        measures={name: Measure(one) for name, one in statistics.items()},
        groups={**groups, "classes": _by_number(table)},
        items=[_item(one) for one in pictures],
        instances=int(table.asked_PK[:, :-1].sum()),
    )


def _by_class(table: GroundingTable, columns: Sequence[int]) -> dict[str, Part]:
    found = {}
    for column in columns:
        number = int(table.asked_PK[:, column].sum())
        found[table.names[column]] = Part(number, number, {"iou": Measure(table.iou([column]))})
    return found


def _by_number(table: GroundingTable) -> dict[str, Part]:
    """By number of classes that a picture was asked for."""
    number_P = table.asked_PK[:, :-1].sum(axis=1).clip(max=MOST_CLASSES)
    every = table.iou(range(len(table.names)))
    found = {}
    for number in sorted({int(one) for one in number_P} - {0}):
        chosen_P = number_P == number
        name = f"{number} or more" if number == MOST_CLASSES else str(number)
        asked = int(table.asked_PK[chosen_P, :-1].sum())
        found[name] = Part(int(chosen_P.sum()), asked, {"miou": Measure(within(every, chosen_P))})
    return found


def _item(one: PictureCounts) -> dict[str, Any]:
    """A line about a picture: its classes and their IoUs; its rank is the mean of these."""
    found = {}
    for name, counts in one.classes.items():
        union = counts.truth + counts.found - counts.shared
        found[name] = round(counts.shared / union, 4) if union else 0.0
    return {"classes": found, "rank": round(float(np.mean(list(found.values()))), 4) if found else None}
