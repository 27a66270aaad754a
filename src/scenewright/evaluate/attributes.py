"""Is what was asked for there, and does it look as asked? Verdicts per instance, per picture and per prompt.

A missing instance counts as wrong in everything that was asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenewright.evaluate.asked import Asked, Pair
from scenewright.evaluate.bootstrap import Floats
from scenewright.evaluate.findings import Finding
from scenewright.evaluate.matching import (
    LEAST_IOU,
    InstanceRow,
    Kind,
    assign,
    overlaps,
    per_picture,
    same_class,
)

JUDGED = ("colour",)
"""Attributes that a verdict on a whole picture asks for; texture is reported on its own."""


@dataclass(frozen=True, slots=True)
class SceneRow:
    """One picture judged as a whole: `right` of its `number` instances are, those without a name are not."""

    picture: int
    number: int
    right: int

    @property
    def all_right(self) -> bool:
        """Whether every instance is right; a scene that asks for nothing is."""
        return self.right == self.number


def mean_iou(rows: Sequence[InstanceRow], pictures: int) -> tuple[Floats, Floats]:
    """Sum of IoU and number of instances with a place, per picture; missing ones have IoU 0."""
    return per_picture(rows, lambda row: row.iou if row.size else None, pictures)


def found_rate(rows: Sequence[InstanceRow], pictures: int) -> tuple[Floats, Floats]:
    """Instances found (right class, IoU >= 0.5) and instances with a place, per picture."""
    return per_picture(rows, lambda row: float(row.found) if row.size else None, pictures)


def class_accuracy(rows: Sequence[InstanceRow], pictures: int) -> tuple[Floats, Floats]:
    """Instances at whose place the right class is seen, and instances with a place, per picture."""
    return per_picture(rows, lambda row: float(row.seen == row.category) if row.size else None, pictures)


def attribute_accuracy(rows: Sequence[InstanceRow], name: str, pictures: int) -> tuple[Floats, Floats]:
    """Instances whose attribute `name` is right, and instances that ask for one, per picture.

    The attribute is read from the detection of the right class with IoU >= 0.5; without one it is wrong.
    """

    def value(row: InstanceRow) -> float | None:
        return float(row.right[name]) if name in row.right and row.size else None

    return per_picture(rows, value, pictures)


def scenes_right(
    pairs: Sequence[Pair],
    kind: Kind = "box",
    *,
    attributes: Sequence[str] = JUDGED,
    least_iou: float = LEAST_IOU,
) -> tuple[SceneRow, ...]:
    """How many instances of each picture have the right class, attributes and place (IoU >= `least_iou`).

    Every detection serves one instance; the largest possible number of instances is taken. An instance
    without a place may be anywhere.
    """
    rows = []
    for picture, pair in enumerate(pairs):
        asked, found = pair.scene.asked, pair.findings.found
        near_NM = overlaps(asked, found, kind) >= least_iou
        near_NM |= np.array([one.box is None for one in asked], dtype=np.bool_).reshape(-1, 1)
        right = len(assign((near_NM & _answering(asked, found, attributes)).astype(np.float64)))
        rows.append(SceneRow(picture, pair.scene.number, right))
    return tuple(rows)


def text_right(pairs: Sequence[Pair], *, attributes: Sequence[str] = JUDGED) -> tuple[SceneRow, ...]:
    """How many instances of each picture are there at all, with the right class and attributes, anywhere.

    Every detection serves one instance; for pictures made from the text alone.
    """
    rows = []
    for picture, pair in enumerate(pairs):
        good_NM = _answering(pair.scene.asked, pair.findings.found, attributes)
        rows.append(SceneRow(picture, pair.scene.number, len(assign(good_NM.astype(np.float64)))))
    return tuple(rows)


def share_right(rows: Sequence[SceneRow], pictures: int) -> tuple[Floats, Floats]:
    """Right instances and instances, per picture."""
    right_P, number_P = np.zeros(pictures), np.zeros(pictures)
    for row in rows:
        right_P[row.picture], number_P[row.picture] = row.right, row.number
    return right_P, number_P


def share_all_right(rows: Sequence[SceneRow], pictures: int) -> tuple[Floats, Floats]:
    """Pictures that are right in every instance, and pictures that ask for any; 0 or 1 each."""
    right_P, number_P = np.zeros(pictures), np.zeros(pictures)
    for row in rows:
        number_P[row.picture] = float(row.number > 0)
        right_P[row.picture] = float(row.number > 0 and row.all_right)
    return right_P, number_P


def _answering(
    asked: Sequence[Asked], found: Sequence[Finding], attributes: Sequence[str]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which findings [N, M] have the class and those of the `attributes` that the instance asks for."""
    good_NM = same_class(asked, found)
    for n, one in enumerate(asked):
        wanted = [(name, one.attributes[name]) for name in attributes if name in one.attributes]
        for m, other in enumerate(found):
            good_NM[n, m] &= all(other.attributes.get(name) == value for name, value in wanted)
    return good_NM
