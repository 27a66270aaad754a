"""Pictures as the judges' networks take them: of one size, in [-1, 1], in batches.

Letters: B pictures, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.scene import Box
from scenewright.scene.io import check_image

Picture = NDArray[np.uint8]
"""HW3, uint8, sRGB."""

Thing = TypeVar("Thing")


def in_batches(items: Sequence[Thing], size: int) -> Iterator[Sequence[Thing]]:
    """Consecutive pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def signals(images: Sequence[Picture], size_wh: tuple[int, int], network: nn.Module) -> Tensor:
    """Pictures of any sizes, stretched to `size_wh`, as image_BCHW in [-1,1] where `network` is.

    Raises InputError for arrays that are no pictures.
    """
    place = next(network.parameters())
    for image in images:
        check_image(image)
    rows = [resized(as_signal(image[None]), size_wh) for image in images]
    return torch.cat(rows).to(device=place.device, dtype=place.dtype)


def as_signal(images_BHW3: NDArray[np.uint8]) -> Tensor:
    """uint8 pictures of one size as float32 image_BCHW in [-1,1]."""
    rows_BCHW = torch.from_numpy(np.array(images_BHW3)).permute(0, 3, 1, 2)
    return rows_BCHW.contiguous().float() / 127.5 - 1.0


def resized(image_BCHW: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """Pictures stretched to `size_wh`, bilinear with antialiasing; as they are where the size is right."""
    wanted = (size_wh[1], size_wh[0])
    if image_BCHW.shape[-2:] == wanted:
        return image_BCHW
    return nnf.interpolate(image_BCHW, wanted, mode="bilinear", antialias=True, align_corners=False)


def crop(image_HW3: Picture, box: Box, margin: float = 0.1) -> Picture:
    """The pixels of a box, widened on every side by `margin` of its size; at least 4 by 4 pixels.

    Pixels outside of the picture are left out, so that the crop may be smaller at the picture's edge.
    """
    height, width = image_HW3.shape[:2]
    x0, x1 = _span(box.x0 * width, box.x1 * width, margin, width)
    y0, y1 = _span(box.y0 * height, box.y1 * height, margin, height)
    return image_HW3[y0:y1, x0:x1]


def _span(low: float, high: float, margin: float, side: int) -> tuple[int, int]:
    extra = margin * (high - low)
    first, last = round(max(0.0, low - extra)), round(min(float(side), high + extra))
    first = max(0, min(first, side - 4))
    return first, min(side, max(last, first + 4))


def as_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration read from JSON, its lists as the tuples that frozen dataclasses hold."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
