"""Boxes as tensors: overlap, decoding, suppression, masks within boxes. All corners are xyxy, any one unit.

Letters: N M boxes, 4 corners or offsets, H W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TINY = 1e-6


def area(boxes_N4: Tensor) -> Tensor:
    """Areas [...]; 0 where a box is turned inside out."""
    sides = (boxes_N4[..., 2:] - boxes_N4[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def iou(a_N4: Tensor, b_N4: Tensor) -> Tensor:
    """Intersection over union of pairs [...]; the shapes broadcast."""
    meet = area(torch.cat(_corners(a_N4, b_N4, inner=True), dim=-1))
    return meet / (area(a_N4) + area(b_N4) - meet).clamp(min=TINY)


def giou(a_N4: Tensor, b_N4: Tensor) -> Tensor:
    """Generalised IoU of pairs in [-1, 1] (Rezatofighi et al. 2019, algorithm 1); the shapes broadcast."""
    meet = area(torch.cat(_corners(a_N4, b_N4, inner=True), dim=-1))
    join = area(a_N4) + area(b_N4) - meet
    around = area(torch.cat(_corners(a_N4, b_N4, inner=False), dim=-1)).clamp(min=TINY)
    return meet / join.clamp(min=TINY) - (around - join) / around


def _corners(a: Tensor, b: Tensor, *, inner: bool) -> tuple[Tensor, Tensor]:
    low, high = (torch.maximum, torch.minimum) if inner else (torch.minimum, torch.maximum)
    return low(a[..., :2], b[..., :2]), high(a[..., 2:], b[..., 2:])


def moved(boxes_N4: Tensor, offsets_N4: Tensor) -> Tensor:
    """Boxes shifted by (dx, dy) of their sides, scaled by exp of (dw, dh) (Girshick et al. 2014, app. C)."""
    side = (boxes_N4[..., 2:] - boxes_N4[..., :2]).clamp(min=TINY)
    centre = (boxes_N4[..., 2:] + boxes_N4[..., :2]) / 2 + offsets_N4[..., :2] * side
    half = side / 2 * offsets_N4[..., 2:].clamp(-math.log(4), math.log(4)).exp()
    return torch.cat([centre - half, centre + half], dim=-1)


def grown(boxes_N4: Tensor, factor: float) -> Tensor:
    """Boxes with the same centres and `factor` times the sides."""
    centre, half = (boxes_N4[..., 2:] + boxes_N4[..., :2]) / 2, (boxes_N4[..., 2:] - boxes_N4[..., :2]) / 2
    return torch.cat([centre - factor * half, centre + factor * half], dim=-1)


def suppress(boxes_N4: Tensor, scores_N: Tensor, most: float, classes_N: Tensor | None = None) -> Tensor:
    """Greedy non-maximum suppression: indices kept, best score first.

    A box goes if its IoU with a better kept one exceeds `most`; with `classes_N`, only within a class.
    """
    order_N = scores_N.argsort(descending=True, stable=True)
    boxes_N4 = boxes_N4[order_N]
    rival_NN = iou(boxes_N4[:, None], boxes_N4[None]) > most
    if classes_N is not None:
        rival_NN &= classes_N[order_N][:, None] == classes_N[order_N][None]
    alive = torch.ones(len(order_N), dtype=torch.bool)
    for i in range(len(order_N)):
        if alive[i]:
            alive[i + 1 :] &= ~rival_NN[i, i + 1 :].cpu()
    return order_N[alive.to(order_N.device)]


def inside(boxes_N4: Tensor, size_hw: tuple[int, int], scale: float = 1.0) -> Tensor:
    """1 where the centre of a pixel [N,H,W] lies in the box, else 0; a pixel is 1/`scale` units wide."""
    height, width = size_hw
    x_W = (torch.arange(width, device=boxes_N4.device) + 0.5) / scale
    y_H = (torch.arange(height, device=boxes_N4.device) + 0.5) / scale
    x0, y0, x1, y1 = (boxes_N4[..., k, None] for k in range(4))
    across = (x_W >= x0) & (x_W < x1)
    down = (y_H >= y0) & (y_H < y1)
    return (down[..., :, None] & across[..., None, :]).float()
