"""ScaleU: learnt factors on what a UNet's ascending blocks read.

Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv 2402.03290),
section 3.3. Per ascending resnet, the backbone features F_b get a factor per channel and the low frequencies
of the skip features F_s one factor:

=============  =========================================
name in code   symbol in the paper
=============  =========================================
``b``          s_b, factor tanh(s_b) + 1 per channel
``s``          s_s, factor tanh(s_s) + 1 (one number)
=============  =========================================

The filter is applied in closed form, in float32, so that maps of any size work in half precision.
Letters: R rows, C channels, h w latent cells, K basis functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def scale_low_frequencies(x_RChw: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the lowest frequencies of each map by `factor` (0-d or one element).

    Equals taking the shifted Fourier transform, scaling the 2x2 block of frequencies -1 and 0, and keeping
    the real part of the inverse.
    """
    h, w = x_RChw.shape[-2:]
    basis_KP = _basis(h, w, x_RChw.device)
    x_RCP = x_RChw.float().flatten(2)
    low_RCP = (x_RCP @ basis_KP.T) @ basis_KP / (h * w)
    return (x_RCP + (factor.float() - 1) * low_RCP).view_as(x_RChw).to(x_RChw.dtype)


def _basis(h: int, w: int, device: torch.device) -> Tensor:
    """[7, h*w]: the constant, and cosine and sine of the frequencies (1,0), (0,1), (1,1)."""
    y_P = torch.arange(h, device=device).repeat_interleave(w) / h
    x_P = torch.arange(w, device=device).repeat(h) / w
    angles = [2 * math.pi * (u * y_P + v * x_P) for u, v in ((1, 0), (0, 1), (1, 1))]
    return torch.stack([torch.ones_like(y_P), *(f(a) for a in angles for f in (torch.cos, torch.sin))])


class ScaleU(nn.Module):
    """The factors of one ascending resnet; fresh ones change nothing. `width`: channels from the backbone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(width))
        self.s = nn.Parameter(torch.zeros(1))

    def forward(self, both_RChw: Tensor) -> Tensor:
        """The concatenation of backbone and skip features, each scaled; same shape and dtype."""
        h_RChw, skip_RChw = both_RChw[:, : len(self.b)], both_RChw[:, len(self.b) :]
        factor_C11 = (self.b.float().tanh() + 1).to(h_RChw.dtype)[:, None, None]
        skip_RChw = scale_low_frequencies(skip_RChw, self.s.float().tanh() + 1)
        return torch.cat([h_RChw * factor_C11, skip_RChw], dim=1)


def fresh_scales(unet: nn.Module) -> dict[str, ScaleU]:
    """One `ScaleU` per ascending resnet of a UNet, by the resnet's path; widths are read from the modules."""
    net: Any = unet
    scales: dict[str, ScaleU] = {}
    width = net.mid_block.resnets[-1].out_channels
    for i, block in enumerate(net.up_blocks):
        for j, resnet in enumerate(block.resnets):
            scales[f"up_blocks.{i}.resnets.{j}"] = ScaleU(width)
            width = resnet.out_channels
    return scales


class ScaleHooks:
    """Pre-hooks that scale what ascending resnets read; `close()` removes them."""

    def __init__(self, unet: nn.Module, scales: Mapping[str, ScaleU]) -> None:
        self._hooks = [
            unet.get_submodule(path).register_forward_pre_hook(_scaled_by(scale))
            for path, scale in scales.items()
        ]

    def close(self) -> None:
        """Removes the hooks. A second call does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def _scaled_by(scale: ScaleU) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (scale(inputs[0]), *inputs[1:])

    return hook
