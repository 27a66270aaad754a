"""Connected segments of label maps by their size.

Jia et al., "DGInStyle", ECCV 2024 (arXiv 2312.03048), section 3.3: large segments of a map are kept from a
low-resolution pass, small ones are drawn again. Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from scenewright.scene.masks import Mask
from scenewright.scene.semantic import IGNORE

PUBLISHED_SHARE = 30_000 / 512**2
"""Share of the picture above which DGInStyle's demo calls a segment large; its data script has 20 000 px."""


def segments(
    labels_HW: npt.NDArray[np.integer[Any]],
    *,
    above_px: float = 0,
    below_px: float = float("inf"),
    skip: Collection[int] = (255, IGNORE),
) -> npt.NDArray[np.int32]:
    """Number of each pixel's segment, 0 for none: pixels of one label that touch by sides or corners.

    Only segments strictly larger than `above_px` and strictly smaller than `below_px` pixels count, and none
    of the labels `skip`. Numbers go by label, within one by the first pixel from the top, then the left.
    """
    numbers_HW = np.zeros(labels_HW.shape, np.int32)
    count = 0
    for label in np.unique(labels_HW).tolist():
        if label in skip:
            continue
        parts = [
            part.array()
            for part in Mask.from_array(labels_HW == label).components()
            if above_px < part.area_px < below_px
        ]
        for part_HW in sorted(parts, key=lambda part_HW: int(part_HW.argmax())):
            count += 1
            numbers_HW[part_HW] = count
    return numbers_HW
