"""Tiny random backbones in the exact layouts of real ones, for tests that need no weights.

The classes are the real ones; only widths are small. Nothing is read from disk or network.
"""

from __future__ import annotations

from typing import Any

import torch

from scenewright.backbone.model import Backbone
from scenewright.backbone.parts import quiet
from scenewright.errors import InputError, nearest

START, END = "<|startoftext|>", "<|endoftext|>"

WORDS = ("a", "of", "the", "and", "in", "on", "red", "blue", "car", "cat", "dog", "sky", "left", "grass")
"""Words that are one token each; every other text falls back to bytes."""

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP_CROSS, UP_PLAIN = "CrossAttnUpBlock2D", "UpBlock2D"

UNETS: dict[str, dict[str, Any]] = {
    "nano": {
        "sample_size": 32,
        "block_out_channels": (16, 16, 32, 32),
        "layers_per_block": 1,
        "down_block_types": (PLAIN, CROSS, CROSS, PLAIN),
        "up_block_types": (UP_PLAIN, UP_CROSS, UP_CROSS, UP_PLAIN),
        "cross_attention_dim": 32,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    },
    "sd1": {
        "sample_size": 64,
        "block_out_channels": (32, 64, 128, 128),
        "layers_per_block": 2,
        "down_block_types": (CROSS, CROSS, CROSS, PLAIN),
        "up_block_types": (UP_PLAIN, UP_CROSS, UP_CROSS, UP_CROSS),
        "cross_attention_dim": 64,
        "attention_head_dim": 8,
    },
    "sd2": {
        "sample_size": 96,
        "block_out_channels": (32, 64, 128, 128),
        "layers_per_block": 2,
        "down_block_types": (CROSS, CROSS, CROSS, PLAIN),
        "up_block_types": (UP_PLAIN, UP_CROSS, UP_CROSS, UP_CROSS),
        "cross_attention_dim": 1024,
        "attention_head_dim": [2, 4, 8, 8],
        "use_linear_projection": True,
    },
}

VAES: dict[str, dict[str, Any]] = {
    "nano": {"block_out_channels": (8, 16, 16), "layers_per_block": 1, "norm_num_groups": 8},
    "sd1": {"block_out_channels": (32, 32, 64, 64), "layers_per_block": 2, "sample_size": 512},
    "sd2": {"block_out_channels": (32, 32, 64, 64), "layers_per_block": 2, "sample_size": 768},
}

TEXTS: dict[str, dict[str, Any]] = {
    "nano": {"hidden_size": 32, "max_position_embeddings": 48, "hidden_act": "quick_gelu"},
    "sd1": {"hidden_size": 64, "max_position_embeddings": 77, "hidden_act": "quick_gelu"},
    "sd2": {"hidden_size": 1024, "max_position_embeddings": 77, "hidden_act": "gelu"},
}


def tiny_backbone(seed: int, layout: str = "nano") -> Backbone:
    """A frozen random backbone on the CPU in float32, the same for the same `seed`.

    `layout` is ``nano`` (stride 4, 48 tokens, epsilon), ``sd1`` (Stable Diffusion 1.x's blocks, stride 8, 77
    tokens, PNDM) or ``sd2`` (Stable Diffusion 2.x: heads per level, linear projections, 1024-wide text,
    v-prediction). Raises InputError for another layout.
    """
    if layout not in UNETS:
        hint = f"did you mean {nearest(layout, UNETS) or 'nano'}?"
        raise InputError(f"unknown layout {layout!r}; expected one of {', '.join(UNETS)}", hint)
    tokenizer = tiny_tokenizer(TEXTS[layout]["max_position_embeddings"])
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        parts = {
            "text_encoder": _text_encoder(layout, tokenizer),
            "unet": _unet(layout),
            "vae": _vae(layout),
        }
    for module in parts.values():
        module.requires_grad_(False).eval()
    return Backbone(f"tiny-{layout}", tokenizer, scheduler=_scheduler(layout), **parts)


def tiny_tokenizer(window: int = 77) -> Any:
    """A CLIPTokenizer with all bytes, a few whole words (`WORDS`), and its end marks as the last two ids."""
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    vocab, merges = _byte_pair_vocabulary(WORDS)
    with quiet():
        return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=window)


def _byte_pair_vocabulary(words: tuple[str, ...]) -> tuple[dict[str, int], Any]:
    """Byte-level vocabulary (each byte alone and at a word's end) with the merges that build `words`."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            pair = (pieces[-2], pieces[-1])
            if pair not in merges:
                merges.append(pair)
            pieces[-2:] = ["".join(pair)]
            tokens.append(pieces[-1])
    unique = list(dict.fromkeys([*tokens, START, END]))
    return {token: index for index, token in enumerate(unique)}, merges


def _text_encoder(layout: str, tokenizer: Any) -> Any:
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **TEXTS[layout],
    )
    return CLIPTextModel(config)


def _unet(layout: str) -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    return UNet2DConditionModel(**UNETS[layout])


def _vae(layout: str) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    levels = len(VAES[layout]["block_out_channels"])
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=4,
        **VAES[layout],
    )


def _scheduler(layout: str) -> Any:
    shared: dict[str, Any] = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "set_alpha_to_one": False,
    }
    if layout == "sd1":
        from diffusers.schedulers.scheduling_pndm import PNDMScheduler

        return PNDMScheduler(skip_prk_steps=True, **shared)
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    prediction = "v_prediction" if layout == "sd2" else "epsilon"
    return DDIMScheduler(prediction_type=prediction, clip_sample=False, **shared)
