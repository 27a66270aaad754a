"""Colours, textures and inks of the drawn worlds: the one place their names come from.

The eight colour and eight texture names are those of the attribute benchmark of InstanceDiffusion
(Wang et al., CVPR 2024). Colours are 8-bit sRGB triples, mutually at least 100 apart (Euclidean), so that
"which of the eight is this?" has one answer even after shading.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scenewright.scene.oklab import oklab

__all__ = ["COLOURS", "RGB", "TEXTURES", "darker", "jitter", "lighter", "mix", "nearest_colour", "oklab"]

RGB = tuple[int, int, int]

COLOURS: Final[dict[str, RGB]] = {
    "black": (36, 36, 42),
    "white": (246, 246, 246),
    "red": (216, 38, 36),
    "green": (44, 160, 58),
    "yellow": (250, 208, 36),
    "blue": (36, 96, 216),
    "pink": (252, 132, 184),
    "purple": (140, 48, 178),
}
"""Colour name -> base sRGB value (0..255)."""

TEXTURES: Final[tuple[str, ...]] = (
    "rubber",
    "fluffy",
    "metallic",
    "wooden",
    "plastic",
    "fabric",
    "leather",
    "glass",
)
"""Texture names, in the benchmark's order."""


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """`first` moved towards `second` by `share` in [0, 1]."""
    a, b, c = (round(p + (q - p) * share) for p, q in zip(first, second, strict=True))
    return a, b, c


def darker(colour: RGB, factor: float) -> RGB:
    """`colour` multiplied by `factor` in [0, 1]."""
    return mix((0, 0, 0), colour, factor)


def lighter(colour: RGB, share: float) -> RGB:
    """`colour` moved towards white by `share` in [0, 1]."""
    return mix(colour, (255, 255, 255), share)


def jitter(colour: RGB, rng: np.random.Generator, amount: int = 8) -> RGB:
    """`colour` with every channel moved by up to `amount` levels, clipped to 0..255."""
    a, b, c = (
        min(255, max(0, p + int(d)))
        for p, d in zip(colour, rng.integers(-amount, amount + 1, 3), strict=True)
    )
    return a, b, c


_WEIGHTS: Final = np.array([0.5, 1.0, 1.0])


def nearest_colour(pixels_N3: NDArray[np.uint8]) -> str:
    """Name of the palette colour closest to the per-channel median of `pixels_N3` (N >= 1, uint8 RGB).

    Distance is taken in OKLab with lightness weighing half, so that shade does not change the name. Raises
    ValueError when there is no pixel.
    """
    if not len(pixels_N3):
        raise ValueError("no pixels were given, expected at least one")
    names = list(COLOURS)
    gaps = oklab(np.array([COLOURS[name] for name in names])) - oklab(np.median(pixels_N3, axis=0))
    return names[int(np.linalg.norm(gaps * _WEIGHTS, axis=1).argmin())]
