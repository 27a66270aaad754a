"""From masked pictures to what a grounding head reads: one way for training, validation and measuring.

Features come from the latent that the generation stored, by one call of the network; pictures without one
(real ones, renders) are encoded and noised to the tap step first. Class vectors depend on words alone and are
computed once.

Letters: B pictures, K classes, D width of class vectors, A attention maps per class, C latent channels, h w
latent cells, H W pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.call import Conditioning
from scenewright.backbone.features import Features, Latent, Watcher, extract, picture_latent
from scenewright.backbone.model import Backbone
from scenewright.backbone.tap_layout import tap_layout
from scenewright.backbone.text import embed
from scenewright.backbone.words import class_vectors
from scenewright.data.latents import StoredLatent
from scenewright.errors import InputError
from scenewright.flows.masked import MaskedPicture, names_of
from scenewright.ground.attention import AttentionTaps, attention_logits, class_places
from scenewright.ground.config import GroundingConfig
from scenewright.ground.head import GroundingHead

STEPS = 20
"""Sampler steps of pictures that have no stored latent: they say which noise level a tap step has."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Pictures of one size on the CPU, before the network: either `latent` or `image_BHW3` with `seeds`.

    `classes` are those that each picture is asked for, by name.
    """

    prompts: tuple[str, ...]
    negatives: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    latent: Latent | None
    image_BHW3: NDArray[np.uint8] | None
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class HeadInputs:
    """What `GroundingHead.forward` takes."""

    features: Features
    classes_BKD: Tensor
    used_BK: Tensor
    attention_BKAhw: Tensor | None


def gather(
    pictures: Sequence[MaskedPicture],
    config: GroundingConfig,
    fingerprint: str,
    *,
    classes: Sequence[Sequence[str]] | None = None,
    seeds: Sequence[int] | None = None,
) -> Gathered:
    """Read what the network will be shown of `pictures`, which have one size.

    `classes` to ask for default to the pictures' own. Stored latents are taken where all pictures have one of
    the head's tap step; otherwise the pictures themselves, noised by `seeds` (by default one that depends on
    the picture's name). `fingerprint` is the backbone's. Raises InputError for sizes that differ and for
    latents of another backbone.
    """
    sizes = {one.size_wh for one in pictures}
    if len(sizes) != 1:
        raise InputError(
            f"pictures of {len(sizes)} sizes cannot share a batch", "put pictures of one size together"
        )
    asked = [one.classes for one in pictures] if classes is None else classes
    latent = _stored(pictures, config, fingerprint)
    return Gathered(
        prompts=tuple(one.prompt for one in pictures),
        negatives=tuple(one.negative for one in pictures),
        classes=tuple(tuple(row) for row in asked),
        latent=latent,
        image_BHW3=None if latent else np.stack([one.pixels() for one in pictures]),
        seeds=tuple(seeds) if seeds is not None else tuple(zlib.crc32(one.name.encode()) for one in pictures),
    )


def _stored(pictures: Sequence[MaskedPicture], config: GroundingConfig, fingerprint: str) -> Latent | None:
    """The stored latents of all pictures; None if some have none, or one of another noise level."""
    z_BChw, t_B = [], []
    for one in pictures:
        if one.latent is None:
            return None
        stored = StoredLatent.read(one.latent)
        if stored.fingerprint != fingerprint:
            raise InputError(
                f"{one.latent} was made by the backbone {stored.fingerprint}, not by {fingerprint}",
                "train on the model that drew the pictures",
            )
        if not _fits(stored, config.timestep):
            return None
        z_BChw.append(torch.from_numpy(stored.z_Chw.astype(np.float32)))
        t_B.append(stored.timestep)
    t = torch.tensor(t_B)
    return Latent(torch.stack(z_BChw), t.long() if bool((t == t.round()).all()) else t)


def _fits(stored: StoredLatent, timestep: int) -> bool:
    """Whether a latent is of the sampler step that is tapped for `timestep` (0: the last)."""
    if timestep == 0:
        return stored.step == stored.steps - 1
    return abs(stored.timestep - timestep) <= 500 / stored.steps


class HeadReader:
    """Makes `HeadInputs` with one backbone for heads of one configuration."""

    def __init__(self, backbone: Backbone, config: GroundingConfig, steps: int = STEPS) -> None:
        self.backbone, self.config, self.steps = backbone, config, steps
        self.layout = tap_layout(backbone.unet, config.layout)
        self._vectors: dict[tuple[str, tuple[str, ...]], Tensor] = {}

    @torch.no_grad()
    def read(self, batch: Gathered) -> HeadInputs:
        """Features, class vectors and, for heads that read them, attention maps; on the backbone's device."""
        classes_BKD, used_BK = self.vectors(batch.prompts, batch.classes)
        if not self.config.attention:
            return HeadInputs(self._features(batch), classes_BKD, used_BK, None)
        with AttentionTaps(self.backbone.unet, detail=self.config.attention_detail) as taps:
            features = self._features(batch, taps)
            return HeadInputs(
                features, classes_BKD, used_BK, taps.maps(range(len(used_BK)), self._places(batch))
            )

    @torch.no_grad()
    def attention(self, batch: Gathered, size_hw: tuple[int, int]) -> Tensor:
        """Logits [B, K, H, W] of the cross-attention alone, without a head: the baseline."""
        with AttentionTaps(self.backbone.unet) as taps:
            self._features(batch, taps)
            maps_BKAhw = taps.maps(range(len(batch.prompts)), self._places(batch))
        return attention_logits(maps_BKAhw, size_hw)

    def _features(self, batch: Gathered, *watchers: Watcher) -> Features:
        latent = batch.latent or self._encoded(batch)
        cond, negative = (
            Conditioning(embed(self.backbone, list(texts)).tokens_BLD)
            for texts in (batch.prompts, batch.negatives)
        )
        return extract(
            self.backbone, latent.z_BChw, latent.t, cond, negative, self.layout,
            halves=self.config.halves, watchers=watchers,
        )  # fmt: skip

    def _encoded(self, batch: Gathered) -> Latent:
        assert batch.image_BHW3 is not None
        return picture_latent(self.backbone, batch.image_BHW3, batch.seeds, self.steps, self.config.timestep)

    def _places(self, batch: Gathered) -> list[list[list[int]]]:
        """Where the prompts name the classes, under any of their names."""
        names = [[names_of(one) for one in row] for row in batch.classes]
        return class_places(self.backbone, batch.prompts, names)

    def vectors(self, prompts: Sequence[str], classes: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Class vectors [B, K, D] and which slots are used [B, K]; rows that were seen are kept."""
        own = self.config.text_mode == "prompt"
        keys = [(prompt if own else "", tuple(row)) for prompt, row in zip(prompts, classes, strict=True)]
        new = [key for key in dict.fromkeys(keys) if key not in self._vectors]
        if new:
            names = [[names_of(one) if own else names_of(one)[0] for one in row] for _, row in new]
            found_BKD, _ = class_vectors(
                self.backbone,
                [prompt for prompt, _ in new],
                names,
                self.config.text_mode,
                template=self.config.template,
            )
            for (prompt, row), vectors_KD in zip(new, found_BKD, strict=True):
                self._vectors[prompt, row] = vectors_KD[: len(row)]
        most = max(len(row) for _, row in keys)
        rows = [self._vectors[key] for key in keys]
        vectors_BKD = torch.stack([nnf.pad(one, (0, 0, 0, most - len(one))) for one in rows])
        lengths_B1 = torch.tensor([[len(one)] for one in rows], device=vectors_BKD.device)
        return vectors_BKD, torch.arange(most, device=vectors_BKD.device)[None] < lengths_B1


def logits(head: GroundingHead, inputs: HeadInputs) -> Tensor:
    """The head's logits [B, K, H, W], float32."""
    found_BKHW: Tensor = head(inputs.features, inputs.classes_BKD, inputs.used_BK, inputs.attention_BKAhw)
    return found_BKHW
