"""What data sets are drawn from: the published grammar, own classes, scene files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from halves import NAMES, Halves

from scenewright.errors import InputError
from scenewright.evaluate.splits import class_split
from scenewright.flows.dataset.orders import digest, orders, unmentioned
from scenewright.flows.dataset.sources import ClassSource, prompt_of, source_of
from scenewright.flows.jobs import Job, Request, jobs, read
from scenewright.scene import Box, Instance, Scene


def test_prompts_are_the_published_ones() -> None:
    assert prompt_of(["dog"]) == "a photograph of a dog"
    assert prompt_of(["cat", "aeroplane", "bus"]) == "a photograph of a cat and an aeroplane and a bus"


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize(("grammar", "number"), [("seen", 3), ("unseen", 5), ("seen_unseen", 4)])
def test_classes_come_from_the_right_part_without_replacement(split: int, grammar: str, number: int) -> None:
    source = ClassSource(grammar=grammar, split=split, per_picture=number, total=60, seed=7)  # type: ignore[arg-type]
    parts = class_split(split)
    for job in source.jobs((32, 32)):
        names = [one.category for one in job.scene.instances]
        assert len(set(names)) == number
        unseen = sum(name in parts.unseen for name in names)
        assert unseen == {"seen": 0, "unseen": number, "seen_unseen": number // 2}[grammar]
        assert job.scene.prompt == prompt_of([str(name) for name in names])
        assert job.scene.size_wh == (32, 32)


def test_a_picture_depends_on_its_number_alone() -> None:
    few, many = ClassSource(total=5, seed=3).jobs((32, 32)), ClassSource(total=50, seed=3).jobs((32, 32))
    assert few == many[:5]
    later = ClassSource(total=2, seed=6).jobs((32, 32))
    assert [job.scene for job in later] == [job.scene for job in many[3:5]]
    assert [job.seed for job in many] == list(range(3, 53))
    assert len({job.name for job in many}) == 50
    assert [job.name for job in many] == sorted(job.name for job in many)


def test_all_classes_come_up_in_all_places() -> None:
    drawn = [ClassSource(total=1).drawn(k) for k in range(1500)]
    first, second = Counter(names[0] for names in drawn), Counter(names[1] for names in drawn)
    for count in (first, second):
        assert set(count) == set(class_split(1).seen)
        assert 60 < min(count.values()) and max(count.values()) < 145  # 100 on average


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"grammar": "sen"}, "grammar is 'sen'"),
        ({"split": 4}, "no class split 4"),
        ({"grammar": "seen_unseen", "per_picture": 3}, "half seen and half unseen"),
        ({"grammar": "unseen", "per_picture": 6}, "6 different classes in a picture, but there are 5"),
        ({"classes": ("cat",), "per_picture": 2}, "2 different classes in a picture, but there are 1"),
        ({"classes": ("cat", "Cat"), "per_picture": 1}, "'Cat' stands in the list twice"),
        ({"classes": ("cat", "-"), "per_picture": 1}, "'-' has no letter"),
        ({"classes": ("cat", "dog"), "grammar": "unseen"}, "have no unseen part"),
        ({"total": 0}, "total is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"per_picture": True}, "per_picture is True"),
    ],
)
def test_wrong_sources_are_refused_when_made(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ClassSource(**wrong)  # type: ignore[arg-type]


def test_a_user_names_one_source() -> None:
    assert source_of([], "unseen", 2, total=9) == ClassSource(grammar="unseen", split=2, total=9)
    assert source_of([], classes=["cat,dog", "car"]) == ClassSource(classes=("cat", "dog", "car"))
    found = source_of([], vocabulary="toybox", per_picture=1)
    assert isinstance(found, ClassSource) and "mug" in found.classes and "sky" not in found.classes
    assert source_of([Path("a.json")], seed=4) == Request(files=(Path("a.json"),), seed=4)
    with pytest.raises(InputError, match="nothing to draw"):
        source_of([])
    with pytest.raises(InputError, match="--grammar and --classes were given"):
        source_of([], "seen", classes=["cat"])


def test_lists_of_prompts_and_classes_become_orders(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps([
        {"prompt": "a cat beside a car", "classes": "cat,car"},
        {"prompt": "a dog", "classes": ["dog", "cat"], "seed": 9},
    ]))  # fmt: skip
    request = Request(files=(file,))
    found = orders(jobs(read(request), request), Halves.vocabulary)
    assert [one.classes for one in found] == [("cat", "car"), ("dog", "cat")]
    assert found[1].job.seed == 9
    (note,) = unmentioned(found, Halves.vocabulary)
    assert "1 of 2 prompts" in note and "list-2" in note and "'cat'" in note


def job(*instances: Instance, prompt: str = "things") -> Job:
    return Job("it", Scene(prompt, (32, 32), instances), 0)


def test_phrases_lead_to_classes() -> None:
    (found,) = orders([job(Instance("a red car"), Instance("something", category="Dog"))], Halves.vocabulary)
    assert dict(found.wanted) == {"i1": "car", "i2": "dog"}
    placed = job(Instance("a cat", box=Box(0, 0, 1, 1)))
    assert unmentioned(orders([placed], Halves.vocabulary), Halves.vocabulary) == ()


@pytest.mark.parametrize(
    ("instances", "words", "hint"),
    [
        ((), "nothing to label", "list its classes"),
        ((Instance("of the"),), "knows no class 'of the'", "it knows cat, dog"),
        ((Instance("carr"),), "knows no class 'carr'", "did you mean 'car'"),
        ((Instance("background", category="background"),), "knows no class 'background'", "it knows"),
    ],
)
def test_what_cannot_be_labelled_is_refused(instances, words: str, hint: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        orders([job(*instances)], Halves.vocabulary)
    assert hint in caught.value.hint and str(caught.value).startswith("it: ")


def test_fifty_classes_are_no_trouble() -> None:
    from scenewright.scene import Vocabulary

    many = Vocabulary.from_names("many", [f"thing{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(60)])
    source = ClassSource(classes=many.names, per_picture=50, total=2)
    found = orders(source.jobs((32, 32)), many)
    assert all(len(one.classes) == 50 for one in found)
    assert all(len(one.name) < 80 for one in found)


def test_the_digest_tells_orders_apart() -> None:
    source = ClassSource(classes=NAMES, total=4)
    one, other = (
        orders(s.jobs((32, 32)), Halves.vocabulary)
        for s in (source, ClassSource(classes=NAMES, total=4, seed=1))
    )
    assert digest(one) == digest(orders(source.jobs((32, 32)), Halves.vocabulary)) != digest(other)
    assert digest(one) != digest(list(reversed(one)))
