"""Mask modules of Grounded Diffusion, in and out: three released kinds and our adapter.

Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv 2301.05221), and the
re-implementation grounded-diffusers. All files are bare state dicts with the same 90 names; they differ in
how wide the maps and the text are that they read, which tells them apart:

=============  ====================================  =====  ==========================================
kind           maps                                  text   taken with
=============  ====================================  =====  ==========================================
``original``   25 taps, 15360 channels deepest       768    Stable Diffusion 1.x, all classes at once
``port``       9 taps, 7680 channels deepest         768    Stable Diffusion 1.5, one class at a time
``port-sd2``   9 taps, 7680 channels deepest         1024   Stable Diffusion 2 at 768 px, as the former
=============  ====================================  =====  ==========================================

A head's file does not say which network it was trained on, so converted heads are held to the widths alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.parts import check_keys
from scenewright.backbone.weights import read_tensors
from scenewright.convert.ldm import listed, size_of
from scenewright.convert.split import read_entry
from scenewright.errors import ModelError
from scenewright.ground.head import GroundingConfig, GroundingHead

LEVELS = ("low", "mid", "high", "highest")
"""The published names of the levels, deepest first."""

CHANNELS = {"all": (15360, 14080, 8320, 5120), "blocks": (7680, 3840, 3200, 1920)}
"""Per tap layout: the input channels of the released heads by level."""

SALIENCY = 4608
"""Input width of the mask network in an abandoned experiment that appended a saliency picture."""

SETTINGS: dict[str, dict[str, Any]] = {
    "original": {"bn_mode": "batch", "query_mode": "joint", "text_mode": "template"},
    "port": {"bn_mode": "running", "query_mode": "single", "text_mode": "joint"},
}
"""What the weights do not tell: how each code base runs its head.

