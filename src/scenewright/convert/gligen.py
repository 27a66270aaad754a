"""GLIGEN checkpoints: original files, diffusers' gated UNets, and our adapter.

Li et al., "GLIGEN: Open-Set Grounded Text-to-Image Generation", CVPR 2023 (arXiv 2301.07093). All three
forms hold the same tensors: original and diffusers' names differ by the table in `ldm`, and an adapter is the
part of a gated UNet under ``*.fuser.*`` and ``position_net.*``. Supported: generation from text boxes; the
other published variants are recognised and refused by name.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scenewright.backbone.load import save_folder
from scenewright.backbone.parts import build_unet, fill
from scenewright.backbone.weights import read_folder, write_tensors
from scenewright.condition.fuser import context_width
from scenewright.condition.gligen import Gligen, GligenConfig
from scenewright.convert.ldm import size_of, to_diffusers, to_original, unet_config
from scenewright.convert.split import Converted, is_adapter_key, read_entry, split
from scenewright.errors import InputError, ModelError, StorageError

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone

__all__ = [
    "SD14",
    "Converted",
    "Numbers",
    "config_of",
    "config_of_unet",
    "export_gated",
    "from_gated",
    "from_original",
    "gated_state",
    "gated_unet",
    "original_state",
    "read_gated",
    "read_original",
    "variant",
]

TEXT_BOX = "text box"
SUPPORTED = "supported: generation from text boxes (published as generation-box-text, attention type gated)"
CONFIG_FILE = "gligen.json"


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the weights do not tell. There are no defaults: a wrong guess would load and draw nonsense."""

    heads: tuple[int, ...]  # attention heads per level, or one number for all
    slots: int  # grounding tokens the adapter was trained with
    sample_size: int  # side of the trained latent in cells


SD14 = Numbers(heads=(8,), slots=30, sample_size=64)
"""The numbers of all released original checkpoints."""


def variant(shapes: Mapping[str, Tensor]) -> str:
    """Which published GLIGEN variant a UNet's weights are, told by keys and shapes (either layout)."""
    keys = shapes.keys()
    first = shapes.get("input_blocks.0.0.weight", shapes.get("conv_in.weight"))
    inputs = first.shape[1] if first is not None and first.ndim == 4 else 4
    if any(key.startswith(("scaleu_", "position_net.linears_list.")) for key in keys):
        return "InstanceDiffusion"
    if not any(is_adapter_key(key) for key in keys):
        return "no grounding"
    if any(".fuser." in key for key in keys) and not any(
        key.endswith(".fuser.linear.weight") for key in keys
    ):
        return "gated cross-attention"
    if "position_net.keypoint_embeddings" in keys:
        return "keypoint"
    if "position_net.in_conv.weight" in keys:
        return "semantic map"
    if "position_net.pos_embedding" in keys:
        down = shapes.get("downsample_net.layers.0.weight")
        return "hed map" if down is None else "normal map" if down.shape[1] == 3 else "canny or depth map"
    name = "text and image box" if "position_net.linears_text.0.weight" in keys else TEXT_BOX
    return name if inputs == 4 else f"{name} inpainting"


def _require_text_box(shapes: Mapping[str, Tensor], source: str) -> None:
    found = variant(shapes)
    if found != TEXT_BOX:
        raise ModelError(
            f"{source} is the variant {found!r} of GLIGEN, which cannot be used yet", hint=SUPPORTED
        )


def config_of(state: Mapping[str, Tensor], slots: int) -> GligenConfig:
    """The adapter's configuration, read off the shapes of its token network; slots are not in the weights."""
    return GligenConfig(
        slots=slots,
        fourier=size_of(state, "position_net.null_position_feature") // 8,
        hidden=size_of(state, "position_net.linears.0.weight"),
        feature_width=size_of(state, "position_net.null_positive_feature"),
        context_width=size_of(state, "position_net.linears.4.weight"),
    )


def config_of_unet(unet: nn.Module) -> dict[str, Any]:
    """A UNet's configuration without diffusers' own notes, which would undo changes made to a copy."""
    config: Any = unet.config
    return {key: value for key, value in dict(config).items() if not key.startswith("_")}


def from_original(
    state: Mapping[str, Tensor], numbers: Numbers, source: str = "the checkpoint"
) -> Converted[Gligen]:
    """A UNet state dict with original names, split into a stock UNet and an adapter.

    Raises ModelError for another variant, and for missing or unexpected keys (listed).
    """
    _require_text_box(state, source)
    names = to_diffusers(state.keys())
    renamed = {names[key]: tensor for key, tensor in state.items()}
    config = unet_config(state, heads=numbers.heads, sample_size=numbers.sample_size)
    return _split(renamed, config, numbers.slots, source)


def read_original(path: Path, numbers: Numbers, weights: str = "model") -> Converted[Gligen]:
    """An original checkpoint file (``.pth``/``.bin``); `weights` is its entry, ``model`` or ``ema``.

    Only tensors are rebuilt; configuration, optimiser and schedule are dropped and named in `left_out`.
    Raises ModelError for a file that cannot be read, and as `from_original` does.
    """
    state, left_out = read_entry(path, (weights,))
    return dataclasses.replace(from_original(state, numbers, str(path)), left_out=left_out)


