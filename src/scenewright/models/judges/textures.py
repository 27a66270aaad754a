"""A small network of its own for textures, which are patterns of two to four pixels.

It sees pixels, not the detector's maps: a few convolutions at a fixed scale, read over the points of a box
and summed with weights that say how much a point tells of the thing's surface. The detector adds what it
says to its own opinion, both scaled as they are worth (`mix`).

Letters: B batch, H W pixels, h w cells at stride 4, C channels, R boxes per picture, n points along a side,
K textures, the first of them "plain".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.models.judges.layers import ConvNorm, Residual, read_boxes

POINTS = 10
"""Points read along each side of a box."""

HEADS = 4
"""Ways to weigh the points."""


class TextureReader(nn.Module):
    """Logits of textures of boxes; `width` channels at stride 4."""

    def __init__(self, width: int, textures: int) -> None:
        super().__init__()
        wide = width + width // 2
        self.look = nn.Sequential(
            ConvNorm(3, width // 2, 3, 2),
            ConvNorm(width // 2, width, 3, 2),
            Residual(width, width),
            Residual(width, width),
        )
        self.one = nn.Conv2d(width, wide, 1)
        self.weigh = nn.Conv2d(wide, HEADS, 1)
        self.answer = nn.Sequential(
            nn.Linear(HEADS * wide, wide), nn.ReLU(inplace=True), nn.Linear(wide, textures)
        )
        self.mix = nn.Parameter(torch.tensor([0.0, 1.0, 0.0]), requires_grad=False)

    def read(self, map_BChw: Tensor, boxes_BR4: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Logits [B,R,K] of boxes (pixels of a picture of `size_hw`) from ``look`` of the picture."""
        batch, rows = boxes_BR4.shape[:2]
        seen_NCnn = read_boxes(map_BChw, boxes_BR4, size_hw, POINTS).flatten(0, 1)
        x_NCnn = nnf.relu(self.one(seen_NCnn))
        weight_NAp = self.weigh(x_NCnn).float().flatten(2).softmax(dim=-1)
        looks_ND = torch.einsum("nap,ncp->nac", weight_NAp, x_NCnn.float().flatten(2)).flatten(1)
        found: Tensor = self.answer(looks_ND).float()
        return found.view(batch, rows, -1)

    def mixed(self, first_BRK: Tensor, own_BRK: Tensor) -> Tensor:
        """The detector's opinion and this one's together: ``mix`` holds the factors and a shift of plain."""
        both_BRK = self.mix[0] * first_BRK + self.mix[1] * own_BRK
        return both_BRK + nnf.pad(self.mix[2:], (0, both_BRK.shape[-1] - 1))
