"""Average precision of boxes or masks as COCO defines it (Lin et al. 2014), with intervals over pictures.

The reported numbers come from faster-coco-eval; the intervals from `scenewright.evaluate.ap_resampling`,
whose whole-set values are the same numbers.

Places are handed over on a canvas of 640 by 640, so that COCO's size ranges (areas of 32 x 32 and 96 x 96
pixels of its pictures) hold for pictures of every size as fractions of their area. Instances without a place
of the kind that is scored are left out; so are findings without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.asked import Asked, Pair
from scenewright.evaluate.bootstrap import RESAMPLES, Estimate, estimate
from scenewright.evaluate.findings import Finding
from scenewright.evaluate.matching import Kind

CANVAS_PX = 640
"""Side of the canvas on which places are compared with COCO's size ranges."""

MOST_FOUND = 100
"""Findings per picture and class that count, the surest first (COCO's largest `maxDets`)."""

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Name -> least and most area, both inclusive, in pixels of the canvas."""

NAMES = (
    "AP", "AP50", "AP75", "AR", "AP_small", "AP_medium", "AP_large", "AR_small", "AR_medium", "AR_large"
)  # fmt: skip
"""The numbers, in this order: AP and AR are means over IoU 0.5, 0.55, …, 0.95."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a name of `NAMES` is taken: precision or recall, the area range, and which IoU thresholds."""

    recall: bool
    area: str
    thresholds: slice

    @classmethod
    def of(cls, name: str) -> Selection:
        """The selection that `name` stands for."""
        kind, _, area = name.partition("_")
        thresholds = {"AP50": slice(0, 1), "AP75": slice(5, 6)}.get(kind, slice(None))
        return cls(kind == "AR", area or "all", thresholds)


def average_precision(pairs: Sequence[Pair], kind: Kind = "box") -> dict[str, float | None]:
    """The ten numbers of `NAMES`, each in [0, 1]; None where no instance with a place is asked for.

    Classes that are asked for in no picture do not count; every finding counts, so scores should not be cut
    off. Computed by faster-coco-eval.
    """
    classes = asked_classes(pairs, kind)
    if not classes:
        return dict.fromkeys(NAMES)
    precision_TRKA, recall_TKA = _evaluated(pairs, kind, classes)
    result: dict[str, float | None] = {}
    for name in NAMES:
        chosen = Selection.of(name)
        values = recall_TKA if chosen.recall else precision_TRKA
        values = values[chosen.thresholds, ..., list(AREAS).index(chosen.area)]
        values = values[values > -1]
        result[name] = float(values.mean()) if values.size else None
    return result


def average_precision_estimates(
    pairs: Sequence[Pair],
    kind: Kind = "box",
    *,
    names: Sequence[str] = NAMES,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """`average_precision` with 95 % intervals over pictures, by name; `names` are those wanted.

    Drawing pictures again raises AP a little (a right finding that is drawn twice is right twice), so the
    intervals are centred on the value.
    """
    from scenewright.evaluate.ap_resampling import ApTable

    values, table = average_precision(pairs, kind), ApTable.of(pairs, kind)
    found = {}
    for name in names:
        whole = estimate(
            table.statistic(name),
            len(pairs),
            resamples=resamples,
            seed=seed,
            centred=True,
            within=(0.0, 1.0),
        )
        found[name] = Estimate(values[name], whole.low, whole.high)
    return found


def asked_classes(pairs: Sequence[Pair], kind: Kind) -> list[str]:
    """Classes of all asked instances that have a place of that kind, in order of the alphabet."""
    return sorted({one.category for pair in pairs for one in pair.scene.asked if has_place(one, kind)})


def has_place(one: Asked | Finding, kind: Kind) -> bool:
    """Whether it has a box, or a mask."""
    return (one.box if kind == "box" else one.mask) is not None


def area_of(one: Asked | Finding, kind: Kind) -> float:
    """Area in pixels of the canvas; 0 without a place."""
    if kind == "box":
        _, _, width, height = _xywh(one)
        return width * height
    if one.mask is None:
        return 0.0
    return one.mask.area_px / (one.mask.size_hw[0] * one.mask.size_hw[1]) * CANVAS_PX**2


def _evaluated(
    pairs: Sequence[Pair], kind: Kind, classes: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """COCO's tables: precision [T, R, K, A] and recall [T, K, A] at 100 findings; -1 where nothing is asked.

    T IoU thresholds, R recall levels, K classes, A area ranges.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(_truth(pairs, kind, classes), print_function=_silent)
    found = truth.loadRes(_results(pairs, kind, classes))
    areas = _result_areas(pairs, kind, classes)
    for entry, area in zip(found.dataset["annotations"], areas, strict=True):
        entry["area"] = area
    ranges = {name: list(limits) for name, limits in AREAS.items() if name != "all"}
    judge = COCOeval_faster(
        truth,
        found,
        "bbox" if kind == "box" else "segm",
        ranges=ranges,
        print_function=_silent,
        rle_iou_max_workers=1,
    )
    judge.evaluate()
    judge.accumulate()
    return np.asarray(judge.eval["precision"])[..., -1], np.asarray(judge.eval["recall"])[..., -1]


def _truth(pairs: Sequence[Pair], kind: Kind, classes: Sequence[str]) -> Json:
    """The asked instances as a COCO data set. Ids begin with 1: an annotation 0 would count as unmatched."""
    annotations: list[Json] = []
    for number, pair in enumerate(pairs, 1):
        for one in pair.scene.asked:
            if has_place(one, kind):
                entry = _entry(one, number, kind, classes)
                annotations.append({**entry, "id": len(annotations) + 1, "iscrowd": 0})
    sizes = [pair.findings.size_wh for pair in pairs]
    return {
        "images": [{"id": k, "width": wide, "height": high} for k, (wide, high) in enumerate(sizes, 1)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes, 1)],
        "annotations": annotations,
    }


def _results(pairs: Sequence[Pair], kind: Kind, classes: Sequence[str]) -> list[Json]:
    return [
        {**_entry(one, number, kind, classes), "score": one.score}
        for number, one in _countable(pairs, kind, classes)
    ]


def _result_areas(pairs: Sequence[Pair], kind: Kind, classes: Sequence[str]) -> list[float]:
    return [area_of(one, kind) for _, one in _countable(pairs, kind, classes)]


def _countable(pairs: Sequence[Pair], kind: Kind, classes: Sequence[str]) -> list[tuple[int, Finding]]:
    """Findings of asked classes with a place, and the number of their picture from 1."""
    known = set(classes)
    return [
        (number, one)
        for number, pair in enumerate(pairs, 1)
        for one in pair.findings.found
        if one.category in known and has_place(one, kind)
    ]


def _entry(one: Asked | Finding, number: int, kind: Kind, classes: Sequence[str]) -> Json:
    entry: Json = {
        "image_id": number,
        "category_id": classes.index(one.category) + 1,
        "area": area_of(one, kind),
    }
    if kind == "box":
        entry["bbox"] = list(_xywh(one))
    elif one.mask is not None:
        entry["segmentation"] = {"size": list(one.mask.size_hw), "counts": one.mask.counts}
    return entry


def _xywh(one: Asked | Finding) -> tuple[float, float, float, float]:
    return one.box.to_xywh_px((CANVAS_PX, CANVAS_PX)) if one.box else (0.0, 0.0, 0.0, 0.0)


def _silent(*_: object) -> None:
    """Takes the messages of the library, which belong on no user's screen."""
