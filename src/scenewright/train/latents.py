"""What a denoiser trains on: latents encoded once and kept on disk, or pictures encoded in each step.

Letters: N pictures, B batch, C latent channels, h w cells, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.latents import encode
from scenewright.backbone.model import fingerprint
from scenewright.train.progress import say
from scenewright.train.renders import Item, Pictures, Source, alone_in, open_pictures
from scenewright.train.vae import to_signal

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone

ROWS = 32
SAVED_ROWS = 64 * ROWS
"""A killed run encodes at most so many pictures again."""


class Pool(Protocol):
    """What batches are drawn from."""

    @property
    def items(self) -> list[Item]:
        """What is in each picture."""

    def rows(self, index_B: NDArray[np.int64], mirror_B: NDArray[np.bool_]) -> dict[str, Tensor]:
        """``{"z": z_BChw float32}`` or ``{"images": image_BHW3 uint8}`` of the items at `index_B`."""


@dataclass(frozen=True, eq=False)
class Latents:
    """Scaled latents z_NChw (float16), what is in each picture, and the latents of the mirrored pictures."""

    z_NChw: NDArray[np.float16]
    items: list[Item]
    mirrored_NChw: NDArray[np.float16] | None = None

    def rows(self, index_B: NDArray[np.int64], mirror_B: NDArray[np.bool_]) -> dict[str, Tensor]:
        """``{"z": z_BChw}``, float32, mirrored where `mirror_B` says so."""
        z_BChw = self.z_NChw[index_B].astype(np.float32)
        if mirror_B.any():
            assert self.mirrored_NChw is not None
            z_BChw[mirror_B] = self.mirrored_NChw[index_B[mirror_B]]
        return {"z": torch.from_numpy(z_BChw)}


class Images:
    """Pictures that the VAE encodes in each step: nothing is kept on disk, and it costs its forward pass."""

    def __init__(self, pictures: Pictures) -> None:
        self.items = pictures.items
        self._pictures = pictures

    def rows(self, index_B: NDArray[np.int64], mirror_B: NDArray[np.bool_]) -> dict[str, Tensor]:
        """``{"images": image_BHW3}``, uint8, mirrored where `mirror_B` says so."""
        images_BHW3 = self._pictures.images(index_B)
        images_BHW3[mirror_B] = images_BHW3[mirror_B][:, :, ::-1]
        return {"images": torch.from_numpy(images_BHW3)}


def open_pool(
    source: Source, cache: Path, backbone: Backbone, *, cached: bool = True, flip: bool = False
) -> Pool:
    """The latents of a source, with `flip` also those mirrored; or, if not `cached`, its pictures."""
    if cached:
        return open_latents(source, cache, backbone, flip=flip)
    return Images(open_pictures(source, cache, say))


def open_latents(
    source: Source,
    cache: Path,
    backbone: Backbone,
    *,
    flip: bool = False,
    progress: Callable[[str], None] = say,
) -> Latents:
    """The latents (means of the VAE's distribution) of a source, from the cache or encoded now.

    The cache file carries the hash of the VAE's weights and scale, so another VAE never meets old latents.
    Encoding that was interrupted continues. With `flip` the mirrored pictures are encoded too.
    """
    pictures = open_pictures(source, cache, progress)
    vae = backbone.vae
    mark = fingerprint({**vae.state_dict(), "scale": torch.tensor(float(vae.config.scaling_factor))})
    width, height = source.size_wh
    found = []
    for side in ("", "-mirrored") if flip else ("",):
        path = cache / f"latents-{pictures.name}-{width}x{height}-{len(pictures)}-{mark}{side}.npy"
        with alone_in(cache, path.stem):
            if not path.exists():
                _encode_all(pictures, backbone, path, bool(side), progress)
        found.append(np.load(path, mmap_mode="r"))
    return Latents(found[0], pictures.items, found[1] if flip else None)


def _encode_all(
    pictures: Pictures, backbone: Backbone, path: Path, mirror: bool, progress: Callable[[str], None]
) -> None:
    """Writes `path` by way of a hidden file, filled from the front, and a count of its finished rows."""
    hidden, count = path.with_name(f".{path.name}"), path.with_name(f".{path.name}.rows")
    total = len(pictures)
    done = int(count.read_text()) if count.exists() and hidden.exists() else 0
    z_NChw = np.load(hidden, mmap_mode="r+") if done else None
    for start in range(done, total, ROWS):
        rows_BChw = _encoded(pictures, backbone, np.arange(start, min(start + ROWS, total)), mirror)
        if z_NChw is None:
            shape = (total, *rows_BChw.shape[1:])
            z_NChw = np.lib.format.open_memmap(hidden, mode="w+", dtype=np.float16, shape=shape)
        z_NChw[start : start + len(rows_BChw)] = rows_BChw
        if (start + ROWS) % SAVED_ROWS == 0 and start + ROWS < total:
            z_NChw.flush()
            count.write_text(str(start + ROWS))
            progress(f"{pictures.name}: encoded {start + ROWS} of {total} pictures")
    assert z_NChw is not None
    z_NChw.flush()
    hidden.replace(path)
    count.unlink(missing_ok=True)


def _encoded(
    pictures: Pictures, backbone: Backbone, index_B: NDArray[np.int64], mirror: bool
) -> NDArray[np.float16]:
    images_BHW3 = pictures.images(index_B)
    if mirror:
        images_BHW3 = np.ascontiguousarray(images_BHW3[:, :, ::-1])
    return encode(backbone, to_signal(torch.from_numpy(images_BHW3))).float().cpu().numpy().astype(np.float16)
