"""Which base a model is, told by files alone: fingerprints without torch, for lists and checks.

The same digits as `backbone.model.fingerprint`, computed by numpy from one safetensors file.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNET_FILES = (
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
)
"""Where a diffusers folder has the weights that the fingerprint is taken of, the preferred first."""

SMALL = 64 << 20
"""Bytes of a UNet file up to which a list computes its fingerprint; a check does at any size."""


def unet_file(folder: Path) -> Path | None:
    """The UNet's one safetensors file in a diffusers folder, None if it has another form."""
    return next((folder / name for name in UNET_FILES if (folder / name).is_file()), None)


def stored_fingerprint(folder: Path, most_bytes: int | None = None) -> str:
    """Fingerprint (16 hex digits) of the UNet in a diffusers folder, as `Backbone.fingerprint` gives it.

    Empty if there is no plain safetensors file, it is damaged, larger than `most_bytes`, or in a number type
    that numpy lacks (bfloat16).
    """
    path = unet_file(folder)
    if path is None or (most_bytes is not None and path.stat().st_size > most_bytes):
        return ""
    import numpy as np

    digest = hashlib.sha256()
    try:
        with _open(path) as file:
            for key in sorted(file.keys()):
                half = np.ascontiguousarray(file.get_tensor(key).astype(np.float16))
                digest.update(f"{key}:{tuple(half.shape)};".encode())
                digest.update(half.data)
    except (OSError, TypeError, ValueError):
        return ""
    return digest.hexdigest()[:16]


def adapter_base(path: Path) -> tuple[str, str]:
    """Name and fingerprint of the backbone that an adapter file was trained on; empty texts if it is not one
    of ours or cannot be read."""
    try:
        with _open(path) as file:
            said = dict(file.metadata() or {})
    except (OSError, ValueError):
        return "", ""
    if "kind" not in said or "backbone" not in said:
        return "", ""
    return said.get("backbone_name", ""), said["backbone"]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """A safetensors file without torch; a damaged one is a ValueError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(str(error)) from error
