"""Figures of a benchmark as functions of the pictures, so that all are resampled alike.

A `Measure` says how one figure follows from how often each picture counts; `Measured` is all that a benchmark
measures on a set of pictures: its figures, the same in groups, and a line per picture.

Letters: B resamples, P pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.bootstrap import Estimate, Floats, Statistic, estimate


@dataclass(frozen=True)
class Measure:
    """One figure: its `statistic`, its `value` on the whole set where a library computes it, whether its
    resamples are moved to lie around the value, and the `limits` of the interval (`bootstrap.estimate`)."""

    statistic: Statistic
    value: float | None = None
    centred: bool = False
    limits: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class Part:
    """A group: how many pictures and instances are in it, and its figures."""

    pictures: int
    instances: int
    measures: Mapping[str, Measure]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark measures on a set of pictures.

    measures   metric name -> figure
    groups     by what -> which -> figures of that part
    items      per picture: figures of its own, plain JSON; "rank" in [0, 1] sorts the contact sheet
    instances  number of things that were judged
    unnamed    what could not be named, and how often
    """

    measures: Mapping[str, Measure]
    groups: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)
    items: Sequence[Mapping[str, Any]] = ()
    instances: int = 0
    unnamed: Mapping[str, int] = field(default_factory=dict)


def within(statistic: Statistic, chosen_P: NDArray[np.bool_]) -> Statistic:
    """The statistic over the chosen pictures only."""
    return lambda weights_BP: statistic(weights_BP * chosen_P)


def estimates(
    measures: Mapping[str, Measure], pictures: int, resamples: int, seed: int
) -> tuple[dict[str, Estimate], dict[str, list[float | None]]]:
    """Every figure with its 95 % interval, and its values in all resamples (None: nothing to be measured).

    The values of two sets with equally many pictures, resamples and seed come from the same resamples.
    """
    found, replicates = {}, {}
    for name, one in measures.items():
        seen: list[Floats] = []
        result = estimate(
            _watched(one.statistic, seen),
            pictures,
            resamples=resamples,
            seed=seed,
            centred=one.centred,
            within=one.limits,
        )
        found[name] = result if one.value is None else replace(result, value=one.value)
        drawn_B = seen[-1] if len(seen) > 1 else np.full(resamples, np.nan)
        if one.centred and result.value is not None and np.isfinite(drawn_B).any():
            drawn_B = drawn_B + (result.value - np.nanmean(drawn_B))
        replicates[name] = [float(value) if np.isfinite(value) else None for value in drawn_B]
    return found, replicates


def values(measures: Mapping[str, Measure], pictures: int) -> dict[str, float]:
    """Every figure that there is, without its interval."""
    found = {}
    for name, one in measures.items():
        value = one.value if one.value is not None else float(one.statistic(np.ones((1, pictures)))[0])
        if np.isfinite(value):
            found[name] = value
    return found


def _watched(statistic: Statistic, seen: list[Floats]) -> Statistic:
    """The statistic, whose results are also added to `seen`: of the whole set, then of all resamples."""

    def values(weights_BP: Floats) -> Floats:
        values_B = statistic(weights_BP)
        seen.append(values_B)
        return values_B

    return values
