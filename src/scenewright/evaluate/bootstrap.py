"""How sure a score is: its 95 % interval when the pictures are drawn again (bootstrap, Efron 1979).

Every metric is a statistic of per-picture values and of how often each picture counts: it takes weights
[B, P] and gives B values at once, so that a thousand resamples cost seconds.

Letters: B resamples, P pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Weights [B, P] of the pictures -> values [B]; NaN where nothing is to be measured."""

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval [low, high]; None where nothing was to be measured."""

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"value": self.value, "low": self.low, "high": self.high}


def weights(pictures: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each picture is drawn, [B, P]: every row sums to P. The same seed gives the same rows."""
    if not pictures:
        return np.zeros((resamples, 0))
    rng = np.random.default_rng(seed)
    share = np.full(pictures, 1 / pictures)
    return rng.multinomial(pictures, share, size=resamples).astype(np.float64)


def estimate(
    statistic: Statistic,
    pictures: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    centred: bool = False,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Value and percentile interval of `statistic` over `pictures`.

    Resamples in which nothing is to be measured are left out. `centred` moves the interval by the mean
    difference of the resamples from the value: for statistics that a repeated picture biases (average
    precision, Frechet distance); `within` are the least and largest possible values, which it then keeps to.
    """
    whole = float(statistic(np.ones((1, pictures)))[0])
    if not np.isfinite(whole):
        return Estimate(None, None, None)
    drawn = statistic(weights(pictures, resamples, seed))
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return Estimate(whole, None, None)
    if centred:
        drawn = drawn + (whole - drawn.mean())
    low, high = np.clip(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]), *within)
    return Estimate(whole, float(low), float(high))


def ratio(totals_P: Floats, counts_P: Floats) -> Statistic:
    """The mean over all counted things: sum of totals by sum of counts, NaN where nothing is counted."""

    def statistic(weights_BP: Floats) -> Floats:
        counts_B = weights_BP @ counts_P
        filled = np.full(len(weights_BP), np.nan)
        return np.asarray(np.divide(weights_BP @ totals_P, counts_B, out=filled, where=counts_B > 0))

    return statistic
