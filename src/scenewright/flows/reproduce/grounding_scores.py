"""Scores of heads and of the attention alone: counts that are kept, figures with intervals.

Letters: B resamples, P pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scenewright.errors import ScenewrightError
from scenewright.evaluate.bootstrap import Floats
from scenewright.evaluate.grounding import PictureCounts, grounding
from scenewright.evaluate.measures import Measured, values
from scenewright.evaluate.splits import PARTS, ClassSplit
from scenewright.flows.head_scores import Progress, Scored, score
from scenewright.flows.masked import MaskedPicture, drawn_masked
from scenewright.flows.reproduce.figures import Value, mean
from scenewright.flows.reproduce.grounding_plan import METRICS, SET
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from scenewright.flows.head_inputs import Gathered, HeadReader

BATCH: Final = 8
"""Pictures that are read together."""

THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of a class's strongest attention that are tried."""

CHECK_SEED: Final = 65_000
CHECKED: Final = 96
"""First seed and number of the drawings that the threshold is chosen on; nothing else uses them."""

Counts = Sequence[PictureCounts]


@dataclass(frozen=True, kw_only=True)
class HeadScores:
    """Figures of a variant on one set of pictures: the mean over its seeds, and each seed's own.

    values   metric -> value
    seeds    metric -> value of each seed
    classes  class -> its IoU, seen classes first
    numbers  number of classes in the picture -> mIoU
    parts    class -> its part of the split
    asked    class -> in how many pictures it was asked for
    """

    values: Mapping[str, Value]
    seeds: Mapping[str, Sequence[float]]
    classes: Mapping[str, Value] = field(default_factory=dict)
    numbers: Mapping[str, Value] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)


def head_scores(seeds: Sequence[Counts], split: ClassSplit, weights_BP: Floats) -> HeadScores:
    """Figures of the counts of several seeds on the same pictures in the same order."""
    measured = [grounding(counts, split) for counts in seeds]
    each = [
        {name: Value.of(one.measures[name], weights_BP) for name in METRICS if name in one.measures}
        for one in measured
    ]
    first = measured[0]
    groups = {part: first.groups.get(f"{part} class", {}) for part in PARTS}
    return HeadScores(
        values={name: mean([one[name] for one in each]) for name in each[0]},
        seeds={name: [one[name].value for one in each] for name in each[0]},
        classes={
            name: _mean_of(measured, f"{part} class", name, "iou", weights_BP)
            for part, classes in groups.items()
            for name in classes
        },
        numbers={
            name: _mean_of(measured, "classes", name, "miou", weights_BP) for name in first.groups["classes"]
        },
        parts={name: part for part, classes in groups.items() for name in classes},
        asked={name: one.pictures for classes in groups.values() for name, one in classes.items()},
    )


def _mean_of(measured: Sequence[Measured], what: str, name: str, metric: str, weights_BP: Floats) -> Value:
    return mean([Value.of(one.groups[what][name].measures[metric], weights_BP) for one in measured])


def held_out_pictures(count: int, named: bool = False) -> list[MaskedPicture]:
    """The first renders of the held-out set, with their captions or with prompts that name their classes."""
    drawn = drawn_masked(SET.seeds(count), size_px=SET.size_wh[0])
    return [one.named() if named else one for one in drawn]


def attention_scored(
    reader: HeadReader,
    pictures: Sequence[MaskedPicture],
    threshold: float,
    keep: int = 0,
    on_progress: Progress | None = None,
) -> Scored:
    """What the attention alone finds."""
    width, height = pictures[0].size_wh
    return score(
        lambda batch: reader.attention(batch, (height, width)),
        reader,
        pictures,
        BATCH,
        keep,
        on_progress,
        threshold,
    )


def best_threshold(reader: HeadReader, count: int = CHECKED, named: bool = False) -> float:
    """The threshold of `THRESHOLDS` with the highest mIoU of the attention alone, over all classes, on
    drawings that nothing else uses."""
    drawn = drawn_masked(range(CHECK_SEED, CHECK_SEED + count))
    pictures = [one.named() if named else one for one in drawn]
    everything = ClassSplit(0, tuple(dict.fromkeys(name for one in pictures for name in one.classes)))
    kept: dict[tuple[str, ...], Tensor] = {}  # the network is the same for every threshold

    def find(batch: Gathered) -> Tensor:
        if batch.prompts not in kept:
            kept[batch.prompts] = reader.attention(batch, pictures[0].size_wh[::-1])
        return kept[batch.prompts]

    found = {}
    for threshold in THRESHOLDS:
        counts = score(find, reader, pictures, BATCH, threshold=threshold).counts
        found[threshold] = values(grounding(counts, everything).measures, count)["miou"]
    return max(found, key=lambda one: (found[one], -one))


def write_counts(key: str, sets: Mapping[str, Counts], path: Path, **more: Any) -> Path:
    """Keep counts by set of pictures; `key` says what they are of, `more` is kept with them."""
    lists = {name: [one.to_json() for one in counts] for name, counts in sets.items()}
    return atomic_write(path, to_json_bytes({"key": key, "sets": lists, **more}))


def read_counts(key: str, path: Path) -> tuple[dict[str, list[PictureCounts]], dict[str, Any]] | None:
    """Counts that were kept, and what was kept with them; None where there are none, or of something else."""
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = read_json(path)
        if found.pop("key") != key:
            return None
        sets = {
            name: [PictureCounts.from_json(one) for one in rows] for name, rows in found.pop("sets").items()
        }
    except (ScenewrightError, TypeError, KeyError, ValueError, AttributeError):
        return None  # cut off or changed by hand: it is made again
    return sets, found
