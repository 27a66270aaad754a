"""Rare-class sampling: what is drawn, how often, and which part of the map is shown."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from scenewright.data.rare_classes import (
    LEAST_IN_FILE,
    RareClasses,
    class_odds,
    class_share,
    generation_window,
    item_seed,
    least_pixels,
    training_window,
    window_at,
)
from scenewright.data.street_stats import Statistics
from scenewright.errors import InputError

ROWS = Statistics(
    (("a", {0: 9000, 5: 40}), ("b", {0: 8000, 5: 200}), ("c", {0: 7000, 7: 300}), ("d", {0: 6000, 9: 3}))
)


def test_thresholds_are_shares_of_the_picture():
    assert least_pixels(LEAST_IN_FILE, (1914, 1052)) == 3000
    assert least_pixels(LEAST_IN_FILE, (192, 96)) == 27


def test_rare_classes_are_drawn_most_and_scarce_ones_never():
    rare = RareClasses.of(ROWS, min_pixels=40)
    assert rare.odds.classes == (9, 5, 7, 0) and rare.scarce == (9,)
    assert dict(rare.files) == {5: ("b",), 7: ("c",), 0: ("a", "b", "c", "d")}
    rng = np.random.default_rng(0)
    drawn = Counter(rare.draw(rng)[0] for _ in range(2000))
    shares = dict(zip(rare.odds.classes, rare.odds.probabilities, strict=True))
    assert set(drawn) == {5, 7}  # the road fills nearly everything
    assert drawn[5] / 2000 == pytest.approx(shares[5] / (shares[5] + shares[7]), abs=0.04)


def test_draws_of_items_do_not_depend_on_each_other():
    rare = RareClasses.of(ROWS, min_pixels=40, temperature=1.0)
    assert rare.picks(5, 3) == rare.picks(9, 3)[:5] != rare.picks(5, 4)
    seeds = [item_seed(run, k) for run in range(20) for k in range(50)]
    assert len(set(seeds)) == 1000 and max(seeds) < 2**53


def test_a_subset_is_drawn_as_if_repetitions_were_thrown_away():
    rows = Statistics((("a", {0: 90, 1: 10}), ("b", {0: 90, 1: 10}), ("c", {0: 90})))
    rare = RareClasses.of(rows, min_pixels=5, temperature=0.5)
    ours, theirs = Counter(), Counter()
    rng = np.random.default_rng(1)
    for _ in range(1500):
        ours[tuple(name for _, name in rare.subset(2, rng))] += 1
        taken: list[str] = []
        while len(taken) < 2:
            _, name = rare.draw(rng)
            taken += [] if name in taken else [name]
        theirs[tuple(taken)] += 1
    assert set(ours) == set(theirs)
    assert all(abs(ours[key] - theirs[key]) < 110 for key in ours)
    assert sorted(name for _, name in rare.subset(3, rng)) == ["a", "b", "c"]
    with pytest.raises(InputError, match="4 different files were asked for, 3"):
        rare.subset(4, rng)


def test_no_class_and_no_temperature():
    for totals, temperature in (({}, 0.01), ({3: 0}, 0.01), ({3: 4}, 0.0)):
        with pytest.raises(InputError):
            class_odds(totals, temperature)
    with pytest.raises(InputError, match="more than 9000 pixels"):
        RareClasses.of(ROWS, min_pixels=9000)
    odds = class_odds({0: 10**9, 1: 1}, 1e-4)
    assert odds.probabilities[0] == pytest.approx(1.0)


def test_windows_stay_inside_and_show_the_class():
    labels = np.zeros((40, 60), np.uint8)
    labels[38:, 57:] = 6
    assert window_at(labels, 6, 0, (20, 16)) == (40, 24, 60, 40)
    window = training_window(labels, 6, (20, 16), np.random.default_rng(0))
    assert class_share(labels, 6, window) == 6 / 320
    labels[0, 0] = 12
    for rule in (training_window, generation_window):  # a class of one pixel
        assert rule(labels, 12, (8, 8), np.random.default_rng(0)) == (0, 0, 8, 8)
    with pytest.raises(InputError, match="has one pixel"):
        generation_window(labels, 12, (8, 8), np.random.default_rng(0), published=True)
    with pytest.raises(InputError, match="no pixel of the class 16"):
        generation_window(labels, 16, (8, 8), np.random.default_rng(0))
    with pytest.raises(InputError, match="a crop of 64 x 64 pixels does not fit into a map of 60 x 40"):
        window_at(labels, 6, 0, (64, 64))


def test_crops_for_generation_are_drawn_again_until_there_is_enough():
    labels = np.zeros((64, 64), np.uint8)
    labels[0, 0], labels[40:50, 40:50] = 3, 3
    rng = np.random.default_rng(5)
    shares = [class_share(labels, 3, generation_window(labels, 3, (16, 16), rng)) for _ in range(50)]
    assert min(shares) > 0.01
    alone = [class_share(labels, 3, generation_window(labels, 3, (16, 16), rng, tries=1)) for _ in range(400)]
    assert min(alone) < 0.01
