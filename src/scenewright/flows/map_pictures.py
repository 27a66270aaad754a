"""Pictures of label maps as people look at them: the map, the picture, and one over the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.scene import contact_sheet
from scenewright.scene.label_space import load

if TYPE_CHECKING:
    from scenewright.scene import Record

BLACK = (0, 0, 0)
"""The published colour of what is not labelled."""


def has_map(record: Record) -> bool:
    """Whether a record is of a picture that was made from a label map alone."""
    return record.scene.semantic_map is not None and not record.scene.instances


def coloured(record: Record) -> NDArray[np.uint8]:
    """The map [H, W, 3] in the colours of its vocabulary; grey levels for one that is not here."""
    assert record.scene.semantic_map is not None
    labels_HW = record.scene.semantic_map.labels()
    try:
        return load(record.scene.semantic_map.vocabulary).colours(labels_HW, BLACK)
    except InputError:
        return np.repeat((labels_HW * 37 % 256).astype(np.uint8)[..., None], 3, axis=2)


def blend(record: Record) -> NDArray[np.uint8]:
    """Picture and map, half each [H, W, 3]."""
    mixed_HW3 = record.image.astype(np.uint16) + coloured(record)
    return ((mixed_HW3 + 1) // 2).astype(np.uint8)


def grid(record: Record, size_px: int = 640) -> NDArray[np.uint8]:
    """Map, picture and both together, side by side; the longer side of each is about `size_px` // 2."""
    pictures = [coloured(record), record.image, blend(record)]
    words = ["map", record.scene.prompt[:160], "both"]
    return contact_sheet(pictures, words, 3, cell_px=max(size_px // 2, max(record.size_hw)))
