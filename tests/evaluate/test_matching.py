"""Which detection answers which instance; the table of instances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from judged_cases import asked, found, pair, random_pairs

from scenewright.evaluate.asked import Asked
from scenewright.evaluate.matching import instance_rows, match, overlaps, per_picture, size_of
from scenewright.scene import Box

LEFT, RIGHT = (0, 0, 32, 64), (32, 0, 64, 64)


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_nothing(kind):
    assert match([], [], kind) == ()
    assert match([], [found("car", LEFT, mask=True)], kind) == ()
    (one,) = match([asked("car", LEFT, mask=True)], [], kind)
    assert one.found is None and one.iou == 0.0
    assert instance_rows([], kind) == instance_rows([pair([], [])], kind) == ()
    assert [part.tolist() for part in per_picture([], lambda row: 1.0, 2)] == [[0, 0], [0, 0]]


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_each_detection_answers_one_instance(kind):
    instances = [asked("car", LEFT, name=name, mask=True) for name in ("a", "b")]
    one = found("car", LEFT, mask=True)
    matches = match(instances, [one], kind)
    assert sorted(m.iou for m in matches) == [0.0, 1.0]
    assert {m.found for m in matches} == {one, None}


def test_of_another_class_or_elsewhere_is_no_answer():
    instance = asked("car", LEFT)
    for other in (found("dog", LEFT), found("car", RIGHT)):
        assert match([instance], [other])[0].found is None
    dog = found("dog", LEFT)
    assert match([instance], [dog], by_class=False)[0].found == dog
    assert match([instance], [found("car", RIGHT)], by_class=False)[0].found is None


def test_masks_and_boxes_may_disagree():
    instance, seen = asked("car", LEFT, mask=True), found("car", LEFT)
    assert match([instance], [seen], "box")[0].iou == 1.0
    assert match([instance], [seen], "mask")[0].iou == 0.0


def test_the_assignment_is_the_best_of_all():
    """Against every permutation, class by class."""
    for p in random_pairs(np.random.default_rng(0), 40, classes=2):
        wanted, seen = p.scene.asked, p.findings.found
        iou_NM = overlaps(wanted, seen)
        best = 0.0
        slots = [*range(len(seen)), *[None] * len(wanted)]
        if len(wanted) * len(seen) > 12:
            continue
        for order in set(itertools.permutations(slots, len(wanted))):
            pairs = [(n, m) for n, m in enumerate(order) if m is not None]
            total = sum(iou_NM[n, m] for n, m in pairs if wanted[n].category == seen[m].category)
            best = max(best, total)
        assert sum(one.iou for one in match(wanted, seen)) == pytest.approx(best)


def test_overlaps_are_those_of_the_boxes():
    for p in random_pairs(np.random.default_rng(1), 10, mask=True):
        for kind in ("box", "mask"):
            iou_NM = overlaps(p.scene.asked, p.findings.found, kind)
            for (n, one), (m, other) in itertools.product(
                enumerate(p.scene.asked), enumerate(p.findings.found)
            ):
                assert iou_NM[n, m] == pytest.approx(getattr(one, kind).iou(getattr(other, kind)))


def test_sizes():
    names = [size_of(Box(0, 0, side, side)) for side in (0.049, 0.051, 0.149, 0.151, 1.0)]
    assert names == ["small", "medium", "medium", "large", "large"]
    assert size_of(None) == ""
    assert size_of(Box(0, 0, 0.4, 0.4), (0.3, 0.5)) == "medium"


def test_rows_say_what_is_there_and_whether_it_is_right():
    instances = [
        asked("car", LEFT, name="a", colour="red", texture="metallic"),
        asked("dog", RIGHT, name="b", colour="blue"),
        Asked("c", "cat", None, attributes={"colour": "red"}),
    ]
    seen = [found("car", LEFT, colour="red", texture="wooden"), found("cat", RIGHT, colour="blue")]
    rows = instance_rows([pair([], []), pair(instances, seen, unnamed=("a dragon",))])
    assert [row.picture for row in rows] == [1, 1, 1] and {row.number for row in rows} == {4}
    car, dog, cat = rows
    assert (car.iou, car.found, car.seen, car.size) == (1.0, True, "car", "large")
    assert car.right == {"colour": True, "texture": False}
    assert (dog.iou, dog.found, dog.seen, dog.right) == (0.0, False, "cat", {"colour": False})
    assert (cat.found, cat.seen, cat.size, cat.right) == (False, "", "", {"colour": False})


def test_below_half_nothing_counts_as_seen():
    seen = [found("car", (0, 0, 31, 32), colour="red")]
    (row,) = instance_rows([pair([asked("car", LEFT, colour="red")], seen)])
    assert row.iou == pytest.approx(31 / 64)
    assert (row.found, row.seen, row.right) == (False, "", {"colour": False})


def test_sums_per_picture_leave_out_none():
    pairs = [pair([asked("car", LEFT, name="a")], []), pair([], []), pair([asked("car", LEFT)] * 2, [])]
    totals, counts = per_picture(instance_rows(pairs), lambda r: 2.0 if r.picture else None, 3)
    assert totals.tolist() == [0, 0, 4] and counts.tolist() == [0, 0, 2]
