"""OKLab, a space in which distances between colours are about as large as people see them (Ottosson,
2020)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


def oklab(rgb_N3: NDArray[np.floating[Any]] | NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (0..255, [..., 3]) as OKLab, the same shape: lightness 0..1, then a (green-red) and b
    (blue-yellow)."""
    share = np.asarray(rgb_N3, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    found: NDArray[np.float64] = np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T
    return found


_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
