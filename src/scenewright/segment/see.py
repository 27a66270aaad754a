"""One pass of the network over a picture, and class names as the network's own text attention reads them.

The seed's "content attention module" is the stock text attention of the drawing network (its diagrams: keys
and values from text, queries from the picture). Here it is used for what it can say of a class alone: each
block's queries of the picture's cells times its keys of a class's vector, against the keys of the empty text
that the picture was shown with. No prompt has to name the classes, so there may be any number of them.

Letters: B pictures, K classes, D text width, H heads of a block, N cells of a block, L text tokens, E width
of a head, C channels, h w cells of the latent, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import COND, Call, Conditioning
from scenewright.backbone.features import Features
from scenewright.backbone.latents import encode
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.tap_layout import TapLayout, attention_depth
from scenewright.backbone.taps import Taps
from scenewright.backbone.text import embed
from scenewright.backbone.words import Name, class_vectors
from scenewright.errors import InputError

STEPS = 20
"""Sampler steps whose last one is the noise level 0: what the network is told of a finished picture."""

NAMED_AT_ONCE = 256
"""Classes whose texts are encoded together."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What one transformer block asks of a text: `queries_BHNE`, already scaled, of its cells `size_hw`, and
    `none_BHN`, how much the empty text answers (log-sum-exp over its tokens)."""

    queries_BHNE: Tensor
    none_BHN: Tensor
    size_hw: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pass saw of pictures of one size: maps of the taps, what each transformer block asks, and the
    pictures themselves [B, 3, Y, X] in [-1, 1]."""

    features: Features
    asked: tuple[Asked, ...]
    image_B3YX: Tensor

    @property
    def batch(self) -> int:
        """How many pictures."""
        return len(self.image_B3YX)


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """Classes as texts: vectors [K, D] in float32, and the keys [K, H, E] that each transformer block makes
    of them."""

    vectors_KD: Tensor
    keys: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.vectors_KD)

    def take(self, first: int, last: int) -> ClassTexts:
        """Classes `first` to `last` - 1."""
        return ClassTexts(self.vectors_KD[first:last], tuple(one[first:last] for one in self.keys))


@torch.no_grad()
def class_texts(backbone: Backbone, names: Sequence[Name], templates: Sequence[str]) -> ClassTexts:
    """Vectors of classes, each the mean over its names and all `templates`; any number of classes.

    Raises InputError for no classes, and for names that no text encoder can read (`class_vectors`).
    """
    parts = []
    for first in range(0, len(names), NAMED_AT_ONCE):
        row = names[first : first + NAMED_AT_ONCE]
        found = [class_vectors(backbone, [""], [row], template=one)[0][0] for one in templates]
        parts.append(torch.stack(found).mean(0))
    if not parts:
        raise InputError("there are no classes to look for", "name at least one")
    return with_keys(backbone.unet, torch.cat(parts))


@torch.no_grad()
def with_keys(unet: Any, vectors_KD: Tensor) -> ClassTexts:
    """Class vectors with the keys that the transformer blocks of `unet` make of them."""
    keys = []
    for block in transformer_blocks(unet).values():
        attn: Any = block.attn2
        made = attn.to_k(vectors_KD.to(attn.to_k.weight.dtype))
        keys.append(made.reshape(len(vectors_KD), attn.heads, -1).float())
    return ClassTexts(vectors_KD.float(), tuple(keys))


@torch.no_grad()
def see(
    backbone: Backbone, image_BYX3: NDArray[np.uint8], layout: TapLayout, *, timestep: float = 0.0
) -> Seen:
    """Show pictures (0..255, one size) to the network once: clean latents, the empty text.

    `timestep` is the noise level that it is told; 0 means that of the last of `STEPS` sampler steps. Nothing
    is drawn at random, so a picture has one result. Raises InputError for sizes that the network cannot take.
    """
    if image_BYX3.ndim != 4 or image_BYX3.shape[-1] != 3 or image_BYX3.dtype != np.uint8:
        raise InputError(
            f"pictures of shape {image_BYX3.shape} and type {image_BYX3.dtype}; BYX3 uint8 expected"
        )
    image_B3YX = torch.from_numpy(np.ascontiguousarray(image_BYX3)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return see_signal(backbone, image_B3YX, layout, timestep=timestep)


@torch.no_grad()
def see_signal(backbone: Backbone, image_B3YX: Tensor, layout: TapLayout, *, timestep: float = 0.0) -> Seen:
    """`see` for pictures that are tensors with values in [-1, 1]."""
    z_BChw = encode(backbone, image_B3YX)
    noise = Noise(backbone.scheduler, STEPS)
    t = _level(noise, timestep)
    shown_BChw = noise.scale(noise.add(z_BChw, torch.zeros_like(z_BChw), t), t)
    text_1LD = embed(backbone, [""]).tokens_BLD
    cond = Conditioning(text_1LD.expand(len(z_BChw), -1, -1))
    blocks = transformer_blocks(backbone.unet)
    queries = [f"{path}.attn2.to_q" for path in blocks]
    with Taps(backbone.unet, [*layout.paths, *queries], halves=(COND,)) as taps:
        taps.watch(network(backbone.unet))(shown_BChw, Call.plain(t, cond))
        levels = tuple(tuple(taps.read(0, path).features_R for path in level) for level in layout.levels)
        latent_hw = (int(z_BChw.shape[-2]), int(z_BChw.shape[-1]))
        asked = tuple(
            _asked(
                taps.read(0, f"{path}.attn2.to_q").features_R, block, text_1LD,
                halved(latent_hw, attention_depth(backbone.unet, path)),
            )
            for path, block in blocks.items()
        )  # fmt: skip
    return Seen(Features(levels).to(dtype=torch.float32), asked, image_B3YX.to(z_BChw.device))


def _level(noise: Noise, timestep: float) -> Tensor:
    """The sampler's timestep nearest to the one asked for; its last for 0."""
    if not timestep:
        return noise.timestep_of(noise.steps - 1)
    return noise.timestep_of(
        min(range(noise.steps), key=lambda step: abs(float(noise.timestep_of(step)) - timestep))
    )


def _asked(query_BND: Tensor, block: Any, text_1LD: Tensor, size_hw: tuple[int, int]) -> Asked:
    """The queries of one block, by head, and what the empty text answers."""
    attn = block.attn2
    query_BHNE = query_BND.unflatten(-1, (attn.heads, -1)).transpose(1, 2).float() * float(attn.scale)
    key_LHE = attn.to_k(text_1LD.to(attn.to_k.weight.dtype))[0].unflatten(-1, (attn.heads, -1)).float()
    scores_BHNL = torch.einsum("bhne,lhe->bhnl", query_BHNE, key_LHE)
    return Asked(query_BHNE, scores_BHNL.logsumexp(-1), size_hw)


def halved(size_hw: tuple[int, int], times: int) -> tuple[int, int]:
    """Rows and columns after so many halvings, each rounded up, as strided convolutions do."""
    height, width = size_hw
    for _ in range(times):
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width
