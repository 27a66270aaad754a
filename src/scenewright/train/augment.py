"""Small disturbances of pictures that leave every name in them true: judges must not hang on single pixels.

Pictures that are judged have been through an autoencoder, a file format or a resize. Training on blurred,
noisy, resampled and slightly tinted pictures keeps a judge from reading what those change.

Letters: B pictures, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """How strong each disturbance may be; 0 turns it off. Levels are in the picture's range of [-1, 1]."""

    blur: float = 1.0  # largest share of a 3x3 binomial blur, applied twice
    coarse: float = 0.3  # share of pictures that are resampled through half their size, partly
    noise: float = 0.06  # largest standard deviation of Gaussian noise per pixel
    tint: float = 0.06  # largest shift of each channel
    contrast: float = 0.1  # largest relative change of the contrast


def disturbed(image_BCHW: Tensor, how: Disturbance, generator: torch.Generator) -> Tensor:
    """The pictures ([-1,1], even sides), each disturbed in its own way; `generator` is on their device."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=image_BCHW.device)

    rows = len(image_BCHW)
    blurred_BCHW = _blur(_blur(image_BCHW))
    out_BCHW = image_BCHW + how.blur * draw(rows, 1, 1, 1) ** 2 * (blurred_BCHW - image_BCHW)
    part_B111 = draw(rows, 1, 1, 1) * (draw(rows, 1, 1, 1) < how.coarse)
    out_BCHW = out_BCHW + part_B111 * (_coarse(out_BCHW) - out_BCHW)
    gain_B111 = 1 + how.contrast * (2 * draw(rows, 1, 1, 1) - 1)
    out_BCHW = gain_B111 * out_BCHW + how.tint * (2 * draw(rows, 3, 1, 1) - 1)
    noise_BCHW = torch.randn(image_BCHW.shape, generator=generator, device=image_BCHW.device)
    return (out_BCHW + how.noise * draw(rows, 1, 1, 1) ** 2 * noise_BCHW).clamp(-1.0, 1.0)


def _blur(image_BCHW: Tensor) -> Tensor:
    """Weights 1 2 1 across and down, edges continued."""
    wide = nnf.pad(image_BCHW, (1, 1, 1, 1), mode="replicate")
    across = (wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]) / 4
    return (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4


def _coarse(image_BCHW: Tensor) -> Tensor:
    half_BChw = nnf.avg_pool2d(image_BCHW, 2, ceil_mode=True)
    return nnf.interpolate(half_BChw, image_BCHW.shape[-2:], mode="bilinear", align_corners=False)
