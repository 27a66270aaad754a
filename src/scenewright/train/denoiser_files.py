"""What the training of a denoiser starts from, and the adapter it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scenewright.backbone.load import load_folder
from scenewright.backbone.model import Backbone
from scenewright.train.fresh import UnetSizes, fresh_backbone


def write_adapter(adapter: Any, backbone: Backbone, folder: Path, fresh_base: bool) -> None:
    """The adapter, tied to the half-precision base that was just written, or to the one it was trained on."""
    from scenewright.models.adapter import save_adapter

    base = load_folder(folder / "model", name=backbone.name) if fresh_base else backbone
    save_adapter(
        folder / "gligen.safetensors",
        adapter,
        adapter.config,
        "gligen",
        base.fingerprint,
        backbone_name=base.name,
        text_fingerprint=base.text_fingerprint,
        dtype=torch.float16,
    )


def open_backbone(
    name: str, vae: Path | None, text: Path | None, sizes: UnetSizes | None, device: torch.device
) -> Backbone:
    """The backbone to train on, in float32: `name`, or with `sizes` a fresh UNet between `vae` and `text`."""
    if sizes is None:
        from scenewright.models.load import load_bundle

        return load_bundle(name, device=device, dtype=torch.float32).backbone
    assert vae is not None and text is not None
    return fresh_backbone(vae, text, sizes, device)
