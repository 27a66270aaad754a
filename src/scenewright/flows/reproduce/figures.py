"""Figures of several seeds on the same scenes: means, shares of the ceiling, differences, with intervals.

All runs are resampled by scene with the same random numbers, so that resample b of one belongs to resample b
of every other: means over seeds, ratios and differences are taken resample by resample.

Letters: B resamples, P scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scenewright.evaluate import benchmarks
from scenewright.evaluate.asked import Pair
from scenewright.evaluate.attributes import scenes_right, share_right, text_right
from scenewright.evaluate.bootstrap import LEVEL, Estimate, Floats, ratio
from scenewright.evaluate.measures import Measure, Measured, within
from scenewright.evaluate.protocol import MOST_GROUP
from scenewright.flows.reproduce.plan import METRICS
from scenewright.flows.reproduce.told import told_scene
from scenewright.flows.samples import Sample


@dataclass(frozen=True, eq=False)
class Value:
    """A figure on all scenes and in every resample; NaN where nothing is to be measured."""

    value: float
    drawn_B: Floats

    @classmethod
    def of(cls, one: Measure, weights_BP: Floats) -> Value:
        """A measure on all scenes and on the resamples `weights_BP`, moved as `bootstrap.estimate` does."""
        whole = float(one.statistic(np.ones((1, weights_BP.shape[1])))[0])
        drawn_B = one.statistic(weights_BP)
        if one.centred and np.isfinite(whole) and np.isfinite(drawn_B).any():
            drawn_B = np.clip(drawn_B + (whole - np.nanmean(drawn_B)), *one.limits)
        return cls(whole if one.value is None else one.value, drawn_B)

    def __sub__(self, other: Value) -> Value:
        return Value(self.value - other.value, self.drawn_B - other.drawn_B)

    def share_of(self, other: Value) -> Value:
        """This divided by the other."""
        whole = _divided(np.array([self.value]), np.array([other.value]))
        return Value(float(whole[0]), _divided(self.drawn_B, other.drawn_B))

    def estimate(self) -> Estimate:
        """The value with its percentile interval; None where there is none."""
        if not np.isfinite(self.value):
            return Estimate(None, None, None)
        drawn_B = self.drawn_B[np.isfinite(self.drawn_B)]
        if not len(drawn_B):
            return Estimate(self.value, None, None)
        low, high = np.quantile(drawn_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(self.value, float(low), float(high))


def mean(values: Sequence[Value], weights_BN: Floats | None = None) -> Value:
    """The mean of several, resample by resample; `weights_BN` says how often each counts in every resample
    (None: once)."""
    drawn_NB = np.array([one.drawn_B for one in values])
    counts_NB = None if weights_BN is None else weights_BN.T
    return Value(
        float(np.mean([one.value for one in values])), np.average(drawn_NB, axis=0, weights=counts_NB)
    )  # fmt: skip


def _divided(one_B: Floats, other_B: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    found_B = np.full(len(one_B), np.nan)
    return np.asarray(np.divide(one_B, other_B, out=found_B, where=other_B > 0))


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Values of a condition by metric, the mean over seeds; `seeds` the values of each seed alone;
    `pictures` and `instances` of one seed."""

    values: Mapping[str, Value]
    seeds: Mapping[str, Sequence[float]]
    pictures: int
    instances: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """A condition: on all scenes, and by what -> which -> of that part ("instances" -> "3")."""

    all: Scores
    groups: Mapping[str, Mapping[str, Scores]]


def table(seeds: Sequence[Measured], weights_BP: Floats) -> Table:
    """The mean over seeds that were measured on the same scenes in the same order."""
    first = seeds[0]
    scenes = weights_BP.shape[1]
    groups = {
        name: {
            key: _scores(
                [one.groups[name][key].measures for one in seeds], weights_BP, part.pictures, part.instances
            )
            for key, part in parts.items()
        }
        for name, parts in first.groups.items()
    }
    return Table(
        all=_scores([one.measures for one in seeds], weights_BP, scenes, first.instances), groups=groups
    )  # fmt: skip


def _scores(
    seeds: Sequence[Mapping[str, Measure]], weights_BP: Floats, pictures: int, instances: int
) -> Scores:
    names = [name for name in METRICS if all(name in one for one in seeds)]
    each = {name: [Value.of(one[name], weights_BP) for one in seeds] for name in names}
    return Scores(
        values={name: mean(values) for name, values in each.items()},
        seeds={name: [one.value for one in values] for name, values in each.items()},
        pictures=pictures,
        instances=instances,
    )


def measured(samples: Sequence[Sample], pairs: Sequence[Pair], least: float) -> Measured:
    """The protocol's figures of one seed, and the shares of instances that are right in everything, and that
    are there as the captions tell."""
    found = benchmarks.layout(pairs, least)
    sure = benchmarks.confident(pairs, least)
    told = [
        Pair(told_scene(pair.scene, one.scene), pair.findings)
        for pair, one in zip(sure, samples, strict=True)
    ]
    more = {
        "right": Measure(ratio(*share_right(scenes_right(sure), len(pairs)))),
        "told": Measure(ratio(*share_right(text_right(told), len(pairs)))),
    }
    number_P = np.array([min(pair.scene.number, MOST_GROUP) for pair in pairs])
    by_number = {
        key: replace(
            part,
            measures={
                **part.measures,
                **{
                    name: Measure(within(one.statistic, number_P == int(key.split()[0])))
                    for name, one in more.items()
                },
            },
        )
        for key, part in found.groups["instances"].items()
    }
    groups = {**found.groups, "instances": by_number}
    return replace(found, measures={**found.measures, **more}, groups=groups)
