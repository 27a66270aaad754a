"""Figures of one arm: boxes, masks, points, looks, and whether neighbours lend each other their colour.

All arms are measured against what the held-out drawings show, whatever they were told of it, in the order of
the scenes, so that the same resamples serve all.

Letters: B resamples, P scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scenewright.evaluate import benchmarks
from scenewright.evaluate.asked import Asked, AskedScene, Pair
from scenewright.evaluate.attributes import scenes_right, share_right
from scenewright.evaluate.bootstrap import Floats, ratio
from scenewright.evaluate.matching import LEAST_IOU, match
from scenewright.evaluate.measures import Measure
from scenewright.flows.reproduce.figures import Value, mean
from scenewright.flows.reproduce.instancediffusion_plan import METRICS, NEAR
from scenewright.flows.reproduce.runs import Run
from scenewright.scene import Box

FROM_LAYOUT = ("ap", "ap50", "iou", "class", "colour", "texture")
FROM_MASKS = {
    "ap": "mask_ap", "ap50": "mask_ap50", "iou": "mask_iou", "pim_points": "pim_points",
    "pim_points_paper": "pim_points_paper", "pim_scribbles": "pim_scribbles",
    "pim_scribbles_paper": "pim_scribbles_paper",
}  # fmt: skip
"""Names in the protocol of masks -> names here."""


@dataclass(frozen=True, kw_only=True)
class ArmScores:
    """Figures of an arm by metric, the mean over seeds; `seeds` the values of each seed alone."""

    values: Mapping[str, Value]
    seeds: Mapping[str, Sequence[float]]


def against(run: Run, truths: Mapping[str, AskedScene]) -> tuple[Pair, ...]:
    """What was found in the pictures of a run, against the truth, in the order of `truths`."""
    found = {pair.scene.picture: pair.findings for pair in run.pairs}
    return tuple(Pair(scene, found[name]) for name, scene in truths.items())


def arm_measures(pairs: Sequence[Pair], least: float) -> dict[str, Measure]:
    """All figures of one seed."""
    boxes, masks = benchmarks.layout(pairs, least).measures, benchmarks.instances(pairs, least).measures
    sure = benchmarks.confident(pairs, least)
    found = {name: boxes[name] for name in FROM_LAYOUT if name in boxes}
    found |= {ours: masks[theirs] for theirs, ours in FROM_MASKS.items() if theirs in masks}
    found["right"] = Measure(ratio(*share_right(scenes_right(sure), len(pairs))))
    found["leak"] = Measure(ratio(*leaks(sure)))
    return {name: found[name] for name in METRICS if name in found}


def arm_scores(seeds: Sequence[Mapping[str, Measure]], weights_BP: Floats) -> ArmScores:
    """The mean over seeds that were measured on the same scenes in the same order."""
    names = [name for name in seeds[0] if all(name in one for one in seeds)]
    each = {name: [Value.of(one[name], weights_BP) for one in seeds] for name in names}
    return ArmScores(
        values={name: mean(values) for name, values in each.items()},
        seeds={name: [one.value for one in values] for name, values in each.items()},
    )


def leaks(pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Found instances (right class, IoU >= 0.5) that show the colour of a neighbour of another colour, and
    found instances that have such a neighbour, [P] each."""
    totals_P, counts_P = np.zeros(len(pairs)), np.zeros(len(pairs))
    for p, pair in enumerate(pairs):
        for one in match(pair.scene.asked, pair.findings.found, "box"):
            near = neighbours_colours(one.asked, pair.scene.asked)
            if near and one.found is not None and one.iou >= LEAST_IOU:
                counts_P[p] += 1
                totals_P[p] += one.found.attributes.get("colour") in near
    return totals_P, counts_P


def neighbours_colours(one: Asked, every: Sequence[Asked]) -> frozenset[str]:
    """The colours of what is nearer than `NEAR`, other than its own; none if it asks for no colour."""
    own = one.attributes.get("colour")
    if own is None or one.box is None:
        return frozenset()
    near = [
        other.attributes.get("colour")
        for other in every
        if other is not one and other.box is not None and gap(one.box, other.box) < NEAR
    ]
    return frozenset(colour for colour in near if colour is not None and colour != own)


def gap(one: Box, other: Box) -> float:
    """The larger of the gaps between two boxes across and down, in sides of the picture; 0 or less if they
    touch."""
    across = max(one.x0, other.x0) - min(one.x1, other.x1)
    down = max(one.y0, other.y0) - min(one.y1, other.y1)
    return max(across, down)
