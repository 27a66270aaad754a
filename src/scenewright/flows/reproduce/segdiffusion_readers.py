"""What labels pictures in the reproduction of open-vocabulary segmentation: one of each variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.segdiffusion_plan import Scored, SegCell
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions, spoken
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.label_space import load

EXPORTS = {
    "one-pass": "segmenter.safetensors",
    "two-styles": "segmenter.safetensors",
    "mask-denoiser": "mask-denoiser",
    "closed-set": "segmenter.safetensors",
}
"""What a training exports: a file, or a folder."""

Maps = Callable[[Sequence[NDArray[np.uint8]]], list[NDArray[Any]]]
"""Label maps, in outputs of a label space, of pictures."""


@dataclass(frozen=True, eq=False)
class Reader:
    """What labels pictures, and its size: parameters that were trained, and all that see a picture (text
    encoders, which see names alone, are not counted)."""

    maps: Maps
    trained: int
    read: int


def fingerprint(model: ModelChoice) -> str:
    """16 hex digits that name the network of a model. Raises ModelError, InputError."""
    from scenewright.models.load import load_bundle

    return load_bundle(model.name, model.device, model.dtype).backbone.fingerprint


def exported(cell: SegCell, folder: Path) -> Path | None:
    """What a cell's training exported in its folder, if it is still there."""
    place = folder / "export" / EXPORTS.get(cell.variant, "")
    return place if cell.learns and place.exists() else None


def reader(cell: SegCell, trained: Path | None, one: Scored) -> Reader:
    """What labels pictures, with every class of the set's vocabulary asked for.

    `trained` is what was exported; without it the network's own attention reads. Raises ModelError.
    """
    if trained is not None and cell.variant == "closed-set":
        return _closed(cell, trained)
    if trained is not None and cell.variant == "mask-denoiser":
        return _denoiser(cell, trained, one)
    segmenter = _segmenter(cell, trained)
    asked = SegmentOptions(vocabulary=told_by(load(one.space.vocabulary), one.words))
    backbone = segmenter.backbone
    own = _size(segmenter.net) if trained is not None else 0
    return Reader(
        lambda images: [one.space.outputs(found.labels) for found in segmenter.segment(images, asked)],
        own,
        own + _size(backbone.unet) + _size(backbone.vae.encoder),
    )


def _segmenter(cell: SegCell, trained: Path | None) -> PictureSegmenter:
    model = cell.options.model
    if trained is not None:
        return PictureSegmenter.load(model.name, str(trained), device=model.device, dtype=model.dtype)
    from scenewright.models.load import load_bundle
    from scenewright.segment.attention_only import AttentionOnly

    backbone = load_bundle(model.name, model.device, model.dtype).backbone
    return PictureSegmenter(backbone, AttentionOnly.of(backbone), "attention")


def _closed(cell: SegCell, trained: Path) -> Reader:
    from scenewright.models.judges.store import load_judge
    from scenewright.models.load import pick_device

    net = load_judge(trained, kind="segmenter", device=pick_device(cell.options.model.device)).net
    return Reader(net.labels, _size(net), _size(net))


def _denoiser(cell: SegCell, trained: Path, one: Scored) -> Reader:
    from scenewright.models.mask_denoiser import load_mask_denoiser
    from scenewright.segment.denoise import DenoiseOptions, denoised, labels_of
    from scenewright.segment.mask_denoiser import class_text

    model, known = cell.options.model, load(one.space.vocabulary)
    found = load_mask_denoiser(trained, device=model.device, dtype=model.dtype)
    names, ids = [spoken(each)[0] for each in known], [each.id for each in known]
    text_MLD = class_text(found.backbone, names, found.rules)
    options = DenoiseOptions(steps=cell.options.sampler_steps, members=cell.options.members)

    def maps(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        drawn = [
            denoised(found.backbone, found.rules, image, names, options, text_MLD=text_MLD)
            for image in images
        ]
        return [one.space.outputs(labels_of(each.maps_KHW, ids, IGNORE, 0.0)) for each in drawn]

    unet = _size(found.backbone.unet)
    return Reader(maps, unet, unet + _size(found.backbone.vae))


def _size(net: nn.Module) -> int:
    return sum(one.numel() for one in net.parameters())


def told_by(known: Vocabulary, words: str) -> Vocabulary:
    """A vocabulary whose classes are told by all their names, the first alone, or one synonym alone."""
    if words == "all":
        return known
    names = {one.id: spoken(one) for one in known}
    return replace(
        known,
        classes=tuple(
            replace(one, name=names[one.id][min(words == "synonym", len(names[one.id]) - 1)], synonyms=())
            for one in known
        ),
    )
