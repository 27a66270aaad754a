"""Training checkpoints that hold more than tensors, read without building anything foreign.

The original checkpoints of GLIGEN and InstanceDiffusion carry optimiser states and configuration objects
beside the weights, which torch's own restricted reader refuses as a whole. Here every class or function a
file names is replaced by an inert stand-in unless it is needed to rebuild a tensor; nothing of the file runs.
"""

from __future__ import annotations

import pickle
import types
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.errors import ModelError, StorageError

_TENSORS = {
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("collections", "OrderedDict"): OrderedDict,
}


class Inert:
    """Stands for an object of a class that is not rebuilt: swallows all that unpickling does to it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Whatever it is called with, it keeps nothing."""

    def __setstate__(self, state: object) -> None:
        """Forgets the state."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forgets the item."""

    def append(self, value: object) -> None:
        """Forgets the value."""

    def extend(self, values: Iterable[object]) -> None:
        """Forgets the values."""

    add = append


class _Unpickler(pickle.Unpickler):
    """Knows how to rebuild tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _TENSORS:
            return _TENSORS[module, name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return getattr(torch.storage if module == "torch.storage" else torch, name, Inert)
        return Inert


def _module() -> types.ModuleType:
    module = types.ModuleType("restricted_pickle")
    module.Unpickler = _Unpickler  # type: ignore[attr-defined]
    module.load = lambda file, **kwargs: _Unpickler(file, **kwargs).load()  # type: ignore[attr-defined]
    return module


def read_checkpoint(path: Path, wanted: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors under the top-level entry `wanted` of a training checkpoint, and the other entries' names.

    A file that is itself a state dict is accepted as the entry ``model``. Tensors are on the CPU in the
    file's number type. Raises StorageError if the file cannot be opened, ModelError if it is no checkpoint,
    has no such entry, or the entry holds something else than tensors.
    """
    if not path.is_file():
        raise StorageError(f"{path} is not a file", hint="give the .pth or .bin file of the checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_module())
    except Exception as error:
        raise ModelError(
            f"{path} cannot be read as a checkpoint: {error}", hint="damaged or incomplete?"
        ) from error
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path} holds {type(content).__name__}, a dictionary with weights expected")
    if wanted == "model" and all(isinstance(value, Tensor) for value in content.values()):
        return dict(content), ()
    if wanted not in content or not isinstance(content[wanted], dict):
        names = ", ".join(sorted(str(name) for name in content))
        raise ModelError(f"{path} has no weights named {wanted!r}", hint=f"it has: {names}")
    state = content[wanted]
    foreign = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if foreign:
        raise ModelError(f"{path}: {len(foreign)} entries of {wanted!r} are no tensors, e.g. {foreign[0]!r}")
    return {str(k): v for k, v in state.items()}, tuple(sorted(str(k) for k in content if k != wanted))
