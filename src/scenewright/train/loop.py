"""The one training loop.

``run(recipe, out)`` trains on whatever Accelerate finds: plain python, ``accelerate launch`` with its configuration,
torchrun, or a notebook. Every random number is a function of (seed, step, process) or kept in the checkpoint, so that
an interrupted and resumed run equals an uninterrupted one (bit for bit on the CPU in float32).

In the result folder::

    recipe.json        the resolved recipe, written before training starts
    log.jsonl          loss, learning rate, gradient norm, validation; no clock in it
    timing.jsonl       seconds and samples/s
    checkpoints/       see `scenewright.train.checkpoint`
    validation/        step-00000100/ … whatever the task draws
    export/            what Task.export wrote from the averaged weights
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from scenewright.errors import InputError, ScenewrightError, StorageError, nearest
from scenewright.train import checkpoint, launch, randomness, trackers
from scenewright.train.data import batches, stream_seed, to_device
from scenewright.train.ema import Ema, trainable
from scenewright.train.optimise import enable_checkpointing, make_optimiser, set_lr
from scenewright.train.progress import Display, JsonLines
from scenewright.train.recipe import Recipe


class Task(Protocol):
    """What is trained. Built by ``recipe.task.build(loop)`` under a seeded random state."""

    modules: dict[str, nn.Module]
    """The trained modules by checkpoint name; may be made in `prepare`. The loop moves them to the device."""

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Load frozen parts onto `device` in `dtype` (that of the mixed precision), fill caches. Called once."""

    def batch(self, step: int, rank: int, size: int) -> Any:
        """CPU tensors (in dicts, tuples, dataclasses …) of forward pass `step` of process `rank` of `size` processes.

        `step` counts forward passes, ``loop.accumulate`` of them per optimiser step. A pure function of the
        arguments and ``loop.seed`` (see `scenewright.train.data.stream_rng`), of ``loop.batch_size`` samples;
        it may run in a worker process.
        """

    def loss(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The scalar loss and further numbers to log. `batch` and `generator` are on the device; under autocast.

        `generator` is seeded for this forward pass of this process: use it for noise, timesteps and drops.
        """

    def groups(self) -> list[dict[str, Any]]:
        """Optimiser groups: ``params`` and optionally ``lr_scale``, ``weight_decay``, ``betas``, ``eps``, ``name``."""

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Measure, and draw into the folder `out`. Main process only; averaged weights, eval mode, no gradients."""

    def export(self, folder: Path) -> None:
        """Write the finished weights (the averaged ones are in place) into the empty `folder`, in half precision."""


class _Step(nn.Module):
    """The trained modules with the task's loss as forward: what Accelerate wraps."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(task.modules)
        self.loss = task.loss

    def forward(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return self.loss(batch, generator)


class _Means:
    """Running means of named numbers; they stay on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            value = value.detach().float() if isinstance(value, Tensor) else float(value)
            self.sums[key] = value + self.sums.get(key, 0.0)
            self.counts[key] = self.counts.get(key, 0) + 1

    def state(self) -> dict[str, dict[str, float]]:
        return {"sums": {key: float(value) for key, value in self.sums.items()}, "counts": dict(self.counts)}

    def load(self, state: dict[str, dict[str, Any]]) -> None:
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])

    def take(self) -> dict[str, float]:
        """The means over all processes since the last call."""
        states = gather_object([self.state()])
        self.__init__()  # type: ignore[misc]
        keys = list(dict.fromkeys(key for state in states for key in state["sums"]))
        sums = {key: sum(state["sums"].get(key, 0.0) for state in states) for key in keys}
        return {key: sums[key] / sum(state["counts"].get(key, 0) for state in states) for key in keys}


def run(recipe: Recipe, out: Path | str, resume: bool = False) -> dict[str, Any]:
    """Train `recipe` with results in the folder `out`; returns a summary (finished, step, loss, best, paths).

    With `resume`, continue from the newest checkpoint in `out`, or start if there is none; the recipe must be the
    same but for ``loop.steps``, ``loop.stop_after_minutes`` and ``loop.trackers``. The caller's global random
    states are left as they were. Raises InputError for a recipe that cannot run or does not fit what is in `out`,
    StorageError for unreadable or unwritable files, ScenewrightError if the loss stops being a number.
    """
    with ExitStack() as stack:
        accelerator = stack.enter_context(launch.accelerator(recipe.loop))
        stack.enter_context(randomness.preserved(accelerator.device))
        training = _Training(recipe, Path(out), resume, accelerator, stack)
        return training.train()


