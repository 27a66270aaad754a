"""Points in masks: the definition, and the published code beside it."""

from __future__ import annotations

import pytest
from judged_cases import SIZE, asked, box, found, pair

from scenewright.evaluate.asked import Asked
from scenewright.evaluate.points import point_rows, published_point_rows
from scenewright.scene import Mask, Point

LEFT, RIGHT = (0, 0, 32, 64), (32, 0, 64, 64)


def marked(category, *places, form="points"):
    """An instance given by points in pixels."""
    points = tuple(Point(x / 64, y / 64) for x, y in places)
    return Asked(category, category, **{form: points})


@pytest.mark.parametrize("rows", [point_rows, published_point_rows])
def test_nothing(rows):
    assert [part.tolist() for part in rows([])] == [[], []]
    assert [part.tolist() for part in rows([pair([], [found("car", LEFT, mask=True)])])] == [[0], [0]]


@pytest.mark.parametrize(("form", "name"), [("points", "point"), ("scribble", "scribble")])
def test_the_share_of_points_inside(form, name):
    instance = marked("car", (4, 4), (20, 20), (40, 4), (60, 60), form=form)
    pairs = [
        pair([instance], [found("car", LEFT, mask=True)]),
        pair([instance], [found("dog", LEFT, mask=True)]),
        pair([instance], [found("car", LEFT)]),
        pair([instance], []),
    ]
    totals, counts = point_rows(pairs, name)
    assert totals.tolist() == [0.5, 0, 0, 0] and counts.tolist() == [1, 1, 1, 1]
    other = "scribble" if name == "point" else "point"
    assert point_rows(pairs, other)[1].tolist() == [0, 0, 0, 0]


def test_each_mask_serves_one_instance():
    instances = [marked("car", (4, 4)), marked("car", (8, 8))]
    assert point_rows([pair(instances, [found("car", LEFT, mask=True)])])[0].tolist() == [1]
    both = [found("car", LEFT, mask=True), found("car", (0, 0, 64, 64), mask=True)]
    assert point_rows([pair([marked("car", (60, 4)), marked("car", (4, 4))], both)])[0].tolist() == [2]


def test_points_on_the_edges_are_pixels():
    everywhere = found("car", (0, 0, 64, 64), mask=True)
    assert point_rows([pair([marked("car", (0, 0), (64, 64))], [everywhere])])[0].tolist() == [1]


def test_as_published_misses_do_not_count_and_classes_do_not_matter():
    instances = [asked("car", LEFT, mask=True), asked("dog", RIGHT, mask=True)]
    pairs = [pair(instances, [found("cat", LEFT, mask=True)]), pair(instances, [])]
    for form in ("point", "scribble"):
        means, there = published_point_rows(pairs, form)
        assert means.tolist() == [1, 0] and there.tolist() == [1, 0]


def test_as_published_points_come_from_the_asked_mask():
    instances = [asked("car", LEFT, mask=True)]
    half = [found("car", (0, 0, 32, 40), mask=True)]
    assert published_point_rows([pair(instances, half)], "point")[0].tolist() == [1]
    share = published_point_rows([pair(instances, half)], "scribble", seed=1)[0][0]
    assert 0.3 < share < 0.95
    assert published_point_rows([pair(instances, half)], "scribble", seed=1)[0][0] == share


def test_as_published_pairing_is_greedy():
    """The first instance takes the mask that both overlap most; the second one has to take another."""
    instances = [asked("car", (0, 0, 40, 64), mask=True), asked("car", (8, 0, 40, 64), mask=True)]
    seen = [found("car", (4, 0, 40, 64), mask=True), found("car", (36, 0, 64, 64), mask=True)]
    means, _ = published_point_rows([pair(instances, seen)], "point")
    assert means.tolist() == [0.5]


def test_an_empty_mask_is_no_instance():
    empty = Asked("a", "car", box(*LEFT), Mask.empty(SIZE))
    assert published_point_rows([pair([empty], [found("car", LEFT, mask=True)])])[1].tolist() == [0]
