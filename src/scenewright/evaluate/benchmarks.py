"""The benchmarks `layout` and `instances`: what was asked for against what a detector found.

Which metric means what: docs/reference/protocol.md. Findings below the judge's least score count for average
precision only.

Letters: P pictures.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.ap_resampling import ApTable
from scenewright.evaluate.asked import Pair
from scenewright.evaluate.attributes import (
    attribute_accuracy,
    class_accuracy,
    found_rate,
    mean_iou,
    scenes_right,
    share_all_right,
    share_right,
    text_right,
)
from scenewright.evaluate.average_precision import average_precision
from scenewright.evaluate.bootstrap import ratio
from scenewright.evaluate.matching import InstanceRow, Kind, instance_rows
from scenewright.evaluate.measures import Measure, Measured, Part, within
from scenewright.evaluate.points import point_rows, published_point_rows
from scenewright.evaluate.protocol import MOST_GROUP

AP_NAMES = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "AP_small", "ap_medium": "AP_medium",
    "ap_large": "AP_large", "ar": "AR",
}  # fmt: skip
"""Names of the protocol -> names of `average_precision`."""

JUDGED = ("colour", "texture")
"""Attributes that are read from what is at an instance's place."""

IN_GROUPS = (
    "ap50", "iou", "placed", "class", "colour", "texture", "shown", "shown_colour", "pictures_shown",
    "pictures_right",
)  # fmt: skip
"""Figures that are taken of groups of pictures, too."""

SIDES = (0.1, 0.2, 0.3, 0.4)
"""Where groups by size end: square root of the box's share of the picture."""


def layout(pairs: Sequence[Pair], least: float) -> Measured:
    """Boxes, classes, colours and textures of all pictures; `least` score of findings that are matched."""
    sure = confident(pairs, least)
    rows = instance_rows(sure, "box")
    table = ApTable.of(pairs, "box")
    measures = {
        **precision_measures(pairs, "box", table),
        **_row_measures(rows, len(pairs)),
        **_whole_pictures(sure),
    }
    return Measured(
        measures=measures,
        groups=_groups(sure, rows, measures),
        items=picture_items(rows, len(pairs)),
        instances=len(rows),
        unnamed=unnamed(pairs),
    )


def instances(pairs: Sequence[Pair], least: float) -> Measured:
    """Masks of all pictures; instances without a mask are left out of what is about masks."""
    sure = confident(pairs, least)
    masked = {(p, one.instance) for p, pair in enumerate(sure) for one in pair.scene.asked if one.mask}
    rows = [row for row in instance_rows(sure, "mask") if (row.picture, row.instance) in masked]
    table = ApTable.of(pairs, "mask")
    measures = {**precision_measures(pairs, "mask", table), **_row_measures(rows, len(pairs), attributes=())}
    for form in ("point", "scribble"):
        measures[f"pim_{form}s"] = Measure(ratio(*point_rows(sure, form)))
        measures[f"pim_{form}s_paper"] = Measure(ratio(*published_point_rows(sure, form)))
    return Measured(
        measures=measures,
        groups=_groups(sure, rows, measures, attributes=()),
        items=picture_items(rows, len(pairs)),
        instances=len(rows),
        unnamed=unnamed(pairs),
    )


def confident(pairs: Sequence[Pair], least: float) -> list[Pair]:
    """The pairs without findings of a lower score than `least`."""
    return [Pair(pair.scene, pair.findings.confident(least)) for pair in pairs]


def unnamed(pairs: Sequence[Pair]) -> dict[str, int]:
    """Phrases that the judge has no class for, the most frequent first."""
    return dict(Counter(phrase for pair in pairs for phrase in pair.scene.unnamed).most_common())


def precision_measures(
    pairs: Sequence[Pair], kind: Kind, table: ApTable, names: Mapping[str, str] = AP_NAMES
) -> dict[str, Measure]:
    """Numbers of AP and AR (`names`: ours -> those of `average_precision`): values by faster-coco-eval,
    intervals by resampling."""
    values = average_precision(pairs, kind)
    return {
        name: Measure(table.statistic(theirs), values[theirs], centred=True, limits=(0.0, 1.0))
        for name, theirs in names.items()
        if values[theirs] is not None
    }