def original_state(unet: nn.Module, adapter: Gligen) -> dict[str, Tensor]:
    """A stock UNet and its adapter as one state dict with original names; the inverse of `from_original`."""
    state = gated_state(unet, adapter)
    names = to_original(state.keys())
    return {names[key]: tensor for key, tensor in state.items()}


def gated_state(unet: nn.Module, adapter: Gligen) -> dict[str, Tensor]:
    """A stock UNet and its adapter as one state dict with diffusers' names of a gated UNet."""
    base = {key: tensor for key, tensor in unet.state_dict().items() if not is_adapter_key(key)}
    return base | adapter.state_dict()


def from_gated(unet: nn.Module, slots: int) -> Converted[Gligen]:
    """A diffusers UNet with ``attention_type="gated"``, split into a stock UNet and an adapter (copies).

    Raises ModelError for another variant.
    """
    state = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    return _split(state, config_of_unet(unet) | {"attention_type": "default"}, slots, "the UNet")


def _split(
    state: Mapping[str, Tensor], config: Mapping[str, Any], slots: int, source: str
) -> Converted[Gligen]:
    _require_text_box(state, source)
    sizes = config_of(state, slots)
    return split(state, config, lambda unet: Gligen.for_unet(unet, sizes), source)


def gated_unet(unet: nn.Module, adapter: Gligen) -> nn.Module:
    """A new diffusers UNet with ``attention_type="gated"``: copies of the UNet's and the adapter's weights.

    Raises InputError if diffusers cannot express the adapter: its token network always has 8 frequencies,
    512 hidden units, and features as wide as the text.
    """
    config, width = adapter.config, context_width(unet)
    expressible = dataclasses.replace(config, fourier=8, hidden=512, feature_width=width, context_width=width)
    if config != expressible:
        raise InputError(
            f"diffusers cannot express this adapter: {config.to_json()}; expected {expressible.to_json()}",
            hint="keep it as an adapter file",
        )
    gated = build_unet(config_of_unet(unet) | {"attention_type": "gated"})
    parameter = next(unet.parameters())
    state = {key: tensor.detach().clone() for key, tensor in gated_state(unet, adapter).items()}
    return fill(gated, state, parameter.device, parameter.dtype, "the gated UNet")


def export_gated(
    backbone: Backbone, adapter: Gligen, folder: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Writes backbone and adapter as one diffusers folder whose UNet is gated.

    diffusers' own GLIGEN code runs it: ``unet(..., cross_attention_kwargs={"gligen": {"boxes", "masks",
    "positive_embeddings"}})``. It must be given as many slots as the adapter was trained with, null slots
    included; the number is in ``gligen.json`` beside the model (diffusers' pipeline always uses 30).
    Raises InputError as `gated_unet` does or if `folder` exists, StorageError if it cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already", hint="give a new folder, or remove this one")
    gated = gated_unet(backbone.unet, adapter)
    tensors = {key: tensor.to(dtype) for key, tensor in gated.state_dict().items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            model = save_folder(backbone, Path(scratch) / "model", dtype=dtype)
            save_config: Any = gated.save_config
            save_config(model / "unet")
            write_tensors(model / "unet" / "diffusion_pytorch_model.safetensors", tensors, {"format": "pt"})
            (model / CONFIG_FILE).write_text(adapter.config.to_json() + "\n", encoding="utf-8")
            os.replace(model, folder)
    except OSError as error:
        raise StorageError(
            f"cannot write the model to {folder}: {error}", "choose a writable folder"
        ) from error


def read_gated(folder: Path, slots: int | None = None) -> Converted[Gligen]:
    """A gated UNet from a diffusers folder (a whole pipeline's, or the UNet's own).

    Args:
        folder: has ``unet/config.json`` or ``config.json``.
        slots: grounding tokens; None reads ``gligen.json``, which only folders written here have.

    Raises:
        ModelError: not such a folder, another variant, slots unknown, missing or unexpected keys.
    """
    place = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    config = _read_unet_config(place)
    if slots is None:
        slots = _recorded_slots(folder)
    return _split(read_folder(place), config | {"attention_type": "default"}, slots, str(folder))


def _read_unet_config(place: Path) -> dict[str, Any]:
    path = place / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{place} has neither unet/config.json nor config.json", hint="give a diffusers folder"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or not str(config.get("attention_type")).startswith("gated"):
        raise ModelError(f"{path} does not describe a UNet with attention type 'gated'", hint=SUPPORTED)
    return config


def _recorded_slots(folder: Path) -> int:
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(
            f"{folder} does not say how many grounding slots it was trained with",
            hint="the released networks have 30",
        )
    return GligenConfig.from_json((folder / CONFIG_FILE).read_text(encoding="utf-8")).slots
