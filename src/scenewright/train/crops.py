"""Square crops of latents with what is left of their scenes.

A convolutional denoiser learns what things look like at their own size from crops at a fraction of the cost
of whole pictures; where things are it learns from both.

Letters: B batch, C latent channels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scenewright.train.renders import Item

KEPT = 0.5
"""An instance stays in the scene of a crop if at least this share of its box is inside."""


def crop_latents(
    z_BChw: Tensor, items: Sequence[Item], side: int, rng: np.random.Generator
) -> tuple[Tensor, list[Item]]:
    """Crops z_BCss of `side` cells and the items seen in each: around one of the instances, whole if it fits.

    An item's caption becomes the list of the phrases that are left ("" if none is); without instances the
    crop lies anywhere. A side larger than the latent returns everything unchanged.
    """
    height, width = z_BChw.shape[-2:]
    if side > height or side > width or (side == height and side == width):
        return z_BChw, list(items)
    crops, cropped = [], []
    for z_Chw, item in zip(z_BChw, items, strict=True):
        boxes = item.boxes or ((0.0, 0.0, 1.0, 1.0),)
        x0, y0, x1, y1 = boxes[int(rng.integers(len(boxes)))]
        x = _start(x0 * width, x1 * width, side, width, rng)
        y = _start(y0 * height, y1 * height, side, height, rng)
        crops.append(z_Chw[:, y : y + side, x : x + side])
        cropped.append(crop_item(item, (x / width, y / height, (x + side) / width, (y + side) / height)))
    return torch.stack(crops), cropped


def _start(first: float, last: float, side: int, room: int, rng: np.random.Generator) -> int:
    """Where a crop of `side` cells of `room` begins: it holds the span, or lies in it."""
    ends = sorted((math.floor(first), math.ceil(last) - side))
    low, high = (min(max(end, 0), room - side) for end in ends)
    return int(rng.integers(low, high + 1))


def crop_item(item: Item, window: tuple[float, float, float, float]) -> Item:
    """The item seen through `window` (xyxy in [0,1]): boxes cut, caption of the phrases that are left."""
    wx0, wy0, wx1, wy1 = window
    phrases, boxes = [], []
    for phrase, (x0, y0, x1, y1) in zip(item.phrases, item.boxes, strict=True):
        cut = (max(x0, wx0), max(y0, wy0), min(x1, wx1), min(y1, wy1))
        inside = max(0.0, cut[2] - cut[0]) * max(0.0, cut[3] - cut[1])
        if inside < KEPT * (x1 - x0) * (y1 - y0):
            continue
        phrases.append(phrase)
        boxes.append(
            (
                (cut[0] - wx0) / (wx1 - wx0),
                (cut[1] - wy0) / (wy1 - wy0),
                (cut[2] - wx0) / (wx1 - wx0),
                (cut[3] - wy0) / (wy1 - wy0),
            )
        )
    return Item(" and ".join(phrases), tuple(phrases), tuple(boxes))
