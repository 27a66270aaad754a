"""The published splits of the VOC names."""

from __future__ import annotations

import pytest

from scenewright.errors import InputError
from scenewright.evaluate.splits import ClassSplit, class_split, class_splits
from scenewright.scene import Vocabulary

ORDER = (
    "aeroplane bicycle bird boat bottle bus cat chair cow diningtable horse motorbike person pottedplant "
    "sheep tvmonitor car dog sofa train"
).split()
"""The published order of the twenty names, from index 0."""


@pytest.mark.parametrize(
    ("number", "seen", "unseen"),
    [
        (1, range(15), range(15, 20)),
        (2, [*range(15, 20), *range(10)], range(10, 15)),
        (3, [*range(10, 20), *range(5)], range(5, 10)),
    ],
)
def test_they_are_the_published_ones(number: int, seen: list[int], unseen: list[int]) -> None:
    split = class_split(number)
    assert split.seen == tuple(ORDER[k] for k in seen)
    assert split.unseen == tuple(ORDER[k] for k in unseen)
    assert split.number == number


def test_each_class_is_unseen_at_most_once_and_all_are_classes_of_voc_and_of_the_drawn_world() -> None:
    unseen = [name for split in class_splits().values() for name in split.unseen]
    assert len(unseen) == len(set(unseen)) == 15
    for split in class_splits().values():
        assert set(split.classes) == set(ORDER) == set(Vocabulary.load("voc").names)
        assert set(split.classes) <= set(Vocabulary.load("toybox").names)


def test_other_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="no class split 4"):
        class_split(4)


def test_parts_of_the_drawn_world() -> None:
    split, names = class_split(1), Vocabulary.load("toybox").names
    assert (split.part("dog"), split.part("Dining Table"), split.part("mug")) == (
        "unseen",
        "seen",
        "long tail",
    )
    assert split.only(("mug", "dog", "cat"), "seen") == ("cat",)
    assert [len(split.only(names, part)) for part in ("seen", "unseen")] == [15, 5]
    assert len(split.only(names, "long tail")) >= 12


def test_wrong_splits_of_ones_own() -> None:
    with pytest.raises(InputError, match="twice"):
        ClassSplit(0, ("cat",), ("Cat",))
    with pytest.raises(InputError, match="no seen"):
        ClassSplit(0, (), ("cat",))
