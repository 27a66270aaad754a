"""The verifier: is the asked thing in this box? A second opinion for filters and repair, never for scores.

It shares nothing with the detector: a plain convolutional network (Simonyan and Zisserman 2015, with group
norms) looks at a square crop around a given box, and the box itself enters as a fourth channel. Besides
class, colour and texture it says for each class how likely a thing of it fits the box, and the IoU of the
box with the thing that it is about.

Letters: B pictures, H W pixels, R boxes per picture, N crops, S pixels along a side of a crop, K classes, 4
corners (xyxy in [0,1]).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.models.judges.layers import GROUPS


@dataclass(frozen=True, kw_only=True)
class VerifierConfig:
    """Sizes of the network, and what its logits are divided by so that its probabilities are true."""

    side: int = 64  # of the crops in pixels, a multiple of 16
    around: float = 1.25  # side of a crop relative to the longer side of its box
    channels: tuple[int, ...] = (32, 64, 128, 192)
    width: int = 256  # of the layer before the answers
    temperatures: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)  # here, class, colour, texture


class Answers(NamedTuple):
    """Logits per crop; the first texture is "plain". `fit_N` is the IoU in (0,1)."""

    here_NK: Tensor
    classes_NK: Tensor
    colours_NK: Tensor
    textures_NK: Tensor
    fit_N: Tensor


class Verifier(nn.Module):
    """The network; see `scenewright.models.judges.verifying` for its use on pictures."""

    def __init__(self, config: VerifierConfig, labels: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.config = config
        self.labels = {key: tuple(labels[key]) for key in ("classes", "colours", "textures")}
        kinds, colours, textures = (len(self.labels[key]) for key in ("classes", "colours", "textures"))
        first, second, third, fourth = config.channels
        self.look = nn.Sequential(
            *_layer(4, first, kernel=5, stride=2),
            *_layer(first, second),
            nn.MaxPool2d(2),
            *_layer(second, third),
            *_layer(third, third),
            nn.MaxPool2d(2),
            *_layer(third, fourth),
            *_layer(fourth, fourth),
            nn.MaxPool2d(2),
        )
        cells = (config.side // 16) ** 2
        self.think = nn.Sequential(nn.Flatten(), nn.Linear(fourth * cells, config.width), nn.GELU())
        sizes = (kinds, kinds, colours, textures + 1, 1)
        self.answers = nn.ModuleList(nn.Linear(config.width, size) for size in sizes)
        with torch.no_grad():
            self.answers[0].bias.fill_(-4.0)  # most things are not here

    def forward(self, crops_N4SS: Tensor) -> Answers:
        """Answers about crops, see `crops`."""
        thought_ND = self.think(self.look(crops_N4SS))
        here, classes, colours, textures, fit = (one(thought_ND).float() for one in self.answers)
        return Answers(here, classes, colours, textures, fit[:, 0].sigmoid())


def _layer(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.GroupNorm(GROUPS, outside), nn.GELU()]


def crops(image_B3HW: Tensor, boxes_BR4: Tensor, config: VerifierConfig) -> Tensor:
    """Square crops [B*R,4,S,S] around boxes: the picture ([-1,1], repeated beyond its edges) and, as the
    fourth channel, 1 inside the box and -1 outside."""
    batch, rows = boxes_BR4.shape[:2]
    height, width = image_B3HW.shape[2:]
    size_2 = boxes_BR4.new_tensor([width, height])
    centre_BR2 = (boxes_BR4[..., :2] + boxes_BR4[..., 2:]) / 2 * size_2
    side_BR2 = (boxes_BR4[..., 2:] - boxes_BR4[..., :2]) * size_2
    reach_BR1 = (side_BR2.amax(-1, keepdim=True) * (config.around / 2)).clamp(min=2.0)
    fine = 2 * config.side
    at_n = (torch.arange(fine, device=boxes_BR4.device) + 0.5) * (2 / fine) - 1
    x_BRn = centre_BR2[..., :1] + reach_BR1 * at_n
    y_BRn = centre_BR2[..., 1:] + reach_BR1 * at_n
    shape = (batch, rows, fine, fine)
    x_BRnn = (x_BRn * (2 / width) - 1)[:, :, None, :].expand(shape)
    y_BRnn = (y_BRn * (2 / height) - 1)[..., None].expand(shape)
    grid = torch.stack([x_BRnn, y_BRnn], dim=-1).view(batch, rows * fine, fine, 2)
    seen = nnf.grid_sample(image_B3HW, grid, padding_mode="border", align_corners=False)
    seen = seen.view(batch, 3, rows, fine, fine).transpose(1, 2)
    across_BRn = ((x_BRn - centre_BR2[..., :1]).abs() <= side_BR2[..., :1] / 2).float()
    down_BRn = ((y_BRn - centre_BR2[..., 1:]).abs() <= side_BR2[..., 1:] / 2).float()
    inside_BR1nn = 2 * (down_BRn[..., :, None] * across_BRn[..., None, :])[:, :, None] - 1
    both = torch.cat([seen, inside_BR1nn], dim=2).flatten(0, 1)
    return nnf.avg_pool2d(both, 2)


def build(config: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> Verifier:
    """An unfilled verifier of a stored configuration. Raises TypeError or KeyError for one that is none."""
    known = {field.name for field in dataclasses.fields(VerifierConfig)}
    if extra := set(config) - known:
        raise TypeError(f"unknown settings {', '.join(sorted(extra))}")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return Verifier(VerifierConfig(**plain), labels)
