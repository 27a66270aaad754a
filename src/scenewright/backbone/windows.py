"""Pictures larger than the network's native size: overlapping windows whose outputs are averaged.

Bar-Tal et al. 2023 (MultiDiffusion): the closed form of their eq. 5 with per-pixel weights is the weighted
mean of the windows' results. Averaging model outputs instead of next latents is the same for every step that
is affine in (z, output), and leaves the scheduler one step per timestep, so any scheduler works.

Letters: R rows, W windows, C latent channels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from scenewright.backbone.call import Call, Denoise, Window
from scenewright.errors import InputError


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First cells of windows over `length` cells: 0, stride, ..., and one flush with the end if none is."""
    if length <= window:
        return [0]
    starts = list(range(0, length - window + 1, stride))
    return starts if starts[-1] == length - window else [*starts, length - window]


def cover(size_hw: tuple[int, int], window_hw: tuple[int, int], stride_hw: tuple[int, int]) -> list[Window]:
    """Windows that cover every cell of a latent of `size_hw`, row by row, clamped to it (all in cells).

    Raises InputError for a stride below 1 or above the window, which would leave cells out.
    """
    for window, stride in zip(window_hw, stride_hw, strict=True):
        if not 1 <= stride <= window:
            raise InputError(
                f"the window stride must be from 1 to the window size, got stride {stride}, window {window}"
            )
    (h, w), (wh, ww) = size_hw, window_hw
    return [
        Window(y, x, min(y + wh, h), min(x + ww, w))
        for y in window_starts(h, wh, stride_hw[0])
        for x in window_starts(w, ww, stride_hw[1])
    ]


def weights(size_hw: tuple[int, int], taper: bool) -> Tensor:
    """Weight of each cell of a window [h, w], float32, above 0: ones, or a sine-squared hill."""
    if not taper:
        return torch.ones(size_hw)
    rows, columns = (torch.sin(math.pi * (torch.arange(n) + 0.5) / n) ** 2 for n in size_hw)
    return rows[:, None] * columns[None, :]


def windowed(
    inner: Denoise,
    window_hw: tuple[int, int],
    stride_hw: tuple[int, int],
    *,
    taper: bool = False,
    max_rows: int = 16,
) -> Denoise:
    """Evaluate `inner` on windows of `window_hw` latent cells, every `stride_hw` cells, and average.

    All rows and windows share batches of at most `max_rows` rows; `call.window_R` says which is which. Inside
    `guided` batches are of that size, outside of it twice as large. With one window the result is `inner`'s.
    """
    if max_rows < 1:
        raise InputError(f"max_rows must be at least 1, got {max_rows}")

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        h, w = z_RChw.shape[-2:]
        views = cover((h, w), window_hw, stride_hw)
        exact = torch.promote_types(z_RChw.dtype, torch.float32)  # a hill's feet vanish in half precision
        weight_hw = weights((min(window_hw[0], h), min(window_hw[1], w)), taper).to(z_RChw.device, exact)
        sums: list[Tensor] = []
        for batch in _batches(call.rows, views, max_rows):
            part = replace(call.take([row for row, _ in batch]), window_R=tuple(view for _, view in batch))
            output = inner(torch.stack([_cut(z_RChw[row], view) for row, view in batch]), part)
            sums = sums or [weight_hw.new_zeros(output.shape[1], h, w) for _ in range(call.rows)]
            for value, (row, view) in zip(output, batch, strict=True):
                _cut(sums[row], view).add_(value * weight_hw)
        count_hw = weight_hw.new_zeros(h, w)
        for view in views:
            _cut(count_hw, view).add_(weight_hw)
        return (torch.stack(sums) / count_hw).to(output.dtype)

    return denoise


def _cut(tensor: Tensor, window: Window) -> Tensor:
    rows, columns = window.slices
    return tensor[..., rows, columns]


def _batches(rows: int, views: list[Window], max_rows: int) -> Iterator[list[tuple[int, Window]]]:
    pairs = [(row, view) for view in views for row in range(rows)]
    for first in range(0, len(pairs), max_rows):
        yield pairs[first : first + max_rows]
