"""The networks of a backbone from their configs, and their weights put in place.

Networks are built on the meta device, so a full-size UNet costs no memory and no random numbers, and are then
filled from tensors. Key differences between releases are settled here: the `text_model.` prefix of CLIP text
encoders, stored position ids, and the VAE's first attention names.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.backbone.model import ADDED
from scenewright.errors import ModelError, nearest

TEXT_PREFIX = "text_model."
VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Attention names in VAE folders before diffusers 0.12 and now."""

MORE_INPUTS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim")
"""Settings of a UNet that cannot run on latent, timestep and text alone."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers' and transformers' log notes below the level of errors inside the block."""
    import logging

    loggers = [logging.getLogger(library) for library in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _building(what: str) -> Iterator[None]:
    """`quiet`, and every complaint of a library about a config or a file becomes a ModelError."""
    try:
        with quiet():
            yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"the {what} cannot be built from its configuration: {reason}",
            "the file is damaged, or made for another version of the library",
        ) from error


def build_unet(config: Mapping[str, Any]) -> nn.Module:
    """An unfilled UNet2DConditionModel on the meta device.

    Raises ModelError for a configuration of no network, or of one that needs more inputs than a text.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    needs = [f"{key} {config[key]!r}" for key in MORE_INPUTS if config.get(key) is not None]
    if needs:
        raise ModelError(
            f"the UNet needs more than a text: {', '.join(needs)}",
            "Stable Diffusion 1.x and 2.x can be used; SDXL and others are other families",
        )
    with torch.device("meta"), _building("UNet"):
        return _module(UNet2DConditionModel.from_config(dict(config)))


def build_vae(config: Mapping[str, Any]) -> nn.Module:
    """An unfilled AutoencoderKL on the meta device; ModelError for a configuration of no network."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    with torch.device("meta"), _building("VAE"):
        return _module(AutoencoderKL.from_config(dict(config)))


def build_text_encoder(config: Mapping[str, Any]) -> nn.Module:
    """An unfilled CLIPTextModel on the meta device; ModelError for a configuration of no network."""
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    plain = {key: value for key, value in config.items() if key not in ("torch_dtype", "dtype")}
    with torch.device("meta"), _building("text encoder"):
        return _module(CLIPTextModel(CLIPTextConfig.from_dict(plain)))


def build_scheduler(config: Mapping[str, Any]) -> Any:
    """The scheduler that `config` names, with its settings.

    Raises ModelError for a class that is not one of diffusers' schedulers, or settings it does not take.
    """
    import diffusers

    given = str(config.get("_class_name", ""))
    known = [name for name in dir(diffusers) if name.endswith("Scheduler")]
    if given not in known:
        close = nearest(given, known)
        hint = f"did you mean {close}?" if close else "expected a class name such as DDIMScheduler"
        raise ModelError(f"unknown scheduler {given!r}", hint)
    with _building("scheduler"):
        return getattr(diffusers, given).from_config(dict(config))


def load_tokenizer(folder: Path, **settings: Any) -> Any:
    """The CLIPTokenizer in `folder` (vocab.json and merges.txt, or tokenizer.json).

    `settings` override those of the folder, e.g. ``pad_token="!"``. Raises ModelError if there is none.
    """
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelError(f"{folder} holds no tokenizer", "expected tokenizer.json or vocab.json")
    with _building("tokenizer"):
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, **settings)


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    device: torch.device | str,
    dtype: torch.dtype,
    where: str,
) -> nn.Module:
    """Put `tensors` into an unfilled `module`, which is then frozen and in evaluation mode.

    Strict: raises ModelError that lists missing keys, unexpected keys and wrong shapes; `where` says which
    file they came from.
    """
    renamed = _current_keys(tensors, module)
    check_keys(renamed, {key: value.shape for key, value in module.state_dict().items()}, where)
    placed = {key: tensor.to(device=device, dtype=dtype) for key, tensor in renamed.items()}
    module.load_state_dict(placed, strict=True, assign=True)
    for name, buffer in list(module.named_buffers()):
        if buffer.is_meta:
            _restore_buffer(module, name, buffer, device)
    return module.requires_grad_(False).eval()


