"""The town segmenter: a label map with the 19 street classes of any picture.

A U-Net (Ronneberger et al., 2015) of residual convolutions that begins and ends at half resolution: 2x2
pixels enter as 12 channels and leave as 2x2 cells (Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016), at a quarter of the cost.
The last logits see the pixels themselves again, for poles and other thin things.

Letters: B pictures, H W pixels, K classes, C channels, h w cells of a level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.models.judges.pictures import Picture, as_fields, as_signal, in_batches
from scenewright.scene.io import check_image


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Sizes of the network, and the vocabulary whose ids it gives."""

    vocabulary: str = "town"
    channels: tuple[int, ...] = (24, 40, 64, 96)  # of the levels at 1/2, 1/4, 1/8, 1/16 of the picture
    groups: int = 8  # of the GroupNorms
    fine_channels: int = 16  # of the last logits' hidden map at full resolution

    @property
    def multiple(self) -> int:
        """Sides of the network's input are multiples of this many pixels."""
        return int(2 ** len(self.channels))


class _Block(nn.Module):
    """A residual block: two 3x3 convolutions behind GroupNorm and SiLU (He et al., 2016)."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, before),
            nn.SiLU(),
            nn.Conv2d(before, after, 3, padding=1),
            nn.GroupNorm(groups, after),
            nn.SiLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, map_BChw: Tensor) -> Tensor:
        """The map with another number of channels."""
        out: Tensor = self.skip(map_BChw) + self.layers(map_BChw)
        return out


class SegmenterNet(nn.Module):
    """A network from pictures to logits of every class, named `names`, in every pixel."""

    def __init__(self, config: SegmenterConfig, names: tuple[str, ...]) -> None:
        super().__init__()
        self.config, self.names = config, names
        sizes, groups, fine = config.channels, config.groups, config.fine_channels
        self.first = nn.Conv2d(12, sizes[0], 3, padding=1)
        self.down = nn.ModuleList([_Block(size, size, groups) for size in sizes])
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(sizes)])
        self.middle = _Block(sizes[-1], sizes[-1], groups)
        self.widen = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(sizes)])
        self.up = nn.ModuleList([_Block(size, size, groups) for size in sizes[:-1]])
        self.fine = nn.Conv2d(sizes[0], 4 * fine, 1)
        self.last = nn.Sequential(
            nn.Conv2d(fine + 3, fine, 3, padding=1), nn.SiLU(), nn.Conv2d(fine, len(names), 1)
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits [B,K,H,W] of pictures in [-1,1]; sides are multiples of 16."""
        map_BChw = self.first(nnf.pixel_unshuffle(image_BCHW, 2))
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            map_BChw = block(map_BChw)
            if level < len(self.shrink):
                kept.append(map_BChw)
                map_BChw = self.shrink[level](map_BChw)
        map_BChw = self.middle(map_BChw)
        for level in reversed(range(len(self.up))):
            wider = nnf.interpolate(self.widen[level](map_BChw), scale_factor=2.0, mode="nearest")
            map_BChw = self.up[level](wider + kept[level])
        fine_BCHW = nnf.pixel_shuffle(self.fine(map_BChw), 2)
        logits: Tensor = self.last(torch.cat([nnf.silu(fine_BCHW), image_BCHW], dim=1))
        return logits

    def labels(self, images: Sequence[Picture]) -> list[NDArray[np.uint8]]:
        """One label map [H,W] uint8 per picture (HW3 uint8, any sizes): places in `names`.

        Sides that are no multiple of 16 are continued by their last row and column, and cut again. Raises
        InputError for arrays that are no pictures.
        """
        return [
            labels_HW
            for logits_BKHW in self.logits(images)
            for labels_HW in logits_BKHW.argmax(1).to(torch.uint8).cpu().numpy()
        ]

    def logits(self, images: Sequence[Picture]) -> Iterator[Tensor]:
        """Float32 logits [B,K,H,W] of consecutive pictures of one size (HW3 uint8), batch by batch, in order.

        Raises InputError for arrays that are no pictures.
        """
        for image in images:
            check_image(image)
        for image_HW3s in _runs_of_one_size(images):
            for batch in in_batches(image_HW3s, 8):
                yield self._logits(np.stack(batch))

    @torch.no_grad()
    def _logits(self, images_BHW3: NDArray[np.uint8]) -> Tensor:
        place = next(self.parameters())
        height, width = images_BHW3.shape[1:3]
        below, right = -height % self.config.multiple, -width % self.config.multiple
        padded = np.pad(images_BHW3, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
        logits_BKHW: Tensor = self(as_signal(padded).to(place.device, place.dtype))
        return logits_BKHW[:, :, :height, :width].float()


def _runs_of_one_size(images: Sequence[Picture]) -> list[list[Picture]]:
    """Neighbouring pictures of one size together, in order."""
    runs: list[list[Picture]] = []
    for image in images:
        if runs and runs[-1][0].shape == image.shape:
            runs[-1].append(image)
        else:
            runs.append([image])
    return runs


def build(config: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> SegmenterNet:
    """An unfilled network from what a judge's file says: `SegmenterConfig`'s fields; labels "classes"."""
    return SegmenterNet(SegmenterConfig(**as_fields(config)), tuple(labels["classes"]))