class _Training:
    """One run: everything it holds, and its steps in order."""

    def __init__(self, recipe: Recipe, out: Path, resume: bool, accelerator: Any, stack: ExitStack) -> None:
        self.began = time.monotonic()
        self.recipe, self.loop, self.out, self.accelerator = recipe, recipe.loop, out, accelerator
        self.rank, self.size, self.main = (
            accelerator.process_index,
            accelerator.num_processes,
            accelerator.is_main_process,
        )
        self.device, self.accumulate = accelerator.device, accelerator.gradient_accumulation_steps
        self.folder = out / "checkpoints"
        self.resolved = launch.open_folder(recipe, out, resume, accelerator)
        self.step, self.best, self.means = 0, None, _Means()
        self.generator = torch.Generator(self.device)
        self._build()
        done = checkpoint.steps(self.folder)
        state = self._load(done[-1]) if done else {"log_bytes": 0}
        self.log: JsonLines | None = None
        self.trackers: list[trackers.Tracker] = []
        if self.main:
            self.log = JsonLines(out / "log.jsonl", state["log_bytes"])
            self.timing = JsonLines(out / "timing.jsonl")
            self.trackers = trackers.start(self.loop.trackers, recipe.name, out, self.resolved, self.step)
            for closing in (self.log, self.timing, *self.trackers):
                stack.callback(closing.close)
        self.display = Display(recipe.name, self.loop.steps, self.step, shown=self.main)
        stack.callback(self.display.close)
        self.stop = stack.enter_context(launch.StopSignal())

    def _build(self) -> None:
        loop = self.loop
        randomness.seed_everything(stream_seed(loop.seed, "weights"), self.device)
        self.task: Task = self.recipe.task.build(loop)
        self.task.prepare(self.device, launch.dtype(self.accelerator))
        self.modules = self.task.modules
        for module in self.modules.values():
            module.to(self.device).train()
        if not trainable(self.modules):
            raise InputError(f"the task of {self.recipe.name!r} has no trainable parameters")
        if loop.gradient_checkpointing:
            enable_checkpointing([self.task, *self.modules.values()])
        self.optimiser = make_optimiser(self.task.groups(), self.modules, loop)
        self.parameters = list(trainable(self.modules).values())
        self.ema = Ema(self.modules, loop.ema_decay)
        self.model, self.stepper = self.accelerator.prepare(_Step(self.task), self.optimiser)
        randomness.seed_everything(stream_seed(loop.seed, "process", self.rank), self.device)

    # ------------------------------------------------------------------ the run

    def train(self) -> dict[str, Any]:
        """All remaining steps, then the export and the summary."""
        loop, stopped, last = self.loop, None, {}
        micro = range(self.step * self.accumulate, loop.steps * self.accumulate)
        source = batches(
            self.task, micro, self.rank, self.size,
            workers=loop.workers, prefetch=loop.prefetch, pin=self.device.type != "cpu",
        )  # fmt: skip
        if loop.validate_first and self.step == 0:
            self._validate()
        self.lap = (time.monotonic(), self.step)
        while self.step < loop.steps and not stopped:
            lr = self._optimise(source)
            self.step += 1
            if self._due(loop.log_every):
                last = self._log(lr)
            improved = self._validate() if loop.validate_every and self._due(loop.validate_every) else False
            stopped = self._stopped()
            if stopped or improved or self._due(loop.save_every):
                self._save()
            self.display.advance(self.step)
        export = self._export() if stopped != "interrupted" else None
        return self._summary(stopped, last, export)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.loop.steps

    def _optimise(self, source: Any) -> float:
        lr = set_lr(self.optimiser, self.loop, self.step)
        for micro in range(self.accumulate):
            index = self.step * self.accumulate + micro
            self.generator.manual_seed(stream_seed(self.loop.seed, "noise", self.rank, index))
            batch = to_device(next(source), self.device)
            with nullcontext() if micro == self.accumulate - 1 else self.accelerator.no_sync(self.model):
                loss, numbers = self.model(batch, self.generator)
                self.accelerator.backward(loss)  # divides by the number of accumulated passes
            self.means.add({"loss": loss, **numbers})
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.loop.clip_norm or math.inf)
        self.stepper.step()
        if not self.stepper.step_was_skipped:  # a scaled fp16 gradient that overflowed
            self.means.add({"grad_norm": norm})
            self.ema.update(self.step)
        self.stepper.zero_grad(set_to_none=True)
        return lr

    def _stopped(self) -> str | None:
        minutes = self.loop.stop_after_minutes
        late = minutes is not None and time.monotonic() - self.began >= 60 * minutes
        mine = 2 * int(self.stop.asked) + int(late)
        if self.size > 1:  # all processes stop at the same step
            mine = max(gather_object([mine]))
        return ("interrupted" if mine >= 2 else "time") if mine and self.step < self.loop.steps else None

    # ------------------------------------------------------------------ log, validation, checkpoints

    def _log(self, lr: float) -> dict[str, float]:
        means = self.means.take()
        if not math.isfinite(means["loss"]):
            raise ScenewrightError(
                f"the loss is {means['loss']} before step {self.step}",
                "lower loop.lr, lengthen loop.warmup_steps, or use bf16 instead of fp16, and resume",
            )
        line = {"step": self.step, "loss": means.pop("loss"), "lr": lr, **means}
        now, (then, first) = time.monotonic(), self.lap
        self.lap = (now, self.step)
        samples = (self.step - first) * self.accumulate * self.size * self.loop.batch_size
        if self.log is not None:
            self.log.write(line)
            rate = samples / max(now - then, 1e-9)
            self.timing.write(
                {"step": self.step, "seconds": round(now - self.began, 3), "samples_per_s": round(rate, 2)}
            )
            for tracker in self.trackers:
                tracker.log({**trackers.flatten(line), "samples_per_s": rate}, self.step)
            self.display.advance(self.step, f"loss {line['loss']:.4g}, {rate:.3g} samples/s")
        return line

    @contextmanager
    def _finished_weights(self) -> Any:
        """Averaged weights, eval mode, no gradients, autocast; the random states and modes return afterwards."""
        modes = [(part, part.training) for module in self.modules.values() for part in module.modules()]
        for module in self.modules.values():
            module.eval()
        contexts: list[AbstractContextManager[Any]] = [
            randomness.preserved(self.device), self.ema.swapped(), torch.no_grad(), self.accelerator.autocast()
        ]  # fmt: skip
        with ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            randomness.seed_everything(stream_seed(self.loop.seed, "validation"), self.device)
            yield
        for part, training in modes:
            part.training = training

    def _validate(self) -> bool:
        """Validate on the main process; returns whether the best metric improved."""
        found: list[Any] = [None]
        if self.log is not None:
            folder = self.out / "validation" / f"step-{self.step:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            with self._finished_weights():
                found = [{key: float(value) for key, value in self.task.validate(self.step, folder).items()}]
            line = {"step": self.step, "validation": found[0]}
            self.log.write(line)
            for tracker in self.trackers:
                tracker.log(trackers.flatten(line), self.step)
                tracker.pictures(folder, self.step)
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in found[0].items())
            self.display.say(f"{self.recipe.name}: step {self.step}, {numbers}")
        metrics = broadcast_object_list(found)[0]
        self.lap = (time.monotonic(), self.step)
        return self._improved(metrics)

    def _improved(self, metrics: Mapping[str, float]) -> bool:
        key = self.loop.best_metric
        if key is None or self.step == 0:
            return False
        if key not in metrics:
            best = nearest(key, metrics)
            hint = f"did you mean {best}?" if best else f"it gives {', '.join(metrics)}"
            raise InputError(f"the validation gives no loop.best_metric {key!r}", hint)
        sign = 1 if self.loop.best_mode == "max" else -1
        if self.best is not None and sign * metrics[key] <= sign * self.best["value"]:
            return False
        self.best = {"step": self.step, "metric": key, "value": metrics[key]}
        return True

    def _save(self) -> None:
        try:
            if self.main:
                checkpoint.begin(self.folder, self.step)
            self.accelerator.wait_for_everyone()
            new = self.folder / f".new-{checkpoint.place(self.folder, self.step).name}"
            mine = {"random": randomness.capture(self.device), "means": self.means.state()}
            checkpoint.write_process(new, self.rank, mine)
            if self.log is not None:
                scaler = self.accelerator.scaler
                optimiser = {
                    "optimiser": self.optimiser.state_dict(),
                    "scaler": scaler.state_dict() if scaler else None,
                }
                state = {"step": self.step, "log_bytes": self.log.length(), "best": self.best}
                checkpoint.write(new, self.modules, self.ema.shadow, optimiser, state)
            self.accelerator.wait_for_everyone()
            if self.main:
                checkpoint.commit(new)
                checkpoint.prune(self.folder, self.loop.keep, self.best["step"] if self.best else None)
        except OSError as error:
            raise StorageError(
                f"cannot write a checkpoint: {error}", "the one before it is intact"
            ) from error
        self.accelerator.wait_for_everyone()

    def _load(self, step: int) -> dict[str, Any]:
        folder = checkpoint.place(self.folder, step)
        state = checkpoint.read_state(folder)
        checkpoint.read_weights(folder, self.modules)
        if self.ema.shadow:
            self.ema.load(checkpoint.read_tensors(folder / "ema.safetensors"))
        optimiser = checkpoint.read_torch(folder / "optimiser.pt")
        self.optimiser.load_state_dict(optimiser["optimiser"])
        if self.accelerator.scaler and optimiser["scaler"]:
            self.accelerator.scaler.load_state_dict(optimiser["scaler"])
        mine = checkpoint.read_torch(folder / f"process-{self.rank}.pt")
        randomness.restore(mine["random"], self.device)
        self.means.load(mine["means"])
        self.step, self.best = state["step"], state["best"]
        return state

    # ------------------------------------------------------------------ the end

    def _export(self) -> Path | None:
        final, new = self.out / "export", self.out / ".new-export"
        if self.main:
            if self.loop.export_weights == "best" and self.best and self.best["step"] != self.step:
                self._load(self.best["step"])
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            with self._finished_weights():
                self.task.export(new)
            shutil.rmtree(final, ignore_errors=True)
            new.rename(final)
        self.accelerator.wait_for_everyone()
        return final

    def _summary(self, stopped: str | None, last: Mapping[str, float], export: Path | None) -> dict[str, Any]:
        self.display.close()
        return {
            "name": self.recipe.name,
            "out": str(self.out),
            "finished": stopped is None,
            "stopped": stopped,
            "step": self.step,
            "steps": self.loop.steps,
            "loss": last.get("loss"),
            "best": self.best,
            "export": str(export) if export else None,
            "minutes": round((time.monotonic() - self.began) / 60, 3),
        }
