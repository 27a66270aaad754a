"""A checkpoint of a whole grounded network, taken apart into a stock UNet and an adapter."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from scenewright.backbone.parts import build_unet, check_keys, fill
from scenewright.backbone.pickles import read_checkpoint
from scenewright.errors import ModelError

Adapter = TypeVar("Adapter", bound=nn.Module)

HEAD = 2**26
"""Bytes that are looked at for a name: no list of weights is longer."""


@dataclass(frozen=True, eq=False)
class Converted(Generic[Adapter]):
    """A stock UNet (diffusers' names, no adapter inside), the adapter, and what the file held besides."""

    unet: nn.Module
    adapter: Adapter
    left_out: tuple[str, ...] = ()


def is_adapter_key(key: str) -> bool:
    """Whether a key, in diffusers' layout, belongs to an adapter and not to the stock UNet."""
    return key.startswith("position_net.") or ".fuser." in key or ".scaleu." in key


def split(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    build: Callable[[nn.Module], Adapter],
    source: str,
) -> Converted[Adapter]:
    """Stock UNet and adapter out of one state dict with diffusers' names; tensors are taken, not copied.

    Args:
        state: all weights.
        config: diffusers' configuration of the stock UNet.
        build: an unfilled adapter for the stock UNet (called on the meta device).
        source: where the weights came from, for messages.

    Raises:
        ModelError: missing, unexpected or misshapen weights, listed.
    """
    unet = build_unet(config)
    with torch.device("meta"):
        adapter = build(unet)
    base = {key: value for key, value in state.items() if not is_adapter_key(key)}
    added = {key: value for key, value in state.items() if is_adapter_key(key)}
    check_keys(added, {key: value.shape for key, value in adapter.state_dict().items()}, f"{source}, adapter")
    adapter.load_state_dict(added, assign=True)
    first = next(iter(base.values()))
    return Converted(fill(unet, base, first.device, first.dtype, f"{source}, UNet"), adapter.eval())


def read_entry(path: Path, names: tuple[str, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights under the first of the entries `names` that a training checkpoint has.

    Only tensors are rebuilt. A file that is itself a state dict counts as the entry ``model``. Also returns
    the names of all other entries. Raises ModelError if the file cannot be read or has no such entry.
    """
    content = read_checkpoint(path)
    if "model" in names and all(isinstance(value, Tensor) for value in content.values()):
        return content, ()
    name = next((one for one in names if isinstance(content.get(one), dict)), None)
    if name is None:
        wanted, has = " or ".join(map(repr, names)), ", ".join(sorted(map(str, content)))
        raise ModelError(f"{path} has no weights named {wanted}", hint=f"it has: {has}")
    state = {str(key): value for key, value in content[name].items()}
    foreign = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if foreign:
        raise ModelError(f"{path}: {len(foreign)} entries of {name!r} are no tensors, e.g. {foreign[0]!r}")
    return state, tuple(sorted(str(key) for key in content if key != name))


def mentions(path: Path, name: bytes) -> bool:
    """Whether a file of weights (safetensors, or a torch pickle) holds a name; its weights are not read."""
    if not path.is_file() or path.suffix not in (".safetensors", ".pth", ".pt", ".ckpt", ".bin"):
        return False
    try:
        if path.suffix == ".safetensors" or not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little") if path.suffix == ".safetensors" else HEAD
                return name in file.read(min(length, HEAD))
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.infolist() if one.filename.endswith("/data.pkl")]
            return any(one.file_size <= HEAD and name in archive.read(one) for one in names)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return False  # its own reader says what is wrong
