"""Which of the town's six looks a picture has, and how sure that is.

A strided convolutional network with GroupNorm (Wu and He, 2018) on the picture at a quarter of the town's
size; colour and contrast decide, so the mean and the spread of the last map over the whole picture are read.
The confidence is the softmax at a temperature fitted on held-out renders (Guo et al., "On Calibration of
Modern Neural Networks", 2017).

Letters: B pictures, H W pixels, K looks, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.models.judges.pictures import Picture, as_fields, in_batches, signals


@dataclass(frozen=True, kw_only=True)
class LooksConfig:
    """Sizes of the network and how its confidence is scaled."""

    channels: tuple[int, ...] = (16, 32, 48, 64)  # of the convolutions, each halves the map
    size_wh: tuple[int, int] = (96, 48)  # every picture is brought to this size
    temperature: float = 1.0  # divides the logits; fitted on held-out renders


@dataclass(frozen=True)
class Look:
    """One verdict: the likeliest look, its probability in [0, 1], and those of all looks."""

    name: str
    sure: float
    shares: Mapping[str, float]


class LooksNet(nn.Module):
    """The look classifier: a network from pictures to one logit per look, named `names`."""

    def __init__(self, config: LooksConfig, names: tuple[str, ...]) -> None:
        super().__init__()
        self.config, self.names = config, names
        layers: list[nn.Module] = []
        for before, after in pairwise((3, *config.channels)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(2 * config.channels[-1], len(names))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits [B,K] of pictures in [-1,1] of the configured size."""
        map_BCN = self.layers(image_BCHW).flatten(2).float()
        spread_BC = map_BCN.var(2, correction=0).add(1e-6).sqrt()
        logits: Tensor = self.out(torch.cat([map_BCN.mean(2), spread_BC], dim=1).to(self.out.weight.dtype))
        return logits

    def logits(self, images: Sequence[Picture]) -> Tensor:
        """Logits [B,K] float32 on the CPU of pictures HW3 uint8 of any sizes."""
        rows = [torch.zeros(0, len(self.names))]
        for batch in in_batches(images, 64):
            with torch.no_grad():
                rows.append(self(signals(batch, self.config.size_wh, self)).float().cpu())
        return torch.cat(rows)

    def looks(self, images: Sequence[Picture]) -> list[Look]:
        """One `Look` per picture (HW3 uint8, any sizes). Raises InputError for arrays that are none."""
        shares_BK = (self.logits(images) / self.config.temperature).softmax(1).tolist()
        best = [max(range(len(row)), key=row.__getitem__) for row in shares_BK]
        return [
            Look(self.names[k], row[k], dict(zip(self.names, row, strict=True)))
            for k, row in zip(best, shares_BK, strict=True)
        ]


def build(config: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> LooksNet:
    """An unfilled network from what a judge's file says: `LooksConfig`'s fields; labels "looks"."""
    return LooksNet(LooksConfig(**as_fields(config)), tuple(labels["looks"]))
