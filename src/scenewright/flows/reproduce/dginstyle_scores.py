"""Scores of segmenters of streets in every look of the held-out streets: kept counts, figures, intervals.

The same streets are drawn in every look, so resample b of one look goes with resample b of the others, of
every seed and of every arm: differences are paired over streets and seeds.

Letters: B resamples, P streets, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from scenewright.evaluate.bootstrap import Floats, weights
from scenewright.evaluate.measures import Measure
from scenewright.evaluate.semantic import SemanticScore
from scenewright.flows.evaluate import Progress
from scenewright.flows.evaluate_streets import StreetOptions, TargetSet, score_target
from scenewright.flows.reproduce.dginstyle_plan import SET, SPACE, TARGETS, StyleCell, TrainStyle
from scenewright.flows.reproduce.figures import Value, mean
from scenewright.flows.reproduce.loop_scores import read_counts, write_counts
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

MEAN: Final = "targets"
"""The mean over the target looks, beside the looks."""

EXPORT: Final = "segmenter.json"
"""Where the segmenter of a training's folder is."""

SEED_STREAM: Final = 1
"""Seed of the resamples of seeds; that of the streets is 0."""


@dataclass(frozen=True, kw_only=True)
class ArmScores:
    """mIoU of an arm by look, and `MEAN`: with intervals, and of each seed; IoU by class over all targets."""

    values: Mapping[str, Value]
    seeds: Mapping[str, Sequence[float]]
    classes: Mapping[str, float | None]


@lru_cache(maxsize=len(SET.looks))
def target(look: str, count: int) -> TargetSet:
    """The first `count` held-out streets in a look."""
    from scenewright.world import town

    drawn: list[Any] = []
    for seed in SET.seeds(count):
        one = town.draw(seed, size_wh=SET.size_wh, look=look)
        drawn.append((one.image, SPACE.outputs(one.semantic)))
    names = tuple(str(seed) for seed in SET.seeds(count))
    return TargetSet(look, "town", names, drawn.__getitem__)


def cell_counts(
    cell: StyleCell, train: TrainStyle, folder: Path, shared: Path, told: Progress
) -> dict[str, SemanticScore]:
    """Pixel counts of a cell in every look: kept ones, or of the segmenter, after training."""
    from scenewright.flows.street_segmenter import load_street_segmenter

    places = {look: folder / f"{look}.scores.json" for look in SET.looks}
    found = {look: read_counts(_key(cell, look), path) for look, path in places.items()}
    kept = {look: one for look, one in found.items() if one is not None}
    if len(kept) == len(places):
        return kept
    trained = train(cell, folder, shared)
    segmenter, _ = load_street_segmenter(str(trained), SPACE.vocabulary, cell.options.device)
    how = StreetOptions(segmenter=str(trained), vocabulary=SPACE.vocabulary)
    for look, path in places.items():
        streets = target(look, cell.options.scenes)
        score, _, _ = score_target(streets, segmenter, SPACE, how, _named(told, f"{cell.title}, {look}"))
        write_counts(score, _key(cell, look), path)
        kept[look] = score
    where = trained.relative_to(folder).as_posix()
    atomic_write(folder / EXPORT, to_json_bytes({"segmenter": where}))
    return kept


def segmenter_of(folder: Path) -> Path | None:
    """The folder of the segmenter of a training, if it is still there."""
    if not (folder / EXPORT).is_file():
        return None
    place = folder / str(read_json(folder / EXPORT).get("segmenter", ""))
    return place if (place / "config.json").is_file() else None


def arm_scores(seeds: Sequence[Mapping[str, SemanticScore]], resamples: int) -> ArmScores:
    """Figures of an arm from the counts of its seeds, all of the same streets."""
    streets = seeds[0][TARGETS[0]].pictures
    weights_BP = weights(streets, resamples)
    weights_BS = weights(len(seeds), resamples, SEED_STREAM)
    each = [of_seed(counts, weights_BP) for counts in seeds]
    return ArmScores(
        values={name: mean([one[name] for one in each], weights_BS) for name in each[0]},
        seeds={name: [one[name].value for one in each] for name in each[0]},
        classes=by_class(seeds),
    )


def of_seed(counts: Mapping[str, SemanticScore], weights_BP: Floats) -> dict[str, Value]:
    """mIoU of one training by look, and the mean over the target looks."""
    found = {look: Value.of(Measure(score.mean_iou), weights_BP) for look, score in counts.items()}
    return {**found, MEAN: mean([found[look] for look in TARGETS])}


def by_class(seeds: Sequence[Mapping[str, SemanticScore]]) -> dict[str, float | None]:
    """IoU of every class, the mean over target looks and seeds; None for one that is never there."""
    every = [counts[look].class_iou() for counts in seeds for look in TARGETS]
    found: dict[str, float | None] = {}
    for name in every[0]:
        known = [one[name] for one in every if one[name] is not None]
        found[name] = float(np.mean(np.array(known, np.float64))) if known else None
    return found


def _key(cell: StyleCell, look: str) -> str:
    return f"{cell.digest} {SET.id} {look} {cell.options.scenes}"


def _named(told: Progress, what: str) -> Progress:
    """Progress under other words."""
    return lambda words, done, total: told(f"streets scored, {what}", done, total)
