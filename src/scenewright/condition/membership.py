"""Instance-masked attention: a visual token sees only tokens of instances that it belongs to.

Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv 2402.03290),
section 3.1. With O_i the visual tokens inside the box of instance i, as released:

* visual a sees visual b if a = b, or if some O_i has both: ground outside of all boxes sees only itself;
* visual a sees the box token and the polygon token of i if a is in O_i;
* point, scribble and map tokens are seen by all.

A row in which no O_i has a token is not masked. The published code multiplies out a matrix of all pairs for
every instance (2 GB a picture); here a chunk of queries is decided at a time, and nothing else is kept than
which token belongs to which instance.

Letters: R rows, B scenes, K slots, N visual tokens, M grounding tokens, n queries of a chunk, S = N + M keys,
H heads, c width of a head, h w cells of a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.errors import InputError

Masking = Literal["off", "finest", "all", "legacy"]
"""Which levels of the network are masked: none; the finest with attention, as released; all; or, as the
released code does it, the finest with x and y exchanged (square latents only)."""

CHUNK = 512
"""Queries that are decided together: 10 MB of mask and 10 MB of its float form at 64x64 latents."""


def cells_key(tokens: int) -> str:
    """Name, in `Grounding.extra`, of the membership for a level of `tokens` visual tokens."""
    return f"cells:{tokens}"


def occupancy(
    boxes_BK4: Tensor, kept_BK: Tensor, size_hw: tuple[int, int], *, transposed: bool = False
) -> Tensor:
    """Which cells of a level lie in which box: bool [B, K, h*w], row by row.

    Corners are rounded to whole cells, half-open, as released; a box that rounds to nothing has the cell of
    its centre. `kept_BK`: 0 for slots without a box. `transposed` exchanges x and y as the released code
    does; raises InputError for that on a level that is not square.
    """
    height, width = size_hw
    if transposed and height != width:
        raise InputError(
            f"the released code's transposed attention mask needs square latents, not {width}x{height}",
            "--attention masked has the axes in order",
        )
    x0_BK, y0_BK, x1_BK, y1_BK = boxes_BK4.float().unbind(-1)
    x_BKw = _spans(x0_BK, x1_BK, width)
    y_BKh = _spans(y0_BK, y1_BK, height)
    inside_BKhw = y_BKh[..., :, None] & x_BKw[..., None, :] & (kept_BK > 0)[..., None, None]
    if transposed:
        inside_BKhw = inside_BKhw.transpose(-1, -2)
    return inside_BKhw.flatten(2)


def _spans(low_BK: Tensor, high_BK: Tensor, count: int) -> Tensor:
    """Whether each of `count` cells lies between the rounded ends: bool [B, K, count]."""
    first_BK, last_BK = (low_BK * count).round(), (high_BK * count).round()
    middle_BK = ((low_BK + high_BK) / 2 * count).floor().clamp(max=count - 1)
    empty_BK = last_BK <= first_BK
    first_BK = torch.where(empty_BK, middle_BK, first_BK)[..., None]
    last_BK = torch.where(empty_BK, middle_BK + 1, last_BK)[..., None]
    cell = torch.arange(count, device=low_BK.device)
    return (cell >= first_BK) & (cell < last_BK)


def memberships(
    boxes_BK4: Tensor, kept_BK: Tensor, grids_hw: list[tuple[int, int]], *, transposed: bool = False
) -> dict[str, Tensor]:
    """`occupancy` for every level of `grids_hw`, under the names the fusers look for."""
    return {
        cells_key(height * width): occupancy(boxes_BK4, kept_BK, (height, width), transposed=transposed)
        for height, width in grids_hw
    }


def cells_of(extra: Mapping[str, Tensor], tokens: int) -> Tensor | None:
    """The membership [R, K, N] for a level of `tokens` visual tokens, None where nothing is masked."""
    return extra.get(cells_key(tokens))


def allowed(cells_RKN: Tensor, queries: slice, tokens: int) -> Tensor:
    """Which keys the visual `queries` may see: bool [R, n, N+M], for `tokens` = M = 4K + map tokens."""
    rows, slots, _ = cells_RKN.shape
    number = torch.float32 if cells_RKN.device.type == "cpu" else torch.float16
    cells = cells_RKN.to(number)
    shared_RnN = cells[:, :, queries].transpose(1, 2) @ cells > 0
    own_RnK = cells_RKN[:, :, queries].transpose(1, 2)
    count = own_RnK.shape[1]
    diagonal = torch.arange(count, device=cells_RKN.device)
    shared_RnN[:, diagonal, diagonal + (queries.start or 0)] = True
    free = cells_RKN.new_ones(())
    both_RnM = free.expand(rows, count, 2 * slots)
    rest_RnM = free.expand(rows, count, tokens - 4 * slots)
    mask_RnS = torch.cat([shared_RnN, own_RnK, both_RnM, own_RnK, rest_RnM], dim=2)
    unmasked_R11 = ~cells_RKN.flatten(1).any(dim=1)[:, None, None]
    return mask_RnS | unmasked_R11


def attend(q_RHNc: Tensor, k_RHSc: Tensor, v_RHSc: Tensor, cells_RKN: Tensor) -> Tensor:
    """Masked attention [R,H,N,c] of the visual tokens, `CHUNK` queries at a time."""
    visual, tokens = q_RHNc.shape[2], k_RHSc.shape[2] - q_RHNc.shape[2]
    parts = []
    for first in range(0, visual, CHUNK):
        queries = slice(first, min(first + CHUNK, visual))
        mask_R1nS = allowed(cells_RKN, queries, tokens)[:, None]
        parts.append(
            nnf.scaled_dot_product_attention(q_RHNc[:, :, queries], k_RHSc, v_RHSc, attn_mask=mask_R1nS)
        )
    return torch.cat(parts, dim=2)
