"""Segments of label maps, against scipy and recorded results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from scenewright.scene.segments import segments


def test_no_pixels_and_one_pixel() -> None:
    assert segments(np.zeros((0, 0), np.uint8)).shape == (0, 0)
    assert segments(np.array([[3]], np.uint8)).tolist() == [[1]]
    assert segments(np.array([[255]], np.uint8)).tolist() == [[0]]


@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_scipy(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (17, 23)).astype(np.uint8)
    labels[labels == 2] = 255
    expected, count = np.zeros(labels.shape, np.int32), 0
    for label in (0, 1):
        parts, number = ndimage.label(labels == label, np.ones((3, 3)))
        for part in range(1, number + 1):
            if (parts == part).sum() > 4:
                count += 1
                expected[parts == part] = count
    assert np.array_equal(segments(labels, above_px=4), expected)


def test_more_segments_than_a_byte_holds_stay_apart() -> None:
    labels = np.zeros((40, 80), np.uint8)
    labels[::2, ::2] = 1
    assert segments(labels, below_px=2).max() == 800


def test_segments_of_the_original(golden_dir: Path) -> None:
    found = sorted(golden_dir.glob("dginstyle/*/encoding/expected.json"))
    if not found:
        pytest.skip("no recorded encodings")
    for path in found:
        area = json.loads(path.read_text())["area_threshold"]
        arrays = np.load(path.parent / "encoding.npz")
        labels = arrays["label"]
        before = labels.copy()
        assert np.array_equal(segments(labels, above_px=area), arrays["components_large"])
        assert np.array_equal(segments(labels, below_px=area), arrays["components_small"])
        assert np.array_equal(labels, before)
