"""InstanceDiffusion's files and planned layouts: the published ones load, and a misread file is refused."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.data import instancediffusion, planned
from scenewright.data.foreign import ClippedBoxes
from scenewright.errors import InputError
from scenewright.scene import Box, Instance, Mask, Point, Scene, Scribble

CLIPPED = {"demo_corgi_kitchen.json": "1 of 13", "demo_rose_garden_painting.json": "1 of 28"}


def files(folder):
    found = sorted(folder.glob("*.json"))
    assert found
    return found


def test_all_demos_load(data_dir):
    paths = files(data_dir / "demos")
    assert len(paths) == 12
    for path in paths:
        written = json.loads(path.read_text())
        if path.name in CLIPPED:
            with pytest.warns(ClippedBoxes, match=CLIPPED[path.name]):
                scene = instancediffusion.read(path)[0]
        else:
            scene = instancediffusion.read(path)[0]
        assert scene.prompt == written["caption"] and scene.size_wh == (written["width"], written["height"])
        assert [item.phrase for item in scene.instances] == [anno["caption"] for anno in written["annos"]]
        assert sum(item.mask is not None for item in scene.instances) == sum(
            bool(anno.get("mask")) for anno in written["annos"]
        )


def test_the_box_that_ends_at_1_49_is_clipped(data_dir):
    path = data_dir / "demos" / "demo_corgi_kitchen.json"
    annos = json.loads(path.read_text())["annos"]
    ends = [(anno["bbox"][0] + anno["bbox"][2]) / 512 for anno in annos]
    assert round(max(ends), 2) == 1.49
    with pytest.warns(ClippedBoxes, match="1 of 13 boxes"):
        scene = instancediffusion.read(path)[0]
    boxes = [item.box for item in scene.instances]
    assert boxes[ends.index(max(ends))].x1 == 1.0


def test_masks_of_the_demo_are_those_written(data_dir):
    from pycocotools import mask as oracle

    path = data_dir / "demos" / "demo_corgi_kitchen.json"
    with pytest.warns(ClippedBoxes):
        scene = instancediffusion.read(path)[0]
    for item, anno in zip(scene.instances, json.loads(path.read_text())["annos"], strict=True):
        if anno["mask"]:
            assert (item.mask.array() == oracle.decode(anno["mask"]).astype(bool)).all()


def test_points_of_the_demo(data_dir):
    scene = instancediffusion.read(data_dir / "demos" / "demo_palm_point.json")[0]
    assert scene.instances[0].points[0].xy == (338.5 / 768, 218 / 512)
    assert all(item.box is None for item in scene.instances)


def test_all_planned_layouts_load_and_none_leaves_the_canvas(data_dir, recwarn):
    scenes = [planned.read(path)[0] for path in files(data_dir / "planned_layouts" / "descriptions")]
    assert len(scenes) == 100 and all(len(scene.instances) == 7 for scene in scenes)
    assert all(item.box is not None for scene in scenes for item in scene.instances)
    assert not recwarn.list


def test_planned_layouts_read_as_sides_are_refused(data_dir):
    leaving = 0
    for path in files(data_dir / "planned_layouts" / "descriptions"):
        with pytest.raises(InputError, match="boxes leave the canvas") as caught:
            instancediffusion.read(path)
        leaving += int(re.search(r"(\d) of 7 boxes", caught.value.message)[1])
        assert "corners x0, y0, x1, y1 in pixels" in caught.value.hint and "'planned'" in caught.value.hint
    assert leaving == 505


def test_demos_read_as_corners_are_refused(data_dir):
    for path in files(data_dir / "demos"):
        if "palm" not in path.name:
            with pytest.raises(InputError, match="inside out") as caught:
                planned.read(path)
            assert "'instancediffusion'" in caught.value.hint


def test_demos_round_trip(data_dir, tmp_path):
    for path in files(data_dir / "demos"):
        if path.name in CLIPPED:
            continue
        scene = instancediffusion.read(path)[0]
        again = instancediffusion.read(instancediffusion.write(scene, tmp_path / path.name))[0]
        assert [item.mask for item in again.instances] == [item.mask for item in scene.instances]
        if "palm" not in path.name:  # without boxes, those around the points are written
            written = json.loads((tmp_path / path.name).read_text())
            for row, anno in zip(json.loads(path.read_text())["annos"], written["annos"], strict=True):
                assert anno["bbox"] == pytest.approx(row["bbox"], abs=1e-9)
                assert {k: row[k] for k in ("caption", "category_name")} == {
                    k: anno[k] for k in ("caption", "category_name")
                }


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.lists(st.integers(0, 64), min_size=4, max_size=4), max_size=6),
    st.sampled_from(["xywh", "xyxy"]),
)
def test_whole_pixels_stay_whole_and_either_convention_comes_back(rows, convention):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows]
    instances = tuple(
        Instance("x", box=Box.from_xyxy_px(*box, (64, 64)))
        for box in boxes
        if box[0] < box[2] and box[1] < box[3]
    )
    scene = Scene("p", (64, 64), instances)
    written = instancediffusion.to_json(scene, convention)
    assert all(isinstance(side, int) for anno in written["annos"] for side in anno["bbox"])
    for read in (instancediffusion.from_json, planned.from_json):
        assert read(json.loads(json.dumps(written)), "a") == scene


def test_all_kinds_of_places():
    line = Scribble(tuple(Point(k / 19, 0.5) for k in range(20)))
    mask = Mask.from_box(Box(0.25, 0.25, 0.5, 0.5), (64, 64))
    instances = (
        Instance("a", mask=mask, category="cat"),
        Instance("b", scribble=line, extra={"instancediffusion": {"score": 0.5}}),
        Instance("c", points=(Point(0.5, 0.25),)),
        Instance("d"),
    )
    scene = Scene("p", (64, 64), instances, extra={"instancediffusion": {"author": "me"}})
    written = instancediffusion.to_json(scene)
    assert written["author"] == "me" and written["annos"][1]["score"] == 0.5
    assert len(written["annos"][1]["scribble"]) == 40 and written["annos"][2]["point"] == [32, 16]
    assert written["annos"][3]["bbox"] == [0, 0, 0, 0]
    again = instancediffusion.from_json(written, "a")
    assert again.instances[0].mask == mask and again.instances[1].scribble == line
    assert again.instances[3].box is None and again.extra == scene.extra


def test_scribbles_in_pairs_and_with_other_counts():
    base = {"caption": "p", "width": 64, "height": 64}
    flat = instancediffusion.from_json(
        {**base, "annos": [{"caption": "x", "scribble": [0, 0, 32, 32, 64, 0]}]}, "a"
    )
    pairs = instancediffusion.from_json(
        {**base, "annos": [{"caption": "x", "scribble": [[0, 0], [32, 32], [64, 0]]}]}, "a"
    )
    assert flat == pairs and len(flat.instances[0].scribble.points) == 3
    assert len(instancediffusion.to_json(flat)["annos"][0]["scribble"]) == 40
    none = instancediffusion.from_json({**base, "annos": [{"caption": "x", "scribble": [0] * 40}]}, "a")
    assert none.instances[0].scribble is None


GOOD = {"caption": "p", "width": 64, "height": 64, "annos": [{"caption": "x", "bbox": [1, 2, 3, 4]}]}


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("caption",), 3, "caption: expected a text"),
        (("width",), "64", "width: expected a whole number"),
        (("width",), 60, "size_wh"),
        (("annos",), {}, "annos: expected a list"),
        (("annos", 0), 3, r"annos\[0\]: expected an object"),
        (("annos", 0, "caption"), "", r"annos\[0\]: neither 'caption' nor 'category_name'"),
        (("annos", 0, "bbox"), [1, 2, 3], r"annos\[0\]\.bbox: expected four numbers"),
        (("annos", 0, "bbox"), [1, 2, -3, 4], "1 of 1 boxes"),
        (("annos", 0, "bbox"), [1, 2, float("inf"), 4], "finite"),
        (("annos", 0, "mask"), {"size": [32, 32], "counts": "PP1"}, r"the mask has size \[32, 32\]"),
        (("annos", 0, "mask"), "x", "expected an object"),
        (("annos", 0, "point"), [1], "expected x, y"),
        (("annos", 0, "scribble"), [1, 2, 3], "expected x, y"),
        (("annos", 0, "scribble"), [1, 2], "at least 2 points"),
        (("bbox_format",), "cxcywh", "expected 'xywh' or 'xyxy'"),
    ],
)
def test_broken_files(where, value, words):
    document = copy.deepcopy(GOOD)
    spot = document
    for key in where[:-1]:
        spot = spot[key]
    spot[where[-1]] = value
    before = copy.deepcopy(document)
    with pytest.raises(InputError, match=words) as caught:
        instancediffusion.from_json(document, "a.json")
    assert caught.value.message.startswith("a.json")
    assert repr(document) == repr(before)


def test_unknown_convention():
    with pytest.raises(InputError, match="'xywh' or 'xyxy'"):
        instancediffusion.to_json(Scene("p", (64, 64)), "yxyx")
