"""The trunk of a ConvNeXt, as the map conditions of GLIGEN and InstanceDiffusion use it.

Liu et al., "A ConvNet for the 2020s", CVPR 2022 (arXiv 2201.03545), figure 4; without the final norm, pooling
and head. Keys are the published ones. Letters: B batch, C channels, H W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

TINY_DEPTHS = (3, 3, 9, 3)
TINY_WIDTHS = (96, 192, 384, 768)
STRIDE = 32
"""Pixels per cell of the result along one side."""


class _ChannelNorm(nn.Module):
    """LayerNorm over the channels of [B,C,H,W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC = x_BCHW.movedim(1, -1)
        return nnf.layer_norm(x_BHWC, self.weight.shape, self.weight, self.bias, 1e-6).movedim(-1, 1)


class _Block(nn.Module):
    """Depthwise 7x7, LayerNorm, two linear layers around a GELU, scaled residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BHWC: Tensor = self.norm(self.dwconv(x_BCHW).movedim(1, -1))
        y_BHWC = self.gamma * self.pwconv2(nnf.gelu(self.pwconv1(y_BHWC)))
        return x_BCHW + y_BHWC.movedim(-1, 1)


class ConvNext(nn.Module):
    """Picture [B,3,H,W] (sides divisible by 32) to features [B,C,H/32,W/32], C the last of `widths`."""

    def __init__(self, depths: Sequence[int] = TINY_DEPTHS, widths: Sequence[int] = TINY_WIDTHS) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), _ChannelNorm(widths[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for narrow, wide in pairwise(widths):
            halve = nn.Sequential(_ChannelNorm(narrow), nn.Conv2d(narrow, wide, 2, stride=2))
            self.downsample_layers.append(halve)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth)))
            for depth, width in zip(depths, widths, strict=True)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features at a thirty-second of the picture's size."""
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x_BCHW = stage(down(x_BCHW))
        return x_BCHW
