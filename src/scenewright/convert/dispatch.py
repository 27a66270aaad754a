"""Convert a model by name or path: foreign files to ours, ours to diffusers folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from scenewright.backbone.load import save_folder
from scenewright.backbone.model import fingerprint
from scenewright.backbone.single_file import UNET, load_single_file, read_original
from scenewright.condition.gligen import Gligen
from scenewright.condition.semantic import SemanticControl
from scenewright.condition.unifusion import UniFusion
from scenewright.convert import instances, streets
from scenewright.convert.dginstyle import export_control
from scenewright.convert.gligen import Converted, Numbers, export_gated, read_gated
from scenewright.convert.gligen import read_original as read_gligen
from scenewright.convert.grounding import BASES, from_original, is_head, read_state, variant
from scenewright.convert.instancediffusion_files import export_original, is_released
from scenewright.errors import InputError, ModelError, ignored
from scenewright.models.adapter import save_adapter
from scenewright.models.cards import Card, cards
from scenewright.models.load import load_bundle
from scenewright.models.registry import SINGLE, split
from scenewright.models.store import find, home, remember

LARGEST_HEAD = 2**29
"""Bytes that no mask module's file reaches (they have 75 MB); larger files are not opened to look."""


def convert(
    source: str,
    out: str = "",
    *,
    config: str = "",
    tokenizer: str = "",
    slots: int = 0,
    heads: int = 0,
    half: bool = True,
    say: Callable[[str], None] | None = None,
) -> tuple[Path, str]:
    """Convert `source`; where the result is and what it is (``folder``, ``adapter``, ``gated folder``).

    * an original Stable Diffusion file becomes a diffusers folder (`config`, `tokenizer`: see
      `backbone.single_file.load_single_file`);
    * a GLIGEN checkpoint (card, original file, or gated diffusers folder) becomes an adapter file; `slots`
      and `heads` are what its weights do not tell, known for cards;
    * a name with an adapter (``nano+gligen``) becomes a diffusers folder with a gated UNet;
    * a mask module of Grounded Diffusion (card, or a file of it) becomes a grounding head;
    * an InstanceDiffusion checkpoint (card, or its file) becomes an adapter file, or with a folder for the
      result a diffusers folder with the adapter in it; a name with its adapter becomes such a checkpoint;
    * DGInStyle's ControlNet (card, folder or file) becomes an adapter file, and back a folder of diffusers;
      a SegFormer of mmsegmentation becomes a folder of transformers.

    `half` writes half precision. `say` is told what a file held and what was left out. Without `out`, the
    result of a card goes to this package's own folder and is recorded, so that the name can be loaded. Raises
    ModelError or InputError for anything else.
    """
    given = {"--config": config, "--tokenizer": tokenizer, "--slots": slots, "--heads": heads}
    card = cards().get(source)
    dtype = torch.float16 if half else torch.float32
    if card is not None and (used := _used_by(card)) is not None:
        _check_used(given, used, source)
    if card is not None and card.kind.startswith("gligen-"):
        return _card_to_adapter(card, out, dtype), "adapter"
    if card is not None and card.kind.startswith("grounding-"):
        return _card_to_head(card, out, dtype), "adapter"
    if card is not None and card.kind == "instancediffusion-original":
        return instances.from_card(card, out, dtype, tokenizer, say)
    if card is not None and card.kind == "dginstyle":
        return streets.from_card(card, out, dtype, say)
    if not out:
        raise InputError("no place for the result", f"scenewright models convert {source} OUT")
    if split(source)[1] or (card is not None and card.kind == "adapter"):
        _check_used(given, (), source)
        bundle = load_bundle(source, device="cpu", dtype="float32")
        if isinstance(bundle.adapter, UniFusion):
            return export_original(bundle.backbone, bundle.adapter, Path(out), dtype), "original file"
        if isinstance(bundle.adapter, SemanticControl):
            return export_control(bundle.adapter, Path(out), dtype), "ControlNet folder"
        if bundle.adapter is None or bundle.kind != "gligen":
            raise ModelError(f"{source}: an adapter of kind {bundle.kind!r} has no form in diffusers")
        export_gated(bundle.backbone, bundle.adapter, Path(out), dtype)  # type: ignore[arg-type]
        return Path(out), "gated folder"
    place = find(card) if card else Path(source).expanduser()
    if place is None or not place.exists():
        raise ModelError(f"no model at {source}", f"run: scenewright models pull {source}")
    if (state := _head_state(place)) is not None:
        _check_used(given, (), source)
        return _write_head(state, Path(out), place.name, BASES[variant(state)], dtype), "adapter"
    if (found := streets.from_place(place, Path(out), dtype, say)) is not None:
        return found
    if is_released(place):
        _check_used(given, ("--config", "--tokenizer"), source)
        return instances.from_file(place, Path(out), dtype, tokenizer=tokenizer, config=config, say=say)
    if place.is_file() and place.suffix in SINGLE and _is_whole(place):
        _check_used(given, ("--config", "--tokenizer"), source)
        backbone = load_single_file(
            place, config=config or (card.config if card else "") or None, tokenizer=tokenizer or None
        )
        return save_folder(backbone, out, dtype), "folder"
    _check_used(given, ("--slots", "--heads"), source)
    converted = _read_gligen(place, {"slots": slots, "heads": heads, "sample_size": 64})
    return _write_adapter(converted, Path(out), place.name, "", dtype), "adapter"


