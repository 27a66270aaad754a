"""What is looked for, and how the mask of a class is shared among its instances."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.flows.ground_masks import ClassMask, class_masks, instance_masks, scores, share_out
from scenewright.flows.ground_words import Wanted, check_wanted, label_of, wanted, with_classes
from scenewright.flows.options import GroundOptions, parse_classes
from scenewright.scene import Box, Instance, Record, Scene

SIZE = (64, 64)


def scene(prompt: str, *phrases: str, **more) -> Scene:
    return Scene(prompt, SIZE, tuple(Instance(one) for one in phrases), **more)


@pytest.mark.parametrize(
    ("phrase", "category", "label"),
    [
        ("a red car", None, "car"),
        ("a red car", "vehicle", "vehicle"),
        ("two white cats", None, "cat"),
        ("a hot dog", None, "hot dog"),
        ("a dog with a ball", None, "dog"),
        ("an automobile", None, "automobile"),  # a synonym is not put in place of the words
        ("the striped gizmo", None, "striped gizmo"),
        ("A CAT", None, "cat"),
        ("the", None, "the"),
    ],
)
def test_phrases_become_labels(phrase: str, category: str | None, label: str) -> None:
    assert label_of(Instance(phrase, category=category)) == label


def test_instances_of_one_class_are_looked_for_together() -> None:
    two = scene("a black cat, a white cat and a hat", "a black cat", "a hat", "a white cat")
    assert wanted(two) == (Wanted("cat", ("i1", "i3"), True), Wanted("hat", ("i2",), True))
    assert wanted(scene("nothing")) == ()


def test_classes_find_their_instances_or_get_new_ones() -> None:
    plain = scene("a hot dog beside a dog", "a hot dog", "a brown dog")
    classes = ("dog", "hot dog", "Zebra")
    whole = with_classes(plain, classes)
    assert whole.instances[:2] == plain.instances and whole.instances[2].phrase == "Zebra"
    assert whole.instances[2].location_box is None
    assert wanted(whole, classes) == (
        Wanted("dog", ("i2",), True), Wanted("hot dog", ("i1",), True), Wanted("Zebra", ("i3",), False),
    )  # fmt: skip
    assert with_classes(whole, classes) is whole and with_classes(plain, ()) is plain
    assert [one.label for one in wanted(whole, ("dog",))] == ["dog"]


def test_synonyms_plurals_and_spelling_count_as_the_class() -> None:
    told = "a bunch of bananas on a television, potted plant"
    found = wanted(with_classes(scene(told), names := ("banana", "tvmonitor", "pottedplant")), names)
    assert [one.in_prompt for one in found] == [True, True, True]


def test_notes_and_nothing_to_look_for() -> None:
    some, none = ("a", scene("a cat", "a cat")), ("b", scene("grass"))
    assert check_wanted([some], ()) == []
    assert "1 of 2 scenes have no instances" in check_wanted([some, none], ())[0]
    with pytest.raises(InputError, match="nothing to look for: b has no instances") as caught:
        check_wanted([none], ())
    assert "--classes" in caught.value.hint
    (note,) = check_wanted([("b", with_classes(none[1], ("cow",)))], ("cow",))
    assert note == "b: the prompt does not speak of 'cow'; looked for all the same"
    names = tuple(f"thing {letter}" for letter in "abcdefgh")
    both = [(name, with_classes(none[1], names)) for name in ("b", "c")]
    (note,) = check_wanted(both, names)
    assert note.startswith("2 scenes, the first is b: ") and "'thing f' and 2 more; " in note


def test_lists_of_classes() -> None:
    assert parse_classes(["cat", "hot dog, cow"]) == ("cat", "hot dog", "cow")
    assert parse_classes([]) == ()
    for bad in ([""], ["cat,,dog"], ["cat", " "]):
        with pytest.raises(InputError, match="is empty"):
            parse_classes(bad)
    assert GroundOptions(classes=("cat", "Cat", "hot  dog", "hot-dog")).classes == ("cat", "hot dog")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": "cat"}, "expected a list"),
        ({"classes": ("!!",)}, "no letter"),
        ({"rule": "argmx"}, "expected argmax or independent"),
        ({"threshold": 0.0}, "between 0 and 1"),
        ({"threshold": float("nan")}, "between 0 and 1"),
        ({"threshold": True}, "between 0 and 1"),
    ],
)
def test_options_are_checked(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        GroundOptions(**changes)


# --- sharing -----------------------------------------------------------------------------------------------


def blocks(*corners: tuple[int, int, int, int]) -> np.ndarray:
    mask_HW = np.zeros((40, 60), bool)
    for x0, y0, x1, y1 in corners:
        mask_HW[y0:y1, x0:x1] = True
    return mask_HW


def test_parts_are_the_whole_and_never_overlap() -> None:
    rng = np.random.default_rng(5)
    boxes = [Box(0.1, 0.1, 0.5, 0.6), None, Box(0.3, 0.2, 0.9, 0.9), None]
    for number in range(1, 5):
        mask_HW = rng.random((40, 60)) < 0.3
        parts = share_out(mask_HW, boxes[:number])
        assert len(parts) == number
        assert (sum(part.astype(int) for part in parts) == mask_HW).all()
    assert not any(part.any() for part in share_out(np.zeros((40, 60), bool), boxes))


def test_placed_instances_get_what_is_nearest() -> None:
    mask_HW = blocks((5, 5, 15, 15), (40, 5, 50, 15), (22, 30, 25, 33))
    left, right = share_out(mask_HW, [Box(0.05, 0.1, 0.3, 0.5), Box(0.6, 0.1, 0.9, 0.5)])
    assert (left == blocks((5, 5, 15, 15), (22, 30, 25, 33))).all()
    assert (right == blocks((40, 5, 50, 15))).all()
    inner, outer = share_out(blocks((0, 0, 60, 40)), [Box(0.4, 0.4, 0.6, 0.6), Box(0.0, 0.0, 1.0, 1.0)])
    assert (inner == blocks((24, 16, 36, 24))).all() and (outer == ~inner).all()  # the smaller of two boxes


def test_instances_without_a_place_get_parts_by_size() -> None:
    small, large, tiny = (2, 2, 6, 6), (20, 10, 40, 30), (50, 35, 52, 37)
    first, second = share_out(blocks(small, large, tiny), [None, None])
    assert (first == blocks(large, tiny)).all() and (second == blocks(small)).all()
    placed, free = share_out(blocks(small, large), [Box(0.0, 0.0, 0.2, 0.3), None])
    assert (placed == blocks(small)).all() and (free == blocks(large)).all()
    one, none = share_out(blocks(large), [None, None])
    assert (one == blocks(large)).all() and not none.any()


def test_a_record_gives_back_the_masks_of_classes() -> None:
    two = Scene("cats and a dog", (64, 40), tuple(Instance(f"a {one}") for one in ("cat", "dog", "cat")))
    cat_HW, dog_HW = np.zeros((40, 64), bool), np.zeros((40, 64), bool)
    cat_HW[2:9, 3:20] = cat_HW[20:30, 30:50] = True
    found = [
        ClassMask(Wanted("cat", ("i1", "i3"), True), cat_HW, 0.9),
        ClassMask(Wanted("dog", ("i2",), False), dog_HW, 0.0),
    ]
    record = Record(
        np.zeros((40, 64, 3), np.uint8), two,
        masks=instance_masks(two, found), scores={"grounding": {"classes": scores(found)}},
    )  # fmt: skip
    assert set(record.masks) == {"i1", "i2", "i3"} and record.masks["i2"].is_empty
    back = class_masks(record)
    assert (back["cat"].array() == cat_HW).all() and back["dog"].is_empty
    told = record.scores["grounding"]["classes"]
    assert told["cat"] == {
        "share": round(cat_HW.mean(), 6), "sure": 0.9, "instances": ["i1", "i3"], "in_prompt": True,
    }  # fmt: skip
    assert not told["dog"]["in_prompt"]
