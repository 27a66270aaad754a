"""Losses of mask logits: BCE, Dice, and their sums, one value per mask.

With logits z, p = sigmoid(z), targets g in [0, 1], sums over the pixels of one mask:

======================  ====================================================================================
``bce``                 mean of -g log p - (1 - g) log(1 - p)
``dice``                1 - (2 Σ p g + 1) / (Σ p² + Σ g² + 1), as Milletari et al., "V-Net", 2016, eq. 3
``bce_dice``            their sum
``log_cosh``            log cosh(1 - D) + bce, D = (2 Σ p g + 1) / (Σ p + Σ g + 1); Jadon, "A survey of loss
                        functions for semantic segmentation", 2020, eq. 14
``log_cosh_published``  the same with p in the place of z inside the bce: sigmoid is applied twice
======================  ====================================================================================

The last one is how the diffusers port of the grounding module computes "log-cosh + BCE": a perfect mask still
costs 0.313 per pixel of foreground and 0.693 per pixel of background, with flat gradients. It is here so that
its figures can be compared. Dice terms see one mask at a time, never a whole batch.

Letters: N masks, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.errors import InputError, nearest

MaskLoss = Literal["bce", "dice", "bce_dice", "log_cosh", "log_cosh_published"]

SMOOTH = 1.0
"""Added to numerator and denominator of the Dice terms: an empty mask found empty costs nothing."""


def mask_loss(kind: str, logits_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    """The loss [N] of each mask, float32; `target_NHW` in [0, 1], bool or any number type.

    Raises InputError for an unknown kind (naming the nearest) and for shapes that differ.
    """
    if kind not in LOSSES:
        close = nearest(kind, LOSSES)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(LOSSES)}"
        raise InputError(f"there is no mask loss {kind!r}", hint)
    if logits_NHW.shape != target_NHW.shape or logits_NHW.ndim != 3:
        raise InputError(
            f"expected logits and targets of one shape [masks, H, W], got {list(logits_NHW.shape)} and "
            f"{list(target_NHW.shape)}",
            "resize targets by nearest",
        )
    return LOSSES[kind](logits_NHW.float(), target_NHW.float())


def _bce(logits_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    found_NHW = nnf.binary_cross_entropy_with_logits(logits_NHW, target_NHW, reduction="none")
    return found_NHW.mean((1, 2))


def _dice(logits_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    p_NHW = logits_NHW.sigmoid()
    both_N = (p_NHW * target_NHW).sum((1, 2))
    squares_N = p_NHW.square().sum((1, 2)) + target_NHW.square().sum((1, 2))
    return 1 - (2 * both_N + SMOOTH) / (squares_N + SMOOTH)


def _log_cosh_dice(p_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    both_N = (p_NHW * target_NHW).sum((1, 2))
    sums_N = p_NHW.sum((1, 2)) + target_NHW.sum((1, 2))
    return torch.log(torch.cosh(1 - (2 * both_N + SMOOTH) / (sums_N + SMOOTH)))


def _bce_dice(logits_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    return _bce(logits_NHW, target_NHW) + _dice(logits_NHW, target_NHW)


def _log_cosh(logits_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    return _log_cosh_dice(logits_NHW.sigmoid(), target_NHW) + _bce(logits_NHW, target_NHW)


def _log_cosh_published(logits_NHW: Tensor, target_NHW: Tensor) -> Tensor:
    p_NHW = logits_NHW.sigmoid()
    return _log_cosh_dice(p_NHW, target_NHW) + _bce(p_NHW, target_NHW)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(
    zip(get_args(MaskLoss), (_bce, _dice, _bce_dice, _log_cosh, _log_cosh_published), strict=True)
)
"""Every loss by its name: logits [N, H, W] and targets, both float32, to [N]."""
