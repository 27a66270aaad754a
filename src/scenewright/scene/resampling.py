"""Resizing of arrays: pictures by an antialiased triangle filter, label maps by nearest.

Shape letters: H, W pixels in; h, w pixels out; C channels.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)


def resize_image(image_HWC: npt.NDArray[np.uint8], to_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A picture [H, W, C] at another size [h, w, C]: linear, averaging what it covers when it shrinks."""
    if image_HWC.shape[1::-1] == tuple(to_wh):
        return image_HWC.copy()
    half = _weighted(image_HWC.astype(np.float32), *taps(image_HWC.shape[0], to_wh[1]), axis=0)
    whole = _weighted(half, *taps(image_HWC.shape[1], to_wh[0]), axis=1)
    return np.asarray(np.clip(np.floor(whole + 0.5), 0, 255), dtype=np.uint8)


def resize_labels(labels_HW: npt.NDArray[Kind], to_wh: tuple[int, int]) -> npt.NDArray[Kind]:
    """Labels [H, W] at another size [h, w]: each new pixel takes the label under its centre."""
    height, width = labels_HW.shape
    return labels_HW[np.ix_(nearest_index(height, to_wh[1]), nearest_index(width, to_wh[0]))]


def taps(size: int, to: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each of `to` pixels, the pixels [to, K] it is mixed from and their weights [to, K]; these sum to 1.

    The triangle filter is as wide as the larger of the two pixel sizes.
    """
    ratio = size / to
    reach = max(ratio, 1.0)
    centres = (np.arange(to) + 0.5) * ratio
    first = np.floor(centres - reach).astype(np.int64)
    index = first[:, None] + np.arange(int(2 * reach) + 3)
    weights = np.maximum(1.0 - np.abs(index + 0.5 - centres[:, None]) / reach, 0.0)
    weights[(index < 0) | (index >= size)] = 0.0
    used = (weights > 0).any(axis=0)
    weights = weights[:, used] / weights.sum(axis=1, keepdims=True)
    return np.clip(index[:, used], 0, size - 1), weights.astype(np.float32)


def _weighted(
    image: npt.NDArray[np.float32], index: npt.NDArray[np.int64], weights: npt.NDArray[np.float32], axis: int
) -> npt.NDArray[np.float32]:
    """Sums of rows (axis 0) or columns (axis 1) of a picture [H, W, C]."""
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    out = np.take(image, index[:, 0], axis) * weights[:, 0].reshape(shape)
    for k in range(1, index.shape[1]):
        out += np.take(image, index[:, k], axis) * weights[:, k].reshape(shape)
    return np.asarray(out, dtype=np.float32)


def nearest_index(size: int, to: int) -> npt.NDArray[np.int64]:
    """For each of `to` pixels, the one of `size` pixels under its centre. Exact, in whole numbers."""
    return (2 * np.arange(to, dtype=np.int64) + 1) * size // (2 * to)
