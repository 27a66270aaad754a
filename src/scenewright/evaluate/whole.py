"""The benchmarks `semantic` and `pictures`: whole pictures against maps, looks, captions and other pictures.

Letters: P pictures, K classes, N reference pictures, D width of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.bootstrap import Floats, Statistic, ratio
from scenewright.evaluate.frechet import frechet_statistic, kernel_statistic
from scenewright.evaluate.measures import Measure, Measured, Part, within
from scenewright.evaluate.semantic import Labels, SemanticScore, semantic_score
from scenewright.scene import Vocabulary

KERNEL_SCALE = 1000.0
"""KD-judge is given times this, as KID usually is."""


@dataclass(frozen=True)
class Street:
    """One picture of the semantic benchmark.

    truth, seen   label maps [H, W] asked for and seen by the judge, or None
    asked, look   the look asked for and the one that the judge names, "" where there is none
    """

    truth: Labels | None = None
    seen: Labels | None = None
    asked: str = ""
    look: str = ""


def semantic(streets: Sequence[Street], vocabulary: Vocabulary) -> Measured:
    """mIoU, pixel accuracy and look accuracy; each over the pictures that it applies to."""
    mapped = [one for one in streets if one.truth is not None and one.seen is not None]
    measures: dict[str, Measure] = {}
    groups: dict[str, dict[str, Part]] = {}
    items: list[dict[str, object]] = [{"rank": None} for _ in streets]
    if mapped:
        score = semantic_score([(one.truth, one.seen) for one in mapped], vocabulary)  # type: ignore[misc]
        with_map_P = np.array([one.truth is not None and one.seen is not None for one in streets])
        measures["miou"] = Measure(_of_mapped(score.mean_iou, with_map_P))
        measures["pixels"] = Measure(_of_mapped(score.pixel_accuracy, with_map_P))
        groups["class"] = _classes(score, with_map_P)
        shares_P = score.shared_PK.sum(1) / np.maximum(score.truth_PK.sum(1), 1)
        for place, share in zip(np.flatnonzero(with_map_P), shares_P, strict=True):
            items[place] |= {"pixels": round(float(share), 4), "rank": round(float(share), 4)}
    asked_P = np.array([bool(one.asked and one.look) for one in streets], dtype=np.float64)
    right_P = np.array([bool(one.asked and one.asked == one.look) for one in streets], dtype=np.float64)
    if asked_P.any():
        measures["look"] = Measure(ratio(right_P, asked_P))
        for k, one in enumerate(streets):
            if one.asked and one.look:
                items[k] |= {"asked_look": one.asked, "look": one.look}
    groups |= _by_look(streets, measures)
    return Measured(measures=measures, groups=groups, items=items, instances=len(streets))


def _of_mapped(statistic: Statistic, with_map_P: NDArray[np.bool_]) -> Statistic:
    """A statistic of the pictures with a map, as one of all pictures."""
    return lambda weights_BP: statistic(weights_BP[:, with_map_P])


def _classes(score: SemanticScore, with_map_P: NDArray[np.bool_]) -> dict[str, Part]:
    """IoU of every class, the most frequent first."""
    truth_K = score.truth_PK.sum(0)
    parts = {}
    order: list[int] = np.argsort(-truth_K, kind="stable").tolist()
    for k in order:
        if truth_K[k]:
            measure = Measure(_of_mapped(_one_class(score, k), with_map_P))
            parts[score.names[k]] = Part(int((score.truth_PK[:, k] > 0).sum()), 0, {"miou": measure})
    return parts


def _one_class(score: SemanticScore, k: int) -> Statistic:
    shared_P = score.shared_PK[:, k].astype(np.float64)
    union_P = score.truth_PK[:, k] + score.predicted_PK[:, k] - shared_P
    return ratio(shared_P, union_P)


def _by_look(streets: Sequence[Street], measures: Mapping[str, Measure]) -> dict[str, dict[str, Part]]:
    parts = {}
    for look in sorted({one.asked for one in streets} - {""}):
        chosen_P = np.array([one.asked == look for one in streets])
        inner = {
            name: replace(one, statistic=within(one.statistic, chosen_P)) for name, one in measures.items()
        }
        parts[look] = Part(int(chosen_P.sum()), 0, inner)
    return {"look": parts} if len(parts) > 1 else {}


def pictures(
    made_PD: NDArray[np.floating],
    reference_ND: NDArray[np.floating] | None,
    captions: Sequence[float | None],
) -> Measured:
    """Distances of the features to the reference's, and the mean cosine of pictures and their captions.

    Features are unit vectors; they are scaled by the square root of their width, so that the kernel's
    argument is a cosine. Without a reference there are no distances.
    """
    measures = {}
    if reference_ND is not None:
        scale = float(np.sqrt(made_PD.shape[1]))
        made, real = made_PD * scale, reference_ND * scale
        measures["fd_judge"] = Measure(frechet_statistic(real, made), centred=True, limits=(0.0, np.inf))
        measures["kd_judge"] = Measure(_scaled(kernel_statistic(real, made), KERNEL_SCALE))
    there_P = np.array([one is not None for one in captions], dtype=np.float64)
    if there_P.any():
        sums_P = np.array([one or 0.0 for one in captions])
        measures["clip_score"] = Measure(ratio(sums_P, there_P))
    items: list[dict[str, object]] = [
        {"rank": None if one is None else one, "clip_score": one} for one in captions
    ]
    return Measured(measures=measures, items=items, instances=len(made_PD))


def _scaled(statistic: Statistic, factor: float) -> Statistic:
    def values(weights_BP: Floats) -> Floats:
        return statistic(weights_BP) * factor

    return values
