"""Mask denoisers from folders: a whole model's, a training's ``unet`` with a base beside it, Marigold's.

A folder that this package wrote says in ``scenewright.json`` what its network wants; one of Marigold's is
told by its ``model_index.json``; any other 8-channel UNet is taken as the released Seg-diffusion code's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scenewright.backbone.load import load_folder, save_folder
from scenewright.backbone.model import Backbone
from scenewright.backbone.parts import build_unet, fill
from scenewright.backbone.weights import read_folder, read_json
from scenewright.errors import ModelError
from scenewright.models.load import load_bundle, pick_device, pick_dtype
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.segment.mask_denoiser import (
    MARIGOLD_RULES,
    PUBLISHED_RULES,
    MaskRules,
    is_mask_denoiser,
    rescheduled,
)

ABOUT = "scenewright.json"
"""What a folder says besides the files of diffusers: "rules", "notes"."""

BASE = "sd2"
"""The model that the released checkpoints belong to."""


@dataclass(frozen=True, eq=False)
class MaskDenoiser:
    """A mask denoiser that is ready to use: the backbone with its UNet of 8 channels, what it wants, and what
    is known of its training."""

    backbone: Backbone
    rules: MaskRules
    notes: Mapping[str, Any]


def load_mask_denoiser(
    place: str | Path, base: str = "", device: str = "auto", dtype: str = "auto"
) -> MaskDenoiser:
    """The mask denoiser in the folder `place`.

    `base` names the model that the text encoder and the VAE are taken from, where the folder has a UNet only
    (its own or in ``unet``); "" is `BASE`. Raises ModelError for a folder without such a UNet.
    """
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"there is no folder {folder}",
            "a mask denoiser is a folder; `scenewright train mask-denoiser` writes one",
        )
    where = pick_device(device)
    number = pick_dtype(dtype, where)
    if (folder / "model_index.json").is_file():
        backbone = load_folder(folder, device=where, dtype=number)
    else:
        backbone = _beside(folder, base or BASE, where, number)
    if not is_mask_denoiser(backbone.unet):
        config = backbone.unet.config
        raise ModelError(
            f"{folder} is no mask denoiser: its UNet takes {config.in_channels} channels",
            f"one takes {2 * config.out_channels}: the latent of the picture and that of the mask",
        )
    return MaskDenoiser(backbone, rules_of(folder), dict(_about(folder).get("notes", {})))


def rules_of(folder: Path) -> MaskRules:
    """What the network in a folder wants; see above. Raises ModelError for a damaged file."""
    if "rules" in (about := _about(folder)):
        return MaskRules.from_json(about["rules"])
    index = folder / "model_index.json"
    kind = str(read_json(index).get("_class_name", "")) if index.is_file() else ""
    return MARIGOLD_RULES if kind.startswith("Marigold") else PUBLISHED_RULES


def _about(folder: Path) -> dict[str, Any]:
    return read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}


def save_mask_denoiser(denoiser: MaskDenoiser, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write a whole folder: that of diffusers, and what it wants. Raises StorageError."""
    save_folder(denoiser.backbone, folder, dtype)
    about = {"rules": json.loads(denoiser.rules.to_json()), "notes": dict(denoiser.notes)}
    atomic_write(folder / ABOUT, to_json_bytes(about, indent=1))
    return folder


def _beside(folder: Path, base: str, device: torch.device, dtype: torch.dtype) -> Backbone:
    """A UNet in a folder with the other parts of `base`, and DDIM with leading steps, as published."""
    place = folder / "unet" if (folder / "unet").is_dir() else folder
    if not (place / "config.json").is_file():
        raise ModelError(f"{folder} holds no UNet", "expected unet/config.json and its weights")
    backbone = load_bundle(base, device, dtype).backbone
    unet = fill(build_unet(read_json(place / "config.json")), read_folder(place), device, dtype, str(place))
    scheduler = rescheduled(backbone.scheduler, spacing="leading", zero_snr=False)
    return replace(
        backbone, unet=unet, scheduler=scheduler, name=folder.name, stored_fingerprint="",
    )  # fmt: skip
