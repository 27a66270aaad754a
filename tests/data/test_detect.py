"""One door for all files: formats are recognised by content, everything else gets a clear answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from scenewright.data import box_list, coco, gligen_args, instancediffusion, planned, prompt_classes
from scenewright.data.detect import FORMATS, detect, read_scenes
from scenewright.data.foreign import ClippedBoxes
from scenewright.errors import InputError, SceneError, StorageError
from scenewright.scene import Box, Instance, Record, Scene

SCENE = Scene(
    "two cats",
    (64, 64),
    tuple(Instance("a cat", category="cat", box=Box(k / 4, 0.25, k / 4 + 0.25, 0.5)) for k in range(3)),
)


@pytest.fixture
def save(tmp_path):
    def save(value, name="a.json"):
        (tmp_path / name).write_text(json.dumps(value))
        return tmp_path / name

    return save


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("scene", SCENE.to_json()),
        ("scene", [SCENE.to_json()]),
        ("instancediffusion", instancediffusion.to_json(SCENE)),
        ("gligen", gligen_args.to_json(SCENE)),
        ("gligen", [gligen_args.to_json(SCENE)]),
        ("box-list", box_list.to_json(SCENE)),
        ("box-list", box_list.to_json(SCENE)["boxes"]),
        ("prompts", prompt_classes.to_json([SCENE])),
        ("coco", coco.to_json([SCENE])),
        ("coco-captions", coco.captions_to_json([SCENE])),
    ],
)
def test_what_we_write_is_recognised(name, document, save):
    assert detect(document) == name
    by_content, by_name = read_scenes(save(document)), read_scenes(save(document), name)
    assert by_content == by_name and len(by_content) == 1
    assert len(by_content[0].instances) == (0 if name == "coco-captions" else 3)


def test_published_files_are_recognised(data_dir):
    for path in sorted((data_dir / "demos").glob("*.json")):
        assert detect(json.loads(path.read_text())) == "instancediffusion"
    for path in sorted((data_dir / "planned_layouts" / "descriptions").glob("*.json")):
        assert detect(json.loads(path.read_text())) == "planned"
        assert read_scenes(path) == planned.read(path)
    for name in ("instances", "stuff"):
        assert len(read_scenes(data_dir / "coco100" / "annotations" / f"{name}_train2017.json")) == 100
    with pytest.warns(ClippedBoxes, match="1 of 13"):
        read_scenes(data_dir / "demos" / "demo_corgi_kitchen.json")


def test_lists_of_planned_files_are_read_as_one(data_dir, save):
    paths = sorted((data_dir / "planned_layouts" / "descriptions").glob("*.json"))[:5]
    together = [json.loads(path.read_text()) for path in paths]
    assert read_scenes(save(together)) == [planned.read(path)[0] for path in paths]


def test_boxes_that_could_be_either_are_not_guessed(save):
    document = {
        "caption": "p",
        "width": 512,
        "height": 512,
        "annos": [{"caption": "x", "bbox": [9, 9, 90, 90]}],
    }
    with pytest.raises(InputError, match="could be x, y, width, height in pixels or corners") as caught:
        read_scenes(save(document))
    assert "'planned'" in caught.value.hint
    sides, corners = (read_scenes(save(document), name)[0] for name in ("instancediffusion", "planned"))
    assert sides.instances[0].box.x1 == 99 / 512 and corners.instances[0].box.x1 == 90 / 512


def test_pictures_of_records(tmp_path):
    path = Record(np.zeros((64, 64, 3), np.uint8), SCENE).save(tmp_path)
    assert read_scenes(path) == [SCENE]
    assert read_scenes(str(path)) == [SCENE]


def test_other_pictures_and_cut_off_ones(tmp_path):
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        with pytest.raises(InputError, match="holds no scene") as caught:
            read_scenes(tmp_path / name)
        assert "Scenewright" in caught.value.hint
    path = Record(np.zeros((64, 64, 3), np.uint8), SCENE).save(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match="cut off"):
        read_scenes(path)


def test_missing_files_and_folders(save, tmp_path):
    save({}, "two-cats.json")
    with pytest.raises(StorageError, match="there is no file") as caught:
        read_scenes(tmp_path / "two-cat.json")
    assert "two-cats.json" in caught.value.hint
    with pytest.raises(StorageError, match="is a folder"):
        read_scenes(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("a red car", "is not JSON"),
        ("[]", "empty list"),
        ("3", "expected scenes, got 3"),
        ("[[1]]", "expected scenes"),
        ('{"wings": 2}', "no known format has the keys 'wings'"),
        ("{}", r"\(none\)"),
        ('{"promt": "a", "size_wh": [64, 64]}', "promt"),
        (
            '{"prompt": "a", "size_wh": [64, 64], "instances": [{"phrase": "x", "box": [1, 0, 0, 1]}]}',
            "instances",
        ),
        ('{"prompt": "a", "boxes": [[0, 0, 1, 1]]}', "expected one of the keys phrases"),
        ('{"images": [], "annotations": [{"bbox": [0, 0, 1, 1]}]}', "'categories' is missing"),
        ('{"caption": "a", "annos": []}', "'width' is missing"),
    ],
)
def test_everything_else_gets_a_clear_answer(content, words, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_scenes(tmp_path / "a.json")
    assert "a.json" in caught.value.message


def test_errors_of_scenes_in_lists_say_which(save):
    with pytest.raises(SceneError, match=r"\[1\]"):
        read_scenes(save([SCENE.to_json(), {"prompt": 3, "size_wh": [64, 64]}]))


def test_unknown_formats(save):
    with pytest.raises(InputError, match="no format 'cocco'") as caught:
        read_scenes(save({}), "cocco")
    assert "'coco'" in caught.value.hint
    assert all(entry.words and entry.name == name for name, entry in FORMATS.items())


def test_the_canvas_of_files_without_one(save):
    document = {"prompt": "p", "phrases": ["x"], "boxes": [[0, 0, 0.5, 0.5]]}
    assert read_scenes(save(document))[0].size_wh == (512, 512)
    assert read_scenes(save(document), size_wh=(128, 96))[0].size_wh == (128, 96)
