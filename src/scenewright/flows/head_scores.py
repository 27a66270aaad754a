"""A grounding head on pictures with known masks: counts for the benchmark `grounding`, and panels.

Every picture is asked for the classes that it shows. A pixel belongs to the class with the highest logit if
its probability is above one half, else to none; for the published figure every mask is decided alone.

Letters: B pictures, K classes of a picture, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.evaluate.grounding import PictureCounts, count_masks
from scenewright.flows.head_inputs import Gathered, HeadReader, gather, logits
from scenewright.flows.masked import MaskedPicture, names_of
from scenewright.ground.decide import decide
from scenewright.ground.head import GroundingHead
from scenewright.scene import ImageRef, Instance, Mask, Scene, contact_sheet, overlay, write_png

Bools = NDArray[np.bool_]

CELL_PX = 256
"""Side of the pictures on a sheet."""

Progress = Callable[[float, int], None]
"""Told (pictures done, pictures in all)."""

Logits = Callable[[Gathered], Tensor]
"""Logits [B, K, H, W] of pictures, whoever makes them."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture with the masks that were found in it, [K, H, W]."""

    picture: MaskedPicture
    found_KHW: Bools


@dataclass(frozen=True)
class Scored:
    """Counts of all pictures in their order, and the first of them to look at."""

    counts: list[PictureCounts] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)


def score_head(
    head: GroundingHead,
    reader: HeadReader,
    pictures: Sequence[MaskedPicture],
    *,
    batch: int = 8,
    keep: int = 0,
    on_progress: Progress | None = None,
) -> Scored:
    """What the head finds in the pictures, `batch` at once; the first `keep` are kept to be shown.

    Raises InputError for latents of another backbone and pictures without classes.
    """
    return score(
        lambda gathered: logits(head, reader.read(gathered)), reader, pictures, batch, keep, on_progress
    )


@torch.no_grad()
def score(
    find: Logits,
    reader: HeadReader,
    pictures: Sequence[MaskedPicture],
    batch: int,
    keep: int = 0,
    on_progress: Progress | None = None,
    threshold: float = 0.5,
) -> Scored:
    """As `score_head`, of anything that makes logits, decided at a probability of `threshold`."""
    scored = Scored()
    done: dict[int, PictureCounts] = {}
    shown: dict[int, Shown] = {}
    for members in batches(pictures, batch):
        chosen = [pictures[k] for k in members]
        gathered = gather(chosen, reader.config, reader.backbone.fingerprint)
        for k, picture, logits_KHW in zip(members, chosen, find(gathered), strict=True):
            logits_KHW = _sized(logits_KHW[: len(picture.classes)].float(), picture.size_wh)
            found_KHW, alone_KHW = (
                decide(logits_KHW, rule, threshold).cpu().numpy() for rule in ("argmax", "independent")
            )
            done[k] = count_masks(picture.name, picture.classes, picture.truth(), found_KHW, alone_KHW)
            if k < keep:
                shown[k] = Shown(picture, found_KHW)
        if on_progress:
            on_progress(len(done), len(pictures))
    scored.counts.extend(done[k] for k in sorted(done))
    scored.shown.extend(shown[k] for k in sorted(shown))
    return scored


def batches(pictures: Sequence[MaskedPicture], size: int) -> Iterator[list[int]]:
    """Places of pictures of one size and, if possible, all with or all without a latent; in order."""
    groups: dict[tuple[tuple[int, int], bool], list[int]] = {}
    for k, one in enumerate(pictures):
        groups.setdefault((one.size_wh, one.latent is not None), []).append(k)
    for members in groups.values():
        for start in range(0, len(members), size):
            yield members[start : start + size]


def _sized(logits_KHW: Tensor, size_wh: tuple[int, int]) -> Tensor:
    if tuple(logits_KHW.shape[-2:]) == size_wh[::-1]:
        return logits_KHW
    return nnf.interpolate(logits_KHW[None], size=size_wh[::-1], mode="bilinear", align_corners=False)[0]


def sheet(scored: Scored, path: Path) -> Path | None:
    """The kept pictures, each with its true masks and those found, as one picture; None without pictures."""
    cells, captions = [], []
    for one in scored.shown:
        picture = one.picture
        cells += [tinted(picture, picture.truth()), tinted(picture, one.found_KHW)]
        captions += ["true: " + ", ".join(picture.classes), "found"]
    if not cells:
        return None
    return write_png(path, contact_sheet(cells, captions, 6 if len(cells) > 4 else 2, cell_px=CELL_PX))


def tinted(picture: MaskedPicture, masks_KHW: Bools) -> NDArray[np.uint8]:
    """The picture with masks of its classes over it; empty ones are left out."""
    instances = tuple(
        Instance(phrase=names_of(name)[0], mask=Mask.from_array(mask_HW))
        for name, mask_HW in zip(picture.classes, masks_KHW, strict=True)
        if mask_HW.any()
    )
    scene = Scene("", picture.size_wh, instances, picture=ImageRef(path=picture.name))
    return overlay(picture.pixels(), scene, size_px=CELL_PX)