def check_keys(given: Mapping[str, Tensor], expected: Mapping[str, torch.Size], where: str) -> None:
    """Raise ModelError unless `given` has exactly the `expected` keys and shapes, and finite numbers."""
    both = sorted(set(given) & set(expected))
    fitting = [key for key in both if given[key].shape == expected[key]]
    problems = {
        "missing": sorted(set(expected) - set(given)),
        "unexpected": sorted(set(given) - set(expected)),
        "wrong shape": [
            f"{key} {tuple(given[key].shape)} instead of {tuple(expected[key])}"
            for key in both
            if given[key].shape != expected[key]
        ],
        "wrong number type": [
            f"{key} {given[key].dtype}" for key in fitting if not given[key].is_floating_point()
        ],
        "not finite": [key for key in fitting if given[key].is_floating_point() and not _finite(given[key])],
    }
    if any(problems.values()):
        lines = [f"{len(keys)} {what}: {_shortened(keys)}" for what, keys in problems.items() if keys]
        raise ModelError(
            f"{where}: the weights do not fit the network; " + "; ".join(lines),
            "the file is damaged"
            if problems["not finite"] and len(lines) == 1
            else "the file belongs to another kind of model, or its config does",
        )


def _finite(tensor: Tensor) -> bool:
    """False when a value is infinite or no number; one pass, in the number type the sum needs."""
    if tensor.is_meta:
        return True
    narrow = tensor.dtype.itemsize < 2  # no sums of 8-bit numbers
    return math.isfinite((tensor.float() if narrow else tensor).sum(dtype=torch.float32).item())


def file_keys(module: nn.Module) -> dict[str, Tensor]:
    """The module's weights under the names that files carry, without those of an attached adapter."""
    prefix = TEXT_PREFIX if type(module).__name__ == "CLIPTextModel" else ""
    tensors = {}
    for key, tensor in module.state_dict().items():
        if not any(part in key for part in ADDED):
            tensors[key if key.startswith(prefix) else prefix + key] = tensor
    return tensors


def _current_keys(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Keys of `tensors` as the installed classes name them."""
    prefixed = any(key.startswith(TEXT_PREFIX) for key in module.state_dict())
    kind = type(module).__name__
    renamed = {}
    for key, tensor in tensors.items():
        if kind == "CLIPTextModel":
            if key.endswith("embeddings.position_ids"):
                continue
            bare = key.removeprefix(TEXT_PREFIX)
            key = TEXT_PREFIX + bare if prefixed else bare
        elif kind == "AutoencoderKL" and ".attentions." in key:
            head, name, suffix = key.rsplit(".", 2) if key.count(".") > 1 else ("", key, "")
            key = f"{head}.{VAE_ATTENTION.get(name, name)}.{suffix}"
        renamed[key] = tensor
    return renamed


def _restore_buffer(module: nn.Module, name: str, buffer: Tensor, device: torch.device | str) -> None:
    """Refill a buffer that files do not store: only position ids, which count from 0."""
    owner_name, _, leaf = name.rpartition(".")
    if leaf != "position_ids":
        raise ModelError(f"{type(module).__name__} has a buffer {name!r} that no file stores")
    owner = module.get_submodule(owner_name)
    setattr(owner, leaf, torch.arange(buffer.shape[-1], device=device).expand(buffer.shape))


def _shortened(keys: list[str], most: int = 8) -> str:
    shown = ", ".join(keys[:most])
    return f"{shown} and {len(keys) - most} more" if len(keys) > most else shown


def _module(built: Any) -> nn.Module:
    if not isinstance(built, nn.Module):
        raise ModelError(f"expected a network, the library gave {type(built).__name__}")
    return built