def _used_by(card: Card) -> tuple[str, ...] | None:
    """Options that converting a card reads; None where its files decide, or an option has to."""
    if card.kind.startswith("gligen-") and not card.numbers:
        return None
    if card.kind.startswith(("gligen-", "grounding-")) or card.kind in ("dginstyle", "adapter"):
        return ()
    return ("--tokenizer",) if card.kind == "instancediffusion-original" else None


def _check_used(given: Mapping[str, object], used: Sequence[str], source: str) -> None:
    """Raises InputError for options that were given and are not among those that are used."""
    if spare := [name for name, value in given.items() if value and name not in used]:
        raise ignored(spare, f"with {source}, which tells that itself,", "")


def _card_to_adapter(card: Card, out: str, dtype: torch.dtype) -> Path:
    place = find(card)
    if place is None:
        raise ModelError(f"{card.alias} is not on this machine", f"run: scenewright models pull {card.alias}")
    if place.is_dir() and not (place / "model_index.json").is_file() and card.files:
        place = place / card.files[0].path
    if not card.numbers:
        raise ModelError(
            f"{card.alias}: slots and heads of this model are not known",
            f"give them: scenewright models convert {place} OUT --slots N --heads N",
        )
    converted = _read_gligen(place, card.numbers)
    name = card.alias if "+" in card.alias else f"{card.belongs_to}+gligen"
    target = Path(out) if out else home() / "adapters" / f"{name}.safetensors"
    path = _write_adapter(converted, target, card.alias, card.belongs_to, dtype)
    if not out:
        remember(name, path, "adapter")
    return path


def _card_to_head(card: Card, out: str, dtype: torch.dtype) -> Path:
    """A downloaded mask module as a head of the backbone that its card names."""
    place = find(card)
    if place is None:
        link = card.manual.link if card.manual else card.alias
        raise ModelError(
            f"{card.alias} is not on this machine",
            f"fetch it from {link}, then run: scenewright models add PATH --name {card.alias}",
        )
    state = _head_state(place)
    if state is None:
        raise ModelError(f"{place} is no mask module of Grounded Diffusion", "check which file was added")
    if BASES[variant(state)] != card.belongs_to:
        right = next(one.alias for one in cards().values() if _is_card_of(one, variant(state)))
        raise ModelError(
            f"{place} is not what {card.alias} names: its weights are of the kind {variant(state)!r}",
            f"run: scenewright models add {place} --name {right}",
        )
    name = f"{card.belongs_to}+grounding"
    target = Path(out) if out else home() / "adapters" / f"{name}.safetensors"
    path = _write_head(state, target, card.alias, card.belongs_to, dtype)
    if not out:
        remember(name, path, "adapter")
    return path


def _is_card_of(card: Card, kind: str) -> bool:
    return card.kind.startswith("grounding-") and card.belongs_to == BASES[kind]


def _head_state(place: Path) -> dict[str, Tensor] | None:
    """The weights of a mask module's file, None for any other file or folder."""
    if not place.is_file() or place.suffix not in SINGLE or place.stat().st_size > LARGEST_HEAD:
        return None
    try:
        state = read_state(place)
    except ModelError:
        return None  # of some other kind, or damaged: its own reader says so
    return state if is_head(state) else None


def _write_head(state: Mapping[str, Tensor], out: Path, source: str, base: str, dtype: torch.dtype) -> Path:
    """A published mask module as an adapter file that names no UNet: it fits what is as wide."""
    head = from_original(state, source)
    notes = {"converted_from": source, "variant": variant(state)}
    return save_adapter(out, head, head.config, "grounding", "", backbone_name=base, dtype=dtype, notes=notes)


def _read_gligen(place: Path, numbers: Mapping[str, int]) -> Converted[Gligen]:
    if not numbers.get("slots") or (place.is_file() and not numbers.get("heads")):
        raise InputError(
            f"{place}: the weights do not tell the number of grounding slots and attention heads",
            "add --slots 30 --heads 8 for the released GLIGEN models",
        )
    if place.is_dir():
        return read_gated(place, numbers["slots"])
    return read_gligen(
        place, Numbers(heads=(numbers["heads"],), slots=numbers["slots"], sample_size=numbers["sample_size"])
    )


def _write_adapter(
    converted: Converted[Gligen], out: Path, source: str, base: str, dtype: torch.dtype
) -> Path:
    return save_adapter(
        out,
        converted.adapter,
        converted.adapter.config,
        "gligen",
        fingerprint(converted.unet.state_dict()),
        backbone_name=base or f"the UNet inside {source}",
        dtype=dtype,
        notes={"converted_from": source},
    )


def _is_whole(path: Path) -> bool:
    """Whether a file holds a whole original checkpoint, told by its keys."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        try:
            with safe_open(path, framework="pt") as file:
                return any(key.startswith(UNET) for key in file.keys())
        except Exception as error:
            raise ModelError(f"{path} cannot be read: {error}", "the file is damaged") from error
    return any(key.startswith(UNET) for key in read_original(path))
