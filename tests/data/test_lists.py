"""GLIGEN's arguments, lists of prompts with classes, and box lists."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.data import box_list, gligen_args, prompt_classes
from scenewright.data.foreign import ClippedBoxes
from scenewright.errors import InputError
from scenewright.scene import Box, Instance, Mask, Point, Scene

fractions = st.floats(0, 1)


@st.composite
def scenes(draw):
    rows = draw(st.lists(st.tuples(fractions, fractions, fractions, fractions), max_size=6))
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows]
    instances = [Instance("a cat", box=Box(*box)) for box in boxes if box[0] < box[2] and box[1] < box[3]]
    return Scene("p", (64, 128), tuple(instances), seed=draw(st.none() | st.integers(0, 9)))


@settings(deadline=None)
@given(scenes())
def test_gligen_arguments_come_back(scene):
    assert gligen_args.from_json(json.loads(json.dumps(gligen_args.to_json(scene))), "a") == [scene]


@settings(deadline=None)
@given(scenes())
def test_box_lists_come_back_on_their_grid(scene):
    written = json.loads(json.dumps(box_list.to_json(scene)))
    again = box_list.from_json(written, "a")
    assert (again.prompt, again.size_wh, again.ids, again.seed) == (
        scene.prompt,
        (64, 128),
        scene.ids,
        scene.seed,
    )
    for a, b in zip(again.instances, scene.instances, strict=True):
        assert a.box.xyxy == pytest.approx(b.box.xyxy, abs=0.00101)
    assert box_list.to_json(again) == written


def test_the_published_gligen_example(data_dir):
    example = json.loads((data_dir / "readme_examples.json").read_text())["gligen"]["example"]
    document = {
        "prompt": example["prompt"], "phrases": example["phrases"], "boxes": example["boxes_xyxy_normalised"]
    }  # fmt: skip
    scene = gligen_args.from_json(document, "a")[0]
    assert [item.phrase for item in scene.instances] == example["phrases"]
    assert [list(item.box.xyxy) for item in scene.instances] == example["boxes_xyxy_normalised"]
    assert scene.size_wh == (512, 512)
    renamed = {
        "prompt": example["prompt"],
        "gligen_phrases": example["phrases"],
        "gligen_boxes": document["boxes"],
    }
    assert gligen_args.from_json(renamed, "a") == [scene]
    assert gligen_args.from_json([document, document], "a", (128, 128))[1].size_wh == (128, 128)


def test_the_published_prompt_lists(data_dir, tmp_path):
    rows = json.loads((data_dir / "readme_examples.json").read_text())["grounding"]["poster"]
    found = prompt_classes.from_json(rows, "a")
    assert [item.phrase for item in found[1].instances] == ["mug", "pottedplant"]
    assert all(item.location_box is None for scene in found for item in scene.instances)
    assert prompt_classes.read(prompt_classes.write(found, tmp_path / "a.json")) == found
    assert prompt_classes.from_json({"prompt": "p", "classes": []}, "a")[0].instances == ()
    assert prompt_classes.from_json({"prompt": "p", "classes": ""}, "a")[0].instances == ()


def test_marks_are_written_as_their_boxes():
    mask = Mask.from_box(Box(0.25, 0.5, 0.75, 1), (64, 64))
    scene = Scene("p", (64, 64), (Instance("m", mask=mask), Instance("d", points=(Point(0.5, 0.5),))))
    boxes = gligen_args.to_json(scene)["boxes"]
    assert boxes[0] == [0.25, 0.5, 0.75, 1.0] and boxes[1] == pytest.approx([0.45, 0.45, 0.55, 0.55])
    assert box_list.to_json(scene)["boxes"][0]["bbox"] == [500, 250, 1000, 750]
    for write in (gligen_args.to_json, box_list.to_json):
        with pytest.raises(InputError, match="has no place"):
            write(Scene("p", (64, 64), (Instance("nowhere"),)))


def test_files_are_written_whole(tmp_path):
    scene = Scene("p", (64, 64), (Instance("m", box=Box(0, 0, 0.5, 0.5)),))
    assert gligen_args.read(gligen_args.write([scene], tmp_path / "a.json")) == [scene]
    assert gligen_args.read(gligen_args.write([scene, scene], tmp_path / "b.json")) == [scene, scene]
    assert box_list.read(box_list.write(scene, tmp_path / "c.json")) == [scene]


def test_a_bare_box_list():
    rows = [
        {"id": 1, "desc": "a cat", "bbox": [100, 200, 300, 400]},
        {"desc": "a dog", "bbox": [0, 0, 1000, 1000]},
    ]
    scene = box_list.from_json(rows, "a")
    assert scene.prompt == "a cat, a dog" and scene.ids == ("1", "i2")
    assert scene.instances[0].box == Box(0.2, 0.1, 0.4, 0.3)
    odd = box_list.from_json([{"id": "the cat!", "desc": "a cat", "bbox": [0, 0, 10, 10]}], "a")
    assert odd.ids == ("i1",)


def test_clipping_is_counted_and_misread_files_are_refused():
    row = [0.1, 0.1, 0.5, 0.5]
    with pytest.warns(ClippedBoxes, match="1 of 5"):
        found = gligen_args.from_json(
            {"prompt": "p", "phrases": ["x"] * 5, "boxes": [row] * 4 + [[0.5, 0.5, 1.2, 1]]}, "a"
        )
    assert found[0].instances[4].box == Box(0.5, 0.5, 1, 1)
    with pytest.raises(InputError, match="2 of 2") as caught:
        gligen_args.from_json({"prompt": "p", "phrases": ["x"] * 2, "boxes": [[10, 20, 300, 400]] * 2}, "a")
    assert "corners x0, y0, x1, y1 in pixels" in caught.value.hint
    with pytest.raises(InputError, match=r"all boxes lie in 0\.\.1") as caught:
        box_list.from_json([{"desc": "x", "bbox": row}], "a")
    assert "gligen" in caught.value.hint


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"prompt": "p", "phrases": ["a"], "boxes": []}, "1 phrases were given for 0 boxes"),
        ({"prompt": "p", "phrases": ["a"]}, "expected one of the keys boxes"),
        (
            {"prompt": "p", "phrases": ["a"], "boxes": [[0, 0, 1, 1]], "locations": []},
            "expected one of the keys",
        ),
        ({"prompt": "p", "phrases": "a", "boxes": [[0, 0, 1, 1]]}, "phrases: expected a list"),
        ({"prompt": "p", "phrases": [1], "boxes": [[0, 0, 1, 1]]}, r"phrases\[0\]: expected a text"),
        ({"prompt": "p", "phrases": [""], "boxes": [[0, 0, 1, 1]]}, "phrase"),
        ({"prompt": "p", "phrases": ["a"], "boxes": [[0, 0, 1]]}, r"boxes\[0\]: expected four numbers"),
        ({"prompt": "p", "phrases": ["a"], "boxes": [[0.5, 0, 0.2, 1]]}, "inside out"),
        ({"phrases": [], "boxes": []}, "'prompt' is missing"),
        ({"promt": "p", "phrases": [], "boxes": []}, "unknown key 'promt'"),
        ({"prompt": "p", "phrases": [], "boxes": [], "seed": -1}, "seed"),
        ({"prompt": "p", "phrases": [], "boxes": [], "width": 64}, "'height' is missing"),
        ([3], r"a\[0\]: expected an object"),
    ],
)
def test_broken_gligen_arguments(document, words):
    with pytest.raises(InputError, match=words) as caught:
        gligen_args.from_json(document, "a")
    assert caught.value.message.startswith("a")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([{"prompt": "p"}], "'classes' is missing"),
        ([{"classes": ["a"]}], "'prompt' is missing"),
        ([{"prompt": "p", "classes": 3}], "expected a list of names"),
        ([{"prompt": "p", "classes": [3]}], r"classes\[0\]: expected a text"),
        ([{"prompt": "p", "classes": "cat,,dog"}], "class number 2 is empty"),
        ([{"prompt": "p", "classes": [], "clases": 1}], "unknown key 'clases'"),
        ([3], "expected an object"),
    ],
)
def test_broken_prompt_lists(document, words):
    with pytest.raises(InputError, match=words):
        prompt_classes.from_json(document, "a")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([{"desc": "x"}], "'bbox' is missing"),
        ([{"bbox": [0, 0, 10, 10]}], "'desc' is missing"),
        ([{"desc": "x", "bbox": [0, 0, 10, 10], "descr": 1}], "unknown key 'descr'"),
        ([{"desc": "", "bbox": [0, 0, 10, 10]}], "phrase"),
        ([{"id": [], "desc": "x", "bbox": [0, 0, 10, 10]}], "id: expected"),
        ([{"id": "a", "desc": "x", "bbox": [0, 0, 10, 10]}] * 2, "unique ids"),
        ({"prompt": "p"}, "'boxes' is missing"),
        ({"boxes": [], "size": [64]}, "size: expected"),
        ({"boxes": [], "size": [64, 60]}, "size_wh"),
        (3, "expected an object"),
    ],
)
def test_broken_box_lists(document, words):
    with pytest.raises(InputError, match=words):
        box_list.from_json(document, "a")
