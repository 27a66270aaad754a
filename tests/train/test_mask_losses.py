"""Losses of masks against their formulas in numpy's double precision, and what distinguishes them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.train.mask_losses import LOSSES, MaskLoss, mask_loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def bce(z, g):
    return np.mean(-g * np.log(sigmoid(z)) - (1 - g) * np.log(1 - sigmoid(z)))


def dice(z, g):
    p = sigmoid(z)
    return 1 - (2 * (p * g).sum() + 1) / ((p**2).sum() + (g**2).sum() + 1)


def log_cosh_dice(z, g):
    p = sigmoid(z)
    return np.log(np.cosh(1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1)))


FORMULAS = {
    "bce": bce,
    "dice": dice,
    "bce_dice": lambda z, g: bce(z, g) + dice(z, g),
    "log_cosh": lambda z, g: log_cosh_dice(z, g) + bce(z, g),
    "log_cosh_published": lambda z, g: log_cosh_dice(z, g) + bce(sigmoid(z), g),
}


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (5, 12, 9)), rng.random((5, 12, 9)) < np.linspace(0, 1, 5)[:, None, None]


@pytest.mark.parametrize("kind", get_args(MaskLoss))
def test_formula_of_each_mask(kind, case):
    logits_NHW, target_NHW = case
    found_N = mask_loss(kind, torch.from_numpy(logits_NHW), torch.from_numpy(target_NHW))
    wanted_N = [FORMULAS[kind](z, g.astype(float)) for z, g in zip(logits_NHW, target_NHW, strict=True)]
    assert found_N.dtype == torch.float32
    np.testing.assert_allclose(found_N.numpy(), wanted_N, rtol=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_gradient_is_that_of_the_formula(kind, case):
    logits_NHW = torch.from_numpy(case[0][:2, :3, :3]).requires_grad_()
    target_NHW = torch.from_numpy(case[1][2:4, :3, :3]).double()
    assert torch.autograd.gradcheck(lambda z: LOSSES[kind](z, target_NHW), logits_NHW)


def test_a_perfect_mask():
    target_NHW = torch.zeros(1, 8, 8)
    target_NHW[:, :4] = 1
    logits_NHW = 40 * (2 * target_NHW - 1)
    for kind in set(LOSSES) - {"log_cosh_published"}:
        assert mask_loss(kind, logits_NHW, target_NHW).item() == pytest.approx(0, abs=1e-6), kind
    # The published form's floor: log(1 + e^-1) = 0.313 in the mask, log 2 = 0.693 outside of it.
    assert mask_loss("log_cosh_published", logits_NHW, target_NHW).item() == pytest.approx(0.503, abs=1e-3)


@pytest.mark.parametrize("kind", ["bce", "dice", "bce_dice", "log_cosh"])
def test_an_empty_mask_found_empty_costs_nothing_and_large_logits_are_fine(kind):
    empty_NHW = torch.zeros(1, 6, 6)
    assert mask_loss(kind, empty_NHW - 200, empty_NHW).item() == pytest.approx(0, abs=1e-6)
    wrong_NHW = (empty_NHW + 200).requires_grad_()
    loss = mask_loss(kind, wrong_NHW, empty_NHW).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(wrong_NHW.grad).all()


def test_a_mask_does_not_depend_on_its_neighbours_and_half_precision_is_widened(case):
    logits_NHW, target_NHW = torch.from_numpy(case[0]).half(), torch.from_numpy(case[1])
    for kind in LOSSES:
        alone_N = [mask_loss(kind, logits_NHW[k : k + 1], target_NHW[k : k + 1]).item() for k in range(5)]
        np.testing.assert_allclose(mask_loss(kind, logits_NHW, target_NHW).numpy(), alone_N, rtol=1e-6)


def test_wrong_input():
    with pytest.raises(InputError, match="no mask loss") as fault:
        mask_loss("dise", torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    assert "dice" in fault.value.hint
    with pytest.raises(InputError, match="one shape"):
        mask_loss("bce", torch.zeros(1, 2, 2), torch.zeros(1, 4, 4))
