"""How a run begins and is stopped: Accelerate, the result folder, signals.

The environment decides the number of processes and the device, and under ``accelerate launch`` may decide precision
and accumulation; what it decided is written into the resolved recipe, because the result depends on it.
"""

from __future__ import annotations

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
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import DistributedType as Kind

from scenewright.errors import InputError, StorageError
from scenewright.train import checkpoint
from scenewright.train.recipe import LoopConfig, Recipe, differences, resolved

WHOLE_COPIES = (Kind.NO, Kind.MULTI_CPU, Kind.MULTI_GPU, Kind.MULTI_XPU, Kind.MULTI_NPU, Kind.MULTI_MLU)
"""Ways of running in which every process holds all weights: those that this loop can checkpoint."""


@contextmanager
def accelerator(loop: LoopConfig) -> Iterator[Accelerator]:
    """Accelerate's view of this process. Afterwards another run may choose another precision."""
    outer = bool(AcceleratorState._shared_state)
    handlers = [
        DistributedDataParallelKwargs(find_unused_parameters=loop.unused_parameters),
        InitProcessGroupKwargs(timeout=timedelta(hours=3)),  # others wait while the main process validates
    ]
    try:
        found = Accelerator(
            mixed_precision=loop.precision,
            gradient_accumulation_steps=loop.accumulate,
            cpu=loop.cpu,
            kwargs_handlers=handlers,
        )
    except ValueError as error:
        raise InputError(
            f"cannot train in precision {loop.precision}: {error}", "bf16 and no run on a CPU"
        ) from error
    try:
        if found.distributed_type not in WHOLE_COPIES:
            raise InputError(
                f"this loop keeps all weights in every process, but was launched as {found.distributed_type.value}",
                "launch it as plain data parallel (MULTI_GPU or MULTI_CPU), without FSDP or DeepSpeed",
            )
        yield found
    finally:
        if not outer:
            found.end_training()
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()


def dtype(found: Accelerator) -> torch.dtype:
    """The type for frozen parts: that of the mixed precision."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(found.mixed_precision, torch.float32)


def open_folder(recipe: Recipe, out: Path, resume: bool, found: Accelerator) -> dict[str, Any]:
    """Make `out` ready and write the resolved recipe into it; returns that.

    Raises InputError if a run lies there and `resume` is not set, or if the run there has another recipe.
    """
    now = resolved(recipe, {
        "processes": found.num_processes,
        "precision": found.mixed_precision,
        "accumulate": found.gradient_accumulation_steps,
        "device": found.device.type,
    })  # fmt: skip
    path, problem = out / "recipe.json", None
    if found.is_main_process:
        try:
            _check_folder(path, now, resume)
            (out / "checkpoints").mkdir(parents=True, exist_ok=True)
            checkpoint.sweep(out / "checkpoints")
            new = path.with_name(".new-recipe.json")
            new.write_text(json.dumps(now, indent=1) + "\n")
            os.replace(new, path)
        except OSError as error:
            problem = StorageError(f"cannot write to {out}: {error}", "choose another --out")
            raise problem from error
    found.wait_for_everyone()
    return now


def _check_folder(path: Path, now: dict[str, Any], resume: bool) -> None:
    if not path.exists():
        return
    if not resume:
        raise InputError(
            f"{path.parent} already holds a run", "add --resume to continue it, or choose another --out"
        )
    try:
        before = json.loads(path.read_text())
    except ValueError as error:
        raise StorageError(f"cannot read {path}: {error}", "choose another --out") from error
    changed = differences(before, now)
    if changed:
        hint = "resume with the same recipe (only steps, stop_after_minutes and trackers may change)"
        raise InputError(f"the run in {path.parent} has another recipe: {'; '.join(changed)}", hint)


class StopSignal:
    """Turns the first SIGINT or SIGTERM into a request to stop after this step; a second SIGINT stops at once."""

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
