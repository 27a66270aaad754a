"""Building blocks of the judges: convolutions with group norms, a residual trunk, reading over boxes.

Letters: B batch, C channels, h w cells of a map, R boxes per picture, n points along a side of a box, 4 box
corners (xyxy in pixels of the network's input).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

GROUPS = 8
"""Groups of every norm; channel counts are multiples of it."""


class ConvNorm(nn.Sequential):
    """Convolution without bias, group norm, ReLU; "same" padding."""

    def __init__(self, inside: int, outside: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
            nn.GroupNorm(GROUPS, outside),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 2), with group norms."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inside, outside, 3, stride)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, outside)
        plain = inside == outside and stride == 1
        self.shortcut = nn.Identity() if plain else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x_BChw: Tensor) -> Tensor:
        return nnf.relu(self.norm(self.second(self.first(x_BChw))) + self.shortcut(x_BChw))


class Trunk(nn.Module):
    """Maps at strides 2, 4, 8, … of a picture: two strided convolutions, then stages of residual blocks.

    `channels` of strides 2 and 4 and of every further stage; `blocks` per stage from stride 4 on.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNorm(3, channels[0], 3, 2)
        self.entry = ConvNorm(channels[0], channels[1], 3, 2)
        self.stages = nn.ModuleList()
        for number, count in enumerate(blocks):
            inside = channels[max(number, 1)]
            outside = channels[number + 1]
            first = Residual(inside, outside, 1 if number == 0 else 2)
            self.stages.append(nn.Sequential(first, *(Residual(outside, outside) for _ in range(count - 1))))

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        maps = [self.stem(image_BCHW)]
        x_BChw = self.entry(maps[0])
        for stage in self.stages:
            x_BChw = stage(x_BChw)
            maps.append(x_BChw)
        return maps


def read_boxes(map_BChw: Tensor, boxes_BR4: Tensor, size_hw: tuple[int, int], points: int) -> Tensor:
    """Bilinear samples of a map at points x points cell centres of every box: [B,R,C,n,n] float32.

    `size_hw` is the size of the picture in which the boxes are given; outside of it the map is repeated.
    """
    batch, rows = boxes_BR4.shape[:2]
    at_n = (torch.arange(points, device=boxes_BR4.device, dtype=torch.float32) + 0.5) / points
    corner_BR2, side_BR2 = boxes_BR4[..., :2], boxes_BR4[..., 2:] - boxes_BR4[..., :2]
    x_BRn = (corner_BR2[..., :1] + side_BR2[..., :1] * at_n) * (2.0 / size_hw[1]) - 1.0
    y_BRn = (corner_BR2[..., 1:] + side_BR2[..., 1:] * at_n) * (2.0 / size_hw[0]) - 1.0
    shape = (batch, rows, points, points)
    grid = torch.stack([x_BRn[:, :, None, :].expand(shape), y_BRn[..., None].expand(shape)], dim=-1)
    found = nnf.grid_sample(
        map_BChw.float(),
        grid.reshape(batch, rows * points, points, 2).float(),
        padding_mode="border",
        align_corners=False,
    )
    return found.view(batch, -1, rows, points, points).transpose(1, 2)


def signal(images_BHW3: Tensor) -> Tensor:
    """uint8 pictures BHW3 as float32 BCHW in [-1, 1]."""
    return images_BHW3.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
