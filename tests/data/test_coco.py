"""COCO files: nothing may be lost on the way to records and back. The oracle for masks is pycocotools."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from pycocotools import mask as oracle

from scenewright.data import coco
from scenewright.data.foreign import ClippedBoxes
from scenewright.errors import InputError, StorageError
from scenewright.scene import Box, Instance, Keypoints, Mask, Record, Scene, iou_matrix, read_png_scene
from scenewright.scene.files import parse_json, to_json_bytes


def oracle_mask(segmentation, height, width):
    """The pixels that pycocotools gives a segmentation of any kind."""
    if isinstance(segmentation, list):
        runs = oracle.merge(oracle.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = oracle.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    return oracle.decode(runs).astype(bool)


@pytest.fixture(scope="module", params=["instances", "stuff"])
def written(request, data_dir):
    path = data_dir / "coco100" / "annotations" / f"{request.param}_train2017.json"
    return path, json.loads(path.read_text())


def without(document, *keys):
    """The file with some keys taken out of every annotation."""
    rows = [{key: value for key, value in row.items() if key not in keys} for row in document["annotations"]]
    return {**document, "annotations": rows}


def test_all_pictures_round_trip_through_records(written, data_dir):
    path, document = written
    records = list(coco.read_records(path, data_dir / "coco100" / "train2017"))
    assert len(records) == 100
    back = coco.from_records(records, coco.read_head(path))
    assert back["images"] == document["images"] and back["categories"] == document["categories"]
    assert {key: back[key] for key in ("info", "licenses")} == {
        key: document[key] for key in ("info", "licenses")
    }
    by_id = {row["id"]: row for row in back["annotations"]}
    assert len(by_id) == len(back["annotations"]) == len(document["annotations"])
    assert all(by_id[row["id"]] == row for row in document["annotations"])


def test_masks_and_boxes_alone_are_lossless(written):
    """The same without what was kept as written: masks from run lengths, boxes from fractions."""
    path, document = written
    bare = [
        scene.replace(
            instances=tuple(
                item.replace(
                    extra={"coco": {"id": item.extra["coco"]["id"], "iscrowd": item.extra["coco"]["iscrowd"]}}
                )
                for item in scene.instances
            )
        )
        for scene in coco.read(path)
    ]
    back = {row["id"]: row for row in coco.to_json(bare, coco.read_head(path))["annotations"]}
    sizes = {row["id"]: (row["height"], row["width"]) for row in document["images"]}
    worst = 0.0
    for row in document["annotations"]:
        found = back[row["id"]]
        expected = oracle_mask(row["segmentation"], *sizes[row["image_id"]])
        assert np.array_equal(oracle.decode(found["segmentation"]).astype(bool), expected)  # IoU 1.0
        assert found["area"] == expected.sum()
        worst = max(worst, *(abs(a - b) for a, b in zip(found["bbox"], row["bbox"], strict=True)))
        assert (found["iscrowd"], found["category_id"]) == (row["iscrowd"], row["category_id"])
    assert worst < 1e-6


def test_crowd_regions_are_there(data_dir):
    scenes = coco.read(data_dir / "coco100" / "annotations" / "instances_train2017.json")
    crowds = [item for scene in scenes for item in scene.instances if item.extra["coco"]["iscrowd"]]
    assert len(crowds) == 10 and all(item.mask is not None and not item.mask.is_empty for item in crowds)


def test_records_keep_it_all_in_their_png(data_dir, tmp_path):
    path = data_dir / "coco100" / "annotations" / "instances_train2017.json"
    record = next(iter(coco.read_records(path, data_dir / "coco100" / "train2017")))
    saved = record.save(tmp_path)
    assert Record.load(saved) == record and read_png_scene(saved) == record.scene
    assert coco.from_records([Record.load(saved)]) == coco.from_records([record])


def test_without_a_head_categories_are_those_that_occur(written):
    path, document = written
    back = coco.to_json(coco.read(path))
    names = {row["id"]: row["name"] for row in document["categories"]}
    used = {row["category_id"] for row in document["annotations"]}
    assert {row["id"]: row["name"] for row in back["categories"]} == {key: names[key] for key in used}


def test_edited_instances_are_written_anew(data_dir):
    path = data_dir / "coco100" / "annotations" / "instances_train2017.json"
    scene = next(scene for scene in coco.read(path) if len(scene.instances) > 2)
    first, second = scene.instances[:2]
    height, width = scene.size_hw
    bits = np.zeros((height, width), bool)
    bits[10:20, 30:50] = True
    moved = first.replace(box=Box(0.25, 0.25, 0.5, 0.5), mask=Mask.from_array(bits))
    row, other = coco.to_json([scene.replace(instances=(moved, second))])["annotations"]
    assert row["bbox"] == pytest.approx([width / 4, height / 4, width / 4, height / 4])
    assert row["area"] == 200 and np.array_equal(oracle.decode(row["segmentation"]).astype(bool), bits)
    assert other["segmentation"] == second.extra["coco"]["segmentation"]
    small = scene.replace(instances=(), size_wh=(64, 64))
    assert coco.to_json([small.replace(instances=(first.replace(mask=None),))])["annotations"][0]["bbox"]


def shape_with_holes():
    bits = np.zeros((48, 64), bool)
    bits[4:20, 4:30] = True
    bits[8:14, 10:20] = False
    bits[30:40, 40:60] = True
    bits[33, 45] = False
    return bits


def test_parts_and_holes_survive():
    bits = shape_with_holes()
    scene = Scene("x", (64, 48), (Instance("cat", mask=Mask.from_array(bits)), Instance("sofa bed")))
    back = coco.to_json([scene])
    assert np.array_equal(oracle.decode(back["annotations"][0]["segmentation"]).astype(bool), bits)
    assert back["categories"] == [{"id": 1, "name": "sofa bed"}, {"id": 17, "name": "cat"}]
    assert back["annotations"][1]["bbox"] == [0, 0, 0, 0] and "segmentation" not in back["annotations"][1]
    again = coco.from_json(parse_json(to_json_bytes(back), "x"), "x")[0]
    assert again.instances[0].mask == Mask.from_array(bits)
    assert again.prompt == "a photograph of a cat and a sofa bed"


def test_found_masks_replace_asked_ones():
    bits = shape_with_holes()
    scene = Scene("x", (64, 48), (Instance("cat", box=Box(0, 0, 1, 1)),))
    record = Record(np.zeros((48, 64, 3), np.uint8), scene, masks={"i1": Mask.from_array(bits)})
    row = coco.from_records([record])["annotations"][0]
    assert np.array_equal(oracle.decode(row["segmentation"]).astype(bool), bits) and row["area"] == bits.sum()
    with pytest.raises(InputError, match="64 x 40 pixels"):
        coco.from_records([Record(np.zeros((40, 64, 3), np.uint8), scene)])


def test_keypoints():
    joints = tuple((k / 20, 0.5, k % 3) if k % 3 else (0.0, 0.0, 0) for k in range(17))
    scene = Scene("x", (64, 48), (Instance("person", keypoints=Keypoints(joints), box=Box(0, 0, 1, 1)),))
    back = coco.to_json([scene])
    row = back["annotations"][0]
    assert row["keypoints"][3:6] == [3.2, 24, 1] and row["num_keypoints"] == 11
    again = coco.from_json(back, "x")[0]
    pairs = zip(again.instances[0].keypoints.points, joints, strict=True)
    assert all(a == pytest.approx(b) for a, b in pairs)


def captions_file(document):
    return {
        "images": document["images"],
        "annotations": [
            {"id": 2 * row["id"] + k, "image_id": row["id"], "caption": f"picture {row['id']}, caption {k}"}
            for row in document["images"]
            for k in (0, 1)
        ],
    }


def test_captions_become_prompts(written, tmp_path):
    path, document = written
    said = tmp_path / "captions.json"
    said.write_text(json.dumps(captions_file(document)))
    scenes = coco.read(path, said)
    assert scenes[3].prompt == f"picture {document['images'][3]['id']}, caption 0"
    assert coco.captions_to_json(scenes) == captions_file(document)
    assert coco.captions_to_json(coco.read_captions(said)) == captions_file(document)
    assert coco.to_json(scenes, coco.read_head(path))["images"] == document["images"]


def test_prompts_without_captions(data_dir):
    scenes = coco.read(data_dir / "coco100" / "annotations" / "stuff_train2017.json")
    assert all(" other" not in scene.prompt for scene in scenes)
    assert coco.natural_name("wall-brick") == "brick wall" and coco.natural_name("sky-other") == "sky"
    assert (
        coco.natural_name("playingfield") == "playing field"
        and coco.natural_name("cell phone") == "cell phone"
    )


# --- what can be wrong -------------------------------------------------------------------------------------

SMALL = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 7, "name": "train"}],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 0, "area": 12}
    ],
}


def test_a_minimal_file():
    scene = coco.from_json(SMALL, "a.json")[0]
    assert scene.size_wh == (64, 48) and scene.picture.path == "a.jpg" and scene.ids == ("a5",)
    assert coco.to_json([scene]) == SMALL


def test_reading_does_not_change_its_argument():
    document = copy.deepcopy(SMALL)
    coco.from_json(document, "a.json")
    assert document == SMALL


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("images",), None, "images: expected a list"),
        (("categories",), 3, "categories: expected a list"),
        (("annotations",), {}, "annotations: expected a list"),
        (("annotations", 0), [], r"annotations\[0\]: expected an object"),
        (("images", 0, "width"), 0, r"images\[0\]: width and height must be from 1 to"),
        (("images", 0, "height"), 4.5, r"images\[0\].height: expected a whole number"),
        (("images", 0, "id"), None, r"images\[0\].id"),
        (("annotations", 0, "image_id"), 9, "no picture with the id 9"),
        (("annotations", 0, "category_id"), 9, "no category with the id 9"),
        (("annotations", 0, "bbox"), [1, 2, 3], "expected four numbers"),
        (("annotations", 0, "bbox"), [1, 2, 3, "4"], r"bbox\[3\]: expected a finite number"),
        (("annotations", 0, "bbox"), [100, 2, 200, 4], "1 of 1 boxes leave the canvas"),
        (("annotations", 0, "segmentation"), [[1, 2, 3]], "segmentation"),
        (("annotations", 0, "segmentation"), {"size": [64, 48], "counts": "0"}, r"size \[64, 48\]"),
        (("annotations", 0, "segmentation"), {"size": [48, 64], "counts": [1, 2]}, "segmentation"),
        (("annotations", 0, "segmentation"), {"size": [48, 64]}, "'counts' is missing"),
    ],
)
def test_broken_files(where, value, words):
    document = copy.deepcopy(SMALL)
    spot = document
    for key in where[:-1]:
        spot = spot[key]
    spot[where[-1]] = value
    with pytest.raises(InputError, match=words) as caught:
        coco.from_json(document, "a.json")
    assert caught.value.message.startswith("a.json")


@pytest.mark.parametrize("key", ["images", "categories", "annotations"])
def test_missing_keys(key):
    document = {name: value for name, value in SMALL.items() if name != key}
    with pytest.raises(InputError, match=f"the key '{key}' is missing"):
        coco.from_json(document, "a.json")


def test_boxes_off_the_canvas_are_clipped_and_counted():
    rows = [{**SMALL["annotations"][0], "id": k} for k in range(5)]
    rows[2] = {**rows[2], "bbox": [60, 2, 30, 4]}
    with pytest.warns(ClippedBoxes, match=r"1 of 5 boxes in a\.json left the canvas"):
        scene = coco.from_json({**SMALL, "annotations": rows}, "a.json")[0]
    assert scene.instances[2].box.x1 == 1.0
    assert coco.to_json([scene])["annotations"][2]["bbox"] == [60, 2, 30, 4]


def test_pictures_that_are_missing_or_of_another_size(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(SMALL))
    with pytest.raises(StorageError, match=r"a\.jpg"):
        list(coco.read_records(tmp_path / "a.json", tmp_path))
    from PIL import Image

    Image.new("RGB", (48, 64)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"48 x 64 pixels; .*says 64 x 48"):
        list(coco.read_records(tmp_path / "a.json", tmp_path))


def test_a_head_without_a_category():
    scene = Scene("x", (64, 48), (Instance("cat"),))
    with pytest.raises(InputError, match="have no 'cat'"):
        coco.to_json([scene], coco.Head({"categories": [{"id": 1, "name": "dog"}]}))


def test_ids_that_clash_are_given_anew():
    scenes = coco.from_json(SMALL, "a.json") * 2
    back = coco.to_json(scenes)
    assert [row["id"] for row in back["images"]] == [1, 2]
    assert [row["id"] for row in back["annotations"]] == [5, 1]
    assert [row["image_id"] for row in back["annotations"]] == [1, 2]


def test_writing_is_atomic_and_repeatable(tmp_path):
    scenes = coco.from_json(SMALL, "a.json")
    first, second = coco.write(scenes, tmp_path / "a.json"), coco.write(scenes, tmp_path / "b.json")
    assert first.read_bytes() == second.read_bytes()
    assert coco.read(first) == scenes


def test_boxes_agree_with_masks(written):
    """COCO's boxes are those of its polygons, so ours of the masks lie within a pixel or two of them."""
    path, _ = written
    found = [
        (item.box.xyxy, item.mask.box().xyxy)
        for scene in coco.read(path)
        for item in scene.instances
        if item.mask.area_px > 2000
    ]
    a, b = (np.array(side) for side in zip(*found, strict=True))
    assert np.median(np.diagonal(iou_matrix(a, b))) > 0.97
