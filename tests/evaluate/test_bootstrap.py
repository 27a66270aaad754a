"""Intervals over pictures: known cases, coverage, and the same seed the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scenewright.evaluate.bootstrap import Estimate, estimate, ratio, weights


def test_no_pictures_and_nothing_to_count():
    nothing = Estimate(None, None, None)
    assert estimate(ratio(np.zeros(0), np.zeros(0)), 0) == nothing
    assert estimate(ratio(np.zeros(3), np.zeros(3)), 3) == nothing
    assert weights(0, 5).shape == (5, 0)
    assert nothing.to_json() == {"value": None, "low": None, "high": None}


def test_one_picture_has_no_spread():
    assert estimate(ratio(np.array([0.25]), np.ones(1)), 1) == Estimate(0.25, 0.25, 0.25)


def test_weights_are_draws_with_replacement():
    drawn = weights(50, 400, seed=3)
    assert drawn.shape == (400, 50) and (drawn.sum(axis=1) == 50).all()
    assert (drawn == weights(50, 400, seed=3)).all() and (drawn != weights(50, 400, seed=4)).any()
    assert drawn.mean() == 1 and np.mean(drawn == 0) == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def test_the_interval_of_a_share_is_the_normal_one():
    values = np.zeros(1000)
    values[:300] = 1
    one = estimate(ratio(values, np.ones(1000)), 1000)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert (one.value, one.low, one.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=0.004)


def test_it_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        counts = rng.integers(1, 5, 80).astype(float)
        totals = np.array([rng.binomial(int(n), 0.6) for n in counts], dtype=float)
        one = estimate(ratio(totals, counts), 80, resamples=300, seed=seed)
        inside += one.low <= 0.6 <= one.high
    assert 180 <= inside <= 199  # 95 % of 200 is 190


def test_pictures_are_drawn_not_instances():
    """All instances of a picture are alike: the interval is as wide as that of the pictures."""
    rng = np.random.default_rng(1)
    values = (rng.random(100) < 0.5).astype(float)
    alone = estimate(ratio(values, np.ones(100)), 100)
    tenfold = estimate(ratio(values * 10, np.full(100, 10.0)), 100)
    assert alone == tenfold


def test_resamples_without_anything_to_count_are_left_out():
    totals, counts = np.array([1.0, 0, 0, 0]), np.array([1.0, 0, 0, 0])
    assert estimate(ratio(totals, counts), 4) == Estimate(1.0, 1.0, 1.0)


def test_centred_takes_the_bias_out_and_stays_within():
    def biased(weights_BP):
        return ratio(np.arange(10.0), np.ones(10))(weights_BP) + (weights_BP.max(axis=1) > 1)

    plain, centred = estimate(biased, 10), estimate(biased, 10, centred=True)
    assert plain.value == centred.value == 4.5
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)
    assert (centred.low + centred.high) / 2 == pytest.approx(4.5, abs=0.2)
    bound = estimate(biased, 10, centred=True, within=(4.0, 5.0))
    assert (bound.low, bound.high) == (4.0, 5.0)
