"""Scenes to JSON and back, and what is said about files that are no scene."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from scene_strategies import QUICK, scenes

from scenewright.errors import InputError, SceneError, StorageError
from scenewright.scene import Box, Instance, Mask, Point, Scene
from scenewright.scene.reading import scene_text, upgraded


def test_scene_without_instances(tmp_path):
    scene = Scene("a lawn", (64, 32))
    assert scene.to_json() == {"schema_version": 1, "prompt": "a lawn", "size_wh": [64, 32], "instances": []}
    scene.write(tmp_path / "s.json")
    assert Scene.read(tmp_path / "s.json") == scene


@QUICK
@given(scenes())
def test_text_round_trip(scene):
    again = Scene.from_json(json.loads(scene_text(scene)))
    assert again == scene
    assert scene_text(again) == scene_text(scene)
    assert again.digest() == scene.digest()
    assert hash(again) == hash(scene)


def test_file_is_readable():
    scene = Scene("x", (8, 8), (Instance("cat", box=Box(0, 0, 1, 0.5), points=(Point(0.5, 0.5),)),))
    text = scene_text(scene)
    assert '"box": [0.0, 0.0, 1.0, 0.5]' in text
    assert '"size_wh": [8, 8]' in text
    tricky = Scene('[\n 1,\n 2\n]  "[\\n1,\\n2]"', (8, 8))
    assert Scene.from_json(json.loads(scene_text(tricky))) == tricky


def test_extra_survives_as_it_is(tmp_path):
    extra = {"coco": {"id": 7, "segmentation": [[1.5, 2, 3.25]], "n": None, "deep": {"a": [True, "é"]}}}
    scene = Scene("x", (8, 8), (Instance("cat", extra=extra),), extra={"org.example": [1, 2.0]})
    scene.write(tmp_path / "s.json")
    again = Scene.read(tmp_path / "s.json")
    assert json.dumps(again.instances[0].extra) == json.dumps(extra)
    assert json.dumps(again.extra) == '{"org.example": [1, 2.0]}'


def test_version_0_is_upgraded():
    old = {
        "schema_version": 0,
        "prompt": "x",
        "size_wh": [8, 8],
        "instances": [{"phrase": "cat", "bbox": [0, 0, 1, 1]}, {"phrase": "dog"}],
    }
    kept = copy.deepcopy(old)
    scene = Scene.from_json(old)
    assert scene.schema_version == 1
    assert scene.ids == ("i1", "i2")
    assert scene.instances[0].box == Box(0, 0, 1, 1)
    assert old == kept
    assert upgraded(old)["instances"][0] == {"phrase": "cat", "box": [0, 0, 1, 1]}
    assert upgraded(scene.to_json()) == scene.to_json()


BASE = {"prompt": "x", "size_wh": [64, 32]}
CAT = {"phrase": "cat"}
WHOLE = {"size_hw": [8, 8], "counts": Mask.empty((8, 8)).counts}


def one(**fields):
    return {**BASE, "instances": [CAT, {**CAT, **fields}]}


REFUSED = [
    # document, path, message, hint
    ([], "", "expected a scene as a JSON object, got []", ""),
    (None, "", "got null", ""),
    ({}, "prompt", "missing, expected a text", ""),
    ({"prompt": "x"}, "size_wh", "missing, expected a list of 2 (Width, height in pixels", ""),
    ({**BASE, "promt": "x"}, "promt", "unknown key", "did you mean 'prompt'?"),
    ({**BASE, "annos": []}, "annos", "unknown key", "did you mean 'instances'?"),
    ({**BASE, "qqq": []}, "qqq", "unknown key", "known keys are schema_version, prompt,"),
    ({**BASE, "prompt": None}, "prompt", "expected a text, got null", "leave the key out"),
    ({**BASE, "prompt": ["x"]}, "prompt", "expected a text, got ['x']", ""),
    ({**BASE, "prompt": "\ud800"}, "prompt", "lone surrogate", ""),
    ({**BASE, "size_wh": [64, 33]}, "size_wh[1]", "expected a multiple of 8, got 33", "use 32 or 40"),
    ({**BASE, "size_wh": [0, 32]}, "size_wh[0]", "expected a whole number from 1 to 16384, got 0", ""),
    ({**BASE, "size_wh": [64, 32, 3]}, "size_wh", "expected a list of 2", ""),
    ({**BASE, "size_wh": 64}, "size_wh", "expected a list of 2", ""),
    ({**BASE, "size_wh": [64, 32.5]}, "size_wh[1]", "expected a whole number", ""),
    ({**BASE, "size_wh": [64, 10**400]}, "size_wh[1]", "got a number of 1329 bits", ""),
    ({**BASE, "seed": -1}, "seed", "expected a whole number from 0 to 9007199254740991, got -1", ""),
    ({**BASE, "seed": "7"}, "seed", "got the text '7'", ""),
    ({**BASE, "seed": True}, "seed", "got true", ""),
    ({**BASE, "schema_version": 2}, "schema_version", "expected at most 1, got 2", "update the package"),
    ({**BASE, "schema_version": -1}, "schema_version", "expected 1, got -1", ""),
    ({**BASE, "schema_version": "1"}, "schema_version", "expected a whole number", ""),
    ({**BASE, "instances": {}}, "instances", "expected a list, got an object with 0 keys", ""),
    ({**BASE, "instances": ["cat"]}, "instances[0]", "expected an object, got the text 'cat'", ""),
    ({**BASE, "extra": {"Bad key": 1}}, "extra", "got 'Bad key'", "lower case"),
    ({**BASE, "extra": {"coco": float("nan")}}, "extra.coco", "expected a finite number, got nan", ""),
    ({**BASE, "extra": {"coco": {1: 2}}}, "extra.coco", "expected a text, got 1", ""),
    (
        {**BASE, "extra": {"coco": np.zeros(2)}},
        "extra.coco",
        "plain JSON, got a ndarray",
        "lists and numbers",
    ),
    ({**BASE, "picture": {}}, "picture", "at least one of path, sha256", ""),
    ({**BASE, "picture": {"sha256": "zz"}}, "picture.sha256", "matches", "64 hex digits"),
    ({**BASE, "semantic_map": WHOLE}, "semantic_map.counts", "unknown key", "known keys are vocabulary"),
    (
        {**BASE, "semantic_map": {"vocabulary": 7, "size_hw": [32, 64], "data": "eA=="}},
        "semantic_map.vocabulary",
        "expected a text, got 7",
        "",
    ),
    (
        {**BASE, "semantic_map": {"vocabulary": "voc", "size_hw": [32, 64], "data": "AAAA"}},
        "semantic_map.data",
        "does not unpack",
        "",
    ),
    (one(phrase=""), "instances[1].phrase", "expected a text, got an empty one", ""),
    (one(bbox=[0, 0, 1, 1]), "instances[1].bbox", "unknown key", "did you mean 'box'?"),
    (one(caption="x"), "instances[1].caption", "unknown key", "did you mean 'phrase'?"),
    (
        one(box=[0.6, 0, 0.5, 1]),
        "instances[1].box",
        "expected x0 < x1, got x0 = 0.6 and x1 = 0.5",
        "x0, y0, x1, y1",
    ),
    (one(box=[0.5, 0, 0.5, 1]), "instances[1].box", "got an empty box", "from_xywh_px"),
    (one(box=[0, 0, 1, 1.49]), "instances[1].box[3]", "expected a number from 0 to 1, got 1.49", "fractions"),
    (one(box=[0, 0, float("nan"), 1]), "instances[1].box[2]", "expected a finite number, got nan", ""),
    (one(box=[0, 0, 1]), "instances[1].box", "expected a list of 4 (x0, y0, x1, y1", ""),
    (one(box={"x": 1}), "instances[1].box", "expected a list of 4", ""),
    (one(box=[0, 0, "1", 1]), "instances[1].box[2]", "expected a number from 0 to 1, got the text '1'", ""),
    (
        one(mask=WHOLE),
        "instances[1].mask",
        "expected size_hw [32, 64] as the scene's, got [8, 8]",
        "height, width",
    ),
    (one(mask={"size": [8, 8], "counts": "P2"}), "instances[1].mask.size", "unknown key", "'size_hw'"),
    (
        one(mask={"size_hw": [32, 64], "counts": "P2"}),
        "instances[1].mask.counts",
        "32 x 64 = 2048, got 64",
        "",
    ),
    (one(mask={"size_hw": [32, 64], "counts": "~"}), "instances[1].mask.counts", "got the text '~'", "COCO"),
    (one(mask={"size_hw": [32, 64], "counts": "P"}), "instances[1].mask.counts", "breaks off", ""),
    (one(points=[[0.5, 0.5], [0.5, 1.5]]), "instances[1].points[1][1]", "got 1.5", "fractions"),
    (one(points=[0.5, 0.5]), "instances[1].points[0]", "expected a list of 2 (x, y), got 0.5", ""),
    (one(scribble=[[0.5, 0.5]]), "instances[1].scribble", "expected a list of at least 2 (A line), got", ""),
    (one(keypoints={"points": []}), "instances[1].keypoints.points", "expected a list of 17", ""),
    (
        one(keypoints={"points": [[0, 0, 3]] * 17}),
        "instances[1].keypoints.points[0][2]",
        "expected a whole number from 0 to 2, got 3",
        "",
    ),
    (
        one(keypoints={"points": [[0, 0, 1]] * 17, "skeleton": "coco18"}),
        "instances[1].keypoints.skeleton",
        "expected one of coco17, got 'coco18'",
        "did you mean 'coco17'?",
    ),
    (one(parts=[{"name": "roof"}]), "instances[1].parts[0].box", "missing, expected a list of 4", ""),
    (
        one(parts=[{"name": "roof", "box": [0, 0, 1, 1], "mask": WHOLE}]),
        "instances[1].parts[0].mask",
        "as the scene's",
        "",
    ),
    (one(reference="a.png"), "instances[1].reference", "expected an object, got the text 'a.png'", ""),
    (one(id="a b"), "instances[1].id", "got the text 'a b'", "Unique in its scene"),
    (one(z=0.5), "instances[1].z", "expected a whole number", ""),
    (
        {**BASE, "instances": [{**CAT, "id": "a"}, {**CAT, "id": "a"}]},
        "instances[1].id",
        "expected unique ids, got 'a' again (first in instances[0])",
        "leave ids out",
    ),
]


@pytest.mark.parametrize(("document", "path", "message", "hint"), REFUSED)
def test_refuses(document, path, message, hint):
    with pytest.raises(SceneError) as found:
        Scene.from_json(document)
    assert found.value.path == path
    assert str(found.value).startswith(f"{path}: " if path else "expected")
    assert message in str(found.value)
    assert hint in found.value.hint


def test_deep_documents_are_refused():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SceneError, match="nested too deeply"):
        Scene.from_json({**BASE, "extra": {"coco": deep}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b"{'prompt': 1}", "line 1, column 2"),
        (b'{"prompt": NaN}', "NaN"),
        (b'{"prompt": "a", "prompt": "b"}', "twice"),
        (b"\x89PNG\r\n", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"prompt": "x", "size_wh": [64, 33]}', "s.json: size_wh[1]: expected a multiple of 8"),
    ],
)
def test_bad_files_name_themselves(tmp_path, content, message):
    (tmp_path / "s.json").write_bytes(content)
    with pytest.raises(InputError) as found:
        Scene.read(tmp_path / "s.json")
    assert message in str(found.value)
    assert "s.json" in str(found.value)


def test_missing_file(tmp_path):
    (tmp_path / "scene.json").write_text("{}")
    with pytest.raises(StorageError) as found:
        Scene.read(tmp_path / "scen.json")
    assert "scene.json" in found.value.hint


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(StorageError):
        Scene("x", (8, 8)).write(tmp_path / "file" / "s.json")
    assert (tmp_path / "file").read_text() == "old"
    Scene("x", (8, 8)).write(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
