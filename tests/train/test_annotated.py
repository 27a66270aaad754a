"""Drawn pictures with their truth: what is kept is what was drawn, in parts, whatever interrupts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.train import annotated
from scenewright.train.annotated import Annotated, AnnotatedSource, Annotation, draw, open_annotated
from scenewright.world import town, toybox
from scenewright.world.palette import COLOURS, TEXTURES

TOYS = AnnotatedSource(count=12, size_wh=(64, 64), things=(3, 8))
TOWN = AnnotatedSource(world="town", count=8, size_wh=(96, 48))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def toys(cache):
    return open_annotated([TOYS], cache)


def test_what_is_kept_is_what_was_drawn(toys):
    index = np.array([11, 0, 5])
    images, numbers, labels = toys.images(index), toys.instances(index), toys.semantics(index)
    for n, i in enumerate(index):
        drawn = draw(TOYS, int(i))
        assert drawn.scene.seed == TOYS.first_seed + i
        assert (images[n] == drawn.image).all() and (numbers[n] == drawn.instance_map).all()
        assert (labels[n] == drawn.semantic).all()
        assert toys.items[i] == Annotation.of(drawn)


def test_annotations_say_what_the_scene_says(toys):
    for index, item in enumerate(toys.items):
        scene = draw(TOYS, index).scene
        assert item.caption == scene.prompt and item.look == scene.style
        for k, one in enumerate(scene.instances):
            facts = one.extra["toybox"]
            assert toybox.CLASSES[item.classes[k]] == one.category
            assert list(COLOURS)[item.colours[k]] == facts["colour"]
            assert (TEXTURES[item.textures[k]] if item.textures[k] >= 0 else None) == facts["texture"]
            assert item.boxes[k] == one.box.xyxy and item.phrases[k] == one.phrase
    assert {len(item.classes) for item in toys.items} <= set(range(1, 9))


def test_boxes_are_those_of_the_map(toys):
    numbers = toys.instances(np.arange(len(toys)))
    for map_HW, item in zip(numbers, toys.items, strict=True):
        for k, box in enumerate(item.boxes):
            rows, columns = np.nonzero(map_HW == k + 1)
            found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 64
            assert found == pytest.approx(box)


def test_the_town_has_looks_and_no_colours(cache):
    pictures = open_annotated([TOWN], cache)
    assert pictures.images(np.arange(8)).shape == (8, 48, 96, 3)
    assert len({item.look for item in pictures.items}) > 1
    for item in pictures.items:
        assert set(item.colours) <= {-1} and set(item.textures) <= {-1}
        assert item.look in town.LOOKS and all(0 <= k < len(town.CLASSES) for k in item.classes)


def test_parts_follow_each_other_and_are_drawn_once(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(annotated, "PART", 5)
    other = replace(TOYS, count=7, things=(1, 2))
    both = open_annotated([TOYS, other], tmp_path)
    assert len(both) == 19
    assert (both.images(np.arange(12)) == toys.images(np.arange(12))).all() and both.items[:12] == toys.items
    assert both.items[12].seed == other.first_seed and len(both.items[12].classes) <= 2
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    said = []
    open_annotated([TOYS, other], tmp_path, said.append)
    assert not said and before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    next(tmp_path.rglob("0000005-5.jsonl")).unlink()  # as after a kill: the part is drawn anew
    again = open_annotated([TOYS, other], tmp_path, said.append)
    assert len(said) == 1 and again.items == both.items


def test_pictures_in_memory(toys):
    drawn = [draw(TOYS, i) for i in range(3)]
    found = Annotated.of(drawn)
    assert (found.images(np.arange(3)) == toys.images(np.arange(3))).all() and found.items == toys.items[:3]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "0 sources"),
        ([TOYS, TOWN], "one size"),
        ([replace(TOYS, count=0)], "count of at least 1"),
        ([replace(TOYS, size_wh=(64, 32))], "cannot draw"),
        ([replace(TOYS, world="toybocks")], "cannot draw"),
    ],
)
def test_errors_name_what_was_expected(tmp_path, sources, message):
    with pytest.raises(InputError, match=message):
        open_annotated(sources, tmp_path)


def test_a_layout_too_crowded_has_fewer_toys(monkeypatch):
    calls = []

    def crowded(seed, **settings):
        calls.append(settings)
        if settings.get("count") == (3, 8):
            raise InputError("no layout")
        return real(seed, **settings)

    real = toybox.draw
    monkeypatch.setattr(toybox, "draw", crowded)
    assert 1 <= len(draw(TOYS, 0).scene.instances) <= 5 and len(calls) == 2
