"""Latents of a source's pictures, encoded once and kept on disk.

Letters: N pictures, C latent channels, h w cells.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from scenewright.backbone.latents import encode
from scenewright.backbone.model import fingerprint
from scenewright.train.renders import Item, Source, open_renders
from scenewright.train.vae import to_signal

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone

ROWS = 32


@dataclass(frozen=True, eq=False)
class Latents:
    """Scaled latents z_NChw (float16) and what is in each picture."""

    z_NChw: NDArray[np.float16]
    items: list[Item]


def open_latents(source: Source, cache: Path, backbone: Backbone) -> Latents:
    """The latents (means of the VAE's distribution) of a source, from the cache or encoded now.

    The cache file carries the hash of the VAE's weights and scale, so another VAE never meets old latents.
    """
    renders = open_renders(source, cache, print)
    vae = backbone.vae
    mark = fingerprint({**vae.state_dict(), "scale": torch.tensor(float(vae.config.scaling_factor))})
    name = source.name if source.name in ("toybox", "town") else "records"
    width, height = source.size_wh
    path = cache / f"latents-{name}-{width}x{height}-{len(renders)}-{mark}.npy"
    if not path.exists():
        parts = []
        for start in range(0, len(renders), ROWS):
            index = np.arange(start, min(start + ROWS, len(renders)))
            signal = to_signal(torch.from_numpy(renders.images(index)))
            parts.append(encode(backbone, signal).cpu().numpy().astype(np.float16))
            if start % (ROWS * 64) == 0:
                print(f"{source.name}: encoded {start} of {len(renders)} pictures", flush=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.npy")
        np.save(temporary, np.concatenate(parts))
        temporary.replace(path)
    return Latents(np.load(path, mmap_mode="r"), renders.items)
