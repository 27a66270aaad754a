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


def test_crops_lie_around_things_and_show_what_is_under_the_boxes():
    z = torch.arange(256.0).view(1, 1, 16, 16).repeat(300, 2, 1, 1)
    crops, items = crop_latents(z, [ITEM] * 300, 8, np.random.default_rng(4))
    assert crops.shape == (300, 2, 8, 8)
    places = []
    for crop, item in zip(crops, items, strict=True):
        y, x = divmod(int(crop[0, 0, 0]), 16)
        assert torch.equal(crop[0], z[0, 0, y : y + 8, x : x + 8])
        assert item == crop_item(ITEM, (x / 16, y / 16, (x + 8) / 16, (y + 8) / 16))
        places.append((x, y))
    near_car = {(x, y) for x in (0, 1) for y in (0, 1)}  # cells 1.6 to 6.4: whole in crops from 0 and 1
    assert set(places) == near_car | {(8, 8)}  # the dog fills cells 8 to 16
    assert 100 < places.count((8, 8)) < 200


def test_crops_inside_of_a_large_thing_and_without_any():
    z = torch.arange(64.0).view(1, 1, 8, 8).repeat(200, 1, 1, 1)
    wide = Item("a bus", ("a bus",), ((0.125, 0.0, 1.0, 0.5),))
    crops, _ = crop_latents(z, [wide] * 200, 4, np.random.default_rng(0))
    assert {divmod(int(one[0, 0, 0]), 8) for one in crops} == {(0, x) for x in (1, 2, 3, 4)}
    crops, items = crop_latents(z, [Item("an empty road", (), ())] * 200, 4, np.random.default_rng(0))
    assert len({int(one[0, 0, 0]) for one in crops}) == 25 and items[0].caption == ""


def test_what_is_small_stays_whole():
    z = torch.zeros(1, 2, 4, 8)
    crops, items = crop_latents(z, [ITEM], 5, np.random.default_rng(0))
    assert crops is z and items == [ITEM]
    assert ITEM.caption == "a red car and a blue dog"
