"""The detector: boxes, classes, colours, textures and masks of toys, for scores.

A residual trunk with a feature pyramid (Lin et al. 2017) gives one map at stride 4. Every cell says whether
it is the middle of a thing and how far its four sides are (Tian et al. 2019, "FCOS"; the score is trained to
be the IoU, Li et al. 2020, "Generalized Focal Loss"). The best cells become boxes, which are read a second
time over a grid of points: class, colour, texture, a correction of the box, its IoU, and the coefficients of
its mask over the picture's prototypes (Bolya et al. 2019, "YOLACT").

Letters: B batch, H W pixels of the network's input, h w cells at stride 4, C channels, R boxes per picture,
P prototypes, n points along a side of a box, K classes, 4 box corners (xyxy in pixels of the input).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.models.judges.geometry import grown, moved
from scenewright.models.judges.layers import ConvNorm, Residual, Trunk, read_boxes
from scenewright.models.judges.textures import TextureReader

STRIDE = 4
"""Pixels per cell of the map that boxes are found on."""

FINE, GRAIN, HEADS = 32, 64, 4
"""Channels at stride 2 that textures are read from, channels of what is read, ways to weigh the points."""

NATIVE = 128
"""Longer side in pixels of the pictures it was trained on; others are resized to it."""


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Sizes of the network."""

    channels: tuple[int, ...] = (32, 48, 96, 160, 192)  # strides 2, 4, 8, 16, 32
    blocks: tuple[int, ...] = (2, 2, 2, 1)  # residual blocks at strides 4, 8, 16, 32
    neck: int = 64  # channels of the pyramid
    prototypes: int = 24  # masks are sums of so many maps
    points: int = 8  # read along each side of a box
    reader: int = 96  # channels of what is read
    width: int = 160  # of the layer before class, box and mask
    grain: int = 0  # channels of the network that sees textures only; 0: there is none


class Maps(NamedTuple):
    """What is computed once per picture.

    near_BChw         features at stride 4.
    fine_BCyx         features at stride 2, of a few pixels around: textures.
    middle_Bhw        logit that a cell is the middle of a thing, times how good its box is.
    boxes_Bhw4        the box that each cell sees.
    prototypes_BPyx   at stride 2.
    grain_BChw        what the network for textures sees, if there is one.
    """

    near_BChw: Tensor
    fine_BCyx: Tensor
    middle_Bhw: Tensor
    boxes_Bhw4: Tensor
    prototypes_BPyx: Tensor
    grain_BChw: Tensor | None = None


class Readings(NamedTuple):
    """What is read in given boxes: logits, except `boxes_BR4` (corrected) and `coefficients_BRP`.

    The first texture is "plain".
    """

    classes_BRK: Tensor
    colours_BRK: Tensor
    textures_BRK: Tensor
    quality_BR: Tensor
    boxes_BR4: Tensor
    coefficients_BRP: Tensor


