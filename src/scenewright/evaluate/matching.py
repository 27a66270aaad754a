"""Which detection answers which asked instance, and the table of instances that scores are taken from.

Matching is one-to-one and the best possible (Hungarian assignment, Kuhn 1955), per class; an instance without
a partner is missing and has IoU 0. Rows are made per picture first, so that pictures can be resampled.

Letters: N asked instances, M findings, P pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.asked import Asked, Pair
from scenewright.evaluate.findings import Finding
from scenewright.scene import Box, Mask, iou_matrix

Kind = Literal["box", "mask"]
Floats = NDArray[np.float64]

SIZE_EDGES = (32 / 640, 96 / 640)
"""Small, medium, large: from sides of 32 and 96 pixels of a 640 pixel picture (Lin et al. 2014) on."""

LEAST_IOU = 0.5
"""IoU from which an instance counts as found."""


@dataclass(frozen=True, slots=True)
class Match:
    """An asked instance and its partner: `found` None and `iou` 0 where it is missing."""

    asked: Asked
    found: Finding | None
    iou: float


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One asked instance of one picture, judged.

    `picture` number of the picture, 0..P-1; `number` instances its scene asks for; `size` "small", "medium"
    or "large" ("" without a place); `iou` 0..1 with its partner of the same class; `category` the class asked
    for and `seen` the class of what is at its place, whatever its class ("" if nothing is: IoU under 0.5);
    `right` for every attribute asked for whether the partner has it (no partner with IoU >= 0.5: False).
    """

    picture: int
    instance: str
    category: str
    number: int
    size: str
    iou: float
    seen: str
    right: Mapping[str, bool] = field(default_factory=dict, hash=False)

    @property
    def found(self) -> bool:
        """Whether a detection of its class has IoU >= 0.5 with it."""
        return self.iou >= LEAST_IOU


def match(
    asked: Sequence[Asked], found: Sequence[Finding], kind: Kind = "box", *, by_class: bool = True
) -> tuple[Match, ...]:
    """One match per asked instance, in order: the one-to-one assignment with the largest sum of IoU.

    `kind` says whether boxes or masks overlap (a missing box or mask overlaps nothing); `by_class=False`
    pairs things of different classes too. Pairs that do not overlap are not pairs.
    """
    iou_NM = overlaps(asked, found, kind)
    return _matched(asked, found, iou_NM * same_class(asked, found) if by_class else iou_NM)


def _matched(asked: Sequence[Asked], found: Sequence[Finding], iou_NM: Floats) -> tuple[Match, ...]:
    partner = assign(iou_NM)
    matches = []
    for k, one in enumerate(asked):
        j = partner.get(k)
        matches.append(Match(one, None, 0.0) if j is None else Match(one, found[j], float(iou_NM[k, j])))
    return tuple(matches)


def assign(gain_NM: Floats) -> dict[int, int]:
    """Row -> column of the one-to-one assignment of largest total gain; pairs of gain 0 are left out."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gain_NM, maximize=True)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if gain_NM[r, c] > 0}


def overlaps(asked: Sequence[Asked], found: Sequence[Finding], kind: Kind = "box") -> Floats:
    """IoU [N, M], in [0, 1], of boxes or of masks; 0 where one of the two is missing."""
    if kind == "mask":
        return _mask_overlaps([one.mask for one in asked], [one.mask for one in found])
    return np.asarray(iou_matrix(_boxes([one.box for one in asked]), _boxes([one.box for one in found])))


def same_class(asked: Sequence[Asked], found: Sequence[Finding]) -> NDArray[np.bool_]:
    """Which pairs [N, M] have the same class."""
    same = [[one.category == other.category for other in found] for one in asked]
    return np.array(same, dtype=np.bool_).reshape(len(asked), len(found))


def size_of(box: Box | None, edges: tuple[float, float] = SIZE_EDGES) -> str:
    """ "small", "medium" or "large" by the square root of the box's share of the picture; "" without box."""
    if box is None:
        return ""
    side = math.sqrt(box.area)
    return "small" if side < edges[0] else "medium" if side < edges[1] else "large"


def instance_rows(
    pairs: Sequence[Pair], kind: Kind = "box", *, edges: tuple[float, float] = SIZE_EDGES
) -> tuple[InstanceRow, ...]:
    """The table of asked instances of all pictures, in order. Findings should be confident ones only."""
    rows = []
    for picture, pair in enumerate(pairs):
        asked, found = pair.scene.asked, pair.findings.found
        iou_NM = overlaps(asked, found, kind)
        anyhow = _matched(asked, found, iou_NM)
        alike = _matched(asked, found, iou_NM * same_class(asked, found))
        for one, other in zip(alike, anyhow, strict=True):
            seen = other.found.category if other.found and other.iou >= LEAST_IOU else ""
            rows.append(_row(picture, pair.scene.number, one, seen, edges))
    return tuple(rows)


def per_picture(
    rows: Iterable[InstanceRow], value: Callable[[InstanceRow], float | None], pictures: int
) -> tuple[Floats, Floats]:
    """Sum and number, [P] each, of `value` over the rows of every picture; None leaves a row out."""
    totals_P, counts_P = np.zeros(pictures), np.zeros(pictures)
    for row in rows:
        found = value(row)
        if found is not None:
            totals_P[row.picture] += found
            counts_P[row.picture] += 1
    return totals_P, counts_P


def _row(picture: int, number: int, one: Match, seen: str, edges: tuple[float, float]) -> InstanceRow:
    looks = one.found.attributes if one.found is not None and one.iou >= LEAST_IOU else {}
    return InstanceRow(
        picture=picture,
        instance=one.asked.instance,
        category=one.asked.category,
        number=number,
        size=size_of(one.asked.box, edges),
        iou=one.iou,
        seen=seen,
        right={name: looks.get(name) == value for name, value in one.asked.attributes.items()},
    )


def _boxes(boxes: Sequence[Box | None]) -> Floats:
    """Corners [N, 4]; a missing box is an empty one."""
    return np.array([box.xyxy if box else (0.0,) * 4 for box in boxes], dtype=np.float64).reshape(-1, 4)


def _mask_overlaps(asked: Sequence[Mask | None], found: Sequence[Mask | None]) -> Floats:
    iou = [[one.iou(other) if one and other else 0.0 for other in found] for one in asked]
    return np.array(iou, dtype=np.float64).reshape(len(asked), len(found))
