"""Polygons become the very pixels that pycocotools gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from scene_strategies import QUICK

from scenewright.errors import SceneError
from scenewright.scene import Mask

places = st.floats(-30, 90) | st.integers(-3, 40).map(float) | st.integers(-30, 400).map(lambda k: k / 10)
outlines = st.integers(3, 9).flatmap(lambda k: st.lists(places, min_size=2 * k, max_size=2 * k))


def theirs(polygons, width, height):
    return coco.merge(coco.frPyObjects(polygons, height, width))


def test_no_polygon():
    assert Mask.from_polygons([], (7, 5)) == Mask.empty((5, 7))


@QUICK
@given(st.lists(outlines, min_size=1, max_size=3), st.integers(1, 45), st.integers(1, 45))
def test_equals_pycocotools(polygons, width, height):
    found = Mask.from_polygons(polygons, (width, height))
    np.testing.assert_array_equal(found.array(), coco.decode(theirs(polygons, width, height)).astype(bool))


@pytest.mark.parametrize(
    "polygon",
    [
        [3, 3, 3, 3, 3, 3],  # one point
        [1, 1, 9, 1, 5, 1],  # a horizontal line
        [2, 1, 2, 9, 2, 5],  # a vertical one
        [0, 0, 12, 0, 12, 10, 0, 10],  # the whole canvas
        [-5, -5, 40, -5, 40, 40, -5, 40],  # more than it
        [2.5, 2.5, 7.5, 2.5, 7.5, 7.5, 2.5, 7.5],
        [0, 0, 10, 10, 10, 0, 0, 10],  # crosses itself
    ],
)
def test_edge_cases(polygon):
    found = Mask.from_polygons([polygon], (12, 10)).array()
    np.testing.assert_array_equal(found, coco.decode(theirs([polygon], 12, 10)).astype(bool))


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([1, 1, 2, 2], "at least three corners"),
        ([1, 1, 2, 2, 3], "three corners"),
        ([1, 1, 2, 2, 3, 3, 4], "three corners"),
        ([[1, 1], [2, 2], [3, 1]], "three corners"),
        ([1, 1, 2, 2, 3, float("nan")], "finite"),
        ([1, 1, 2, 2, 3, 1e9], "finite"),
        ([1, 1, 2, 2, 3, "x"], "flat list of numbers"),
    ],
)
def test_refuses(polygon, message):
    with pytest.raises(SceneError, match=message):
        Mask.from_polygons([polygon], (12, 10))


def test_all_polygons_of_real_annotations(data_dir):
    files = sorted((data_dir / "coco100" / "annotations").glob("*.json"))
    annotations = [file for file in (json.loads(path.read_text()) for path in files) if "annotations" in file]
    sizes = {
        image["id"]: (image["width"], image["height"]) for file in annotations for image in file["images"]
    }
    count = 0
    for item in (item for file in annotations for item in file["annotations"]):
        if isinstance(item["segmentation"], list):
            width, height = sizes[item["image_id"]]
            expected = theirs(item["segmentation"], width, height)["counts"].decode()
            found = Mask.from_polygons(item["segmentation"], (width, height))
            assert found == Mask((height, width), expected)
            count += 1
        else:
            count += 1
            runs = item["segmentation"]["counts"]
            if isinstance(runs, list):
                packed = coco.frPyObjects(item["segmentation"], *item["segmentation"]["size"])
                found = Mask.from_uncompressed(runs, tuple(item["segmentation"]["size"]))
                assert found == Mask(found.size_hw, packed["counts"].decode())
    assert count > 300
