"""Polygons to run lengths by the rule of the COCO mask API (Lin et al. 2014), bit for bit.

The rule: scale the corners by 5 and round half up; walk every edge in unit steps along its longer axis,
rounding the other coordinate; keep the steps that cross the centre line of a pixel column; there the mask is
toggled at the first row whose centre is at or below the crossing. A pixel is set when an odd number of
toggles precede it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scenewright.errors import SceneError
from scenewright.scene import rle

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SCALE = 5
"""Subdivisions of a pixel along each axis."""

FARTHEST_PX = 100_000.0
"""Corners farther from the canvas origin than this are refused."""


def rasterise(polygon_px: list[float], size_wh: tuple[int, int]) -> rle.Counts:
    """Canonical run lengths of one polygon [x0, y0, x1, y1, ...] in pixels, on a canvas of `size_wh`."""
    width, height = size_wh
    corners = _corners(polygon_px)
    toggles = np.sort(_crossings(*_walk(corners), width, height))
    total = width * height
    places, repeats = np.unique(toggles[toggles < total], return_counts=True)
    edges = places[repeats % 2 == 1]
    return np.diff(np.concatenate([[0], edges, [total]])).astype(np.int64)


def _corners(polygon_px: list[float]) -> Ints:
    """Corners [K, 2] on the fine grid."""
    try:
        flat = np.asarray(polygon_px, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise SceneError("expected a polygon as a flat list of numbers x0, y0, x1, y1, ...") from None
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2:
        raise SceneError(
            f"expected a polygon of at least three corners x0, y0, x1, y1, ..., got shape {flat.shape}"
        )
    if not np.isfinite(flat).all() or np.abs(flat).max() > FARTHEST_PX:
        raise SceneError(f"expected finite polygon corners within {FARTHEST_PX:g} px")
    return np.trunc(SCALE * flat + 0.5).astype(np.int64).reshape(-1, 2)


def _walk(corners_K2: Ints) -> tuple[Ints, Ints]:
    """Points x [P], y [P] met by walking the closed outline in unit steps, edge after edge."""
    start_K2, end_K2 = corners_K2, np.roll(corners_K2, -1, axis=0)
    span_K2 = np.abs(end_K2 - start_K2)
    wide_K = span_K2[:, 0] >= span_K2[:, 1]
    major_K = np.where(wide_K, 0, 1)
    rows = np.arange(len(corners_K2))
    swapped_K = start_K2[rows, major_K] > end_K2[rows, major_K]
    low_K2 = np.where(swapped_K[:, None], end_K2, start_K2)
    high_K2 = np.where(swapped_K[:, None], start_K2, end_K2)
    steps_K = span_K2[rows, major_K]
    slope_K = (high_K2 - low_K2)[rows, 1 - major_K] / np.maximum(steps_K, 1)

    edge_P = np.repeat(rows, steps_K + 1)
    along_P = np.arange(len(edge_P)) - np.repeat(np.cumsum(steps_K + 1) - (steps_K + 1), steps_K + 1)
    along_P = np.where(swapped_K[edge_P], steps_K[edge_P] - along_P, along_P)
    major_P = low_K2[rows, major_K][edge_P] + along_P
    minor_P = np.trunc(low_K2[rows, 1 - major_K][edge_P] + slope_K[edge_P] * along_P + 0.5).astype(np.int64)
    wide_P = wide_K[edge_P]
    return np.where(wide_P, major_P, minor_P), np.where(wide_P, minor_P, major_P)


def _crossings(x_P: Ints, y_P: Ints, width: int, height: int) -> Ints:
    """Positions, in column order, at which the outline toggles the mask."""
    left = np.minimum(x_P[1:], x_P[:-1])
    column, offset = np.divmod(left - SCALE // 2, SCALE)
    crossing = (x_P[1:] != x_P[:-1]) & (offset == 0) & (column >= 0) & (column < width)
    upper = np.minimum(y_P[1:], y_P[:-1])[crossing]
    row = np.ceil(np.clip((upper + 0.5) / SCALE - 0.5, 0, height)).astype(np.int64)
    return np.asarray(column[crossing] * height + row)
