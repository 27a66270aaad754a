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
    height, width, channels = image_HWC.shape
    down_hH, across_wW = triangle(height, to_wh[1]), triangle(width, to_wh[0])
    half = (down_hH @ image_HWC.reshape(height, -1).astype(np.float32)).reshape(to_wh[1], width, channels)
    whole = np.matmul(across_wW, half)
    return np.asarray(np.clip(np.floor(whole + 0.5), 0, 255), dtype=np.uint8)


def resize_labels(labels_HW: npt.NDArray[Kind], to_wh: tuple[int, int]) -> npt.NDArray[Kind]:
    """Labels [H, W] at another size [h, w]: each new pixel takes the label under its centre."""
    height, width = labels_HW.shape
    return labels_HW[np.ix_(nearest_index(height, to_wh[1]), nearest_index(width, to_wh[0]))]


def triangle(size: int, to: int) -> npt.NDArray[np.float32]:
    """Weights [to, size] of the triangle filter; each row sums to 1."""
    ratio = size / to
    reach = max(ratio, 1.0)
    centres = (np.arange(to) + 0.5) * ratio
    distance = np.abs(np.arange(size)[None, :] + 0.5 - centres[:, None]) / reach
    weights = np.maximum(1.0 - distance, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def nearest_index(size: int, to: int) -> npt.NDArray[np.int64]:
    """For each of `to` pixels, the one of `size` pixels under its centre. Exact, in whole numbers."""
    return (2 * np.arange(to, dtype=np.int64) + 1) * size // (2 * to)
