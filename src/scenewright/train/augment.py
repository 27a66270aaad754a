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


@dataclass(frozen=True, kw_only=True)
class Photometric:
    """Colours that differ from picture to picture: the usual baseline of domain generalisation.

    Brightness, contrast, saturation and hue, each with its own `chance`, in this order. The defaults are
    those of the published street segmenters (8-bit levels, half turns of hue of 180), switched off.
    """

    chance: float = 0.0  # of each of the four, 0 to 1; 0.5 is published
    brightness: float = 32.0  # largest shift, of 255 levels
    contrast: tuple[float, float] = (0.5, 1.5)  # factors
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: float = 18.0  # largest shift, of 180 half degrees


def recoloured(image_BCHW: Tensor, how: Photometric, generator: torch.Generator) -> Tensor:
    """The pictures ([-1,1]), each with colours of its own; `generator` is on their device."""
    if not how.chance:
        return image_BCHW

    def draw(low: float, high: float, still: float) -> Tensor:
        """A number for each picture, [B,1,1]; `still` for those that are left as they are."""
        shape, place = (len(image_BCHW), 1, 1), image_BCHW.device
        value_B11 = low + (high - low) * torch.rand(shape, generator=generator, device=place)
        used_B11 = torch.rand(shape, generator=generator, device=place) < how.chance
        return torch.where(used_B11, value_B11, torch.full_like(value_B11, still))

    shift = how.brightness / 255
    level_BCHW = ((image_BCHW + 1) / 2 + draw(-shift, shift, 0.0)[:, None]).clamp(0, 1)
    level_BCHW = (level_BCHW * draw(*how.contrast, 1.0)[:, None]).clamp(0, 1)
    turn = how.hue / 180
    shifted_BCHW = _hue_saturation(level_BCHW, draw(-turn, turn, 0.0), draw(*how.saturation, 1.0))
    return shifted_BCHW * 2 - 1


def _hue_saturation(level_BCHW: Tensor, turn_B11: Tensor, factor_B11: Tensor) -> Tensor:
    """Hue turned by a share of the circle and saturation scaled, in HSV (Smith, 1978); levels in [0,1]."""
    red_BHW, green_BHW, blue_BHW = level_BCHW.unbind(1)
    high_BHW, low_BHW = level_BCHW.amax(1), level_BCHW.amin(1)
    spread_BHW = high_BHW - low_BHW
    safe_BHW = spread_BHW.clamp(min=1e-6)
    hue_BHW = torch.where(
        high_BHW == red_BHW,
        (green_BHW - blue_BHW) / safe_BHW,
        torch.where(
            high_BHW == green_BHW,
            2 + (blue_BHW - red_BHW) / safe_BHW,
            4 + (red_BHW - green_BHW) / safe_BHW,
        ),
    )
    hue_BHW = hue_BHW + 6 * turn_B11
    spread_BHW = torch.minimum(spread_BHW * factor_B11, high_BHW)
    parts = []
    for n in (5, 3, 1):
        place_BHW = (n + hue_BHW) % 6
        parts.append(high_BHW - spread_BHW * torch.minimum(place_BHW, 4 - place_BHW).clamp(0, 1))
    return torch.stack(parts, dim=1)
