"""Load a model by name: the one place that chooses a device and a number type."""

from __future__ import annotations

import warnings

import torch

from scenewright.backbone.load import load_folder
from scenewright.backbone.model import Backbone
from scenewright.backbone.single_file import load_single_file
from scenewright.errors import InputError, ModelError, nearest
from scenewright.models.adapter import load_adapter, read_header
from scenewright.models.bundle import Bundle
from scenewright.models.heads import WORDS
from scenewright.models.registry import Resolved, resolve

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Names of number types a model can be loaded in."""


class ModelNotice(UserWarning):
    """Something about the chosen model that the user should know, e.g. that its id moved."""


def load_bundle(
    name: str,
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    *,
    allow_other_backbone: bool = False,
) -> Bundle:
    """The model called `name` (see `registry.resolve`), in memory.

    `device` is ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``; `dtype` is ``auto`` (half precision on an
    accelerator, single on the CPU) or one of `DTYPES`; torch's own objects are taken as well.
    `allow_other_backbone` lets an adapter run on another backbone of the same layout. Raises ModelError if
    the model is not there or does not fit together, InputError for an unknown device or number type. Nothing
    is fetched from the network.
    """
    place = resolve(name)
    where = pick_device(str(device))
    number = pick_dtype(str(dtype).removeprefix("torch."), where)
    for notice in place.notices:
        warnings.warn(ModelNotice(notice), stacklevel=2)
    backbone = _backbone(place, where, number)
    if place.adapter is None:
        return Bundle(backbone, None, name, notices=place.notices)
    kind = read_header(place.adapter).kind
    if kind in WORDS:
        what, command, option = WORDS[kind]
        raise ModelError(
            f"{name}: {what} finds things in pictures, it does not place them",
            f"{command} --model {name.split('+')[0]} {option} {place.adapter}",
        )
    allowed = allow_other_backbone or place.any_backbone
    adapter = load_adapter(place.adapter, backbone, allow_other=allowed)
    return Bundle(backbone, adapter, name, kind, place.notices)


def pick_device(word: str) -> torch.device:
    """The device that `word` names; ``auto`` takes an accelerator if there is one.

    Raises InputError for a word that is no device, or a device that this machine does not have.
    """
    if word == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(word)
    except RuntimeError as error:
        hint = f"did you mean {nearest(word, ('auto', 'cpu', 'cuda', 'mps')) or 'auto'}?"
        raise InputError(f"unknown device {word!r}; expected auto, cpu, cuda or mps", hint) from error
    there = {
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if not there.get(device.type, False):
        raise InputError(f"this machine has no device {word!r}", "use auto or cpu")
    return device


def pick_dtype(word: str, device: torch.device) -> torch.dtype:
    """The number type that `word` names; ``auto`` depends on `device`. Raises InputError for another word."""
    if word == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float16 if device.type == "mps" else torch.float32
    if word not in DTYPES:
        close = nearest(word, DTYPES)
        hint = f"did you mean {close}?" if close else "float32 is the safe choice on a CPU"
        raise InputError(f"unknown number type {word!r}; expected auto, {', '.join(DTYPES)}", hint)
    return DTYPES[word]


def _backbone(place: Resolved, device: torch.device, dtype: torch.dtype) -> Backbone:
    name = place.backbone_name
    if place.backbone.is_dir():
        return load_folder(place.backbone, device=device, dtype=dtype, name=_short(name))
    config = place.config or None
    return load_single_file(place.backbone, device=device, dtype=dtype, name=_short(name), config=config)


def _short(name: str) -> str:
    """Paths are too long for messages: their last part."""
    return name.rstrip("/").split("/")[-1] if name.startswith(("/", ".", "~")) else name
