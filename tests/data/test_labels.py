"""InstanceDiffusion's training files: pictures inside, phrases, masks, lists, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.data.labels import has_labels, label_files, read_label
from scenewright.errors import InputError
from scenewright.scene import Mask
from scenewright.train.located import open_scenes
from scenewright.train.renders import Source, open_pictures

BITS = np.zeros((48, 64), bool)
BITS[10:30, 20:50] = True


def document(**changes):
    buffer = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), (200, 30, 30), np.uint8)).save(buffer, "JPEG")
    mask = Mask.from_array(BITS)
    annos = [
        {"bbox": [20, 10, 30, 20], "mask": {"size": [48, 64], "counts": mask.counts},
         "category_name": "car", "caption": "a red car", "text_embedding_before": "AAAA"},
        {"bbox": [0, 0, 10, 10], "mask": [], "category_name": "dog", "caption": "small and brown"},
        {"bbox": [40, 30, 10, 10], "category_name": "dog", "caption": ""},
    ]  # fmt: skip
    picture = base64.b64encode(buffer.getvalue()).decode()
    return {"image": picture, "caption": "a street", "is_det": 0, "annos": annos, **changes}


def write(folder: Path, name: str = "label_000.json", **changes) -> Path:
    path = folder / name
    path.write_text(json.dumps(document(**changes)))
    return path


def test_picture_scene_and_phrases(tmp_path):
    image, scene = read_label(write(tmp_path))
    assert image.shape == (48, 64, 3) and scene.size_wh == (64, 48) and scene.prompt == "a street"
    assert [one.phrase for one in scene.instances] == ["a red car", "dog. small and brown", "dog"]
    assert [one.category for one in scene.instances] == ["car", "dog", "dog"]
    assert np.array_equal(scene.instances[0].mask.array(), BITS) and scene.instances[1].mask is None
    assert read_label(write(tmp_path, is_det=1))[1].prompt == "1 car, 2 dog. a street"


def test_folders_and_lists(tmp_path):
    paths = [write(tmp_path, f"label_{k}.json") for k in range(3)]
    listing = tmp_path / "train.txt"
    listing.write_text("label_2.json\n\nlabel_0.json\n")
    assert label_files(tmp_path) == paths and label_files(listing) == [paths[2], paths[0]]
    assert has_labels(tmp_path) and has_labels(listing) and not has_labels(tmp_path / "other.json")


def test_they_are_trained_on_without_being_converted(tmp_path):
    for k in range(2):
        write(tmp_path, f"label_{k}.json")
    source = Source(name=str(tmp_path), size_wh=(32, 32))
    pictures, scenes = open_pictures(source, tmp_path / "cache"), open_scenes(source, tmp_path / "cache")
    assert pictures.images(np.array([0, 1])).shape == (2, 32, 32, 3)
    assert len(scenes) == 2 and scenes[0].instances[0].mask.size_hw == (32, 32)
    assert pictures.items[0].boxes[0] == pytest.approx(scenes[0].instances[0].box.xyxy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "!!"}, "expected a picture in base64"),
        ({"annos": [{"bbox": [1, 2, 3]}]}, "bbox"),
        ({"annos": [{"bbox": [1, 2, 3, 4]}]}, "neither 'caption' nor 'category_name'"),
    ],
)
def test_what_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        read_label(write(tmp_path, **changes))
