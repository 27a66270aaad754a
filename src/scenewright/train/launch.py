"""How a run begins and is stopped: Accelerate, the result folder, signals.

The environment decides the number of processes and the device, and ``accelerate launch`` may decide
precision and accumulation; the resolved recipe holds these too, because the result depends on them.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)

from scenewright.errors import InputError, ScenewrightError, StorageError
from scenewright.train import checkpoint
from scenewright.train.recipe import LoopConfig, Recipe, differences, resolved

SHARDED = (
    DistributedType.FSDP,
    DistributedType.DEEPSPEED,
    DistributedType.MEGATRON_LM,
)
"""Ways of running in which no process holds all weights: this loop cannot checkpoint those."""


@contextmanager
def accelerator(loop: LoopConfig) -> Iterator[Accelerator]:
    """Accelerate's view of this process. Afterwards another run may choose another precision.

    Raises InputError for a precision that this machine lacks, and for sharded ways of running.
    """
    outer = bool(AcceleratorState._shared_state)
    handlers = [
        DistributedDataParallelKwargs(find_unused_parameters=loop.unused_parameters),
        InitProcessGroupKwargs(timeout=timedelta(hours=3)),  # others wait while the main process validates
    ]
    try:
        found = _accelerator(loop, handlers)
        if int(os.environ.get("WORLD_SIZE", 1)) != found.num_processes:
            raise InputError(
                f"{os.environ['WORLD_SIZE']} processes were launched, Accelerate sees {found.num_processes}",
                "use its configuration of `accelerate config`, or torchrun without one",
            )
        if found.mixed_precision == "fp16" and found.device.type == "cpu":  # Accelerate would ignore it
            raise InputError("fp16 needs an accelerator, but this trains on the CPU", "use bf16 or no")
        if found.distributed_type in SHARDED:
            kind = found.distributed_type.value
            raise InputError(
                f"every process must hold all weights, but this was launched as {kind}",
                "launch it as plain data parallel (MULTI_GPU or MULTI_CPU)",
            )
        yield found
        found.end_training()
    finally:
        if not outer:
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()


def _accelerator(loop: LoopConfig, handlers: list[Any]) -> Accelerator:
    try:
        return Accelerator(
            mixed_precision=loop.precision,
            gradient_accumulation_steps=loop.accumulate,
            cpu=loop.cpu or not torch.accelerator.is_available(),  # else it ignores torchrun
            kwargs_handlers=handlers,
        )
    except ValueError as error:
        hint = "bf16 and no run on a CPU; in a notebook, restart it after using Accelerate differently"
        raise InputError(f"cannot train in precision {loop.precision}: {error}", hint) from error


def dtype(found: Accelerator) -> torch.dtype:
    """The type for frozen parts: that of the mixed precision."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(found.mixed_precision, torch.float32)


def maximum(value: int, found: Accelerator) -> int:
    """The largest `value` among all processes; all must call this."""
    return value if found.num_processes == 1 else max(gather_object([value]))


def open_folder(recipe: Recipe, out: Path, resume: bool, found: Accelerator) -> dict[str, Any]:
    """Make `out` ready and write the resolved recipe into it; returns that.

    Raises InputError, in all processes, if a run lies there and `resume` is not set, or if the run there has
    another recipe; StorageError if it cannot be read or written.
    """
    decided = {
        "processes": found.num_processes,
        "precision": str(found.mixed_precision),
        "accumulate": found.gradient_accumulation_steps,
    }
    now = resolved(recipe, decided)
    problem: list[ScenewrightError | None] = [None]
    if found.is_main_process:
        try:
            _check(out / "recipe.json", now, resume)
            _write(out, {**now, "made_with": _versions(found)})
        except ScenewrightError as error:
            problem = [error]
        except OSError as error:
            problem = [StorageError(f"cannot write to {out}: {error}", "choose another --out")]
    broken = broadcast_object_list(problem)[0]
    if broken is not None:
        raise broken
    return now


def _versions(found: Accelerator) -> dict[str, str]:
    names = ("scenewright", "torch", "accelerate", "diffusers", "transformers")
    versions = {name: _version(name) for name in names}
    return {"device": found.device.type, **versions}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _write(out: Path, now: dict[str, Any]) -> None:
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    checkpoint.sweep(out / "checkpoints")
    new = out / ".new-recipe.json"
    new.write_text(json.dumps(now, indent=1) + "\n")
    os.replace(new, out / "recipe.json")


def _check(path: Path, now: dict[str, Any], resume: bool) -> None:
    if not path.exists():
        return
    if not resume:
        hint = "add --resume to continue it, or choose another --out"
        raise InputError(f"{path.parent} already holds a run", hint)
    try:
        before = json.loads(path.read_text())
    except ValueError as error:
        raise StorageError(f"cannot read {path}: {error}", "choose another --out") from error
    changed = differences(before, now)
    if changed:
        raise InputError(
            f"the run in {path.parent} has another recipe: {'; '.join(changed)}",
            "only loop.steps, loop.stop_after_minutes and loop.trackers may change when resuming",
        )


class StopSignal:
    """Turns SIGINT or SIGTERM into a request to stop after this step; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
