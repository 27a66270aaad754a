"""Verdicts on instances, pictures and prompts; a missing instance is wrong in everything."""

from __future__ import annotations

import pytest
from judged_cases import asked, found, pair

from scenewright.evaluate import attributes
from scenewright.evaluate.asked import Asked
from scenewright.evaluate.bootstrap import estimate, ratio
from scenewright.evaluate.matching import instance_rows

LEFT, RIGHT = (0, 0, 32, 64), (32, 0, 64, 64)
RED_CAR, BLUE_DOG = asked("car", LEFT, colour="red"), asked("dog", RIGHT, colour="blue")


def value(parts):
    """The ratio of the two columns, None without anything to count."""
    return estimate(ratio(*parts), len(parts[0]), resamples=10).value


def test_nothing_asked_is_no_number():
    for pairs in ((), (pair([], [found("car", LEFT)]),)):
        rows, number = instance_rows(pairs), len(pairs)
        assert value(attributes.mean_iou(rows, number)) is None
        assert value(attributes.class_accuracy(rows, number)) is None
        assert value(attributes.attribute_accuracy(rows, "colour", number)) is None
        for scenes in (attributes.scenes_right(pairs), attributes.text_right(pairs)):
            assert value(attributes.share_right(scenes, number)) is None
            assert value(attributes.share_all_right(scenes, number)) is None


def test_missing_instances_are_wrong_in_everything():
    pairs = [pair([RED_CAR, BLUE_DOG], [found("car", LEFT, colour="red")])]
    rows = instance_rows(pairs)
    for measure in (attributes.mean_iou, attributes.found_rate, attributes.class_accuracy):
        assert value(measure(rows, 1)) == 0.5
    assert value(attributes.attribute_accuracy(rows, "colour", 1)) == 0.5
    assert value(attributes.attribute_accuracy(rows, "texture", 1)) is None


def test_a_wrong_class_in_the_place_is_seen():
    rows = instance_rows([pair([RED_CAR], [found("truck", LEFT, colour="red")])])
    assert value(attributes.class_accuracy(rows, 1)) == 0.0
    assert value(attributes.attribute_accuracy(rows, "colour", 1)) == 0.0
    assert value(attributes.mean_iou(rows, 1)) == 0.0


@pytest.mark.parametrize(
    ("seen", "right"),
    [
        ([found("car", LEFT, colour="red"), found("dog", RIGHT, colour="blue")], 2),
        ([found("car", RIGHT, colour="red"), found("dog", LEFT, colour="blue")], 0),
        ([found("car", LEFT, colour="blue"), found("dog", RIGHT, colour="blue")], 1),
        ([found("car", LEFT), found("dog", RIGHT, colour="blue")], 1),
        ([found("car", (0, 0, 31, 32), colour="red")], 0),
        ([found("car", (0, 0, 32, 32), colour="red")], 1),
        ([], 0),
    ],
)
def test_a_picture_is_right_when_every_instance_is(seen, right):
    (row,) = attributes.scenes_right([pair([RED_CAR, BLUE_DOG], seen)])
    assert (row.right, row.number, row.all_right) == (right, 2, right == 2)


def test_as_many_instances_as_possible_are_right():
    """The assignment of largest IoU would give the only red car away to the wrong place."""
    instances = [asked("car", LEFT, name="a", colour="red"), asked("car", LEFT, name="b", colour="blue")]
    seen = [found("car", LEFT, colour="blue"), found("car", (0, 0, 32, 40), colour="red")]
    assert attributes.scenes_right([pair(instances, seen)])[0].all_right
    one = [found("car", LEFT, colour="red")]
    assert attributes.scenes_right([pair([instances[0]] * 2, one)])[0].right == 1


def test_texture_counts_only_where_it_is_asked_for():
    instance = asked("car", LEFT, colour="red", texture="metallic")
    pairs = [pair([instance], [found("car", LEFT, colour="red", texture="wooden")])]
    assert attributes.scenes_right(pairs)[0].all_right
    assert not attributes.scenes_right(pairs, attributes=("colour", "texture"))[0].all_right


def test_what_has_no_name_is_never_right():
    row = attributes.scenes_right([pair([RED_CAR], [found("car", LEFT, colour="red")], unnamed=("x",))])[0]
    assert (row.right, row.number, row.all_right) == (1, 2, False)


def test_without_a_place_anywhere_will_do():
    anywhere = Asked("a", "car", attributes={"colour": "red"})
    assert attributes.scenes_right([pair([anywhere], [found("car", RIGHT, colour="red")])])[0].all_right


def test_text_alone_asks_for_class_and_colour_anywhere_each_once():
    def right(seen, instances=(RED_CAR, BLUE_DOG)):
        return attributes.text_right([pair(instances, seen)])[0].right

    assert right([found("car", RIGHT, colour="red"), found("dog", LEFT, colour="blue")]) == 2
    assert right([found("car", LEFT, colour="blue"), found("dog", RIGHT, colour="red")]) == 0
    assert right([found("car", LEFT, colour="red")], (RED_CAR, RED_CAR)) == 1
    assert right([found("car", LEFT, colour="red")] * 3, (RED_CAR, RED_CAR)) == 2
    assert right([found("car", LEFT)], (asked("car", RIGHT),)) == 1
    assert right([]) == 0


def test_shares_over_pictures():
    good = [found("car", LEFT, colour="red"), found("dog", RIGHT, colour="blue")]
    pairs = [pair([RED_CAR, BLUE_DOG], good), pair([RED_CAR], []), pair([], [])]
    rows = attributes.scenes_right(pairs)
    assert value(attributes.share_right(rows, 3)) == pytest.approx(2 / 3)
    assert value(attributes.share_all_right(rows, 3)) == pytest.approx(1 / 2)