class Detector(nn.Module):
    """The network; `maps` of pictures, `read` of boxes. See `scenewright.models.judges.detecting`."""

    def __init__(self, config: DetectorConfig, labels: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.config = config
        self.labels = {key: tuple(labels[key]) for key in ("classes", "colours", "textures")}
        neck = config.neck
        self.trunk = Trunk(config.channels, config.blocks)
        self.lateral = nn.ModuleList(nn.Conv2d(c, neck, 1) for c in config.channels[1:])
        self.smooth = ConvNorm(neck, neck)
        self.tower = ConvNorm(neck, neck)
        self.locate = nn.Conv2d(neck, 5, 1)
        self.fine = ConvNorm(config.channels[0], FINE)
        self.edges = nn.Conv2d(config.channels[0], 32, 1)
        self.masks = nn.Sequential(ConvNorm(neck, 32 * 4, 1), nn.PixelShuffle(2))
        self.prototypes = nn.Sequential(ConvNorm(32, 32), nn.Conv2d(32, config.prototypes, 1))
        self.reader = _Reader(config, self.labels)
        self.textures: TextureReader | None = None
        if config.grain:
            self.textures = TextureReader(config.grain, len(self.labels["textures"]) + 1)
        with torch.no_grad():
            self.locate.bias[0] = -4.0

    def maps(self, image_BCHW: Tensor) -> Maps:
        """Everything that is computed once per picture; values in [-1, 1], sides multiples of 32."""
        levels = self.trunk(image_BCHW)
        x_BChw = self.lateral[-1](levels[-1])
        for lateral, level in zip(reversed(self.lateral[:-1]), reversed(levels[1:-1]), strict=True):
            x_BChw = lateral(level) + nnf.interpolate(x_BChw, scale_factor=2.0, mode="nearest")
        near_BChw = self.smooth(x_BChw)
        found_B5hw = self.locate(self.tower(near_BChw)).float()
        prototypes_BPyx = self.prototypes(self.masks(near_BChw) + self.edges(levels[0])).float()
        boxes_Bhw4 = _sides_to_boxes(found_B5hw[:, 1:].permute(0, 2, 3, 1))
        grain_BChw = self.textures.look(image_BCHW) if self.textures is not None else None
        fine_BCyx = self.fine(levels[0])
        return Maps(near_BChw, fine_BCyx, found_B5hw[:, 0], boxes_Bhw4, prototypes_BPyx, grain_BChw)

    def read(self, maps: Maps, boxes_BR4: Tensor) -> Readings:
        """What is in the boxes."""
        size_hw = (maps.near_BChw.shape[2] * STRIDE, maps.near_BChw.shape[3] * STRIDE)
        points = self.config.points
        wide_BR4 = grown(boxes_BR4, 1.0 + 1.0 / points)
        near_BRCnn = read_boxes(maps.near_BChw, wide_BR4, size_hw, points)
        fine_BRCnn = read_boxes(maps.fine_BCyx, wide_BR4, size_hw, 2 * points)
        found: Readings = self.reader(near_BRCnn, fine_BRCnn, boxes_BR4)
        if self.textures is None or maps.grain_BChw is None:
            return found
        own_BRK = self.textures.read(maps.grain_BChw, boxes_BR4, size_hw)
        return found._replace(textures_BRK=self.textures.mixed(found.textures_BRK, own_BRK))

    def features(self, image_BCHW: Tensor) -> Tensor:
        """One vector [B,C] per picture, the means of the trunk's maps at strides 8 and 16: for distances
        between sets of pictures."""
        levels = self.trunk(image_BCHW)
        return torch.cat([level.float().mean((2, 3)) for level in levels[2:4]], dim=1)


class _Reader(nn.Module):
    """From the samples of boxes (n points a side of the near map, 2n of the fine one) to readings.

    Class, box and mask see where things are in the box; colour and texture are sums over points, weighted by
    how much a point tells of the thing's own surface.
    """

    def __init__(self, config: DetectorConfig, labels: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        wide, half = config.reader, (config.points + 1) // 2
        self.first = ConvNorm(config.neck, wide)
        self.shape = nn.Sequential(Residual(wide, wide, 2), nn.Flatten())
        self.joint = nn.Sequential(nn.Linear(wide * half * half, config.width), nn.ReLU(inplace=True))
        self.kind = nn.Linear(config.width, len(labels["classes"]))
        self.geometry = nn.Linear(config.width, 5 + config.prototypes)
        self.surface = ConvNorm(wide, wide, 1)
        self.grain = ConvNorm(FINE, GRAIN, 3, 2)
        self.weigh = nn.Conv2d(wide, HEADS, 1)
        self.colour = nn.Linear(HEADS * (wide + GRAIN), len(labels["colours"]))
        self.texture = nn.Sequential(
            nn.Linear(HEADS * (wide + GRAIN), 64),
            nn.ReLU(inplace=True),
            nn.Linear(64, len(labels["textures"]) + 1),
        )
        with torch.no_grad():
            self.geometry.weight.mul_(0.1)

    def forward(self, near_BRCnn: Tensor, fine_BRCnn: Tensor, boxes_BR4: Tensor) -> Readings:
        batch, rows = near_BRCnn.shape[:2]
        x_NCnn = self.first(near_BRCnn.flatten(0, 1))
        joint_ND = self.joint(self.shape(x_NCnn))
        surface_NCn = self.surface(x_NCnn)
        weight_NAn = self.weigh(surface_NCn).float().flatten(2).softmax(dim=-1)
        all_NCn = torch.cat([surface_NCn, self.grain(fine_BRCnn.flatten(0, 1))], dim=1).float().flatten(2)
        looks_ND = torch.einsum("nap,ncp->nac", weight_NAn, all_NCn).flatten(1)
        geometry_ND = self.geometry(joint_ND).float().view(batch, rows, -1)
        return Readings(
            self.kind(joint_ND).float().view(batch, rows, -1),
            self.colour(looks_ND).float().view(batch, rows, -1),
            self.texture(looks_ND).float().view(batch, rows, -1),
            geometry_ND[..., 0],
            moved(boxes_BR4, 0.2 * geometry_ND[..., 1:5]),
            geometry_ND[..., 5:],
        )


def _sides_to_boxes(sides_Bhw4: Tensor) -> Tensor:
    """Distances to left, top, right, bottom (in 8 px, as logarithms) from each cell's middle -> corners."""
    height, width = sides_Bhw4.shape[1:3]
    middle_hw2 = cell_middles(height, width, sides_Bhw4.device)
    reach_Bhw4 = 8.0 * sides_Bhw4.clamp(-4.0, 4.0).exp()
    return torch.cat([middle_hw2 - reach_Bhw4[..., :2], middle_hw2 + reach_Bhw4[..., 2:]], dim=-1)


def cell_middles(height: int, width: int, device: torch.device) -> Tensor:
    """x and y in pixels of the middles of height x width cells at stride 4: [h,w,2]."""
    y_h = (torch.arange(height, device=device) + 0.5) * STRIDE
    x_w = (torch.arange(width, device=device) + 0.5) * STRIDE
    return torch.stack([x_w.expand(height, width), y_h[:, None].expand(height, width)], dim=-1)


def build(config: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> Detector:
    """An unfilled detector of a stored configuration. Raises TypeError or KeyError for one that is none."""
    known = {field.name for field in dataclasses.fields(DetectorConfig)}
    if extra := set(config) - known:
        raise TypeError(f"unknown settings {', '.join(sorted(extra))}")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return Detector(DetectorConfig(**plain), labels)
