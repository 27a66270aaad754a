"""Tiny random networks and closed-form ones, for tests of anything that samples.

Letters: R rows, N visual tokens, D width, C latent channels, h w latent cells, L text tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import Call, Conditioning, Denoise, Grounding
from scenewright.backbone.noise import Noise

STABLE_DIFFUSION_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tiny_unet(seed: int = 0, context: int = 16) -> Any:
    """A random diffusers UNet, 8x8 latents of 4 channels, four transformer blocks, in evaluation mode."""
    import diffusers

    kind: Any = diffusers.UNet2DConditionModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = kind(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=context,
            attention_head_dim=4,
            norm_num_groups=8,
        )
    return unet.eval()


class MeanFuser(nn.Module):
    """The simplest fuser: adds a projection of the mean grounding token, times the row's gate."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context, width)

    def forward(self, x_RND: Tensor, objs: Grounding) -> Tensor:
        """x plus gate times the projected mean token."""
        residual_R1D: Tensor = self.linear(objs.tokens_RMD.to(x_RND).mean(1, keepdim=True))
        return x_RND + objs.gate_R.to(x_RND).view(-1, 1, 1) * residual_R1D


def mean_fusers(unet: nn.Module, context: int = 16, seed: int = 0) -> dict[str, nn.Module]:
    """One random `MeanFuser` per transformer block of `unet`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = {
            path: block.get_parameter("norm1.weight") for path, block in transformer_blocks(unet).items()
        }
        return {path: MeanFuser(weight.numel(), context) for path, weight in widths.items()}


def random_conditioning(rows: int, seed: int, *, grounded: bool = False, context: int = 16) -> Conditioning:
    """Random text tokens [rows, 7, context]; with `grounded` also [rows, 5, context] tokens, gate 1."""
    generator = torch.Generator().manual_seed(seed)
    text_RLD = torch.randn(rows, 7, context, generator=generator)
    if not grounded:
        return Conditioning(text_RLD)
    tokens_RMD = torch.randn(rows, 5, context, generator=generator)
    return Conditioning(text_RLD, Grounding(tokens_RMD, torch.ones(rows)))


def wavy(z_RChw: Tensor, call: Call) -> Tensor:
    """A smooth closed-form `Denoise` that depends on the latent, the timestep and the mean of the text."""
    t = call.t.to(z_RChw).view(-1, 1, 1, 1)
    text = call.cond.text_RLD.mean((1, 2)).to(z_RChw).view(-1, 1, 1, 1)
    return 0.4 * z_RChw + 0.3 * torch.sin(2 * z_RChw.roll(1, 1) + 0.001 * t) + 0.2 * text


def oracle(noise: Noise, z0_RChw: Tensor) -> Denoise:
    """The perfect network for the clean latent z0: from any noisy latent it knows the way there."""

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        a, s = (level.to(z_RChw) for level in noise.levels(call.t))
        scale = (a**2 + s**2).sqrt() if noise.family == "exploding" else 1.0
        noise_RChw = (z_RChw * scale - a * z0_RChw) / s
        return noise.target(z0_RChw, noise_RChw, call.t)

    return denoise
