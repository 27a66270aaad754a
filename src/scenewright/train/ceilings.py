"""What ceilings of judges are measured with: the frozen held-out renders and counts over them.

Letters: H W pixels, K classes, N verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scenewright.world.drawn import Drawn


def drawn_held_out(id: str, count: int = 0) -> Iterator[Drawn]:
    """The first `count` drawings of the frozen set `id` ("toybox-1", "town-1"), all if 0."""
    from scenewright.evaluate.protocol import held_out
    from scenewright.flows.held_out import drawings

    return drawings(held_out(id), count)


def confusion(
    truth_HW: NDArray[np.integer], labels_HW: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """How many pixels of class row were labelled column, [K,K]; truth outside 0..K-1 is not counted."""
    counted_HW = truth_HW < classes
    pairs_N = truth_HW[counted_HW].astype(np.int64) * classes + labels_HW[counted_HW]
    return np.bincount(pairs_N, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def class_iou(counts_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, NaN for classes neither drawn nor said."""
    meet_K = np.diag(counts_KK).astype(np.float64)
    join_K = counts_KK.sum(0) + counts_KK.sum(1) - np.diag(counts_KK)
    return np.divide(meet_K, join_K, out=np.full(len(meet_K), np.nan), where=join_K > 0)


def calibration_error(sure_N: NDArray[np.floating], right_N: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3): |accuracy - confidence| by equal bins."""
    bin_N = np.minimum((np.asarray(sure_N) * bins).astype(int), bins - 1)
    gaps = [
        abs(float(right_N[bin_N == k].mean()) - float(sure_N[bin_N == k].mean())) * (bin_N == k).mean()
        for k in np.unique(bin_N)
    ]
    return float(sum(gaps))
