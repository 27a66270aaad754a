"""Names of weights in original latent-diffusion checkpoints, and what diffusers and transformers call them.

Each function takes one key without its checkpoint prefix and returns the new key; a key that belongs to no
known layer is returned as None, so that the caller can list it. The original layout is that of Rombach et al.
2022: UNet blocks counted through in one list per side (`input_blocks`, `output_blocks`), VAE decoder levels
counted from the picture inwards, OpenCLIP's text tower with one fused matrix for query, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
"""Layers of a UNet residual block."""

UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}

MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}

VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
    # files made by other tools carry these names
    "to_q": "to_q",
    "to_k": "to_k",
    "to_v": "to_v",
    "to_out.0": "to_out.0",
}

OPEN_CLIP_ENDS = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}

OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}

OPEN_CLIP_UNUSED = ("text_projection", "logit_scale", "attn_mask")
"""Parts of OpenCLIP's text tower that conditioning does not use."""


def unet_key(key: str, layers: int) -> str | None:
    """Name in diffusers of a UNet weight, e.g. ``input_blocks.1.0.in_layers.0.weight``.

    `layers` is the number of residual blocks per level (`layers_per_block`, 2 for Stable Diffusion). Keys of
    transformer blocks, and of GLIGEN's `fuser` and `position_net`, keep their inner names.
    """
    stem, _, leaf = key.rpartition(".")
    if stem in UNET_ENDS:
        return f"{UNET_ENDS[stem]}.{leaf}"
    if key.startswith("position_net."):
        return key
    if match := re.fullmatch(r"middle_block\.([012])\.(.+)", key):
        return _inside(f"mid_block.{MIDDLE[match[1]]}", match[2])
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", key)
    if match is None:
        return None
    down = match[1] == "input"
    index = int(match[2]) - (1 if down else 0)
    level, place = divmod(index, layers + 1)
    side = f"{'down' if down else 'up'}_blocks.{level}"
    rest = match[4]
    if rest.startswith("op."):
        return f"{side}.downsamplers.0.conv.{rest.removeprefix('op.')}"
    if rest.startswith("conv."):
        return f"{side}.upsamplers.0.{rest}"
    return _inside(f"{side}.{'resnets' if match[3] == '0' else 'attentions'}.{place}", rest)


def vae_key(key: str, levels: int) -> str | None:
    """Name in diffusers of a VAE weight, e.g. ``decoder.up.3.block.0.nin_shortcut.weight``.

    `levels` is the number of resolutions (`len(block_out_channels)`, 4 for Stable Diffusion).
    """
    if re.fullmatch(r"(post_)?quant_conv\.\w+|(en|de)coder\.conv_(in|out)\.\w+", key):
        return key
    if match := re.fullmatch(r"((?:en|de)coder)\.norm_out\.(\w+)", key):
        return f"{match[1]}.conv_norm_out.{match[2]}"
    if match := re.fullmatch(r"((?:en|de)coder)\.mid\.block_([12])\.(.+)", key):
        return f"{match[1]}.mid_block.resnets.{int(match[2]) - 1}.{match[3]}"
    if match := re.fullmatch(r"((?:en|de)coder)\.mid\.attn_1\.(.+)\.(\w+)", key):
        name = VAE_ATTENTION.get(match[2])
        return f"{match[1]}.mid_block.attentions.0.{name}.{match[3]}" if name else None
    match = re.fullmatch(r"(encoder\.down|decoder\.up)\.(\d+)\.(block\.\d+|downsample|upsample)\.(.+)", key)
    if match is None:
        return None
    level = int(match[2]) if match[1] == "encoder.down" else levels - 1 - int(match[2])
    rest = match[4].replace("nin_shortcut", "conv_shortcut")
    if match[3] in ("downsample", "upsample"):
        return f"{match[1]}_blocks.{level}.{match[3]}rs.0.{rest}"
    return f"{match[1]}_blocks.{level}.{match[3].replace('block', 'resnets')}.{rest}"


def flat_attention(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """VAE weights whose attention matrices, once 1x1 convolutions, are plain matrices."""
    return {
        key: tensor.flatten(1) if ".attentions." in key and tensor.ndim > 2 else tensor
        for key, tensor in tensors.items()
    }


def open_clip_text(tensors: Mapping[str, Tensor], layers: int) -> tuple[dict[str, Tensor], list[str]]:
    """OpenCLIP text weights under CLIPTextModel's names, and the keys that belong to neither.

    Stable Diffusion 2 conditions on the last layer but one: of 24 blocks `layers` = 23 are kept, followed by
    the final LayerNorm. The fused query-key-value matrix is split into three.
    """
    found: dict[str, Tensor] = {}
    strange: list[str] = []
    for key, tensor in tensors.items():
        match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", key)
        if key in OPEN_CLIP_ENDS:
            found[OPEN_CLIP_ENDS[key]] = tensor
        elif key in OPEN_CLIP_UNUSED or (match and int(match[1]) == layers):
            continue
        elif match and match[2] == "attn.in_proj" and tensor.ndim and tensor.shape[0] % 3 == 0:
            for name, part in zip("qkv", torch.chunk(tensor, 3), strict=True):
                found[f"encoder.layers.{match[1]}.self_attn.{name}_proj.{match[3]}"] = part.contiguous()
        elif match and match[2] in OPEN_CLIP_LAYER:
            found[f"encoder.layers.{match[1]}.{OPEN_CLIP_LAYER[match[2]]}.{match[3]}"] = tensor
        else:
            strange.append(key)
    return found, strange


def _inside(block: str, rest: str) -> str | None:
    """A key inside a residual block (layers renamed) or a transformer (names unchanged)."""
    if ".attentions." in block:
        return f"{block}.{rest}"
    stem, _, leaf = rest.rpartition(".")
    return f"{block}.{RESNET[stem]}.{leaf}" if stem in RESNET else None
