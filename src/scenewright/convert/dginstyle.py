"""DGInStyle's published networks, in and out: its ControlNet, and where its other parts lie.

Jia et al., "DGInStyle", ECCV 2024 (arXiv 2312.03048). The hub repository holds ``ControlNet_UNet-S/``
(diffusers' ControlNet with 20 input channels under a class of its own, so its configuration need not tell
their number), ``U-Net-Source-Finetuned/`` (an ordinary pipeline folder, for comparison without the style
swap) and ``Segmentation_Models/`` (see `convert.segformer`). The ControlNet was trained beside the second and
is meant to run beside Stable Diffusion 1.5: that is the style swap, and here the adapter simply belongs to
that base.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.parts import check_keys, quiet
from scenewright.backbone.weights import read_folder, read_json, read_tensors, replace_tensors
from scenewright.condition.semantic import KIND, SemanticConfig, SemanticControl
from scenewright.convert.ldm import size_of
from scenewright.convert.split import mentions
from scenewright.errors import ModelError
from scenewright.models.adapter import save_adapter
from scenewright.scene.files import atomic_write, to_json_bytes

CONTROL, SOURCE, SEGMENTERS = "ControlNet_UNet-S", "U-Net-Source-Finetuned", "Segmentation_Models"
"""Folders of the published repository."""

FIRST = "controlnet_cond_embedding.conv_in.weight"
"""A weight that every ControlNet has and nothing else; it tells the number of channels."""

STREETS = "cityscapes"
"""The vocabulary of the published network: 19 classes, and a channel for what is not labelled."""


def is_control(place: Path) -> bool:
    """Whether a folder or a file is of a ControlNet in diffusers' layout, without reading its weights."""
    if place.is_dir():
        config = place / "config.json"
        return config.is_file() and "ControlNet" in str(read_json(config).get("_class_name"))
    return mentions(place, FIRST.encode())


def read_control(
    place: Path, *, vocabulary: str = "", config: Mapping[str, Any] | None = None
) -> SemanticControl:
    """The semantic ControlNet in a diffusers folder, or in a file with its `config` beside it.

    `vocabulary` says what the channels are where they are not the 19 of Cityscapes and what is not labelled.
    Raises ModelError for missing, unexpected and misshapen weights, listed, or another number of channels.
    """
    if place.is_dir():
        state, settings = read_folder(place), read_json(place / "config.json")
    else:
        state = read_tensors(place)
        settings = dict(config or read_json(place.with_name("config.json")))
    return control_of(state, settings, str(place), vocabulary=vocabulary)


def control_of(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], source: str, *, vocabulary: str = ""
) -> SemanticControl:
    """A semantic ControlNet of weights and diffusers' configuration; tensors are taken, not copied."""
    channels, widths = size_of(state, FIRST, 1), embedding_widths(state)
    read = SemanticConfig(vocabulary=vocabulary or STREETS, embedding=widths)
    if read.channels != channels:
        raise ModelError(
            f"{source} has {channels} input channels; {read.vocabulary} has {len(read.classes)} classes and "
            "one channel for what is not labelled",
            "a ControlNet for pictures (3 channels) is of another kind"
            if channels == 3
            else f"name a vocabulary of {channels - 1} classes",
        )
    net = build_control({**settings, "conditioning_channels": channels}, widths)
    check_keys(state, {key: value.shape for key, value in net.state_dict().items()}, source)
    net.load_state_dict(dict(state), assign=True)
    return SemanticControl(net.requires_grad_(False).eval(), read)


def build_control(settings: Mapping[str, Any], widths: tuple[int, ...]) -> Any:
    """An unfilled ControlNetModel on the meta device. ModelError for a configuration of no network."""
    from diffusers.models.controlnets.controlnet import ControlNetModel

    named = {key: value for key, value in settings.items() if not key.startswith("_")}
    try:
        with torch.device("meta"), quiet():
            return ControlNetModel.from_config({**named, "conditioning_embedding_out_channels": widths})
    except Exception as error:
        raise ModelError(f"the ControlNet cannot be built from its configuration: {error}") from error


def embedding_widths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Widths of the condition embedding, read off its convolutions: first layer, then every halving one."""
    blocks = "controlnet_cond_embedding.blocks."
    count = len({key.split(".")[2] for key in state if key.startswith(blocks)})
    return (size_of(state, FIRST), *(size_of(state, f"{blocks}{k}.weight") for k in range(1, count, 2)))


def write_control(
    control: SemanticControl, out: Path, source: str, base: Any | None, base_name: str, dtype: torch.dtype
) -> Path:
    """The adapter file; it belongs to the backbone `base`, where that is not here to any that is as wide."""
    return save_adapter(
        out,
        control,
        control.config,
        KIND,
        base.fingerprint if base is not None else "",
        backbone_name=base_name,
        text_fingerprint=base.text_fingerprint if base is not None else "",
        dtype=dtype,
        notes={"converted_from": source},
    )


def export_control(control: SemanticControl, folder: Path, dtype: torch.dtype) -> Path:
    """The adapter as a folder that diffusers' ControlNetModel loads. Raises StorageError."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in dict(control.net.config).items() if not key.startswith("_")}
    settings["_class_name"] = "ControlNetModel"
    tensors = {key: value.to(dtype) for key, value in control.net.state_dict().items()}
    replace_tensors(folder / "diffusion_pytorch_model.safetensors", tensors, {"format": "pt"}, "ControlNet")
    atomic_write(folder / "config.json", to_json_bytes(settings, indent=2))
    classes = {"vocabulary": control.config.vocabulary, "channels": [*control.config.classes, "not labelled"]}
    atomic_write(folder / "channels.json", to_json_bytes(classes, indent=1))
    return folder
