"""Small folders of Records with masks, with and without latents, and tiny models with heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scenewright.backbone.load import save_folder
from scenewright.backbone.model import Backbone
from scenewright.data.latents import StoredLatent, latent_path
from scenewright.ground.head import GroundingHead
from scenewright.models.adapter import save_adapter
from scenewright.models.load import load_bundle
from scenewright.testing import tiny_backbone
from scenewright.world import toybox

SIZES = {"width": 16, "heads": 2, "layers": 1, "hidden": 16, "reduced": (4, 4, 4, 4)}


def drawings(folder: Path, count: int, classes: tuple[str, ...] | None = None, first: int = 200_000) -> Path:
    """Records of the toybox with exact masks."""
    for k in range(count):
        toybox.draw(first + k, classes=classes, count=(1, 3)).record().save(folder, f"r{k:03d}")
    return folder


def with_latents(folder: Path, backbone: Backbone, fingerprint: str = "", seed: int = 0) -> Path:
    """The same with random latents of the last of four steps beside the pictures; masks of their own."""
    rng = np.random.default_rng(seed)
    for path in sorted(folder.glob("*.png")):
        latent = StoredLatent(
            z_Chw=rng.standard_normal((4, 32, 32)).astype(np.float16), timestep=1.0, step=3, steps=4, seed=0,
            guidance=2.0, scheduler="DDIMScheduler", fingerprint=fingerprint or backbone.fingerprint,
        )  # fmt: skip
        latent.write(latent_path(path))
    return folder


def model_with_head(
    folder: Path, *, attention: int = 0, notes: dict[str, object] | None = None
) -> tuple[str, Path]:
    """A tiny model folder and the file of a random head for it."""
    save_folder(tiny_backbone(0), folder / "model", torch.float32)
    name = str(folder / "model")
    backbone = load_bundle(name, "cpu", "float32").backbone
    head = GroundingHead.for_unet(backbone.unet, stride=backbone.stride, attention=attention, **SIZES)
    file = save_adapter(
        folder / "head.safetensors", head, head.config, "grounding", backbone.fingerprint, notes=notes
    )
    return name, file
