"""Crops, prompts and cosines of the attribute benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import estimate, ratio
from scenewright.evaluate.clip_local import (
    attribute_prompts,
    by_picture,
    cosines,
    crop,
    local_prompt,
    nearest_value,
)
from scenewright.scene import Box


def test_nothing():
    none = np.zeros((0, 4))
    assert cosines(none, none).shape == (0,)
    assert nearest_value(none, np.eye(4)).shape == (0,)
    assert estimate(ratio(*by_picture([], [], 3)), 3).value is None


def test_cosines_are_those_of_scipy_whatever_the_lengths():
    from scipy.spatial.distance import cosine

    rng = np.random.default_rng(0)
    crops, texts = rng.normal(size=(5, 8)), rng.normal(size=(5, 8)) * 7
    expected = [1 - cosine(a, b) for a, b in zip(crops, texts, strict=True)]
    assert cosines(crops, texts) == pytest.approx(expected)
    assert cosines(crops.astype(np.float16) * 3, crops) == pytest.approx(np.ones(5), abs=1e-3)
    assert cosines(np.zeros((1, 8)), texts[:1]) == pytest.approx([0.0])


def test_the_nearest_prompt_is_the_attribute():
    assert nearest_value(np.array([[0.1, 5.0], [3.0, 1.0]]), np.eye(2) * 9).tolist() == [1, 0]
    assert attribute_prompts(["red", "glass"]) == ("a red object", "a glass object")
    assert local_prompt("car", "red") == "red car" and local_prompt("car") == "car"


def test_crops_are_the_pixels_of_the_box():
    image = np.arange(8 * 16 * 3, dtype=np.uint8).reshape(8, 16, 3)
    assert (crop(image, Box(0.25, 0.5, 0.5, 1.0)) == image[4:8, 4:8]).all()
    assert crop(image, Box(0.01, 0.01, 0.02, 0.02)).shape == (1, 1, 3)
    assert crop(image, Box(0.999, 0.999, 1.0, 1.0)).shape == (1, 1, 3)
    assert crop(image, Box(0, 0, 1, 1)).shape == image.shape


def test_pictures_count_alike_however_many_crops_they_have():
    values, pictures = [1.0, 0.0, 0.0, 0.5], [0, 2, 2, 2]
    means, there = by_picture(values, pictures, 4)
    assert means == pytest.approx([1, 0, 0.5 / 3, 0]) and there.tolist() == [1, 0, 1, 0]
    assert estimate(ratio(means, there), 4).value == pytest.approx((1 + 0.5 / 3) / 2)


def test_errors():
    with pytest.raises(InputError, match="one shape"):
        cosines(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(InputError, match="one width"):
        nearest_value(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(InputError, match="at least one prompt"):
        nearest_value(np.zeros((2, 3)), np.zeros((0, 3)))
