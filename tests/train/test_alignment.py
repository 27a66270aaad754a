"""The loss on the fusers' attention: zero where attention is right, large where it is not, and trainable."""

from __future__ import annotations

import pytest
import torch

from scenewright.backbone.call import Grounding
from scenewright.condition.fuser import GatedFuser
from scenewright.train.alignment import Alignment, _misplaced, box_weights, grid_of, inside, open_gates

LEFT_HALF = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]]])
USED = torch.tensor([[1.0, 0.0]])


def test_no_boxes() -> None:
    within = inside(torch.zeros(1, 2, 4), torch.zeros(1, 2), (8, 8))
    assert not within.any()
    assert float(_misplaced(torch.rand(1, 64, 2) / 2, within, torch.zeros(1, 2))) == 0.0


def test_cells_inside() -> None:
    within = inside(LEFT_HALF, USED, (2, 4))
    assert within[0, :, 0].tolist() == [True, True, False, False] * 2
    assert not within[0, :, 1].any()


def test_cells_inside_boxes_count_more() -> None:
    error_Bhw = torch.rand(3, 16, 16)
    boxes_BN4 = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0]]] * 3)
    told_BN = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])  # one of two; the null layout; both
    told = (boxes_BN4, told_BN)
    weight_Bhw = box_weights(told, error_Bhw, 3.0)
    assert (weight_Bhw[0, :, :8] == 3).all() and (weight_Bhw[0, :, 8:] == 1).all()
    assert (weight_Bhw[1] == 1).all() and (weight_Bhw[2] == 3).all()
    assert (box_weights(None, error_Bhw, 3.0) == 1).all()


@pytest.mark.parametrize(("cells", "size", "grid"), [(64, (32, 32), (8, 8)), (72, (24, 48), (6, 12))])
def test_grid(cells: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_of(cells, size) == grid
    assert grid_of(cells + 1, size) is None


def test_right_and_wrong_attention() -> None:
    within = inside(LEFT_HALF, USED, (8, 8))
    right = within.float() * 0.5
    assert float(_misplaced(right, within, USED)) == pytest.approx(0.0, abs=1e-6)
    swapped = (~within).float() * 0.5 * torch.tensor([1.0, 0.0])
    assert float(_misplaced(swapped, within, USED)) > 5.0


def test_training_turns_the_attention() -> None:
    torch.manual_seed(0)
    fuser = GatedFuser(32, 16, 4, 8).train()
    open_gates({"block": fuser}, 1.0)
    watch = Alignment({"block": fuser})
    x, grounding = torch.randn(1, 64, 32), Grounding(torch.randn(1, 2, 16), torch.ones(1))
    assert torch.equal(fuser(x, grounding), x), "open gates with zero outputs change nothing"
    first = watch.loss(LEFT_HALF, USED, (8, 8))
    optimiser = torch.optim.Adam(fuser.parameters(), 1e-2)
    for _ in range(60):
        fuser(x, grounding)
        loss = watch.loss(LEFT_HALF, USED, (8, 8))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.detach() < 0.5 * first.detach()
    fuser.eval()
    with torch.no_grad():
        fuser(x, grounding)
    assert not watch.loss(LEFT_HALF, USED, (8, 8)).any(), "nothing is watched outside training"
    watch.close()
    assert not fuser._forward_pre_hooks