def _row_measures(
    rows: Sequence[InstanceRow], pictures: int, attributes: Sequence[str] = JUDGED
) -> dict[str, Measure]:
    """Means over instances with a place: IoU, share placed, right class there, right attributes there."""
    values = {
        "iou": mean_iou(rows, pictures),
        "placed": found_rate(rows, pictures),
        "class": class_accuracy(rows, pictures),
        **{name: attribute_accuracy(rows, name, pictures) for name in attributes},
    }
    return {name: Measure(ratio(*value)) for name, value in values.items()}


def _whole_pictures(pairs: Sequence[Pair]) -> dict[str, Measure]:
    """What is in the pictures, wherever it is, and pictures that are right in every instance."""
    number = len(pairs)
    values = {
        "shown": share_right(text_right(pairs, attributes=()), number),
        "shown_colour": share_right(text_right(pairs), number),
        "pictures_shown": share_all_right(text_right(pairs), number),
        "pictures_right": share_all_right(scenes_right(pairs), number),
    }
    return {name: Measure(ratio(*value)) for name, value in values.items()}


def _all_right(row: InstanceRow) -> bool:
    return row.found and row.right.get("colour", True)


def _groups(
    pairs: Sequence[Pair],
    rows: Sequence[InstanceRow],
    measures: Mapping[str, Measure],
    attributes: Sequence[str] = JUDGED,
) -> dict[str, dict[str, Part]]:
    """By number of instances in the scene, and by size of the box."""
    number_P = np.array([min(pair.scene.number, MOST_GROUP) for pair in pairs])
    by_number = {}
    for number in sorted(set(number_P.tolist()) - {0}):
        chosen_P: NDArray[np.bool_] = number_P == number
        parts = {
            name: replace(one, statistic=within(one.statistic, chosen_P), value=None)
            for name, one in measures.items()
            if name in IN_GROUPS
        }
        among = sum(bool(chosen_P[row.picture]) for row in rows)
        name = f"{number} or more" if number == MOST_GROUP else str(number)
        by_number[name] = Part(int(chosen_P.sum()), among, parts)
    return {"instances": by_number, "size": _by_size(pairs, rows, attributes)}


def _by_size(
    pairs: Sequence[Pair], rows: Sequence[InstanceRow], attributes: Sequence[str]
) -> dict[str, Part]:
    """By the side of the box as a share of the picture's."""
    sides = {
        (picture, one.instance): math.sqrt(one.box.area)
        for picture, pair in enumerate(pairs)
        for one in pair.scene.asked
        if one.box is not None
    }
    found = {}
    for place, name in enumerate(size_names()):
        low, high = (0.0, *SIDES)[place], (*SIDES, math.inf)[place]
        chosen = [row for row in rows if low <= sides.get((row.picture, row.instance), -1.0) < high]
        if chosen:
            parts = _row_measures(chosen, len(pairs), attributes)
            found[name] = Part(len({row.picture for row in chosen}), len(chosen), parts)
    return found


def size_names() -> list[str]:
    """Names of the groups by size, the smallest first."""
    middle = [f"{low} to {high}" for low, high in itertools.pairwise(SIDES)]
    return [f"under {SIDES[0]}", *middle, f"{SIDES[-1]} or more"]


def picture_items(rows: Sequence[InstanceRow], pictures: int) -> list[dict[str, object]]:
    """A line per picture; its rank is the mean over instances of the IoU, halved for a wrong colour."""
    of: dict[int, list[InstanceRow]] = {picture: [] for picture in range(pictures)}
    for row in rows:
        of[row.picture].append(row)
    items: list[dict[str, object]] = []
    for mine in of.values():
        worth = [row.iou * (1.0 if row.right.get("colour", True) else 0.5) for row in mine]
        item: dict[str, object] = {
            "asked": len(mine),
            "iou": round(float(np.mean([row.iou for row in mine])), 4) if mine else None,
            "placed": sum(row.found for row in mine),
            "right": sum(_all_right(row) for row in mine),
            "rank": round(float(np.mean(worth)), 4) if worth else None,
        }
        items.append(item)
    return items
