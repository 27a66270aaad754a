"""Segments of label maps, against scipy and recorded results; one-hot codes, captions and weather."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from scenewright.errors import InputError
from scenewright.scene.label_space import LabelSpace
from scenewright.scene.segments import segments
from scenewright.scene.weather import WEATHER, weather_prompt

CITY = LabelSpace.of("cityscapes")


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


def test_encodings_and_segments_of_the_original(golden_dir: Path) -> None:
    found = sorted(golden_dir.glob("dginstyle/*/encoding/expected.json"))
    if not found:
        pytest.skip("no recorded encodings")
    for path in found:
        expected = json.loads(path.read_text())
        arrays = np.load(path.parent / "encoding.npz")
        labels = arrays["label"]
        before = labels.copy()
        area = expected["area_threshold"]
        assert np.array_equal(segments(labels, above_px=area), arrays["components_large"])
        assert np.array_equal(segments(labels, below_px=area), arrays["components_small"])
        assert np.array_equal(CITY.one_hot(labels), arrays["onehot"])
        caption = " ".join(CITY.present(labels))
        assert caption == expected["prompt"]
        assert {word: weather_prompt(caption, word) for word in WEATHER} == expected["weather_prompts"]
        assert np.array_equal(labels, before)


def test_labels_outside_the_classes_are_refused() -> None:
    for wrong in (19, 254, -1, 70000):
        with pytest.raises(InputError, match=str(wrong)):
            CITY.channels(np.array([[0, wrong, 255]], np.int64))
    assert CITY.channels(np.array([[0, 18, 255, 65535]])).tolist() == [[0, 18, 19, 19]]


def test_an_unknown_weather_names_the_nearest() -> None:
    with pytest.raises(InputError, match="snowi") as told:
        weather_prompt("road", "snowi")
    assert "snowy" in told.value.hint
    assert weather_prompt("road") == "road"
