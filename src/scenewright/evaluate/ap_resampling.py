"""Average precision of many resamples of the pictures at once.

Which finding answers which instance does not depend on the other pictures, so it is decided once per picture
(the greedy rule of COCO's `evaluateImg`); a resample only changes how often each picture counts. With all
weights 1 the values are those of faster-coco-eval and pycocotools.

A picture drawn twice counts as two pictures with the same findings. Where two of its findings of one class
have exactly the same score, their copies are taken one finding after the other.

Letters: B resamples, P pictures, K classes, A area ranges, T IoU thresholds, G asked instances and D findings
of one class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.asked import Asked, Pair
from scenewright.evaluate.average_precision import (
    AREAS,
    MOST_FOUND,
    Selection,
    area_of,
    asked_classes,
    has_place,
)
from scenewright.evaluate.bootstrap import Floats, Statistic
from scenewright.evaluate.findings import Finding
from scenewright.evaluate.matching import Kind, overlaps

Bits = NDArray[np.bool_]

THRESHOLDS_T = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
CHUNK = 250
"""Resamples that are computed at once."""


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The findings of one class in all pictures, surest first.

    `picture_D` number of the picture; `right_ATD` the finding answers an instance of that area range;
    `counted_ATD` it counts as right or wrong there; `asked_AP` instances asked for.
    """

    picture_D: NDArray[np.intp]
    right_ATD: Bits
    counted_ATD: Bits
    asked_AP: Floats


@dataclass(frozen=True, slots=True)
class ApTable:
    """Everything that average precision needs of a set of pictures; one `ClassTable` per class asked for."""

    pictures: int
    classes: tuple[ClassTable, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair], kind: Kind = "box") -> ApTable:
        """Match the findings of every picture once."""
        names = asked_classes(pairs, kind)
        return cls(len(pairs), tuple(_class_table(pairs, kind, name) for name in names))

    def statistic(self, name: str) -> Statistic:
        """One of `average_precision.NAMES` as a function of the weights [B, P]; NaN if nothing is asked."""
        chosen = Selection.of(name)

        def values(weights_BP: Floats) -> Floats:
            parts = [self._mean(weights_BP[k : k + CHUNK], chosen) for k in range(0, len(weights_BP), CHUNK)]
            return np.concatenate(parts) if parts else np.zeros(0)

        return values

    def _mean(self, weights_BP: Floats, chosen: Selection) -> Floats:
        """The mean over the classes that are asked for in the resample, [B]."""
        total_B, number_B = np.zeros(len(weights_BP)), np.zeros(len(weights_BP))
        for table in self.classes:
            value_B = _class_mean(table, weights_BP, chosen)
            there_B = np.isfinite(value_B)
            total_B[there_B] += value_B[there_B]
            number_B += there_B
        empty = np.full(len(weights_BP), np.nan)
        return np.asarray(np.divide(total_B, number_B, out=empty, where=number_B > 0))


def _class_mean(table: ClassTable, weights_BP: Floats, chosen: Selection) -> Floats:
    """Mean over the chosen thresholds of one class, [B]; NaN where a resample asks for none."""
    area = list(AREAS).index(chosen.area)
    asked_B = weights_BP @ table.asked_AP[area]
    if not asked_B.any():
        return np.full(len(weights_BP), np.nan)
    weight_BD = weights_BP[:, table.picture_D]
    thresholds = range(*chosen.thresholds.indices(len(THRESHOLDS_T)))
    counts: dict[bytes, Floats] = {}
    total_B = np.zeros(len(weights_BP))
    for t in thresholds:
        right_D, counted_D = table.right_ATD[area, t], table.counted_ATD[area, t]
        if chosen.recall:
            total_B += _recall(weight_BD[:, right_D].sum(axis=1), asked_B)
            continue
        key = counted_D.tobytes()
        if key not in counts:
            counts[key] = np.cumsum(weight_BD * counted_D, axis=1)
        total_B += _precision(weight_BD[:, right_D], counts[key][:, right_D], asked_B)
    return np.where(asked_B > 0, total_B / len(thresholds), np.nan)


def _recall(right_B: Floats, asked_B: Floats) -> Floats:
    return np.divide(right_B, asked_B, out=np.zeros_like(right_B), where=asked_B > 0)


