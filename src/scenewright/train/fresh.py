"""An untrained UNet between a trained autoencoder and a trained text encoder: where `nano` starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenewright.backbone.model import Backbone
from scenewright.backbone.parts import build_text_encoder, build_vae, fill, load_tokenizer
from scenewright.backbone.weights import read_folder
from scenewright.errors import InputError


@dataclass(frozen=True, kw_only=True)
class UnetSizes:
    """A fresh UNet2DConditionModel: `attention` of its levels, the lowest, have transformer blocks."""

    channels: tuple[int, ...] = (64, 64, 128, 128)  # per level; each level but the first halves the map
    attention: int = 3
    layers: int = 1
    heads: int = 2  # of attention; its cost on a CPU grows with their number
    groups: int = 8


def fresh_backbone(vae: Path, text: Path, sizes: UnetSizes, device: torch.device) -> Backbone:
    """An untrained UNet between a trained VAE and text encoder: v-prediction, a schedule that ends in noise.

    Stable Diffusion's own schedule (beta_end 0.012) ends at a cumulative alpha of 0.0047, where a thing of
    8x8 cells is still seen; a network learns to read there what pure noise does not hold (Lin et al., "Common
    Diffusion Noise Schedules and Sample Steps are Flawed", 2024). Twice the beta_end leaves 5e-5.
    """
    from diffusers import DDIMScheduler

    autoencoder = _frozen(build_vae, vae / "vae", device)
    encoder = _frozen(build_text_encoder, text / "text_encoder", device)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.024,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return Backbone(
        "nano",
        load_tokenizer(text / "tokenizer"),
        text_encoder=encoder,
        unet=_fresh_unet(sizes, autoencoder, encoder).to(device),
        vae=autoencoder,
        scheduler=scheduler,
    )


def _frozen(build: Callable[[Any], nn.Module], folder: Path, device: torch.device) -> Any:
    """A finished network in float32, from the folder that a task's export wrote."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no trained network", "train the stage before this one first")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return fill(build(config), read_folder(folder), device, torch.float32, where=f"{folder}")


def _fresh_unet(sizes: UnetSizes, autoencoder: Any, encoder: Any) -> Any:
    from diffusers import UNet2DConditionModel

    plain = len(sizes.channels) - sizes.attention
    stride = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    return UNet2DConditionModel(
        sample_size=128 // stride,
        in_channels=autoencoder.config.latent_channels,
        out_channels=autoencoder.config.latent_channels,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * sizes.attention,
        up_block_types=("CrossAttnUpBlock2D",) * sizes.attention + ("UpBlock2D",) * plain,
        block_out_channels=sizes.channels,
        layers_per_block=sizes.layers,
        attention_head_dim=sizes.heads,
        norm_num_groups=sizes.groups,
        cross_attention_dim=encoder.config.hidden_size,
    )
