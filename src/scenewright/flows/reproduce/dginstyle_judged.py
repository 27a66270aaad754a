"""What the judges see in the sets of `reproduce dginstyle`: maps followed, looks met, small things kept.

All sets show the same maps, so a figure of a generated set is a share of the same figure of the renders, and
figures of two sets are compared picture by picture.

Letters: B resamples, P pictures, H W pixels, N things of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.bootstrap import Statistic, ratio, weights
from scenewright.evaluate.measures import Measure
from scenewright.evaluate.protocol import SEMANTIC
from scenewright.evaluate.semantic import Labels, semantic_score
from scenewright.flows.evaluate import EVALUATION, FINDINGS, Progress
from scenewright.flows.judging import JudgeCard, Places, choose_judges, judge_samples
from scenewright.flows.maps import KEY
from scenewright.flows.reproduce.dginstyle_data import look_of
from scenewright.flows.reproduce.dginstyle_plan import KEPT, SMALL_SHARE, SPACE, Pictures
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.samples import read_samples
from scenewright.flows.scoring import seen_map
from scenewright.scene.label_space import load
from scenewright.scene.segments import segments
from scenewright.world.town import SMALLEST


@dataclass(frozen=True)
class Seen:
    """A picture of a set: its map, the judge's, the look asked for, and the one seen ("" without a judge)."""

    truth_HW: Labels
    seen_HW: Labels
    asked: str
    look: str


def judged(
    sets: Mapping[str, Pictures], rare: Sequence[str], resamples: int, device: str, told: Progress
) -> tuple[dict[str, dict[str, Value]], dict[str, JudgeCard]]:
    """Figures (`JUDGED`) of every set, on the pictures that all of them kept; the judges by kind.

    Nothing without a segmenter among the judges of the package, and where no picture is in all sets. Raises
    as `judge_samples` does.
    """
    if not sets:
        return {}, {}
    cards = choose_judges((), SEMANTIC, Places(Path()))
    if "segmenter" not in cards:
        return {}, cards
    shown = {name: see(one, cards, device, told) for name, one in sets.items()}
    names = sorted(set.intersection(*(set(one) for one in shown.values())))
    if not names:
        return {}, cards
    weights_BP = weights(len(names), resamples)
    found = {}
    for name, one in shown.items():
        statistics = measures([one[key] for key in names], rare)
        found[name] = {key: Value.of(Measure(statistic), weights_BP) for key, statistic in statistics.items()}
    return found, cards


def see(pictures: Pictures, cards: Mapping[str, JudgeCard], device: str, told: Progress) -> dict[str, Seen]:
    """What the judges find in every picture of a set, by its name; findings are kept beside the pictures."""
    samples = read_samples(pictures.folder).samples
    places = Places(pictures.folder / EVALUATION / FINDINGS)
    words = f"pictures judged, {pictures.name}"
    found = {
        kind: judge_samples(
            card, samples, places, device=device, on_progress=lambda done, total: told(words, done, total)
        )
        for kind, card in cards.items()
    }
    seen = {}
    for k, sample in enumerate(samples):
        assert sample.scene.semantic_map is not None, "pictures of maps have one"
        seen[sample.name] = Seen(
            truth_HW=sample.scene.semantic_map.labels(),
            seen_HW=seen_map(found["segmenter"][k]).labels(),
            asked=look_of(sample.scene.extra[KEY]),
            look=str(found["looks"][k].extra.get("look", "")) if "looks" in found else "",
        )
    return seen


def measures(pictures: Sequence[Seen], rare: Sequence[str]) -> dict[str, Statistic]:
    """The metrics of `JUDGED` as functions of how often each picture counts."""
    score = semantic_score([(one.truth_HW, one.seen_HW) for one in pictures], load(SPACE.vocabulary))
    things_P2 = np.array([small_things(one.truth_HW, one.seen_HW) for one in pictures], np.float64)
    known_P = np.array([bool(one.look) for one in pictures], np.float64)
    right_P = np.array([one.look == one.asked for one in pictures], np.float64)
    return {
        "miou": score.mean_iou,
        "rare": score.mean_iou_of(rare),
        "look": ratio(right_P * known_P, known_P),
        "small": ratio(things_P2[:, 0], things_P2[:, 1]),
    }


def small_things(truth_HW: Labels, seen_HW: Labels) -> tuple[int, int]:
    """How many small things of a map are kept, and how many there are.

    A thing is a connected segment of a countable class, larger than the smallest that the town counts as an
    instance; it is kept if `KEPT` of its pixels are seen as its class.
    """
    numbers_HW = _numbers(truth_HW)
    count = int(numbers_HW.max(initial=0))
    if not count:
        return 0, 0
    whole_N = np.bincount(numbers_HW.ravel(), minlength=count + 1)[1:]
    right_N = np.bincount(numbers_HW[truth_HW == seen_HW], minlength=count + 1)[1:]
    return int((right_N >= KEPT * whole_N).sum()), count


def _numbers(truth_HW: Labels) -> NDArray[np.int32]:
    known: Any = load(SPACE.vocabulary)
    others = {one.id for one in known if not one.thing} | {known.ignore, 65535}
    size = truth_HW.size
    return segments(truth_HW, above_px=SMALLEST * size, below_px=SMALL_SHARE * size, skip=others)
