"""Pictures as the judges' networks take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scenewright.errors import InputError
from scenewright.models.judges.pictures import as_fields, as_signal, crop, in_batches, resized, signals
from scenewright.scene import Box

NET = nn.Linear(1, 1)


def test_nothing_gives_no_batches():
    assert list(in_batches([], 4)) == []
    assert [list(part) for part in in_batches([1, 2, 3, 4, 5], 2)] == [[1, 2], [3, 4], [5]]


def test_levels_map_to_minus_one_and_one():
    image = np.array([[[0, 255, 51]]], np.uint8)
    assert torch.allclose(as_signal(image[None])[0, :, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_pictures_of_many_sizes_become_one_tensor():
    images = [np.full((h, w, 3), 51, np.uint8) for h, w in ((8, 8), (30, 50), (4, 100))]
    found = signals(images, (16, 8), NET)
    assert found.shape == (3, 3, 8, 16) and torch.allclose(found, torch.tensor(-0.6))


def test_a_picture_of_the_right_size_is_not_resampled():
    image_BCHW = torch.rand(1, 3, 8, 16)
    assert resized(image_BCHW, (16, 8)) is image_BCHW


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)]
)
def test_what_is_no_picture_is_refused(bad):
    with pytest.raises(InputError):
        signals([bad], (8, 8), NET)


def test_a_crop_holds_its_box():
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:20, 20:60] = 200
    inside = crop(image, Box(0.25, 0.25, 0.75, 0.5), margin=0.0)
    assert inside.shape == (10, 40, 3) and (inside == 200).all()
    wider = crop(image, Box(0.25, 0.25, 0.75, 0.5), margin=0.1)
    assert wider.shape == (12, 48, 3) and (wider == 0).any()


@settings(max_examples=60, deadline=None)
@given(
    x=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    y=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    margin=st.floats(0, 0.5),
)
def test_crops_are_never_empty(x, y, margin):
    if x[0] == x[1] or y[0] == y[1]:
        return
    image = np.zeros((16, 24, 3), np.uint8)
    found = crop(image, Box(min(x), min(y), max(x), max(y)), margin)
    assert 4 <= found.shape[0] <= 16 and 4 <= found.shape[1] <= 24


def test_lists_of_json_become_tuples():
    assert as_fields({"sizes": [1, 2], "name": "x"}) == {"sizes": (1, 2), "name": "x"}
