"""``models convert`` for DGInStyle's networks: from a card or a place to what can be loaded."""

from __future__ import annotations

from pathlib import Path

import torch

from scenewright.convert.dginstyle import CONTROL, SEGMENTERS, SOURCE, is_control, read_control, write_control
from scenewright.convert.instances import Say, base_here, tell
from scenewright.convert.segformer import is_mmseg, read_segformer
from scenewright.errors import ModelError
from scenewright.models.cards import Card
from scenewright.models.segformer import save_segmenter
from scenewright.models.store import find, home, remember


def from_card(card: Card, out: str, dtype: torch.dtype, say: Say = None) -> tuple[Path, str]:
    """The ControlNet of the downloaded repository as an adapter of the card's backbone.

    Without `out` it can be loaded afterwards as ``sd15+dginstyle``, and the pipeline that it was trained
    beside as ``dginstyle-source``. Raises ModelError if the repository is not here.
    """
    place = find(card)
    if place is None:
        raise ModelError(f"{card.alias} is not on this machine", f"run: scenewright models pull {card.alias}")
    name = f"{card.belongs_to}+dginstyle"
    target = Path(out) if out else home() / "adapters" / f"{name}.safetensors"
    folder = place / CONTROL if (place / CONTROL).is_dir() else place
    path = write_control(
        read_control(folder), target, card.alias, base_here(card.belongs_to), card.belongs_to, dtype
    )
    if not out:
        remember(name, path, "adapter")
        if (place / SOURCE / "model_index.json").is_file():
            remember("dginstyle-source", place / SOURCE, "backbone")
            tell(
                say,
                f"{name} runs on {card.belongs_to}; without the swap: dginstyle-source+dginstyle:{path}",
            )
    if (place / SEGMENTERS).is_dir():
        tell(
            say, f"segmenters are converted one by one: scenewright models convert {place / SEGMENTERS}/… OUT"
        )
    return path, "adapter"


def from_place(place: Path, out: Path, dtype: torch.dtype, say: Say = None) -> tuple[Path, str] | None:
    """A ControlNet's folder or file as an adapter file, a SegFormer of mmsegmentation as a folder; None for
    anything else. Raises ModelError for other segmenters, by name."""
    if place.is_dir() and (place / CONTROL).is_dir():
        place = place / CONTROL
    if is_control(place):
        base = base_here("sd15")
        if base is None:
            tell(
                say, "Stable Diffusion 1.5 is not here: the adapter will run on any backbone that is as wide"
            )
        return write_control(read_control(place), out, place.name, base, "sd15", dtype), "adapter"
    if is_mmseg(place):
        return save_segmenter(read_segformer(place), out), "segmenter folder"
    return None
