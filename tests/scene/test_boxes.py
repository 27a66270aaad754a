"""Box geometry; oracles: pycocotools, and counting pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from scene_strategies import QUICK, boxes

from scenewright.errors import SceneError
from scenewright.scene import Box, area, clip, iou_matrix, pixels

sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


def test_no_boxes():
    none = np.zeros((0, 4))
    assert area(none).shape == (0,)
    assert clip(none).shape == (0, 4)
    assert iou_matrix(none, none).shape == (0, 0)
    assert iou_matrix(none, np.array([[0, 0, 1, 1.0]])).shape == (0, 1)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0.5, 0, 0.5, 1), "empty box"),
        ((0.6, 0, 0.5, 1), "expected x0 < x1, got x0 = 0.6 and x1 = 0.5"),
        ((0, 0.6, 1, 0.5), "expected y0 < y1"),
        ((0, 0, 1.01, 1), "expected a number from 0 to 1, got 1.01"),
        ((-0.1, 0, 1, 1), "got -0.1"),
        ((math.nan, 0, 1, 1), "finite"),
        ((0, 0, math.inf, 1), "got inf"),
        ((0, 0, "1", 1), "expected a number, got the text '1'"),
        ((0, 0, True, 1), "expected a number, got true"),
        ((0, 0, None, 1), "expected a number, got null"),
        ((0, 0, 10**5000, 1), "got a number of"),
    ],
)
def test_refuses(numbers, message):
    with pytest.raises(SceneError) as found:
        Box(*numbers)
    assert message in str(found.value)
    assert "x0, y0, x1, y1" in found.value.hint


def test_conventions():
    box = Box(0.1, 0.2, 0.5, 0.6)
    for same in (
        Box.from_xyxy_px(10, 40, 50, 120, (100, 200)),
        Box.from_xywh_px(10, 40, 40, 80, (100, 200)),
        Box.from_cxcywh(0.3, 0.4, 0.4, 0.4),
        Box.from_yxyx_1000(200, 100, 600, 500),
    ):
        assert same.xyxy == pytest.approx(box.xyxy)
    assert box.area == pytest.approx(0.16)
    assert box.centre == pytest.approx((0.3, 0.4))
    assert Box.from_cxcywh(0.85, 0.5, 0.3, 1.0).xyxy == pytest.approx(
        (0.7, 0, 1, 1)
    )  # 1.0000000000000002 inside


def test_numpy_numbers_become_python_floats():
    box = Box(*np.array([0, 0.25, 0.5, 1], np.float32))
    assert all(type(value) is float for value in box.xyxy)


def test_off_canvas_pixels_are_refused_or_clipped():
    with pytest.raises(SceneError, match=r"got 1\.49"):
        Box.from_xyxy_px(0, 0, 149, 50, (100, 100))
    assert Box.clip_from_xyxy_px(0, 0, 149, 50, (100, 100)) == (Box(0, 0, 1, 0.5), True)
    assert Box.clip_from_xyxy_px(0, 0, 100, 50, (100, 100)) == (Box(0, 0, 1, 0.5), False)
    assert Box.clip_from_xyxy_px(120, 0, 149, 50, (100, 100)) == (None, True)
    assert Box.clip_from_xyxy_px(20, 0, 20, 50, (100, 100)) == (None, False)
    with pytest.raises(SceneError, match="finite"):
        Box.clip_from_xyxy_px(0, 0, math.nan, 50, (100, 100))


@QUICK
@given(boxes(), sizes)
def test_pixel_round_trip(box, size_wh):
    assert Box.from_xyxy_px(*box.to_xyxy_px(size_wh), size_wh).xyxy == pytest.approx(box.xyxy, abs=1e-12)
    x, y, width, height = box.to_xywh_px(size_wh)
    assert (x + width, y + height) == pytest.approx(box.to_xyxy_px(size_wh)[2:])


@QUICK
@given(st.lists(boxes(), max_size=4), st.lists(boxes(), max_size=4))
def test_iou_equals_pycocotools(first, second):
    a, b = (np.array([box.xyxy for box in found]).reshape(-1, 4) for found in (first, second))
    ours = iou_matrix(a, b)
    assert ours.shape == (len(first), len(second))
    for k, j in np.ndindex(ours.shape):
        assert ours[k, j] == pytest.approx(first[k].iou(second[j]), abs=1e-12)
    if first and second:
        as_xywh = [np.concatenate([c[:, :2], c[:, 2:] - c[:, :2]], axis=1) for c in (a, b)]
        theirs = coco.iou(*as_xywh, np.zeros(len(second), np.uint8))
        big = (area(a)[:, None] > 1e-9) & (area(b)[None] > 1e-9)
        np.testing.assert_allclose(ours[big], theirs[big], atol=1e-6)


@QUICK
@given(boxes(), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_pixels_are_those_whose_centre_is_inside(box, size_wh):
    width, height = size_wh
    found = np.zeros((height, width), bool)
    found[pixels(box, size_wh)] = True
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    x0, y0, x1, y1 = box.to_xyxy_px(size_wh)
    np.testing.assert_array_equal(found, np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1)))


@QUICK
@given(boxes(), boxes())
def test_clipped_is_the_intersection(a, b):
    both = a.clipped(b)
    assert both == b.clipped(a)
    assert a.clipped(a) == a
    if both is None:
        assert a.iou(b) == 0
    else:
        assert both.area <= min(a.area, b.area) + 1e-15
        assert a.contains(both.x0, both.y0) and b.contains(both.x0, both.y0)


def test_arrays_are_not_changed():
    given_N4 = np.array([[-0.5, 0, 2, 1.0], [0.2, 0.2, 0.1, 0.1]])
    kept = given_N4.copy()
    area(given_N4), clip(given_N4), iou_matrix(given_N4, given_N4)
    np.testing.assert_array_equal(given_N4, kept)
