"""What the six evaluations of InstanceDiffusion measure: AP and IoU of boxes and masks, PiM, attributes.

Crowds: COCO marks groups that nobody counted (`iscrowd`). They are drawn, as published, but nothing is
expected of them; a finding of their class that lies in one for the better part and answers nothing else is
neither right nor wrong.

Letters: P pictures, N instances, V attribute values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.ap_resampling import ApTable
from scenewright.evaluate.asked import Asked, Pair
from scenewright.evaluate.attributes import found_rate, mean_iou
from scenewright.evaluate.average_precision import has_place
from scenewright.evaluate.benchmarks import confident, picture_items, precision_measures, unnamed
from scenewright.evaluate.bootstrap import ratio
from scenewright.evaluate.clip_local import by_picture
from scenewright.evaluate.findings import Finding, Findings
from scenewright.evaluate.instance_protocols import InstanceProtocol
from scenewright.evaluate.matching import Kind, instance_rows, match, overlaps
from scenewright.evaluate.measures import Measure, Measured
from scenewright.evaluate.points import Form, point_rows, published_point_rows
from scenewright.scene import Box
from scenewright.scene.boxes import pixels

PRECISION = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "AP_small", "ap_medium": "AP_medium",
    "ap_large": "AP_large", "ar": "AR", "ar_small": "AR_small", "ar_medium": "AR_medium",
    "ar_large": "AR_large",
}  # fmt: skip
"""Ends of our names -> names of `average_precision`."""

INSIDE_CROWD = 0.5
"""Share of a finding from which it belongs to a crowd."""


@dataclass(frozen=True)
class Look:
    """What a CLIP says about the crop of one instance.

    `local` cosine of the crop and "{attribute} {category}"; `right` whether its own attribute is nearest;
    None and False where there is no crop.
    """

    picture: int
    instance: str
    local: float | None
    right: bool


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What a CLIP says: of crops of asked boxes, of crops of found boxes, and the cosine of every picture
    with its caption (None: no caption)."""

    asked: Sequence[Look] = ()
    found: Sequence[Look] = ()
    captions: Sequence[float | None] = ()


def instances_of_coco(
    rules: InstanceProtocol, pairs: Sequence[Pair], least: float, looks: Looks | None = None
) -> Measured:
    """All figures that there is evidence for, in no order; `least` score of findings that are matched."""
    sure = confident(pairs, least)
    measures: dict[str, Measure] = {}
    for kind in kinds_of(pairs):
        measures |= _places(pairs, sure, kind)
    if rules.form:
        form: Form = "scribble" if rules.form == "scribble" else "point"
        measures["pim"] = Measure(ratio(*point_rows(sure, form)))
        measures["pim_published"] = Measure(ratio(*published_point_rows(sure, form)))
    if looks is not None:
        measures |= _looks(looks, len(pairs))
    rows = instance_rows(sure, "mask" if rules.word != "box" and "mask" in kinds_of(pairs) else "box")
    return Measured(
        measures={name: one for name, one in measures.items() if name in {m.name for m in rules.metrics}},
        items=picture_items(rows, len(pairs)),
        instances=len(rows),
        unnamed=unnamed(pairs),
    )


def kinds_of(pairs: Sequence[Pair]) -> tuple[Kind, ...]:
    """Whether boxes alone can be compared, or masks too: some are asked for and some were found."""
    masks = any(has_place(one, "mask") for pair in pairs for one in pair.scene.asked)
    seen = [one for pair in pairs for one in pair.findings.found]
    return ("box", "mask") if masks and (not seen or any(one.mask for one in seen)) else ("box",)


def _places(pairs: Sequence[Pair], sure: Sequence[Pair], kind: Kind) -> dict[str, Measure]:
    there = {
        (p, one.instance) for p, pair in enumerate(pairs) for one in pair.scene.asked if has_place(one, kind)
    }
    rows = [row for row in instance_rows(sure, kind) if (row.picture, row.instance) in there]
    found = precision_measures(pairs, kind, ApTable.of(pairs, kind), PRECISION)
    found["iou"] = Measure(ratio(*mean_iou(rows, len(pairs))))
    found["placed"] = Measure(ratio(*found_rate(rows, len(pairs))))
    return {f"{kind}_{name}": one for name, one in found.items()}


def _looks(looks: Looks, pictures: int) -> dict[str, Measure]:
    """Means over the instances of a picture, then over pictures, as published. A missing instance is wrong;
    it has no cosine."""
    found: dict[str, Measure] = {}
    for rows, end in ((looks.asked, ""), (looks.found, "_found")):
        if not rows:
            continue
        right = [float(row.right) for row in rows], [row.picture for row in rows]
        found[f"accuracy{end}"] = Measure(ratio(*by_picture(*right, pictures)))
        seen = [(row.local, row.picture) for row in rows if row.local is not None]
        if seen:
            local = [value for value, _ in seen], [picture for _, picture in seen]
            found[f"clip_local{end}"] = Measure(ratio(*by_picture(*local, pictures)))
    there_P = np.array([one is not None for one in looks.captions], dtype=np.float64)
    if there_P.any():
        found["clip_score"] = Measure(ratio(np.array([one or 0.0 for one in looks.captions]), there_P))
    return found


def found_boxes(pair: Pair, least: float) -> dict[str, Box]:
    """Instance id -> the box of the finding that answers it (same class, any overlap, one to one)."""
    matches = match(pair.scene.asked, pair.findings.confident(least).found, "box")
    return {one.asked.instance: one.found.box for one in matches if one.found is not None}


def look_of(picture: int, instance: str, cosines: Mapping[str, object] | None, number: int) -> Look:
    """The look of an instance from what was stored about its crop: "local" and the cosines with the prompts
    of all "values"; `number` is its own value's place. None: there is no crop."""
    if cosines is None:
        return Look(picture, instance, None, False)
    values = np.asarray(cosines["values"], dtype=np.float64)
    return Look(picture, instance, float(str(cosines["local"])), int(values.argmax()) == number)


def without_crowds(findings: Findings, asked: Sequence[Asked], crowds: Sequence[Asked]) -> Findings:
    """The findings without those that lie in a crowd of their class and answer no asked instance (IoU under
    0.5 with all of their class)."""
    kept = [one for one in findings.found if not _in_crowd(one, findings.size_wh, asked, crowds)]
    return replace(findings, found=tuple(kept))


def _in_crowd(
    one: Finding, size_wh: tuple[int, int], asked: Sequence[Asked], crowds: Sequence[Asked]
) -> bool:
    mine = [crowd for crowd in crowds if crowd.category == one.category]
    if not mine:
        return False
    same = [other for other in asked if other.category == one.category]
    kind: Kind = "mask" if one.mask is not None and any(other.mask for other in same) else "box"
    if same and overlaps(same, [one], kind).max() >= 0.5:
        return False
    bits_HW = _bits(one, size_wh)
    area = max(1, int(bits_HW.sum()))
    return any(int((bits_HW & _bits(crowd, size_wh)).sum()) >= INSIDE_CROWD * area for crowd in mine)


def _bits(one: Finding | Asked, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels [H, W] of its mask, else of its box."""
    if one.mask is not None:
        return one.mask.array()
    bits_HW = np.zeros(size_wh[::-1], dtype=np.bool_)
    if one.box is not None:
        bits_HW[pixels(one.box, size_wh)] = True
    return bits_HW