def _precision(weight_BR: Floats, counted_BR: Floats, asked_B: Floats) -> Floats:
    """Average precision over 101 recall levels, [B], from the right findings alone (R of them, surest first).

    `counted_BR` is how many findings count up to and including each. Between two right findings precision
    only falls, so the envelope of the curve is that of its right findings.
    """
    if not weight_BR.shape[1]:
        return np.zeros(len(weight_BR))
    right_BR = np.cumsum(weight_BR, axis=1)
    precision_BR = _recall(right_BR, counted_BR)
    envelope_BR = np.maximum.accumulate(precision_BR[:, ::-1], axis=1)[:, ::-1]
    recall_BR = _recall(right_BR, np.broadcast_to(asked_B[:, None], right_BR.shape))
    reached_BR = np.searchsorted(RECALLS, recall_BR, side="right")
    reached_BR[recall_BR == 0] = 0
    gained_BR = np.diff(reached_BR, axis=1, prepend=0)
    return np.asarray((envelope_BR * gained_BR).sum(axis=1) / len(RECALLS))


def _class_table(pairs: Sequence[Pair], kind: Kind, name: str) -> ClassTable:
    asked_AP = np.zeros((len(AREAS), len(pairs)))
    pictures, scores, right, counted = [], [], [], []
    for number, pair in enumerate(pairs):
        asked = [one for one in pair.scene.asked if one.category == name and has_place(one, kind)]
        found = [one for one in pair.findings.found if one.category == name and has_place(one, kind)]
        found = sorted(found, key=lambda one: -one.score)[:MOST_FOUND]
        outside_AG = _outside(asked, kind)
        asked_AP[:, number] = (~outside_AG).sum(axis=1)
        right_ATD, counted_ATD = _answers(asked, found, outside_AG, kind)
        pictures += [number] * len(found)
        scores += [one.score for one in found]
        right.append(right_ATD)
        counted.append(counted_ATD)
    order = np.argsort(-np.array(scores), kind="stable")
    return ClassTable(
        picture_D=np.array(pictures, dtype=np.intp)[order],
        right_ATD=np.concatenate(right, axis=2)[..., order],
        counted_ATD=np.concatenate(counted, axis=2)[..., order],
        asked_AP=asked_AP,
    )


def _outside(things: Sequence[Asked] | Sequence[Finding], kind: Kind) -> Bits:
    """Which things [A, N] lie outside each area range; its ends belong to it, as in COCO."""
    areas_N = np.array([area_of(one, kind) for one in things])
    outside = [(areas_N < low) | (areas_N > high) for low, high in AREAS.values()]
    return np.array(outside, dtype=np.bool_).reshape(len(AREAS), len(things))


def _answers(
    asked: Sequence[Asked], found: Sequence[Finding], outside_AG: Bits, kind: Kind
) -> tuple[Bits, Bits]:
    """Right and counted, [A, T, D] each, of the findings of one picture, surest first.

    Each finding takes the free instance with the largest IoU of at least the threshold (the later of equals),
    one inside the area range before any outside; a finding that takes one outside, or that takes none and
    lies outside itself, does not count.
    """
    shape = (len(AREAS), len(THRESHOLDS_T), len(found))
    right_ATD = np.zeros(shape, np.bool_)
    counted_ATD = np.broadcast_to(~_outside(found, kind)[:, None, :], shape).copy()
    if not asked or not found:
        return right_ATD, counted_ATD
    iou_GD = overlaps(asked, found, kind)
    least_T = np.minimum(THRESHOLDS_T, 1 - 1e-10)
    free_ATG = np.ones((*shape[:2], len(asked)), np.bool_)
    inside_A1G = ~outside_AG[:, None, :]
    for d in range(len(found)):
        near_ATG = free_ATG & (iou_GD[:, d] >= least_T[:, None])
        if not near_ATG.any():
            continue
        wish_ATG = np.where(near_ATG, iou_GD[:, d] + 2.0 * inside_A1G, -1.0)
        taken_AT = len(asked) - 1 - wish_ATG[..., ::-1].argmax(axis=-1)
        matched_AT = near_ATG.any(axis=-1)
        a, t = np.nonzero(matched_AT)
        g = taken_AT[a, t]
        free_ATG[a, t, g] = False
        right_ATD[a, t, d] = counted_ATD[a, t, d] = ~outside_AG[a, g]
    return right_ATD, counted_ATD
