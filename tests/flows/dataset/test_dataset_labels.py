"""From findings to masks, and which pictures are kept."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.evaluate.findings import Finding
from scenewright.flows.dataset.filters import DOUBTED, FOUND, LARGE, SMALL, Reason, reasons
from scenewright.flows.dataset.labelling import labelled
from scenewright.flows.dataset.rules import PUBLISHED, LabelRules
from scenewright.scene import Box, Instance, Mask, Record, Scene

ALL = LabelRules(score=0.0, area=0.0, agreement=0.0)


def found(name: str, score: float, rows: slice, columns: slice) -> Finding:
    bits = np.zeros((16, 16), np.bool_)
    bits[rows, columns] = True
    mask = Mask.from_array(bits)
    box = mask.box()
    assert box is not None
    return Finding(name, score, box, mask)


LEFT = found("cat", 0.6, slice(0, 8), slice(0, 4))
RIGHT = found("cat", 0.9, slice(0, 4), slice(8, 12))
DOG = found("dog", 0.7, slice(12, 16), slice(0, 16))
THINGS = (RIGHT, DOG, LEFT)


def record(*instances: Instance) -> Record:
    scene = Scene("a cat and a dog", (16, 16), instances or (Instance("cat"), Instance("dog")))
    return Record(np.zeros((16, 16, 3), np.uint8), scene)


WANTED = {"i1": "cat", "i2": "dog"}


def test_union_joins_all_things_of_a_class() -> None:
    whole = labelled(record(), WANTED, THINGS, ALL)
    assert whole.masks["i1"] == LEFT.mask.union(RIGHT.mask)
    assert whole.masks["i2"] == DOG.mask
    assert whole.scores["labels"]["i1"] == {"class": "cat", "score": 0.9, "area": 48 / 256, "things": 2}
    assert [one["score"] for one in whole.scores["things"]] == [0.9, 0.7, 0.6]
    assert Mask((16, 16), whole.scores["things"][2]["mask"]) == LEFT.mask


def test_top1_takes_the_best_thing() -> None:
    whole = labelled(record(), WANTED, THINGS, PUBLISHED)
    assert whole.masks == {"i1": RIGHT.mask, "i2": DOG.mask}
    assert whole.scores["labels"]["i1"]["things"] == 1


def test_scores_below_the_rule_do_not_count_but_are_listed() -> None:
    whole = labelled(record(), WANTED, THINGS, LabelRules(score=0.65))
    assert whole.masks["i1"] == RIGHT.mask
    assert len(whole.scores["things"]) == 3
    none = labelled(record(), WANTED, (), ALL)
    assert none.masks == {} and none.scores["things"] == []


@pytest.mark.parametrize("policy", ["union", "top1"])
def test_several_instances_of_a_class_get_a_thing_each(policy) -> None:
    two = record(Instance("a cat", category="cat"), Instance("another cat", category="cat"))
    whole = labelled(two, {"i1": "cat", "i2": "cat"}, THINGS, LabelRules(policy=policy, score=0))
    assert whole.masks == {"i1": RIGHT.mask, "i2": LEFT.mask}


def test_places_decide_which_instance_a_thing_belongs_to() -> None:
    placed = record(
        Instance("left", category="cat", box=Box(0, 0, 0.3, 0.5)),
        Instance("right", category="cat", box=Box(0.5, 0, 0.8, 0.3)),
    )
    wanted = {"i1": "cat", "i2": "cat"}
    for policy in ("union", "top1"):
        whole = labelled(placed, wanted, THINGS, LabelRules(policy=policy, score=0))  # type: ignore[arg-type]
        assert whole.masks == {"i1": LEFT.mask, "i2": RIGHT.mask}
    below = found("cat", 0.5, slice(9, 11), slice(0, 16))
    together = labelled(placed, wanted, (*THINGS, below), ALL)
    assert together.masks["i2"] == RIGHT.mask.union(below.mask), "apart from all places: the last one"
    assert labelled(placed, wanted, (below,), LabelRules(policy="top1", score=0)).masks == {}


class Doubter:
    id = "doubter@0"

    def agreement(self, image_HW3, asked):
        return [None if name == "dog" else round(float(box.area), 3) for name, box in asked]


def test_the_second_opinion_is_asked_about_the_masks_boxes() -> None:
    whole = labelled(record(), WANTED, (LEFT, DOG), ALL, Doubter())
    assert whole.scores["labels"]["i1"]["agreement"] == 0.125
    assert "agreement" not in whole.scores["labels"]["i2"]
    rules = LabelRules(score=0, area=0, agreement=0.2)
    assert reasons(whole, WANTED, rules) == (Reason(DOUBTED, "cat", 0.125),)
    assert reasons(whole, WANTED, ALL) == ()


def test_reasons_by_hand() -> None:
    whole = labelled(record(), WANTED, (RIGHT,), ALL)
    assert reasons(whole, WANTED, ALL) == (Reason(FOUND, "dog"),)
    small = LabelRules(score=0, area=0.07)
    assert reasons(whole, WANTED, small) == (Reason(SMALL, "cat", 0.0625), Reason(FOUND, "dog"))
    large = LabelRules(score=0, area=0, most_area=0.2)
    both = labelled(record(), WANTED, THINGS, ALL)
    assert reasons(both, WANTED, large) == (Reason(LARGE, "dog", 0.25),)
    assert (
        str(Reason(SMALL, "cat", 0.0625)) == "cat too small (0.0625)"
        and str(Reason(FOUND, "dog")) == "dog not found"
    )
    assert Reason.from_json(Reason(SMALL, "cat", 0.0625).to_json()) == Reason(SMALL, "cat", 0.0625)


def test_arguments_stay_as_they_are() -> None:
    before = record()
    labelled(before, WANTED, THINGS, ALL)
    assert before.masks == {} and before.scores == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "top2"},
        {"score": 1.5},
        {"area": -0.1},
        {"agreement": float("nan")},
        {"area": 0.5, "most_area": 0.1},
    ],
)
def test_wrong_rules_are_refused(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        LabelRules(**wrong)
