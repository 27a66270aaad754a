"""Crops of latents: what is left of the scene, and where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.scene import Box, Instance, Scene, Transform
from scenewright.train.crops import crop_item, crop_latents
from scenewright.train.renders import Item

ITEM = Item(
    "a red car and a blue dog", ("a red car", "a blue dog"), ((0.1, 0.1, 0.4, 0.4), (0.5, 0.5, 1.0, 1.0))
)


def test_nothing_left():
    assert crop_item(Item("an empty road", (), ()), (0.0, 0.0, 0.5, 0.5)) == Item("", (), ())
    assert crop_item(ITEM, (0.4, 0.0, 0.5, 0.1)) == Item("", (), ())


def test_boxes_move_as_those_of_the_scene():
    scene = Scene(
        prompt="", size_wh=(64, 64), instances=(Instance(phrase="a blue dog", box=Box(*ITEM.boxes[1])),)
    )
    window = Transform((64, 64)).crop((16, 16, 56, 56))
    wanted = window.scene(scene).instances[0].box
    found = crop_item(ITEM, (0.25, 0.25, 0.875, 0.875))
    assert found.phrases == ("a blue dog",) and found.caption == "a blue dog"
    assert found.boxes[0] == pytest.approx(wanted.xyxy)


def test_half_of_a_box_is_enough():
    item = Item("a cat", ("a cat",), ((0.25, 0.0, 0.75, 1.0),))
    assert crop_item(item, (0.5, 0.0, 1.0, 1.0)).boxes == ((0.0, 0.0, 0.5, 1.0),)
    assert crop_item(item, (0.51, 0.0, 1.0, 1.0)).boxes == ()


def test_one_place_for_the_batch_and_pixels_under_the_boxes():
    z = torch.arange(64.0).view(1, 1, 8, 8).repeat(3, 2, 1, 1)
    rng = np.random.default_rng(4)
    crops, items = crop_latents(z, [ITEM] * 3, 4, rng)
    assert crops.shape == (3, 2, 4, 4) and torch.equal(crops[0], crops[2]) and items[0] == items[1]
    y, x = divmod(int(crops[0, 0, 0, 0]), 8)
    assert torch.equal(crops[0, 0], z[0, 0, y : y + 4, x : x + 4])
    assert items[0] == crop_item(ITEM, (x / 8, y / 8, (x + 4) / 8, (y + 4) / 8))
    places = {int(crop_latents(z, [ITEM] * 3, 4, rng)[0][0, 0, 0, 0]) for _ in range(200)}
    assert len(places) == 25  # every place can come


def test_what_is_small_stays_whole():
    z = torch.zeros(1, 2, 4, 8)
    crops, items = crop_latents(z, [ITEM], 5, np.random.default_rng(0))
    assert crops is z and items == [ITEM]
    assert ITEM.caption == "a red car and a blue dog"
