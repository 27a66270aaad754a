"""The dataclasses: what they accept from Python, what they promise."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from scene_strategies import QUICK, scenes

import scenewright.scene as package
from scenewright.errors import SceneError
from scenewright.scene import (
    SKELETONS,
    Box,
    ImageRef,
    Instance,
    Keypoints,
    Mask,
    Part,
    Point,
    Scene,
    Scribble,
    SemanticMap,
)

CAT = Instance("cat")


def test_no_instances():
    scene = Scene("", (8, 8))
    assert scene.instances == () and scene.ids == () and scene.overlap_warnings() == ()
    assert scene.size_hw == (8, 8)


def test_ids_are_given_once_and_stay():
    scene = Scene("x", (8, 8), (CAT, Instance("dog", id="i1"), CAT, Instance("cow", id="i4"), CAT))
    assert scene.ids == ("i2", "i1", "i3", "i4", "i5")
    assert scene.replace(prompt="y").ids == scene.ids
    assert scene.replace(instances=scene.instances[2:]).ids == ("i3", "i4", "i5")
    assert scene.instance("i4").phrase == "cow"
    with pytest.raises(SceneError) as found:
        scene.instance("i44")
    assert "i4" in found.value.hint
    assert CAT.id == ""


def test_location_box():
    box, mask = Box(0, 0, 0.5, 0.5), Mask.from_box(Box(0.5, 0.5, 1, 1), (8, 8))
    assert CAT.location_box is None
    assert CAT.replace(box=box, mask=mask).location_box == box
    assert CAT.replace(mask=mask).location_box == Box(0.5, 0.5, 1, 1)
    assert CAT.replace(mask=Mask.empty((8, 8))).location_box is None
    assert CAT.replace(points=(Point(0.5, 0.5),)).location_box.xyxy == pytest.approx((0.45, 0.45, 0.55, 0.55))
    corner = CAT.replace(points=(Point(1, 0),)).location_box
    assert corner.xyxy == pytest.approx((0.9, 0, 1, 0.1))
    line = Scribble((Point(0, 0.2), Point(1, 0.2)))
    assert CAT.replace(scribble=line).location_box.xyxy == pytest.approx((0, 0.15, 1, 0.25))


def test_numpy_and_lists_are_taken_and_stored_as_plain_values():
    scene = Scene("x", np.array([16, 8]).tolist(), [Instance("cat", z=np.int64(3))], seed=np.int64(5))
    assert scene.size_wh == (16, 8)
    assert type(scene.seed) is int and type(scene.instances[0].z) is int
    assert Scene("x", (np.int32(16), 8.0)) == Scene("x", (16, 8))
    assert hash(scene) == hash(Scene.from_json(scene.to_json()))


@pytest.mark.parametrize(
    ("build", "path", "message"),
    [
        (lambda: Instance(7), "phrase", "expected a text, got 7"),
        (lambda: Instance(" "), "phrase", "empty"),
        (lambda: Instance("cat", box=(0, 0, 1, 1)), "box", "expected a Box, got [0, 0, 1, 1]"),
        (lambda: Instance("cat", mask=np.zeros((8, 8))), "mask", "expected a Mask, got a ndarray"),
        (lambda: Instance("cat", points=Point(0, 0)), "points", "expected a list of Point, got a Point"),
        (lambda: Instance("cat", points=[(0, 0)]), "points[0]", "expected a Point, got [0, 0]"),
        (lambda: Instance("cat", negative=7), "negative", "expected a text, got 7"),
        (lambda: Instance("cat", z=math.inf), "z", "expected a whole number, got inf"),
        (lambda: Instance("cat", id="a/b"), "id", "got the text 'a/b'"),
        (lambda: Instance("cat", extra=[1]), "extra", "expected an object, got [1]"),
        (lambda: Instance("cat", extra={"coco": {1, 2}}), "extra.coco", "expected plain JSON, got a set"),
        (lambda: Scene(None, (8, 8)), "prompt", "expected a text, got null"),
        (lambda: Scene("x", (8, 8), "cat"), "instances", "expected a list of Instance, got the text 'cat'"),
        (lambda: Scene("x", (8, 8), ["cat"]), "instances[0]", "expected an Instance, got the text 'cat'"),
        (lambda: Scene("x", 512), "size_wh", "expected two whole numbers, got 512"),
        (lambda: Scene("x", (0, 8)), "size_wh[0]", "from 8 to 16384, got 0"),
        (lambda: Scene("x", (8, 12)), "size_wh[1]", "expected a multiple of 8, got 12"),
        (lambda: Scene("x", (8, 8), seed=-1), "seed", "from 0 to 9007199254740991, got -1"),
        (lambda: Scene("x", (8, 8), seed=10**400), "seed", "got a number of 1329 bits"),
        (lambda: Scene("x", (8, 8), style=1), "style", "expected a text"),
        (lambda: Scene("x", (8, 8), schema_version=0), "schema_version", "from 1 to 1, got 0"),
        (lambda: Scene("x", (8, 8), semantic_map="voc"), "semantic_map", "expected a SemanticMap"),
        (lambda: Scene("x", (8, 8), picture="a.png"), "picture", "expected an ImageRef"),
        (
            lambda: Scene(
                "x", (8, 8), [Instance("c", parts=[Part("p", Box(0, 0, 1, 1), Mask.empty((8, 16)))])]
            ),
            "instances[0].parts[0].mask",
            "expected size_hw [8, 8] as the scene's, got [8, 16]",
        ),
        (
            lambda: Scene("x", (8, 8), semantic_map=SemanticMap.from_labels(np.zeros((8, 16), int), "voc")),
            "semantic_map",
            "got [8, 16]",
        ),
        (lambda: Part("", Box(0, 0, 1, 1)), "name", "empty"),
        (lambda: Part("p", None), "box", "expected a Box, got null"),
        (lambda: ImageRef(), "", "neither"),
        (lambda: ImageRef(sha256="AB"), "sha256", "64 hex digits"),
        (lambda: Point(0.5, 1.5), "y", "expected a number from 0 to 1, got 1.5"),
        (lambda: Point(math.nan, 0), "x", "finite"),
        (lambda: Scribble((Point(0, 0),)), "points", "at least 2"),
        (lambda: Keypoints(((0, 0, 1),)), "points", "expected 17 joints for coco17, got [(0, 0, 1)]"),
        (lambda: Keypoints(((0, 0),) * 17), "points[0]", "expected x, y, v"),
        (lambda: Keypoints(((0, 2, 1),) * 17), "points[0][1]", "got 2"),
        (lambda: Keypoints((), "coco"), "skeleton", "expected one of coco17"),
        (lambda: SemanticMap.from_labels(np.zeros((2, 2)), "voc"), "", "expected whole numbers"),
        (lambda: SemanticMap.from_labels(np.full((2, 2), 70000), "voc"), "", "expected labels in 0..65535"),
        (lambda: SemanticMap("", (2, 2), "x"), "vocabulary", "empty"),
        (lambda: SemanticMap("voc", (2, 2), "é"), "data", "does not unpack"),
    ],
)
def test_refuses(build, path, message):
    with pytest.raises(SceneError) as found:
        build()
    assert found.value.path == path
    assert message in str(found.value)


def test_a_photograph_may_have_any_size():
    scene = Scene(
        "a kitchen", (641, 427), (Instance("cup", mask=Mask.empty((427, 641))),), picture=ImageRef("k.jpg")
    )
    assert Scene.from_json(scene.to_json()) == scene
    with pytest.raises(SceneError, match="multiple of 8") as found:
        scene.replace(picture=None)
    assert "picture" in found.value.hint


def test_labels_round_trip():
    labels = np.random.default_rng(0).choice([0, 1, 255, 65535], (5, 7)).astype(np.uint16)
    found = SemanticMap.from_labels(labels, "voc")
    np.testing.assert_array_equal(found.labels(), labels)
    assert found.labels().dtype == np.uint16
    found.labels()[:] = 0
    assert found == SemanticMap.from_labels(labels.astype(np.int64), "voc")
    assert found != SemanticMap.from_labels(labels, "coco")
    assert found != SemanticMap.from_labels(labels[::-1], "voc")


def test_compression_does_not_change_what_a_map_is():
    import base64
    import zlib

    labels = np.arange(64, dtype="<u2").reshape(8, 8)
    first = SemanticMap.from_labels(labels, "voc")
    other = SemanticMap("voc", (8, 8), base64.b64encode(zlib.compress(labels.tobytes(), 0)).decode())
    assert other.data != first.data
    assert other == first and hash(other) == hash(first)
    a, b = (Scene("x", (8, 8), semantic_map=found) for found in (first, other))
    assert a == b and a.digest() == b.digest()


@QUICK
@given(scenes())
def test_scenes_are_values(scene):
    for again in (copy.deepcopy(scene), pickle.loads(pickle.dumps(scene)), scene.replace()):
        assert again == scene and hash(again) == hash(scene) and again.digest() == scene.digest()
    other = scene.replace(prompt=scene.prompt + "!")
    assert other != scene and other.digest() != scene.digest()
    assert 0 <= scene.auto_seed() < 2**32


def test_the_digest_never_changes():
    """Seeds of published scenes hang on it."""
    scene = Scene(
        "a red car",
        (128, 64),
        (Instance("car", box=Box(0.125, 0.25, 0.5, 0.75), extra={"coco": {"b": 1, "a": "é"}}),),
    )
    assert scene.digest() == "ed3103cd09273a3a1485904150ffec3062b4fcd790f9993351c779297f62538c"
    assert scene.auto_seed() == int(scene.digest()[:8], 16)


def test_nothing_reaches_in_from_outside():
    extra = {"coco": {"list": [1, 2]}}
    points = [Point(0, 0)]
    cat = Instance("cat", points=points, extra=extra)
    before = Scene("x", (8, 8), (cat,)).digest()
    extra["coco"]["list"].append(3)
    points.append(Point(1, 1))
    scene = Scene("x", (8, 8), (cat,))
    assert scene.digest() == before
    document = scene.to_json()
    document["instances"][0]["extra"]["coco"]["list"].append(4)
    document["size_wh"][0] = 16
    assert scene.digest() == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.prompt = "y"


def test_overlap_warnings():
    near = Box(0, 0, 0.5, 0.49)
    scene = Scene(
        "x", (8, 8), (Instance("cat", box=Box(0, 0, 0.5, 0.5)), Instance("dog", box=near), Instance("fog"))
    )
    assert scene.overlap_warnings() == ("i1 (cat) and i2 (dog) take nearly the same place (overlap 0.98)",)
    assert scene.overlap_warnings(iou=0.99) == ()


def test_joints_are_found_by_name():
    body = Keypoints(tuple((k / 16, 0.5, 2) for k in range(17)))
    assert body.joint("left_ankle") == (15 / 16, 0.5, 2)
    with pytest.raises(SceneError) as found:
        body.joint("left_ancle")
    assert "left_ankle" in found.value.hint
    for a, b in SKELETONS["coco17"].mirrored:
        names = SKELETONS["coco17"].names
        assert names[a].replace("left", "right") == names[b]


def test_every_name_of_the_package_is_there():
    for name in package.__all__:
        assert getattr(package, name).__doc__ or not callable(getattr(package, name))
    with pytest.raises(AttributeError, match="Scenes"):
        _ = package.Scenes


def test_importing_scenes_loads_neither_torch_nor_pillow():
    code = (
        "import sys, scenewright.scene; print([m for m in ('torch', 'PIL', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
