"""Frechet and kernel distance against scipy's matrix root and against loops."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import estimate
from scenewright.evaluate.frechet import (
    frechet_distance,
    frechet_statistic,
    kernel_distance,
    kernel_statistic,
)

DISTANCES = [frechet_distance, kernel_distance]


def features(seed, number, width=6, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width, width))
    return rng.normal(size=(number, width)) @ mixing + shift


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(
    ("real", "made", "message"),
    [
        (np.zeros((0, 4)), np.zeros((5, 4)), "at least 2 real"),
        (np.zeros((5, 4)), np.zeros((1, 4)), "at least 2 made"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "one width"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "at least 2 real"),
        (np.zeros((5, 4)), np.full((5, 4), np.nan), "not finite"),
    ],
)
def test_too_little_to_measure(distance, real, made, message):
    with pytest.raises(InputError, match=message):
        distance(real, made)


def test_frechet_is_that_of_the_matrix_root():
    from scipy.linalg import sqrtm

    real, made = features(0, 200), features(1, 150, shift=0.7) * 1.3
    one, other = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    apart = real.mean(0) - made.mean(0)
    expected = apart @ apart + np.trace(one + other - 2 * np.real(sqrtm(one @ other)))
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(made, real) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(real.astype(np.float32), made) == pytest.approx(expected, rel=1e-4)


def test_frechet_of_known_distributions():
    """Equal spread, means 3 apart: 9. One feature, deviations 1 and 3: 4."""
    real = features(0, 100)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
    shift = np.array([3.0, 0, 0, 0, 0, 0])
    assert frechet_distance(real, real + shift) == pytest.approx(9)
    column = np.array([[-1.0], [1.0]] * 50)
    scale = column.std(ddof=1)
    assert frechet_distance(column / scale, 3 * column / scale) == pytest.approx(4)


def test_frechet_with_fewer_pictures_than_features():
    real, made = features(0, 5, 20), features(1, 4, 20)
    assert np.isfinite(frechet_distance(real, made)) and frechet_distance(real, real) < 1e-6


def test_kernel_is_that_of_loops():
    real, made = features(0, 9), features(1, 7, shift=0.5)

    def kernel(a, b):
        return (a @ b / 6 + 1) ** 3

    def within(things):
        pairs = [kernel(a, b) for i, a in enumerate(things) for j, b in enumerate(things) if i != j]
        return np.mean(pairs)

    between = np.mean([kernel(a, b) for a in real for b in made])
    assert kernel_distance(real, made) == pytest.approx(within(real) + within(made) - 2 * between)


def test_kernel_of_equal_distributions_is_about_nothing():
    values = [kernel_distance(features(k, 80), features(k + 100, 80)) for k in range(30)]
    apart = kernel_distance(features(0, 80), features(1, 80, shift=1.0))
    assert abs(np.mean(values)) < 0.2 * apart and min(values) < 0 < max(values)


@pytest.mark.parametrize(
    ("statistic", "distance"), [(frechet_statistic, frechet_distance), (kernel_statistic, kernel_distance)]
)
def test_intervals(statistic, distance):
    real, made = features(0, 120), features(1, 100, shift=0.6)
    one = estimate(statistic(real, made), 100, resamples=100, centred=True)
    assert one.value == pytest.approx(distance(real, made))
    assert 0 < one.low < one.value < one.high < 4 * one.value


def test_weights_repeat_pictures():
    real, made = features(0, 30), features(1, 6)
    drawn = np.array([[2.0, 0, 1, 3, 0, 0]])
    repeated = np.repeat(made, [2, 0, 1, 3, 0, 0], axis=0)
    assert frechet_statistic(real, made)(drawn)[0] == pytest.approx(frechet_distance(real, repeated))
    assert np.isnan(kernel_statistic(real, made)(np.array([[6.0, 0, 0, 0, 0, 0]]))[0])
    for statistic in (frechet_statistic, kernel_statistic):
        assert np.isnan(statistic(real, made)(np.zeros((2, 6)))).all()


def test_arguments_stay_as_they_are():
    real, made = features(0, 10), features(1, 10)
    before = real.copy(), made.copy()
    frechet_distance(real, made)
    kernel_distance(real, made)
    assert (real == before[0]).all() and (made == before[1]).all()
