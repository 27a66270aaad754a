"""Boxes as tensors, against the scene's boxes, counted pixels and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scenewright.models.judges.geometry import area, giou, grown, inside, iou, moved, suppress
from scenewright.models.judges.layers import Residual, Trunk, read_boxes, signal
from scenewright.scene import Box
from scenewright.scene.boxes import pixels


def random_boxes(number, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.random((number, 2)) * 0.6
    return np.concatenate([corner, corner + 0.05 + rng.random((number, 2)) * 0.3], axis=1)


def test_iou_is_that_of_scenes():
    a, b = random_boxes(20), random_boxes(20, 1)
    wanted = [Box(*x).iou(Box(*y)) for x, y in zip(a, b, strict=True)]
    assert iou(torch.tensor(a), torch.tensor(b)).tolist() == pytest.approx(wanted, abs=1e-5)
    table = iou(torch.tensor(a)[:, None], torch.tensor(b)[None])
    assert table.shape == (20, 20) and table[3, 7] == pytest.approx(Box(*a[3]).iou(Box(*b[7])), abs=1e-5)


def test_giou_by_hand():
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    assert giou(a, a).item() == pytest.approx(1.0)
    apart = torch.tensor([[3.0, 0.0, 4.0, 2.0]])  # union 6, around 8
    assert giou(a, apart).item() == pytest.approx(-0.25)
    crossing = torch.tensor([[1.0, 1.0, 3.0, 3.0]])  # meet 1, union 7, around 9
    assert giou(a, crossing).item() == pytest.approx(1 / 7 - 2 / 9, abs=1e-6)
    assert area(torch.tensor([2.0, 2.0, 1.0, 5.0])).item() == 0.0


def test_moved_boxes():
    box = torch.tensor([10.0, 20.0, 30.0, 60.0])
    assert torch.equal(moved(box, torch.zeros(4)), box)
    found = moved(box, torch.tensor([0.5, -0.25, math.log(2.0), 0.0]))
    assert found.tolist() == pytest.approx([10.0, 10.0, 50.0, 50.0])
    assert grown(box, 1.5).tolist() == pytest.approx([5.0, 10.0, 35.0, 70.0])


def test_pixels_inside_are_those_of_scenes():
    for corners in random_boxes(10, 2):
        rows, columns = pixels(Box(*corners), (40, 24))
        wanted = np.zeros((24, 40))
        wanted[rows, columns] = 1
        found = inside(torch.tensor(corners) * torch.tensor([40, 24, 40, 24]), (24, 40))
        assert (found.numpy() == wanted).all()
    coarse = inside(torch.tensor([4.0, 0.0, 12.0, 8.0]), (4, 8), 0.5)
    assert coarse[:, 2:6].min() == 1 and coarse.sum() == 16


def slow_suppression(boxes, scores, most, classes):
    kept = []
    for k in np.argsort(-scores, kind="stable"):
        rivals = [m for m in kept if classes[m] == classes[k]]
        if all(Box(*boxes[m]).iou(Box(*boxes[k])) <= most for m in rivals):
            kept.append(int(k))
    return kept


@pytest.mark.parametrize("classes", [1, 3])
def test_suppression_is_that_of_plain_loops(classes):
    rng = np.random.default_rng(5)
    for seed in range(10):
        boxes, scores, kinds = random_boxes(40, seed), rng.random(40), rng.integers(classes, size=40)
        given = None if classes == 1 else torch.tensor(kinds)
        found = suppress(torch.tensor(boxes), torch.tensor(scores), 0.3, given)
        assert found.tolist() == slow_suppression(boxes, scores, 0.3, kinds)
    assert suppress(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_reading_a_ramp_gives_places():
    """A map that holds each cell's own place, read bilinearly, gives the places of the points."""
    height, width, stride = 8, 12, 4
    x = (torch.arange(width) + 0.5) * stride
    y = (torch.arange(height) + 0.5) * stride
    ramp = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]
    boxes = torch.tensor([[[8.0, 6.0, 24.0, 22.0], [4.0, 4.0, 44.0, 12.0]]])
    found = read_boxes(ramp, boxes, (height * stride, width * stride), 4)
    assert found.shape == (1, 2, 2, 4, 4)
    assert torch.allclose(found[0, 0, 0, 1], torch.tensor([10.0, 14.0, 18.0, 22.0]))
    assert torch.allclose(found[0, 0, 1, :, 2], torch.tensor([8.0, 12.0, 16.0, 20.0]))
    assert torch.allclose(found[0, 1, 0, 3], torch.tensor([9.0, 19.0, 29.0, 39.0]))


def test_the_trunk_halves_at_every_stage():
    levels = Trunk((8, 16, 24, 32), (1, 2, 1))(torch.zeros(2, 3, 64, 96))
    assert [tuple(one.shape[1:]) for one in levels] == [(8, 32, 48), (16, 16, 24), (24, 8, 12), (32, 4, 6)]
    x = torch.randn(1, 8, 6, 6)
    assert Residual(8, 8)(x).shape == x.shape and Residual(8, 16, 2)(x).shape == (1, 16, 3, 3)


def test_signal_spans_minus_one_to_one():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    assert signal(pixels)[0, :, 0].tolist() == [[-1.0, 1.0]] * 3
