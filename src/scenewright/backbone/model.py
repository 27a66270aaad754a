"""A backbone: the five parts of a latent diffusion model, and the numbers that follow from them.

Everything above asks the backbone for its stride, channels, window and prediction instead of assuming those
of Stable Diffusion, so `nano`, SD 1.x and SD 2.x are one code path (Rombach et al., "High-Resolution Image
Synthesis with Latent Diffusion Models", CVPR 2022, is the family all of them belong to).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scenewright.errors import ModelError

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "flow_prediction": "flow"}
"""diffusers' names of what the network predicts, and ours."""

ADDED = (".fuser.", "position_net.")
"""Parts of a UNet key that belong to an attached adapter, not to the base."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """Tokenizer, text encoder, UNet, VAE and scheduler that were trained together.

    The networks are in evaluation mode and frozen (`requires_grad` off) when a loader made the backbone. The
    scheduler is a template: whoever samples works on a deep copy of it. Two backbones are equal only if they
    are the same object; compare `fingerprint` to compare weights.
    """

    name: str
    """What the user asked for, e.g. ``nano``; shown in messages and written into records."""
    tokenizer: Any
    """CLIPTokenizer."""
    text_encoder: Any
    """CLIPTextModel."""
    unet: Any
    """UNet2DConditionModel."""
    vae: Any
    """AutoencoderKL."""
    scheduler: Any
    """Any diffusers scheduler; its config says what the network predicts."""
    stored_fingerprint: str = ""
    """Fingerprint of the weights as stored, where the loaded number type has lost digits; else empty."""
    stored_text_fingerprint: str = ""
    """The same of the text encoder."""

    @property
    def device(self) -> torch.device:
        """Where the UNet's weights are."""
        return self._first().device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the UNet's weights."""
        return self._first().dtype

    @property
    def stride(self) -> int:
        """Pixels per latent cell along one side: 8 for Stable Diffusion, 4 for `nano`."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def channels(self) -> int:
        """Latent channels C: 4 for all backbones so far."""
        return int(self.vae.config.latent_channels)

    @property
    def native_wh(self) -> tuple[int, int]:
        """Width and height in pixels that the network was trained at."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return int(width) * self.stride, int(height) * self.stride

    @property
    def window(self) -> int:
        """Text tokens L in one segment, the two end marks included: 77 for CLIP."""
        return int(self.text_encoder.config.max_position_embeddings)

    @property
    def context_width(self) -> int:
        """Width D of the text tokens that the UNet attends to."""
        return int(self.unet.config.cross_attention_dim)

    @property
    def prediction(self) -> str:
        """What the network predicts: ``eps``, ``v`` or ``flow``.

        Raises ModelError for a scheduler with another prediction type.
        """
        given = self.scheduler.config.get("prediction_type", "epsilon")
        if given not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ModelError(f"{self.name}: prediction type {given!r}; expected one of {known}")
        return PREDICTIONS[given]

    def _first(self) -> Tensor:
        tensor: Tensor = next(iter(self.unet.parameters()))
        return tensor

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name the UNet's weights; adapters are bound to them.

        See :func:`fingerprint`. Computed once, on first use: changing the weights afterwards goes unnoticed.
        """
        return self.stored_fingerprint or fingerprint(self.unet.state_dict())

    @cached_property
    def text_fingerprint(self) -> str:
        """16 hex digits that name the text encoder's weights, which adapters read phrases through.

        See :func:`text_fingerprint`. Computed once, on first use.
        """
        return self.stored_text_fingerprint or text_fingerprint(self.text_encoder.state_dict())


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """First 16 hex digits of a SHA-256 over names, shapes and values of a UNet's `tensors`.

    Values are rounded to half precision first, so that a half-precision copy and the single-precision
    original agree. Weights of an attached adapter (`ADDED`) do not count. bfloat16 keeps fewer digits than
    half precision: take the fingerprint before converting to it (the loaders do).
    """
    digest = hashlib.sha256()
    for key in sorted(tensors):
        if any(part in key for part in ADDED):
            continue
        tensor = tensors[key].detach().to(device="cpu", dtype=torch.float16).contiguous()
        digest.update(f"{key}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()[:16]


def text_fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """`fingerprint` of a CLIP text encoder's `tensors`, the same for every naming of its keys."""
    bare = {key.removeprefix("text_model."): tensor for key, tensor in tensors.items()}
    return fingerprint({key: bare[key] for key in bare if not key.endswith("position_ids")})
