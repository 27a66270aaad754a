"""From the mask of a class to the masks of its instances, and what a record says about them.

Letters: H W pixels, N instances of one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.flows.ground_words import Wanted
from scenewright.scene import Box, Mask, Record, Scene

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClassMask:
    """Where a picture shows what was wanted: `mask_HW`, and how `sure` the head is (its mean probability
    inside the mask, 0 for an empty one)."""

    wanted: Wanted
    mask_HW: Bits
    sure: float


def instance_masks(scene: Scene, found: Iterable[ClassMask]) -> dict[str, Mask]:
    """The mask of every instance that was looked for, by id; see `share_out`."""
    masks: dict[str, Mask] = {}
    for one in found:
        boxes = [scene.instance(id).location_box for id in one.wanted.ids]
        for id, part_HW in zip(one.wanted.ids, share_out(one.mask_HW, boxes), strict=True):
            masks[id] = Mask.from_array(part_HW)
    return masks


def share_out(mask_HW: Bits, boxes: Sequence[Box | None]) -> list[Bits]:
    """The mask of a class cut into one part per instance; together the parts are the whole mask.

    A pixel goes to the instance whose box it is in or nearest to (of several boxes around it, the smallest).
    Instances without a place get what no box holds: connected parts,
    the largest first; the first of them also gets what is then left.
    """
    if len(boxes) == 1:
        return [mask_HW]
    parts = [np.zeros_like(mask_HW) for _ in boxes]
    placed = [k for k, box in enumerate(boxes) if box is not None]
    free = [k for k, box in enumerate(boxes) if box is None]
    left_HW = mask_HW
    if placed:
        owner_HW, inside_HW = _owners([box for box in boxes if box is not None], mask_HW.shape)
        taken_HW = mask_HW & inside_HW if free else mask_HW
        for number, k in enumerate(placed):
            parts[k] = taken_HW & (owner_HW == number)
        left_HW = mask_HW & ~taken_HW
    if free and left_HW.any():
        pieces = Mask.from_array(left_HW).components()
        for number, piece in enumerate(pieces):
            k = free[number] if number < len(free) else free[0]
            parts[k] = parts[k] | piece.array()
    return parts


def _owners(boxes: Sequence[Box], size_hw: Sequence[int]) -> tuple[NDArray[np.int64], Bits]:
    """For every pixel the number of the box that it belongs to, and whether it is inside of any."""
    height, width = size_hw
    edges_N4 = np.array([box.xyxy for box in boxes]) * [width, height, width, height]
    x_W, y_H = np.arange(width) + 0.5, np.arange(height) + 0.5
    x0, y0, x1, y1 = (edges_N4[:, k, None] for k in range(4))
    dx_NW = np.maximum(np.maximum(x0 - x_W, x_W - x1), 0)
    dy_NH = np.maximum(np.maximum(y0 - y_H, y_H - y1), 0)
    away_NHW = np.hypot(dx_NW[:, None, :], dy_NH[:, :, None])
    size_N = (edges_N4[:, 2] - edges_N4[:, 0]) * (edges_N4[:, 3] - edges_N4[:, 1]) / (height * width)
    key_NHW = away_NHW + 1e-3 * size_N[:, None, None]  # the size decides between equals
    return key_NHW.argmin(0), (away_NHW == 0).any(0)


def scores(found: Iterable[ClassMask]) -> dict[str, Any]:
    """What a record says about its masks: per class the share of the picture, how sure the head is, the
    instances, and whether the prompt speaks of it."""
    return {
        one.wanted.label: {
            "share": round(float(one.mask_HW.mean()), 6),
            "sure": round(one.sure, 4),
            "instances": list(one.wanted.ids),
            "in_prompt": one.wanted.in_prompt,
        }
        for one in found
    }


def class_masks(record: Record) -> dict[str, Mask]:
    """The masks of a record by class, those of its instances together; empty if it was not grounded."""
    told: Mapping[str, Any] = record.scores.get("grounding", {}).get("classes", {})
    return {label: _union(record, entry["instances"]) for label, entry in told.items()}


def _union(record: Record, ids: Sequence[str]) -> Mask:
    whole = Mask.empty(record.size_hw)
    for id in ids:
        if id in record.masks:
            whole = whole.union(record.masks[id])
    return whole
