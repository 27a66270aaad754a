"""Noise of several resolutions: what masks are noised with in training.

White noise hardly touches the low frequencies of a latent, so that a network trained with it alone reads
large regions off what should be noise. Adding enlarged noise of smaller sizes, weighted by powers of
`discount`, cures that; Marigold (Ke et al., "Repurposing Diffusion-Based Image Generators for Monocular Depth
Estimation", CVPR 2024, section 3.2) *anneals* it: the discount is 0.9 t / T, so that little noise is white.
Source of the method: J. Whitaker, "Multi-Resolution Noise for Diffusion Model Training", 2023.

``noise = (base + sum_i discount^i up(level_i)) / std``, level 0 at full size. Sizes of the levels:

============  ============================================================  =======================
`strategy`    side of level i                                               levels
============  ============================================================  =======================
original      previous / r^i, r drawn anew in [2, 4] for each level         until a side is 1
every_layer   previous / 2, level 0 at half size                            log2 of the shorter side
power_of_two  previous / 2^i                                                until a side is 1
random_step   previous / r, r drawn anew in [2, 4]                          until a side is 1
============  ============================================================  =======================

Letters: B samples, C latent channels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.errors import InputError

Strategy = Literal["original", "every_layer", "power_of_two", "random_step"]

Ratio = Callable[[], float]
"""Draws the next r in [2, 4]."""


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """How noise is made. Raises InputError for impossible values.

    levels    most levels added to the base; 0: white noise
    discount  weight of a level over that of the one before, in (0, 1]
    annealed  whether the discount of a sample falls with its timestep, to 0 where there is no noise
    strategy  sizes of the levels
    """

    levels: int = 6
    discount: float = 0.3
    annealed: bool = False
    strategy: Strategy = "original"

    def __post_init__(self) -> None:
        if self.levels < 0:
            raise InputError(f"pyramid.levels must not be negative, but is {self.levels}", "0 is white noise")
        if not 0 < self.discount <= 1:
            raise InputError(f"pyramid.discount must be in (0, 1], not {self.discount}")


WHITE = Pyramid(levels=0)
"""No pyramid."""
PUBLISHED = Pyramid(levels=6, discount=0.3)
"""As Seg-diffusion's launch script asks for it."""
ANNEALED = Pyramid(levels=10, discount=0.9, annealed=True)
"""As Marigold trains."""


def level_sizes(size_hw: tuple[int, int], pyramid: Pyramid, ratio: Ratio) -> list[tuple[int, int]]:
    """Height and width of every level, level 0 first; `ratio` is asked once per level that needs one."""
    height, width = size_hw
    most = pyramid.levels
    if pyramid.strategy == "every_layer":
        most = min(most, int(math.log2(min(size_hw))))
    found: list[tuple[int, int]] = []
    for i in range(most):
        by = _divisor(pyramid.strategy, i, ratio)
        height, width = max(1, int(height / by)), max(1, int(width / by))
        found.append((height, width))
        if pyramid.strategy != "every_layer" and (height == 1 or width == 1):
            break
    return found


def _divisor(strategy: Strategy, i: int, ratio: Ratio) -> float:
    if strategy == "original":
        return float(ratio() ** i)
    if strategy == "random_step":
        return ratio()
    return 2.0 if strategy == "every_layer" else 2.0**i


def stacked(base_BChw: Tensor, levels: Sequence[Tensor], discount: float | Tensor) -> Tensor:
    """The base with drawn levels [B, C, ., .] added, over the standard deviation of it all.

    `discount` is one number, or one per sample [B]. The base is not changed. The deviation is that of the
    whole batch (unbiased), as published; with one discount for all it is nearly the same for every sample.
    """
    weight = discount
    if isinstance(discount, Tensor):
        weight = discount.to(base_BChw.device, base_BChw.dtype).reshape(-1, 1, 1, 1)
    total_BChw = base_BChw.clone()
    size = tuple(base_BChw.shape[-2:])
    for i, level in enumerate(levels):
        total_BChw = total_BChw + nnf.interpolate(level, size, mode="bilinear") * weight**i
    return total_BChw / total_BChw.std()


def pyramid_noise(
    shape_BChw: Sequence[int],
    pyramid: Pyramid,
    generator: torch.Generator,
    share_B: Tensor | None = None,
) -> Tensor:
    """Noise of that shape, float32, on the device of `generator`.

    `share_B` is each sample's timestep over the number of timesteps, in [0, 1]; annealing needs it. Raises
    InputError where it is missing.
    """
    batch, channels, height, width = shape_BChw
    device = generator.device
    if pyramid.annealed and share_B is None:
        raise InputError("annealed noise needs the timesteps of its samples")

    def draw(high: int, wide: int) -> Tensor:
        return torch.randn((batch, channels, high, wide), generator=generator, device=device)

    def ratio() -> float:
        return 2.0 + 2.0 * float(torch.rand((), generator=generator, device=device))

    base_BChw = draw(height, width)
    if not pyramid.levels:
        return base_BChw
    levels = [draw(*size) for size in level_sizes((height, width), pyramid, ratio)]
    discount: float | Tensor = pyramid.discount
    if pyramid.annealed:
        assert share_B is not None
        discount = pyramid.discount * share_B
    return stacked(base_BChw, levels, discount)
