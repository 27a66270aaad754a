"""Showing the fusers where to look: a loss on their attention, at training time only.

A fuser steers a picture only after four things have been learnt at once: visual tokens that know where
they are, grounding tokens that say where their box is, attention that compares the two, and values worth
passing on. Until then its residual is noise, and the gates shrink. This loss trains the first three
directly: a visual token inside boxes should give at least half of its attention to their tokens
(`GIVEN`), and none to the tokens of other boxes. Compare the attention losses of training-free layout
guidance (Chen et al., "Training-Free Layout Control with Cross-Attention Guidance", WACV 2024, eq. 2);
here the loss shapes weights and costs nothing when pictures are made.

Letters: R rows, H heads, N visual tokens, M grounding tokens, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scenewright.condition.fuser import GatedFuser

GIVEN = 0.5
SMALLEST = 32
"""Maps with fewer cells than this are left alone: a box covers no whole cell of them."""


class Alignment:
    """Watches fusers during forward passes; `loss` judges what they attended to and forgets it."""

    def __init__(self, fusers: dict[str, GatedFuser]) -> None:
        self._seen: list[tuple[GatedFuser, Tensor, Tensor]] = []
        self._hooks = [fuser.register_forward_pre_hook(self._see) for fuser in fusers.values()]

    def close(self) -> None:
        """Stops watching."""
        for hook in self._hooks:
            hook.remove()
        self._seen.clear()

    def _see(self, fuser: Any, inputs: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled() and fuser.training:
            self._seen.append((fuser, inputs[0], inputs[1].tokens_RMD))

    def loss(self, boxes_RM4: Tensor, masks_RM: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Mean loss of the fusers seen since the last call; `size_hw` is the latent's size in cells."""
        seen, self._seen = self._seen, []
        losses = []
        for fuser, x_RND, tokens_RMD in seen:
            grid = grid_of(x_RND.shape[1], size_hw)
            if x_RND.shape[1] >= SMALLEST and grid is not None:
                inside_RNM = inside(boxes_RM4, masks_RM, grid)
                losses.append(_misplaced(_attention(fuser, x_RND, tokens_RMD), inside_RNM, masks_RM))
        return torch.stack(losses).mean() if losses else boxes_RM4.new_zeros(())


def open_gates(fusers: dict[str, GatedFuser], gate: float) -> None:
    """Gates at tanh(`gate`) and output layers at zero: nothing changes yet, but everything gets gradients.

    At a gate of zero the values get none, and until these say something the gate's own gradient is noise: it
    wanders around zero. Output layers of zero (as in ControlNet, Zhang et al., ICCV 2023) keep the start
    neutral.
    """
    with torch.no_grad():
        for fuser in fusers.values():
            fuser.alpha_attn.fill_(gate)
            fuser.alpha_dense.fill_(gate)
            for layer in (fuser.attn.to_out[0], fuser.ff.net[2]):
                layer.weight.zero_()
                layer.bias.zero_()


def box_weights(told: tuple[Tensor, Tensor] | None, like_Rhw: Tensor, weight: float) -> Tensor:
    """What each cell counts for in a loss [R,h,w]: `weight` inside of any box that is told, 1 elsewhere.

    `told`: boxes [R,M,4] and which of them the network knows [R,M]; None: it knows none. Only these count: a
    weight on places that it must guess would teach it that things are more likely than they are, and a text
    alone would draw too many of them.
    """
    weight_Rhw = torch.ones_like(like_Rhw)
    if told is None:
        return weight_Rhw
    height, width = like_Rhw.shape[1:]
    for weight_hw, boxes_M4, known_M in zip(weight_Rhw, *told, strict=True):
        for x0, y0, x1, y1 in boxes_M4[known_M > 0].tolist():
            rows = slice(math.floor(y0 * height), math.ceil(y1 * height))
            weight_hw[rows, math.floor(x0 * width) : math.ceil(x1 * width)] = weight
    return weight_Rhw


def grid_of(cells: int, size_hw: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of a map of `cells` cells that is the latent halved some number of times."""
    height, width = size_hw
    while height * width > cells:
        height, width = -(-height // 2), -(-width // 2)
    return (height, width) if height * width == cells else None


def inside(boxes_RM4: Tensor, masks_RM: Tensor, grid: tuple[int, int]) -> Tensor:
    """Whether the centre of each cell lies in each used box: bool [R,N,M]."""
    height, width = grid
    y_N = ((torch.arange(height, device=boxes_RM4.device) + 0.5) / height).repeat_interleave(width)
    x_N = ((torch.arange(width, device=boxes_RM4.device) + 0.5) / width).repeat(height)
    x0, y0, x1, y1 = (corner[:, None, :] for corner in boxes_RM4.unbind(-1))
    x_1N1, y_1N1 = x_N[None, :, None], y_N[None, :, None]
    within = (x_1N1 >= x0) & (x_1N1 < x1) & (y_1N1 >= y0) & (y_1N1 < y1)
    return within & (masks_RM[:, None, :] > 0)


def _attention(fuser: GatedFuser, x_RND: Tensor, tokens_RMD: Tensor) -> Tensor:
    """Share of attention from every visual to every grounding token, mean over heads: [R,N,M], float32."""
    attn = fuser.attn
    visual = fuser.norm1(x_RND)
    tokens = fuser.norm1(fuser.linear(tokens_RMD.to(x_RND.dtype)))
    q, k = attn.to_q(visual), attn.to_k(torch.cat([visual, tokens.to(visual.dtype)], dim=1))
    q_RHND, k_RHSD = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in (q, k))
    logits = q_RHND.float() @ k_RHSD.float().transpose(-1, -2) * q_RHND.shape[-1] ** -0.5
    return logits.softmax(-1)[..., visual.shape[1] :].mean(1)


def _misplaced(share_RNM: Tensor, inside_RNM: Tensor, masks_RM: Tensor) -> Tensor:
    """-log of the attention given to the right tokens (up to `GIVEN`) and withheld from wrong ones."""
    right_RN = (share_RNM * inside_RNM).sum(-1)
    wrong_RN = (share_RNM * (~inside_RNM & (masks_RM[:, None, :] > 0))).sum(-1)
    covered = inside_RNM.any(-1)
    given = -(right_RN / GIVEN).clamp(1e-4, 1.0).log()
    kept = -(1.0 - wrong_RN).clamp(1e-4, 1.0).log()
    inner = (given * covered).sum() / covered.sum().clamp(min=1)
    return inner + kept.mean()
