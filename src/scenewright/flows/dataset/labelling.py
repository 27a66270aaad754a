"""From what a labeller found to the masks of a record.

The things of a class become the masks of the instances of that class: all of them together (union), or the
best one for each instance (top1). Instances with a place get the things that lie there, others in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scenewright.evaluate.findings import Finding
from scenewright.flows.dataset.rules import LabelRules
from scenewright.models.labellers.protocol import Checker, Labeller
from scenewright.scene import Instance, Mask, Record

MOST_THINGS = 40
"""So many findings of a picture are kept in its record, the best ones."""


def labelled(
    record: Record,
    wanted: Mapping[str, str],
    found: Sequence[Finding],
    rules: LabelRules,
    checker: Checker | None = None,
) -> Record:
    """The record with masks of the instances in `wanted` (id -> class), as far as they were found.

    ``scores["labels"]`` says for each mask its class, the score of its best thing, the share of the picture,
    the number of things, and the second opinion's probability; ``scores["things"]`` lists all findings, so
    that other rules can be tried without the labeller.
    """
    sure = [one for one in found if one.score >= rules.score and one.mask is not None]
    given: dict[str, list[Finding]] = {}
    for name in dict.fromkeys(wanted.values()):
        asked = [record.scene.instance(id) for id, own in wanted.items() if own == name]
        given |= _given([one for one in sure if one.category == name], asked, rules.policy == "union")
    masks = {id: _joined(things) for id, things in given.items() if things}
    labels = {id: _told(wanted[id], given[id], mask, record) for id, mask in masks.items()}
    if checker is not None:
        _check(record, labels, masks, checker)
    things = [_thing(one) for one in sorted(found, key=lambda one: -one.score)[:MOST_THINGS]]
    return record.replace(masks=masks, scores={**record.scores, "labels": labels, "things": things})


def facts(labeller: Labeller, checker: Checker | None, rules: LabelRules) -> dict[str, Any]:
    """What a record's provenance says about its labels."""
    return {
        "labeller": labeller.id,
        "checker": None if checker is None else checker.id,
        **rules.to_json(),
    }


def _given(things: Sequence[Finding], asked: Sequence[Instance], union: bool) -> dict[str, list[Finding]]:
    """Things of one class, best first, for the instances of that class."""
    given: dict[str, list[Finding]] = {one.id: [] for one in asked}
    for thing in things:
        free = [one for one in asked if not given[one.id]]
        place = _nearest(thing, asked if union else free)
        if place is None and free:
            place = next((one for one in free if one.location_box is None), None)
        if place is None and union:
            place = asked[-1]
        if place is not None:
            given[place.id].append(thing)
    return given


def _nearest(thing: Finding, asked: Sequence[Instance]) -> Instance | None:
    """The instance whose place the thing covers most, None if it lies apart from all of them."""
    best, most = None, 0.0
    for one in asked:
        box = one.location_box
        shared = thing.box.iou(box) if box is not None else 0.0
        if shared > most:
            best, most = one, shared
    return best


def _joined(things: Sequence[Finding]) -> Mask:
    masks = [one.mask for one in things if one.mask is not None]
    whole = masks[0]
    for mask in masks[1:]:
        whole = whole.union(mask)
    return whole


def _told(name: str, things: Sequence[Finding], mask: Mask, record: Record) -> dict[str, Any]:
    height, width = record.size_hw
    return {
        "class": name,
        "score": max(one.score for one in things),
        "area": round(mask.area_px / (height * width), 6),
        "things": len(things),
    }


def _check(
    record: Record, labels: dict[str, dict[str, Any]], masks: Mapping[str, Mask], checker: Checker
) -> None:
    """Adds the second opinion to `labels`, where it knows the class."""
    asked = [(id, str(labels[id]["class"]), box) for id, mask in masks.items() if (box := mask.box())]
    answers = checker.agreement(record.image, [(name, box) for _, name, box in asked])
    for (id, _, _), value in zip(asked, answers, strict=True):
        if value is not None:
            labels[id]["agreement"] = value


def _thing(one: Finding) -> dict[str, Any]:
    assert one.mask is not None
    box = [round(side, 6) for side in one.box.xyxy]
    return {"class": one.category, "score": one.score, "box": box, "mask": one.mask.counts}
