"""Latents: one seed per picture, encoding pictures and decoding latents.

Letters: B batch, C latent channels, h w latent cells, H W pixels. Scaling of latents (Rombach et al. 2022,
section 3.3 and appendix G: divided by their standard deviation on the training pictures) happens here and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.model import Backbone
from scenewright.errors import InputError

ROWS = 8
"""Pictures that go through the VAE at once; its activations are the largest of the whole model."""


def initial(
    seeds: Sequence[int],
    shape_chw: tuple[int, int, int],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise z_BChw, one sample per seed.

    Each sample comes from its own generator on the CPU in float32, so it depends neither on its batch
    neighbours nor on the device. Raises InputError for a negative seed.
    """
    samples = [_normal(seed, shape_chw) for seed in seeds]
    z_BChw = torch.stack(samples) if samples else torch.zeros((0, *shape_chw))
    return z_BChw.to(device=device, dtype=dtype)


def encode(backbone: Backbone, image_BCHW: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
    """Scaled latents z_BChw of pictures with values in [-1, 1]; H and W are multiples of the stride.

    Without `seeds` the mean of the VAE's distribution; with them a sample of it, one seed per picture.
    Raises InputError if the size is not a multiple of the stride or the seeds do not match the batch.
    """
    stride = backbone.stride
    height, width = image_BCHW.shape[-2:]
    if height % stride or width % stride:
        raise InputError(
            f"picture of {width}x{height} pixels; {backbone.name} takes multiples of {stride}",
            "resize or crop the picture first",
        )
    if seeds is not None and len(seeds) != len(image_BCHW):
        raise InputError(f"{len(seeds)} seeds for {len(image_BCHW)} pictures; give one per picture")
    vae = backbone.vae
    parts = []
    with torch.no_grad():
        for start in range(0, len(image_BCHW), ROWS):
            rows_BCHW = image_BCHW[start : start + ROWS].to(_device(vae), _dtype(vae))
            mean_BChw, spread_BChw = vae.quant_conv(vae.encoder(rows_BCHW)).chunk(2, dim=1)
            if seeds is not None:
                noise_BChw = initial(seeds[start : start + ROWS], mean_BChw.shape[1:], mean_BChw.device)
                std_BChw = torch.exp(0.5 * spread_BChw.float().clamp(-30.0, 20.0))
                mean_BChw = mean_BChw + (std_BChw * noise_BChw).to(mean_BChw.dtype)
            parts.append(mean_BChw)
    if not parts:
        return torch.zeros((0, backbone.channels, height // stride, width // stride), device=_device(vae))
    z_BChw = (torch.cat(parts) - _shift(vae)) * float(vae.config.scaling_factor)
    return z_BChw.to(backbone.dtype)


def decode(backbone: Backbone, z_BChw: Tensor) -> NDArray[np.uint8]:
    """Pictures image_BHW3, values 0..255, of scaled latents."""
    height, width = (int(cells) * backbone.stride for cells in z_BChw.shape[-2:])
    pictures = np.empty((len(z_BChw), height, width, 3), dtype=np.uint8)
    for start in range(0, len(z_BChw), ROWS):
        image_BCHW = decode_signal(backbone, z_BChw[start : start + ROWS])
        image_BHW3 = ((image_BCHW + 1.0) * 127.5).clamp(0.0, 255.0).round().permute(0, 2, 3, 1)
        pictures[start : start + ROWS] = image_BHW3.to(torch.uint8).cpu().numpy()
    return pictures


@torch.no_grad()
def decode_signal(backbone: Backbone, z_BChw: Tensor) -> Tensor:
    """What the VAE makes of scaled latents: float32 image_BCHW, about [-1, 1], not clipped, not rounded."""
    vae = backbone.vae
    height, width = (int(cells) * backbone.stride for cells in z_BChw.shape[-2:])
    parts = [torch.zeros((0, 3, height, width), device=_device(vae))]
    for start in range(0, len(z_BChw), ROWS):
        rows_BChw = z_BChw[start : start + ROWS].to(_device(vae), _dtype(vae))
        rows_BChw = rows_BChw / float(vae.config.scaling_factor) + _shift(vae)
        parts.append(vae.decode(rows_BChw).sample.float())
    return torch.cat(parts)


def _normal(seed: int, shape_chw: tuple[int, int, int]) -> Tensor:
    if seed < 0:
        raise InputError(f"seed {seed} is negative", "seeds are whole numbers from 0 to 2**63 - 1")
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(tuple(shape_chw), generator=generator)


def _shift(vae: torch.nn.Module) -> float:
    return float(getattr(vae.config, "shift_factor", None) or 0.0)


def _device(vae: torch.nn.Module) -> torch.device:
    return next(vae.parameters()).device


def _dtype(vae: torch.nn.Module) -> torch.dtype:
    return next(vae.parameters()).dtype
