"""Checkpoints that survive a kill at any moment.

Layout of ``checkpoints/`` in the result folder::

    step-00000100/                  complete: it appears under this name only when everything is in it
        NAME.safetensors            weights of the task's module NAME
        ema.safetensors             averaged weights, float32 (if averaged)
        optimiser.pt                state of the optimiser (torch, read with weights_only=True)
        process-0.pt …              random states and running means of each process (same)
        state.json                  step, length of the log, best metric
    .new-step-00000200/             being written; removed on the next start
    .old-step-00000050/             being removed; likewise

Nothing in them depends on the clock or on where they lie.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scenewright.errors import StorageError
from scenewright.train.ema import Ema

T = TypeVar("T")

_NAME = re.compile(r"step-(\d{8,})")


def steps(folder: Path) -> list[int]:
    """The steps of the complete checkpoints in `folder`, ascending; empty if there is no such folder."""
    found = [_NAME.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(match[1]) for match in found if match)


def place(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return folder / f"step-{step:08d}"


def being_written(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is put together."""
    return folder / f".new-{place(folder, step).name}"


def begin(new: Path) -> None:
    """Make the empty folder `new` (from `being_written`)."""
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)


def commit(new: Path) -> Path:
    """Make what was written into `new` a checkpoint, in one rename; replaces one of the same step."""
    for file in new.iterdir():
        flush(file)
    final = new.with_name(new.name.removeprefix(".new-"))
    if final.exists():
        remove(final)
    new.rename(final)
    flush(final.parent)
    return final


def flush(path: Path) -> None:
    """Have the system write a file or a folder's list of names to the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a checkpoint; if killed half-way, no half checkpoint is left under its name."""
    old = path.with_name(f".old-{path.name}")
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    shutil.rmtree(old)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written or half-removed."""
    for path in [*folder.glob(".new-*"), *folder.glob(".old-*")]:
        shutil.rmtree(path, ignore_errors=True)


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Remove all checkpoints but the newest `keep` and that of step `best`."""
    for step in steps(folder)[:-keep]:
        if step != best:
            remove(place(folder, step))


def weights(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of `module` on the CPU, each tensor with memory of its own (safetensors wants that)."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, value in module.state_dict().items():
        value = value.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        found[key] = value.clone() if storage in seen else value
        seen.add(storage)
    return found


def write(
    new: Path,
    modules: Mapping[str, nn.Module],
    shadow: Mapping[str, Tensor],
    optimiser: Mapping[str, Any],
    state: Mapping[str, Any],
) -> None:
    """Write the part of a checkpoint that the main process owns. `state` must be JSON.

    Raises StorageError if it cannot be written; then nothing of it is left.
    """
    with _writing(new):
        for name, module in modules.items():
            save_file(weights(module), new / f"{name}.safetensors")
        if shadow:
            averages = {key: value.cpu().contiguous() for key, value in shadow.items()}
            save_file(averages, new / "ema.safetensors")
        torch.save(optimiser, new / "optimiser.pt")
        (new / "state.json").write_text(json.dumps(state, indent=1, sort_keys=True) + "\n")


def write_process(new: Path, rank: int, state: Mapping[str, Any]) -> None:
    """Write the part of a checkpoint that process `rank` owns; StorageError as in `write`."""
    with _writing(new):
        torch.save(dict(state), new / f"process-{rank}.pt")


@contextmanager
def _writing(new: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise their own
        shutil.rmtree(new, ignore_errors=True)
        hint = "the checkpoint before it, if any, is intact: make room and resume"
        raise StorageError(f"cannot write a checkpoint to {new.parent}: {error}", hint) from error


def read_state(folder: Path) -> dict[str, Any]:
    """``state.json`` of a checkpoint."""
    return _reading(folder / "state.json", lambda path: json.loads(path.read_text()))


def read_weights(folder: Path, modules: Mapping[str, nn.Module], ema: Ema) -> None:
    """Load the weights of a checkpoint into `modules` and their averages into `ema`, strictly."""
    for name, module in modules.items():
        path = folder / f"{name}.safetensors"
        tensors = _reading(path, load_file)
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            hint = "the code has changed since; continue with the version that made it"
            raise StorageError(f"{path} does not fit the module: {error}", hint) from error
    if ema.shadow:
        path = folder / "ema.safetensors"
        try:
            ema.load(_reading(path, load_file))
        except KeyError as error:
            hint = "the code has changed since; continue with the version that made it"
            raise StorageError(f"{path} does not fit: {error}", hint) from error


def read_torch(path: Path) -> dict[str, Any]:
    """A torch file of a checkpoint, through torch's restricted reader."""
    return _reading(path, lambda file: torch.load(file, map_location="cpu", weights_only=True))


def _reading(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        hint = "remove that checkpoint's folder and resume from the one before it"
        raise StorageError(f"cannot read {path}: {error}", hint) from error
