"""Adapters on disk: only the added weights, as safetensors, with what they are in the metadata.

The metadata holds the kind, the configuration, the fingerprints of the backbone that the adapter was trained
on and our version. Loading is strict in all of them: another kind, a missing or unexpected key, or another
backbone is refused, because each would load and draw nonsense.

Two fingerprints name a backbone: of its UNet, whose features the adapter changes, and of its text encoder,
which the adapter's phrases come through. The VAE is left out: it has to fit the UNet with or without an
adapter, and decoders are exchanged (a fine-tuned one for the same latents is no other base for the adapter).
Files that say nothing of a text encoder (converted ones, and those from before it was written) are held to
the UNet alone; converted grounding heads, whose files name no network, to the widths of what they read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.backbone.model import Backbone
from scenewright.backbone.parts import build_unet, check_keys
from scenewright.backbone.weights import read_metadata, read_tensors, replace_tensors
from scenewright.errors import ModelError, nearest

MARK = "scenewright"
"""Metadata key with our version; files without it are not ours."""


@dataclass(frozen=True)
class AdapterHeader:
    """What an adapter file says about itself."""

    kind: str
    """Key of `BUILDERS`, e.g. ``gligen``."""
    config: str
    """Its configuration as JSON text."""
    backbone: str
    """Fingerprint of the UNet of the backbone it was trained on; empty if nobody knows (converted heads)."""
    backbone_name: str
    """Name of that backbone, for messages."""
    version: str
    """Version of this package that wrote it."""
    notes: str
    """JSON text with anything else worth keeping: recipe, seed, scores."""
    text_encoder: str = ""
    """Fingerprint of that backbone's text encoder; empty if the file does not say."""


def _gligen(unet: nn.Module, config: str) -> nn.Module:
    from scenewright.condition.gligen import Gligen, GligenConfig

    return Gligen.for_unet(unet, GligenConfig.from_json(config))


def _grounding(unet: nn.Module, config: str) -> nn.Module:
    from scenewright.ground.head import GroundingConfig, GroundingHead

    return GroundingHead.fitting(unet, GroundingConfig.from_json(config))


def _instancediffusion(unet: nn.Module, config: str) -> nn.Module:
    from scenewright.condition.unifusion import UniFusion, UniFusionConfig

    return UniFusion.for_unet(unet, UniFusionConfig.from_json(config))


def _dginstyle(unet: nn.Module, config: str) -> nn.Module:
    from scenewright.condition.semantic import SemanticConfig, SemanticControl

    return SemanticControl.for_unet(unet, SemanticConfig.from_json(config))


def _segmenter(unet: nn.Module, config: str) -> nn.Module:
    from scenewright.segment.one_pass import OnePass, SegmentConfig

    return OnePass.fitting(unet, SegmentConfig.from_json(config))


BUILDERS: dict[str, Callable[[nn.Module, str], nn.Module]] = {
    "dginstyle": _dginstyle,
    "gligen": _gligen,
    "grounding": _grounding,
    "instancediffusion": _instancediffusion,
    "segmenter": _segmenter,
}
"""Per kind of adapter: an unfilled module for a UNet and a configuration."""

FULL = ("grounding", "segmenter")
"""Kinds that run in float32 whatever the backbone does: what they hold or divide by, half precision loses."""


def save_adapter(
    path: str | Path,
    module: nn.Module,
    config: Any,
    kind: str,
    backbone_fingerprint: str,
    *,
    backbone_name: str = "",
    text_fingerprint: str = "",
    dtype: torch.dtype | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write the weights of `module` with what they belong to; `dtype` None keeps their number type.

    `backbone_fingerprint` and `text_fingerprint` are the backbone's own (the second empty where it is not
    known). `config` is a dataclass (with `to_json`, or plain). The file appears whole or not at all. Raises
    ModelError for an unknown kind, StorageError if the file cannot be written.
    """
    from scenewright.models.version import version

    _builder(kind)
    path = Path(path)
    tensors = {key: tensor.to(dtype or tensor.dtype) for key, tensor in module.state_dict().items()}
    metadata = {
        "format": "pt",
        MARK: version(),
        "kind": kind,
        "config": _config_text(config),
        "backbone": backbone_fingerprint,
        "backbone_name": backbone_name,
        "text_encoder": text_fingerprint,
        "notes": json.dumps(dict(notes or {}), sort_keys=True),
    }
    replace_tensors(path, tensors, metadata, "adapter")
    return path


def read_header(path: str | Path) -> AdapterHeader:
    """What the file says about itself, without reading its weights.

    Raises ModelError if it is missing, damaged or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no adapter file at {path}", "scenewright models list shows what is there")
    metadata = read_metadata(path, "adapter")
    if MARK not in metadata:
        raise ModelError(
            f"{path} is not an adapter of this package", f"run: scenewright models convert {path} OUT"
        )
    known = ("kind", "config", "backbone", "backbone_name", "notes", "text_encoder")
    return AdapterHeader(version=metadata[MARK], **{key: metadata.get(key, "") for key in known})


def load_adapter(path: str | Path, backbone: Backbone, *, allow_other: bool = False) -> nn.Module:
    """The adapter in `path` for `backbone`: frozen, in its number type (but see `FULL`), on its device.

    `allow_other` accepts a backbone with other weights in the same layout (a fine-tune). Raises ModelError
    for another backbone or layout, an unknown kind, or weights that do not fit the configuration.
    """
    header = read_header(path)
    build = _builder(header.kind)
    if not allow_other:
        _check_backbone(header, backbone, path)
    adapter = build(build_unet(dict(backbone.unet.config)), header.config)
    tensors = read_tensors(Path(path))
    check_keys(tensors, {key: value.shape for key, value in adapter.state_dict().items()}, str(path))
    dtype = torch.float32 if header.kind in FULL else backbone.dtype
    placed: dict[str, Tensor] = {
        key: tensor.to(device=backbone.device, dtype=dtype) for key, tensor in tensors.items()
    }
    adapter.load_state_dict(placed, strict=True, assign=True)
    return adapter.requires_grad_(False).eval()


def _check_backbone(header: AdapterHeader, backbone: Backbone, path: str | Path) -> None:
    """Raise ModelError unless UNet and text encoder of `backbone` are those the adapter was trained on.

    Heads and ControlNets out of foreign files name no UNet and fit any that is as wide.
    """
    known = header.backbone_name or "a backbone"
    problem = ""
    if not header.backbone and header.kind in ("dginstyle", "grounding"):
        return
    if header.backbone != backbone.fingerprint:
        problem = f"on {known} ({header.backbone}); {backbone.name} is {backbone.fingerprint}"
    elif header.text_encoder and header.text_encoder != backbone.text_fingerprint:
        problem = (
            f"with the text encoder of {known} ({header.text_encoder}); "
            f"that of {backbone.name} is {backbone.text_fingerprint}, though its UNet is the same"
        )
    if problem:
        raise ModelError(
            f"{path} was trained {problem}",
            "load the backbone it was trained on, or allow another one of the same layout "
            "(--allow-other-backbone)",
        )


def _builder(kind: str) -> Callable[[nn.Module, str], nn.Module]:
    if kind not in BUILDERS:
        close = nearest(kind, BUILDERS)
        hint = f"did you mean {close}?" if close else "a newer version of this package may know it"
        raise ModelError(f"unknown kind of adapter {kind!r}; known: {', '.join(BUILDERS)}", hint)
    return BUILDERS[kind]


def _config_text(config: Any) -> str:
    if hasattr(config, "to_json"):
        return str(config.to_json())
    return json.dumps(dataclasses.asdict(config), sort_keys=True)