The paper's code never leaves training mode, and trains with a class's own sentence, all classes together. The
re-implementation decodes one class at a time, whose vector comes from the joint sentence.
"""

BASES = {"original": "sd14", "port": "sd15", "port-sd2": "sd2"}
"""The backbone that each kind belongs to."""

_BLOCK = {"self_attn": "self_attention", "multihead_attn": "cross_attention"}
_MIX = {"stored_mean1": "norm1.mean", "stored_var1": "norm1.var"}
_MIX |= {"stored_mean2": "norm2.mean", "stored_var2": "norm2.var"}
_LAST = {"u0": "u", "sv0": "sigma"}

_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(low|mid|high|highest)_feature_conv\.0\.weight", lambda m: f"reduce.{LEVELS.index(m[1])}.weight"),
    (
        r"(mid|high|highest)_feature_mix_conv\.(stored_(?:mean|var)[12])",
        lambda m: f"mix.{LEVELS.index(m[1]) - 1}.{_MIX[m[2]]}",
    ),
    (
        r"(mid|high|highest)_feature_mix_conv\.(conv[12])\.(weight|bias|u0|sv0)",
        lambda m: f"mix.{LEVELS.index(m[1]) - 1}.{m[2]}.{_LAST.get(m[3], m[3])}",
    ),
    (
        r"transfromer_decoder\.layers\.(\d+)\.(self_attn|multihead_attn)\.in_proj_weight",
        lambda m: f"decoder.{m[1]}.{_BLOCK[m[2]]}.project.weight",
    ),
    (
        r"transfromer_decoder\.layers\.(\d+)\.(self_attn|multihead_attn)\.out_proj\.weight",
        lambda m: f"decoder.{m[1]}.{_BLOCK[m[2]]}.out.weight",
    ),
    (
        r"transfromer_decoder\.layers\.(\d+)\.linear([12])\.(weight|bias)",
        lambda m: f"decoder.{m[1]}.feed{m[2]}.{m[3]}",
    ),
    (
        r"transfromer_decoder\.layers\.(\d+)\.(norm[123])\.(weight|bias)",
        lambda m: f"decoder.{m[1]}.{m[2]}.{m[3]}",
    ),
    (r"mlp\.layers\.([012])\.(weight|bias)", lambda m: f"mask.{m[1]}.{m[2]}"),
    (r"to_k\.weight", lambda m: "to_tokens.weight"),
    (r"to_q\.weight", lambda m: "to_queries.weight"),
)


def is_head(keys: Iterable[str]) -> bool:
    """Whether these are the names of a published mask module."""
    found = set(keys)
    return {"to_k.weight", "to_q.weight", "low_feature_conv.0.weight"} <= found


def variant(state: Mapping[str, Tensor]) -> str:
    """``original``, ``port`` or ``port-sd2``, told by widths.

    Raises ModelError for other widths, and for the experiment that appended a saliency picture.
    """
    extra = size_of(state, "mlp.layers.0.weight", 1)
    if extra == SALIENCY:
        raise ModelError(
            f"the mask module appends a saliency picture to its queries (mlp.layers.0 reads {SALIENCY})",
            "an abandoned experiment of grounded-diffusers; its released module can be used",
        )
    channels = tuple(size_of(state, f"{level}_feature_conv.0.weight", 1) for level in LEVELS)
    text = size_of(state, "to_q.weight", 1)
    layout = next((name for name, known in CHANNELS.items() if known == channels), None)
    if layout is None or text not in (768, 1024) or (layout, text) == ("all", 1024):
        known = "; ".join(f"{name}: {widths}" for name, widths in CHANNELS.items())
        raise ModelError(
            f"the mask module reads maps of {channels} channels and text of width {text}",
            f"known widths are {known} with text 768 (and 1024 for {'blocks'!r})",
        )
    return "original" if layout == "all" else "port" if text == 768 else "port-sd2"


def config_of(state: Mapping[str, Tensor], **settings: Any) -> GroundingConfig:
    """The configuration of a published mask module; `settings` replace what `SETTINGS` says.

    Raises ModelError as `variant` does.
    """
    kind = variant(state)
    return GroundingConfig(
        layout="all" if kind == "original" else "blocks",
        channels=CHANNELS["all" if kind == "original" else "blocks"],
        text_width=size_of(state, "to_q.weight", 1),
        **{**SETTINGS[kind.removesuffix("-sd2")], **settings},
    )


def names(keys: Iterable[str]) -> dict[str, str]:
    """Published name -> ours for every key. Raises ModelError for names that have no counterpart, listed."""
    found = {key: _name(key) for key in keys}
    unknown = [key for key, name in found.items() if name is None]
    if unknown:
        raise ModelError(
            f"{len(unknown)} keys of the mask module are unknown: {listed(unknown)}",
            "the file belongs to another version of the module",
        )
    return {key: name for key, name in found.items() if name is not None}


def _name(key: str) -> str | None:
    for pattern, rename in _RULES:
        match = re.fullmatch(pattern, key)
        if match:
            return rename(match)
    return None


def from_original(state: Mapping[str, Tensor], source: str = "the file", **settings: Any) -> GroundingHead:
    """A head in evaluation mode and float32 out of a published state dict.

    `settings` are fields of `GroundingConfig` that the weights do not tell (`bn_mode`, `query_mode`,
    `text_mode`); by default each code base's own. Raises ModelError for another variant, and for missing,
    unexpected or misshapen weights (listed).
    """
    config = config_of(state, **settings)
    table = names(state)
    with torch.device("meta"):
        head = GroundingHead(config)
    theirs = {ours: key for key, ours in names(published_keys()).items()}
    check_keys(state, {theirs[key]: value.shape for key, value in head.state_dict().items()}, source)
    renamed = {table[key]: tensor.to(torch.float32, copy=True) for key, tensor in state.items()}
    head.load_state_dict(renamed, strict=True, assign=True)
    return head.requires_grad_(False).eval()


def original_state(head: GroundingHead) -> dict[str, Tensor]:
    """A head's weights with the published names; the inverse of `from_original`.

    Raises ModelError for a head of other sizes or with attention input, which the published code lacks.
    """
    config = head.config
    plain = GroundingConfig(channels=config.channels, text_width=config.text_width)
    sizes = ("reduced", "patch", "width", "heads", "layers", "hidden", "attention")
    other = [name for name in sizes if getattr(config, name) != getattr(plain, name)]
    if other:
        raise ModelError(f"the published module has fixed sizes; this head differs in {', '.join(other)}")
    table = {ours: key for key, ours in names(published_keys()).items()}
    return {table[key]: tensor for key, tensor in head.state_dict().items()}


def published_keys() -> list[str]:
    """The 90 names of a published file."""
    keys = [f"{level}_feature_conv.0.weight" for level in LEVELS]
    for level in LEVELS[1:]:
        block = f"{level}_feature_mix_conv"
        keys += [f"{block}.{name}" for name in _MIX]
        keys += [f"{block}.conv{i}.{name}" for i in (1, 2) for name in ("weight", "bias", "u0", "sv0")]
    for i in range(3):
        layer = f"transfromer_decoder.layers.{i}"
        keys += [f"{layer}.{a}.{w}" for a in _BLOCK for w in ("in_proj_weight", "out_proj.weight")]
        keys += [
            f"{layer}.{part}.{name}"
            for part in ("linear1", "linear2", "norm1", "norm2", "norm3")
            for name in ("weight", "bias")
        ]
    keys += [f"mlp.layers.{i}.{name}" for i in range(3) for name in ("weight", "bias")]
    return [*keys, "to_k.weight", "to_q.weight"]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file (a bare state dict, or one under ``model`` or ``state_dict``).

    Nothing but tensors is rebuilt. Raises ModelError if the file cannot be read.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    return read_entry(path, ("model", "state_dict"))[0]


def read_original(path: Path, **settings: Any) -> GroundingHead:
    """A head out of a published file. Raises ModelError as `read_state` and `from_original` do."""
    return from_original(read_state(path), str(path), **settings)
