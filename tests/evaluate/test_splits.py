"""The published splits of VOC: their parts against the files' one rotating order."""

from __future__ import annotations

import pytest

from scenewright.errors import InputError
from scenewright.evaluate.splits import LONG_TAIL, SEEN, SPLITS, UNSEEN, ClassSplit, class_split
from scenewright.scene import Vocabulary
from scenewright.world.toybox import CLASSES

ORDER = (
    "aeroplane bicycle bird boat bottle bus cat chair cow diningtable horse motorbike person pottedplant "
    "sheep tvmonitor car dog sofa train"
).split()
"""Numbers 0 to 19 of the published files."""

FIRST = {"voc-1": 0, "voc-2": 15, "voc-3": 10}
"""With which number the file of a split begins; it goes on from there and around."""


@pytest.mark.parametrize("id", SPLITS)
def test_parts_are_the_first_fifteen_and_the_last_five(id: str) -> None:
    turned = ORDER[FIRST[id] :] + ORDER[: FIRST[id]]
    split = class_split(id)
    assert (list(split.seen), list(split.unseen)) == (turned[:15], turned[15:])
    assert set(split.classes) == set(Vocabulary.load("voc").names)


def test_every_voc_class_is_unseen_at_most_once() -> None:
    unseen = [name for id in SPLITS for name in class_split(id).unseen]
    assert len(set(unseen)) == len(unseen) == 15


def test_parts_of_the_toybox() -> None:
    split = class_split("1")
    assert split.id == "voc-1"
    assert (
        split.part("dog") == UNSEEN and split.part("dining table") == SEEN and split.part("mug") == LONG_TAIL
    )
    assert len(split.only(CLASSES, LONG_TAIL)) >= 12
    assert sum(len(split.only(CLASSES, part)) for part in (SEEN, UNSEEN, LONG_TAIL)) == len(CLASSES)


def test_wrong_splits() -> None:
    with pytest.raises(InputError, match="no class split") as fault:
        class_split("voc-4")
    assert "voc-" in fault.value.hint
    with pytest.raises(InputError, match="twice"):
        ClassSplit("own", ("cat",), ("Cat",))
    with pytest.raises(InputError, match="no seen"):
        ClassSplit("own", (), ("cat",))
