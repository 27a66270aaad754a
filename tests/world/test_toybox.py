"""The toybox: what it says about its pictures is true of them."""

from __future__ import annotations

import itertools
import json
import time
from importlib import resources

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.scene import Vocabulary
from scenewright.world import toybox
from scenewright.world.classes import BY_NAME, SETTINGS, STUFF, semantic_ids, vocabulary_document
from scenewright.world.drawn import Drawn
from scenewright.world.palette import COLOURS, TEXTURES, nearest_colour
from scenewright.world.surface import STYLES

VOC = """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person
pottedplant sheep sofa train tvmonitor""".split()


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    """Three hundred scenes; prints how fast they came."""
    start = time.process_time()
    scenes = [toybox.draw(seed) for seed in range(300)]
    print(f"\ntoybox: {len(scenes) / (time.process_time() - start):.0f} pictures/s")
    return scenes


def test_classes_hold_voc_and_the_toys_of_published_examples() -> None:
    assert list(toybox.CLASSES[:20]) == VOC
    assert {"basketball", "mug", "monkey", "banana", "eagle", "truck", "air balloon"} <= set(toybox.CLASSES)
    assert len(toybox.CLASSES) >= 34 and len(COLOURS) == len(TEXTURES) == len(SETTINGS) == 8
    assert set(toybox.TOYS) == set(toybox.CLASSES)
    assert all(len(toy.sizes) >= 2 for toy in toybox.TOYS.values())


def test_every_toy_of_the_published_examples_can_be_asked_for(data_dir) -> None:
    examples = json.loads((data_dir / "readme_examples.json").read_text())
    for poster in examples["grounding"]["poster"]:
        for name in poster["classes"].split(","):
            assert name in toybox.CLASSES
    words = {word for thing in BY_NAME.values() for word in thing.words}
    for phrase in examples["gligen"]["example"]["phrases"]:
        bare = phrase.removeprefix("a ").split(" ", 1)
        assert bare[-1] in words or phrase.removeprefix("a ") in words


@pytest.mark.parametrize("style", [None, *STYLES])
def test_equal_seeds_give_equal_pictures(style: str | None) -> None:
    first, second = toybox.draw(7, style=style), toybox.draw(7, style=style)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.semantic, second.semantic)
    assert first.scene == second.scene
    assert style in (None, first.scene.style)
    assert not np.array_equal(first.image, toybox.draw(8, style=style).image)


def test_masks_boxes_and_maps_agree_exactly(drawn: list[Drawn]) -> None:
    ids = semantic_ids()
    for item in drawn:
        assert item.image.shape == (128, 128, 3) and item.image.dtype == np.uint8
        assert item.instance_map.shape == item.semantic.shape == (128, 128)
        assert item.instance_map.max() == len(item.scene.instances)
        total = np.zeros((128, 128), int)
        for k, instance in enumerate(item.scene.instances):
            assert instance.mask is not None
            mask = instance.mask.array()
            assert np.array_equal(mask, item.instance_map == k + 1)
            assert instance.box == instance.mask.box()
            assert set(np.unique(item.semantic[mask])) == {ids[instance.category or ""]}
            assert instance.extra["toybox"]["visible"] >= toybox.LEAST_VISIBLE
            total += mask
        assert total.max() <= 1
        stuff = set(np.unique(item.semantic[item.instance_map == 0]).tolist())
        assert stuff <= {ids[name] for name in STUFF}


def test_points_and_scribbles_lie_inside(drawn: list[Drawn]) -> None:
    for item in drawn:
        for instance in item.scene.instances:
            mask = instance.mask.array()
            assert instance.scribble is not None and instance.points
            ends = [np.array(p.xy) for p in instance.scribble.points]
            walk = [a + (b - a) * t for a, b in itertools.pairwise(ends) for t in np.linspace(0, 1, 40)]
            for x, y in [*walk, instance.points[0].xy]:
                assert mask[int(y * 128), int(x * 128)], item.scene.seed


def test_parts_lie_in_their_toy_and_wheels_below_its_middle() -> None:
    for seed in range(40):
        car = toybox.draw(seed, classes=["car"], count=(1, 1)).scene.instances[0]
        wheels = [part.box for part in car.parts if part.name == "wheel"]
        assert {"wheel", "windows", "roof"} >= {part.name for part in car.parts} and wheels
        for part in car.parts:
            b, p = car.box, part.box
            assert b.x0 <= p.x0 < p.x1 <= b.x1 and b.y0 <= p.y0 < p.y1 <= b.y1
        if len(wheels) == 2 and car.box.y1 < 1:
            assert sum(w.centre[1] for w in wheels) / 2 > car.box.centre[1]


def test_joints_of_a_person_are_on_the_person_and_left_is_its_own_left() -> None:
    flips = set()
    for seed in range(40):
        item = toybox.draw(seed, classes=["person"], count=(1, 1))
        person = item.scene.instances[0]
        flips.add(person.extra["toybox"]["facing"])
        joints = person.keypoints
        assert joints is not None and joints.skeleton == "coco17"
        seen = [(x, y) for x, y, v in joints.points if v == 2]
        assert len(seen) >= 12
        assert all(item.instance_map[int(y * 128), int(x * 128)] == 1 for x, y in seen)
        for name in ("eye", "shoulder", "hip", "ankle"):
            left, right = joints.joint(f"left_{name}"), joints.joint(f"right_{name}")
            if left[2] and right[2]:
                assert left[0] > right[0]
    assert flips == {"left", "right"}


