"""Square crops of latents with what is left of their scenes.

A convolutional denoiser learns what things look like at their own size from crops at a fraction of the cost
of whole pictures; where things are it learns from both.

Letters: B batch, C latent channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from scenewright.train.renders import Item

KEPT = 0.5
"""An instance stays in the scene of a crop if at least this share of its box is inside."""


def crop_latents(
    z_BChw: Tensor, items: Sequence[Item], side: int, rng: np.random.Generator
) -> tuple[Tensor, list[Item]]:
    """Crops z_BCss of `side` cells, one place for the whole batch, and the items seen in each.

    An item's caption becomes the list of the phrases that are left ("" if none is). A side larger than the
    latent returns everything unchanged.
    """
    height, width = z_BChw.shape[-2:]
    if side > height or side > width or (side == height and side == width):
        return z_BChw, list(items)
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    window = (x / width, y / height, (x + side) / width, (y + side) / height)
    cropped = [crop_item(item, window) for item in items]
    return z_BChw[:, :, y : y + side, x : x + side].contiguous(), cropped


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
