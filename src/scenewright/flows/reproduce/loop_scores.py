"""Scores of trained segmenters on held-out renders: pixel counts that are kept, figures with intervals.

Letters: B resamples, P pictures, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewright.errors import InputError, ScenewrightError
from scenewright.evaluate.bootstrap import Floats, Statistic
from scenewright.evaluate.grounding import harmonic
from scenewright.evaluate.measures import Measure
from scenewright.evaluate.semantic import SemanticScore, semantic_score
from scenewright.evaluate.splits import PARTS, SEEN, UNSEEN, ClassSplit
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.figures import Value, mean
from scenewright.flows.reproduce.loop_plan import METRICS, SET, SPACE
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

if TYPE_CHECKING:
    from scenewright.models.segformer import Segmenter

BATCH = 16
"""Pictures that are labelled together."""


@dataclass(frozen=True, kw_only=True)
class MixtureScores:
    """Figures of a mixture by metric: the mean over its seeds, and each seed's own."""

    values: Mapping[str, Value]
    seeds: Mapping[str, Sequence[float]]


def count_pixels(
    segmenter: Segmenter, count: int, told: Callable[[float, int], None] | None = None
) -> SemanticScore:
    """Pixel counts of a segmenter of the toys on the first `count` held-out renders. InputError if it is of
    other classes."""
    if segmenter.names != SPACE.names:
        raise InputError(f"a segmenter of {len(segmenter.names)} classes; expected the toys and background")
    pairs, batch = [], []
    for done, drawn in enumerate(drawings(SET, count), start=1):
        batch.append(drawn)
        if len(batch) == BATCH or done == count:
            labels = segmenter.labels([one.image for one in batch])
            truth = [SPACE.outputs(one.semantic) for one in batch]
            pairs += zip(truth, labels, strict=True)
            batch = []
            if told:
                told(done, count)
    return semantic_score(pairs, SPACE.scored())


def write_counts(score: SemanticScore, key: str, path: Path) -> Path:
    """Keep pixel counts; `key` says what they are of."""
    rows = {
        "confusion": score.confusion,
        "shared": score.shared_PK,
        "truth": score.truth_PK,
        "predicted": score.predicted_PK,
    }
    lists = {name: array.tolist() for name, array in rows.items()}
    return atomic_write(path, to_json_bytes({"key": key, "names": list(score.names), **lists}))


def read_counts(key: str, path: Path) -> SemanticScore | None:
    """Pixel counts that were kept; None where there are none, or of something else."""
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = read_json(path)
        if found["key"] != key:
            return None
        arrays = [np.array(found[name], np.int64) for name in ("confusion", "shared", "truth", "predicted")]
        score = SemanticScore(tuple(found["names"]), *arrays)
    except (ScenewrightError, TypeError, KeyError, ValueError):
        return None  # cut off or changed by hand: it is made again
    return score if score.shared_PK.ndim == 2 else None


def statistics(score: SemanticScore, split: ClassSplit) -> dict[str, Statistic]:
    """The metrics of `METRICS` as functions of how often each picture counts."""
    parts = {part: score.mean_iou_of(split.only(SPACE.classes, part)) for part in PARTS}
    every = {"miou": score.mean_iou_of(SPACE.classes), "pixels": score.pixel_accuracy}
    found = {**every, **parts, "harmonic": harmonic(parts[SEEN], parts[UNSEEN])}
    return {name: found[name] for name in METRICS}


def mixture_scores(seeds: Sequence[SemanticScore], split: ClassSplit, weights_BP: Floats) -> MixtureScores:
    """Figures of a mixture from the counts of its seeds, all of the same pictures."""
    each = [
        {name: Value.of(Measure(one), weights_BP) for name, one in statistics(score, split).items()}
        for score in seeds
    ]
    return MixtureScores(
        values={name: mean([one[name] for one in each]) for name in METRICS},
        seeds={name: [one[name].value for one in each] for name in METRICS},
    )