def test_hidden_joints_are_marked() -> None:
    marks = {
        v
        for seed in range(150)
        for i in toybox.draw(seed, classes=["person", "house"], count=(3, 5)).scene.instances
        if i.keypoints is not None
        for _, _, v in i.keypoints.points
    }
    assert {1, 2} <= marks


def test_colours_can_be_told_from_the_picture(drawn: list[Drawn]) -> None:
    asked, found = [], []
    for item in drawn:
        for k, instance in enumerate(item.scene.instances):
            asked.append(instance.extra["toybox"]["colour"])
            found.append(nearest_colour(item.image[item.instance_map == k + 1]))
    right = np.mean([a == f for a, f in zip(asked, found, strict=True)])
    print(f"colour told right: {right:.4f} of {len(asked)}")
    assert right >= 0.97
    assert set(asked) == set(COLOURS)


def test_phrases_name_colour_texture_and_thing(drawn: list[Drawn]) -> None:
    textured = []
    for item in drawn:
        for instance in item.scene.instances:
            facts = instance.extra["toybox"]
            article, colour, *rest = instance.phrase.split(" ")
            assert article in ("a", "an") and colour == facts["colour"]
            word = " ".join(rest)
            if facts["texture"] is not None:
                assert word.startswith(facts["texture"] + " ")
                word = word.removeprefix(facts["texture"] + " ")
            assert word in BY_NAME[instance.category or ""].words
            textured.append(facts["texture"] is not None)
    assert 0.3 < np.mean(textured) < 0.5


def test_layouts_are_spread_out_and_of_many_sizes(drawn: list[Drawn]) -> None:
    overlaps, sides, numbers = [], [], []
    for item in drawn:
        boxes = [i.box for i in item.scene.instances]
        numbers.append(len(boxes))
        overlaps += [a.iou(b) for k, a in enumerate(boxes) for b in boxes[:k]]
        sides += [128 * max(b.x1 - b.x0, b.y1 - b.y0) for b in boxes]
    assert set(numbers) == {1, 2, 3, 4, 5} and np.mean(np.array(numbers) <= 3) > 0.75
    assert np.mean(overlaps) < 0.02
    assert min(sides) >= 14 and np.percentile(sides, 5) < 30 and np.percentile(sides, 95) > 65
    centres = np.array([i.box.centre for item in drawn for i in item.scene.instances])
    counts, _, _ = np.histogram2d(*centres.T, bins=3, range=[[0, 1], [0, 1]])
    assert counts.min() > 0.04 * len(centres)


def test_depth_order_is_what_covers_what(drawn: list[Drawn]) -> None:
    for item in drawn:
        assert sorted(i.z for i in item.scene.instances) == list(range(len(item.scene.instances)))


def test_scenes_round_trip_through_json_and_records(drawn: list[Drawn]) -> None:
    for item in drawn[:12]:
        assert type(item.scene).from_json(json.loads(json.dumps(item.scene.to_json()))) == item.scene
        record = item.record()
        assert np.array_equal(record.image, item.image)
        assert np.array_equal(item.labels().labels(), item.semantic)
        assert set(record.masks) == {i.id for i in item.scene.instances}


@pytest.mark.parametrize("size_px", [64, 256])
def test_other_sizes_show_the_same_scene(size_px: int) -> None:
    for seed in range(6):
        small, other = toybox.draw(seed), toybox.draw(seed, size_px=size_px)
        assert other.image.shape == (size_px, size_px, 3)
        pairs = zip(small.scene.instances, other.scene.instances, strict=True)
        assert all(a.category == b.category and a.box.iou(b.box) > 0.7 for a, b in pairs)


def test_counts_and_classes_are_obeyed() -> None:
    empty = toybox.draw(0, count=(0, 0))
    assert empty.scene.instances == () and empty.instance_map.max() == 0 and empty.scene.prompt
    crowd = toybox.draw(0, count=(8, 8), classes=["car", "dog"])
    assert len(crowd.scene.instances) == 8
    assert {i.category for i in crowd.scene.instances} <= {"car", "dog"}


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"size_px": 100},
        {"size_px": 512},
        {"count": (3, 2)},
        {"count": (1, 9)},
        {"style": "oil"},
        {"classes": []},
        {"classes": ["carr"]},
    ],
)
def test_impossible_wishes_are_refused_with_what_was_expected(bad: dict) -> None:
    with pytest.raises(InputError) as caught:
        toybox.draw(**({"seed": 0} | bad))
    given = next(iter(bad.values()))
    assert str(given[0] if given == ["carr"] else given).strip("[]") in str(caught.value)
    if given == ["carr"]:
        assert "'car'" in caught.value.hint


def test_the_shipped_vocabulary_is_made_from_the_names() -> None:
    text = (resources.files("scenewright.scene") / "vocabularies" / "toybox.json").read_text()
    assert json.loads(text) == vocabulary_document()
    vocabulary = Vocabulary.load("toybox")
    ids = semantic_ids()
    assert len(set(ids.values())) == len(ids) and 0 not in ids.values()
    for name, number in ids.items():
        assert vocabulary.find(name).id == number
    assert vocabulary.find("airplane").name == "aeroplane"
