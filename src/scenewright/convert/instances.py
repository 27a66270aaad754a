"""InstanceDiffusion's checkpoint by card or path: where its parts go, and what the user is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from scenewright.backbone.model import Backbone
from scenewright.convert.instancediffusion import SD15, Numbers
from scenewright.convert.instancediffusion_files import Released, read_released, write_adapter, write_whole
from scenewright.errors import ModelError
from scenewright.models.cards import Card
from scenewright.models.load import load_bundle
from scenewright.models.store import find, home, remember

Say = Callable[[str], None] | None


def from_card(card: Card, out: str, dtype: torch.dtype, tokenizer: str, say: Say) -> tuple[Path, str]:
    """The checkpoint that a card names; without `out` an adapter for the card's backbone, to be named.

    Raises ModelError if the file, or without `out` that backbone, is not on this machine.
    """
    place = find(card)
    if place is None:
        link = card.manual.link if card.manual else card.alias
        raise ModelError(
            f"{card.alias} is not on this machine",
            f"fetch it from {link}, then run: scenewright models add PATH --name {card.alias}",
        )
    if out:
        return from_file(place, Path(out), dtype, tokenizer=tokenizer, say=say)
    base = base_here(card.belongs_to)
    if base is None:
        raise ModelError(
            f"{card.belongs_to} is not on this machine, and the adapter has to be compared with it",
            f"run: scenewright models pull {card.belongs_to}; or give a folder for backbone and adapter",
        )
    released = _read(place, SD15, say)
    name = f"{card.belongs_to}+instancediffusion"
    path, found = write_adapter(
        released, home() / "adapters" / f"{name}.safetensors", card.alias, base, dtype
    )
    tell(say, found)
    remember(name, path, "adapter")
    return path, "adapter"


def from_file(
    place: Path,
    out: Path,
    dtype: torch.dtype,
    *,
    tokenizer: str = "",
    config: str = "",
    say: Say = None,
) -> tuple[Path, str]:
    """A checkpoint as an adapter file (`out` ends in .safetensors), else as a folder with the adapter in it.

    An adapter alone is compared with Stable Diffusion 1.5 where that is on this machine.
    """
    released = _read(place, SD15, say)
    if out.suffix != ".safetensors":
        more = {"tokenizer": tokenizer or None, "config": config or "sd1"}
        folder = write_whole(released, out, str(place), dtype, **more)
        return folder, "folder"
    path, found = write_adapter(released, out, place.name, base_here("sd15"), dtype)
    tell(say, found)
    return path, "adapter"


def _read(place: Path, numbers: Numbers, say: Say) -> Released:
    released = read_released(place, numbers)
    tell(say, f"{place.name}: {released.told}")
    return released


def base_here(name: str) -> Backbone | None:
    """A backbone by name, in float32 on the CPU; None if it is not on this machine."""
    try:
        return load_bundle(name, device="cpu", dtype="float32").backbone
    except ModelError:
        return None


def tell(say: Say, words: str) -> None:
    """Tell the user, if someone listens."""
    if say is not None:
        say(words)
