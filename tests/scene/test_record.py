"""Records: what is saved is what is loaded, and nothing is ever half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenewright.errors import InputError, SceneError, StorageError
from scenewright.scene import (
    Box,
    ImageRef,
    Instance,
    Keypoints,
    Mask,
    Part,
    Point,
    Record,
    Scene,
    Scribble,
    SemanticMap,
    read_png_scene,
)

EMPTY = {"prompt": "", "size_wh": [8, 8]}
RNG = np.random.default_rng(0)


def noise_mask(height=64, width=96):
    return Mask.from_array(RNG.random((height, width)) < 0.5)


def full_scene():
    labels = SemanticMap.from_labels(RNG.integers(0, 20, (64, 96)), "cityscapes")
    everything = Instance(
        "a red car ☃",
        box=Box(0.1, 1 / 3, 0.7, 0.9000000000000001),
        mask=noise_mask(),
        points=(Point(0.5, 0.25),),
        scribble=Scribble((Point(0, 0), Point(1, 1))),
        keypoints=Keypoints(tuple((k / 17, 0.5, k % 3) for k in range(17))),
        parts=(Part("wheel", Box(0.2, 0.2, 0.3, 0.3), noise_mask()),),
        reference=ImageRef(path="car.png"),
        negative="rust",
        z=3,
        category="car",
        extra={"org.example": {"a": [1, None, "x"]}},
    )
    return Scene(
        "a red car",
        (96, 64),
        (everything, Instance("sky")),
        negative="fog",
        semantic_map=labels,
        style="oil",
        seed=7,
        extra={"coco": {"id": 3}},
    )


def full_record():
    scene = full_scene()
    return Record(
        image=RNG.integers(0, 256, (64, 96, 3), np.uint8),
        scene=scene,
        masks={scene.ids[0]: noise_mask()},
        labels=SemanticMap.from_labels(RNG.integers(0, 20, (64, 96)), "cityscapes"),
        scores={"iou": 0.1 + 0.2, "per_instance": {"i1": None}},
        provenance={"model": "nano", "seed": 7},
    )


def test_everything_comes_back(tmp_path):
    record = full_record()
    path = record.save(tmp_path / "new" / "folder", "one")
    assert sorted(p.name for p in path.parent.iterdir()) == ["one.png", "one.scene.json"]
    loaded = Record.load(path)
    assert loaded == record and loaded.scene == record.scene and loaded.digest() == record.digest()
    assert np.array_equal(loaded.image, record.image) and loaded.scores == record.scores
    assert Record.load(tmp_path / "new" / "folder" / "one.scene.json") == record
    assert Scene.read(tmp_path / "new" / "folder" / "one.scene.json") == record.scene
    assert read_png_scene(path) == record.scene


def test_a_scene_of_several_mib_comes_back_and_pillow_does_not_mind(tmp_path):
    instances = tuple(Instance(f"thing {k}", mask=noise_mask(320, 320)) for k in range(60))
    scene = Scene("many masks", (320, 320), instances)
    record = Record(np.zeros((320, 320, 3), np.uint8), scene)
    path = record.save(tmp_path, "many")
    assert (tmp_path / "many.scene.json").stat().st_size > 2 * 2**20
    assert read_png_scene(path) == scene
    with Image.open(path) as picture:
        picture.verify()
    with Image.open(path) as picture:
        assert np.array_equal(np.asarray(picture), record.image)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    record = full_record()
    record.save(tmp_path / "a")
    record.save(tmp_path / "b")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "a" / name).read_bytes()


def test_names_come_from_prompt_and_content():
    record = full_record()
    assert record.default_name().startswith("a-red-car-")
    other = record.replace(image=255 - record.image)
    assert other.default_name() != record.default_name()
    empty = Record(record.image, Scene("", (96, 64)))
    assert empty.default_name().startswith("record-")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "x" * 300, "a\0b"])
def test_names_that_are_no_file_names(name, tmp_path):
    with pytest.raises(InputError, match="no file name"):
        full_record().save(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_changed_scene_file_is_noticed(tmp_path):
    full_record().save(tmp_path, "one")
    sidecar = tmp_path / "one.scene.json"
    Scene.read(sidecar).replace(prompt="a blue car").write(sidecar)
    with pytest.raises(InputError, match="differ"):
        Record.load(sidecar)
    (tmp_path / "one.png").unlink()
    with pytest.raises(StorageError, match=r"no one\.png beside it"):
        Record.load(sidecar)


def test_pictures_without_a_record(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="holds no scene"):
        Record.load(tmp_path / "a.png")
    path = full_record().save(tmp_path, "b")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(StorageError, match="cut off"):
        Record.load(path)
    with pytest.raises(StorageError, match="there is no file"):
        Record.load(tmp_path / "c.png")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "expected a record"),
        ({"record_version": 1}, "expected a record"),
        ({"record_version": 2, "scene": {}}, "version 2"),
        ({"record_version": 1, "scene": EMPTY, "wings": 1}, "unknown key 'wings'"),
        ({"record_version": 1, "scene": EMPTY, "masks": {"i1": 3}}, "malformed"),
        ({"record_version": 1, "scene": EMPTY, "labels": {"size_hw": [8, 8]}}, "malformed"),
        ({"record_version": 1, "scene": {"prompt": "", "size_wh": [8, 7]}}, "a.png: size_wh"),
    ],
)
def test_documents_that_are_no_record(document, words):
    with pytest.raises(InputError, match=words):
        Record.from_document(document, np.zeros((8, 8, 3), np.uint8), "a.png")


def test_sizes_and_ids_are_checked():
    record = full_record()
    with pytest.raises(SceneError, match=r"masks\['i1'\]: expected size_hw \[64, 96\]"):
        record.replace(masks={"i1": noise_mask(96, 64)})
    with pytest.raises(SceneError, match="no instance 'i9'"):
        record.replace(masks={"i9": noise_mask()})
    with pytest.raises(SceneError, match="labels: expected size_hw"):
        record.replace(labels=SemanticMap.from_labels(np.zeros((8, 8), int), "voc"))
    with pytest.raises(InputError, match="uint8"):
        record.replace(image=record.image.astype(np.float32))
    with pytest.raises(SceneError, match="provenance"):
        record.replace(provenance={"model": object()})
    with pytest.raises(SceneError, match="scores"):
        record.replace(scores={"iou": float("nan")})


def test_arguments_are_not_changed_and_not_shared():
    scores = {"iou": [1]}
    record = full_record().replace(scores=scores)
    scores["iou"].append(2)
    assert record.scores == {"iou": [1]}


FULL = """
import resource, signal, sys
import numpy as np
from scenewright.errors import StorageError
from scenewright.scene import Record, Scene
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
try:
    Record(noise, Scene("x", (64, 64))).save(sys.argv[1])
except StorageError as fault:
    print("StorageError", fault.message)
"""


def test_a_full_disk_leaves_nothing(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert "StorageError cannot write" in found.stdout
    assert not list((tmp_path / "out").iterdir())


def test_a_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="cannot write") as caught:
        full_record().save(tmp_path / "out")
    assert caught.value.hint


@settings(deadline=None, max_examples=60)
@given(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), max_size=5),
    st.dictionaries(st.sampled_from(["coco", "org.example"]), st.integers() | st.text("ab☃", max_size=3)),
)
def test_any_scene_comes_back_from_its_png(tmp_path_factory, prompt, numbers, extra):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in numbers]
    instances = tuple(Instance("x", box=Box(*box)) for box in boxes if box[0] < box[2] and box[1] < box[3])
    record = Record(np.zeros((8, 8, 3), np.uint8), Scene(prompt, (8, 8), instances, extra=extra))
    folder = Path(tmp_path_factory.mktemp("records"))
    assert Record.load(record.save(folder)) == record
