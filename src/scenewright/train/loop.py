"""The one training loop.

``run(recipe, out)`` trains on whatever Accelerate finds: plain python, ``accelerate launch`` with the
user's configuration, torchrun, or a notebook (``notebook_launcher(run, (recipe, out))``). Every random
number is a function of (seed, step, process) or kept in the checkpoint, so that an interrupted and resumed
run equals an uninterrupted one (bit for bit on the CPU in float32).

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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from scenewright.errors import InputError, ScenewrightError, StorageError, nearest
from scenewright.train import checkpoint, launch, randomness, trackers
from scenewright.train.data import batches, stream_seed, to_device
from scenewright.train.ema import Ema, trainable
from scenewright.train.optimise import enable_checkpointing, make_optimiser, set_lr
from scenewright.train.progress import Display, JsonLines, Means
from scenewright.train.recipe import Recipe
from scenewright.train.task import Step, Task

__all__ = ["Task", "run"]


def run(recipe: Recipe, out: Path | str, resume: bool = False) -> dict[str, Any]:
    """Train `recipe` with results in the folder `out`; returns a summary.

    The summary holds name, out, rank, finished, stopped ("time", "interrupted" or None), step, steps, loss,
    best, export (folder or None) and minutes. With `resume`, continue from the newest checkpoint in `out`,
    or start if there is none; the recipe must be the same but for ``loop.steps``,
    ``loop.stop_after_minutes`` and ``loop.trackers``. The caller's global random states are left as they
    were.

    Raises InputError for a recipe that cannot run or does not fit what is in `out`, StorageError for
    unreadable or unwritable files, ScenewrightError if the loss stops being a number.
    """
    with ExitStack() as stack:
        accelerator = stack.enter_context(launch.accelerator(recipe.loop))
        stack.enter_context(randomness.preserved(accelerator.device))
        try:
            return _Training(recipe, Path(out), resume, accelerator, stack).train()
        except OSError as error:
            if isinstance(error, ScenewrightError):
                raise
            hint = "the newest checkpoint, if any, is intact: make room and resume"
            raise StorageError(f"training stopped: {error}", hint) from error


class _Training:
    """One run: everything it holds, and its steps in order."""

    def __init__(
        self, recipe: Recipe, out: Path, resume: bool, accelerator: Accelerator, stack: ExitStack
    ) -> None:
        self.began = time.monotonic()
        self.recipe, self.loop, self.out, self.accelerator = recipe, recipe.loop, out, accelerator
        self.rank, self.size = accelerator.process_index, accelerator.num_processes
        self.device, self.accumulate = accelerator.device, accelerator.gradient_accumulation_steps
        self.folder = out / "checkpoints"
        self.resolved = launch.open_folder(recipe, out, resume, accelerator)
        self.generator = torch.Generator(self.device)
        self.step, self.means = 0, Means()
        self.best: dict[str, Any] | None = None
        self._build()
        done = checkpoint.steps(self.folder)
        log_bytes = self._load(done[-1]) if done else 0
        self._open_outputs(log_bytes, stack)
        self.stop = stack.enter_context(launch.StopSignal())

    def _build(self) -> None:
        loop = self.loop
        randomness.seed_everything(stream_seed(loop.seed, "weights"), self.device)
        self.task: Task = self.recipe.task.build(loop)
        self.task.prepare(self.device, launch.dtype(self.accelerator))
        self.modules = self.task.modules
        for module in self.modules.values():
            module.to(self.device).train()
        self.parameters = list(trainable(self.modules).values())
        if not self.parameters:
            raise InputError(f"the task of {self.recipe.name!r} has no trainable parameters")
        if loop.gradient_checkpointing:
            enable_checkpointing([self.task, *self.modules.values()])
        self.optimiser = make_optimiser(self.task.groups(), self.modules, loop)
        self.ema = Ema(self.modules, loop.ema_decay)
        self.model, self.stepper = self.accelerator.prepare(Step(self.task), self.optimiser)
        randomness.seed_everything(stream_seed(loop.seed, "process", self.rank), self.device)

    def _open_outputs(self, log_bytes: int, stack: ExitStack) -> None:
        """The main process opens log, timing and trackers; `log` is None in the others."""
        self.log: JsonLines | None = None
        self.trackers: list[trackers.Tracker] = []
        if self.rank == 0:
            self.log = JsonLines(self.out / "log.jsonl", log_bytes)
            self.timing = JsonLines(self.out / "timing.jsonl")
            self.trackers = trackers.start(
                self.loop.trackers, self.recipe.name, self.out, self.resolved, self.step
            )
            stack.callback(self.log.close)
            stack.callback(self.timing.close)
            stack.callback(trackers.stop, self.trackers)
        self.display = Display(self.recipe.name, self.loop.steps, self.step, shown=self.rank == 0)
        stack.callback(self.display.close)

    # The run.

    def train(self) -> dict[str, Any]:
        """All remaining steps, then the export and the summary."""
        loop = self.loop
        passes = range(self.step * self.accumulate, loop.steps * self.accumulate)
        pin = self.device.type != "cpu"
        source = batches(
            self.task, passes, self.rank, self.size, workers=loop.workers, prefetch=loop.prefetch, pin=pin
        )
        stopped, loss = None, None
        self.lap = (time.monotonic(), self.step)
        if loop.validate_first and self.step == 0:
            self._validate()
        while self.step < loop.steps and not stopped:
            lr = self._optimise(source)
            self.step += 1
            if self._due(loop.log_every):
                loss = self._log(lr)
            improved = self._due(loop.validate_every) and self._validate()
            stopped = self._stopped()
            if stopped or improved or self._due(loop.save_every):
                self._save()
            self.display.advance(self.step)
        export = None if stopped == "interrupted" else self._export()
        return self._summary(stopped, loss, export)

    def _due(self, every: int | None) -> bool:
        return every is not None and (self.step % every == 0 or self.step == self.loop.steps)

    def _optimise(self, source: Iterator[Any]) -> float:
        """One optimiser step; returns its learning rate."""
        lr = set_lr(self.optimiser, self.loop, self.step)
        for number in range(self.accumulate):
            index = self.step * self.accumulate + number
            self.generator.manual_seed(stream_seed(self.loop.seed, "noise", self.rank, index))
            batch = to_device(next(source), self.device)
            last = number == self.accumulate - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss, numbers = self.model(batch, self.generator)
                self.accelerator.backward(loss)  # divides by the number of accumulated passes
            self.means.add({"loss": loss, **numbers})
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.loop.clip_norm or math.inf)
        self.stepper.step()
        if not self.stepper.step_was_skipped:  # fp16: skipped when the scaled gradient overflowed
            self.means.add({"grad_norm": norm})
            self.ema.update(self.step)
        self.stepper.zero_grad(set_to_none=True)
        return lr

    def _stopped(self) -> str | None:
        """Why to stop after this step, the same in all processes; None to go on."""
        minutes = self.loop.stop_after_minutes
        late = minutes is not None and time.monotonic() - self.began >= 60 * minutes
        asked = launch.maximum(2 * int(self.stop.asked) + int(late), self.accelerator)
        if not asked or self.step >= self.loop.steps:
            return None
        return "interrupted" if asked >= 2 else "time"

    # Log, validation, checkpoints.

    def _log(self, lr: float) -> float:
        """Write the means since the last line; returns the loss."""
        means = self.means.take()
        loss = means.pop("loss")
        if not math.isfinite(loss):
            raise ScenewrightError(
                f"the loss is {loss} at step {self.step}",
                "lower loop.lr, lengthen loop.warmup_steps, or use bf16 instead of fp16",
            )
        now, (then, first) = time.monotonic(), self.lap
        samples = (self.step - first) * self.accumulate * self.size * self.loop.batch_size
        rate = samples / max(now - then, 1e-9)
        self.lap = (now, self.step)
        if self.log is not None:
            line = {"step": self.step, "loss": loss, "lr": lr, **means}
            self.log.write(line)
            seconds = round(now - self.began, 3)
            self.timing.write({"step": self.step, "seconds": seconds, "samples_per_s": round(rate, 2)})
            for tracker in self.trackers:
                tracker.log({**trackers.flatten(line), "samples_per_s": rate}, self.step)
            self.display.advance(self.step, f"loss {loss:.4g}, {rate:.3g} samples/s")
        return loss

    @contextmanager
    def _finished_weights(self) -> Iterator[None]:
        """Averaged weights, eval mode, no gradients, autocast; weights, modes and random states return."""
        modes = [(part, part.training) for module in self.modules.values() for part in module.modules()]
        for module in self.modules.values():
            module.eval()
        try:
            with (
                randomness.preserved(self.device),
                self.ema.swapped(),
                torch.no_grad(),
                self.accelerator.autocast(),
            ):
                randomness.seed_everything(stream_seed(self.loop.seed, "validation"), self.device)
                yield
        finally:
            for part, training in modes:
                part.training = training

    def _validate(self) -> bool:
        """Validate on the main process; returns, in all of them, whether the best metric improved."""
        found: list[Any] = [None]
        then = time.monotonic()
        if self.log is not None:
            folder = self.out / "validation" / f"step-{self.step:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            with self._finished_weights():
                metrics = self.task.validate(self.step, folder)
            found = [{key: float(value) for key, value in metrics.items()}]
            line = {"step": self.step, "validation": found[0]}
            self.log.write(line)
            for tracker in self.trackers:
                tracker.log(trackers.flatten(line), self.step)
                tracker.pictures(folder, self.step)
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in found[0].items())
            self.display.say(f"{self.recipe.name}: step {self.step}, {numbers}")
        metrics = broadcast_object_list(found)[0]
        self._pause(time.monotonic() - then)
        return self._improved(metrics)

    def _pause(self, seconds: float) -> None:
        """Leave `seconds` out of samples/s."""
        self.lap = (self.lap[0] + seconds, self.lap[1])

    def _improved(self, metrics: Mapping[str, float]) -> bool:
        key = self.loop.best_metric
        if key is None:
            return False
        if key not in metrics:
            near = nearest(key, metrics)
            hint = f"did you mean {near}?" if near else f"it gives {', '.join(metrics)}"
            raise InputError(f"the validation gives no loop.best_metric {key!r}", hint)
        value, sign = metrics[key], 1 if self.loop.best_mode == "max" else -1
        better = self.best is None or sign * value > sign * self.best["value"]
        if self.step == 0 or not math.isfinite(value) or not better:
            return False
        self.best = {"step": self.step, "metric": key, "value": value}
        return True

    def _refuse_broken(self) -> None:
        """Stop before a checkpoint of weights that are no numbers takes the place of a good one."""
        sums = torch.stack([parameter.detach().sum(dtype=torch.float32) for parameter in self.parameters])
        if not bool(torch.isfinite(sums).all()):  # the same in all processes, as the weights are
            raise ScenewrightError(
                f"the weights are no longer numbers at step {self.step}",
                "lower loop.lr, lengthen loop.warmup_steps, or use bf16 instead of fp16; "
                "the newest checkpoint is from before",
            )

    def _save(self) -> None:
        self._refuse_broken()
        then = time.monotonic()
        new = checkpoint.being_written(self.folder, self.step)
        if self.rank == 0:
            checkpoint.begin(new)
        self.accelerator.wait_for_everyone()
        mine = {"random": randomness.capture(self.device), "means": self.means.state()}
        checkpoint.write_process(new, self.rank, mine)
        if self.log is not None:
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
            optimiser = {"optimiser": self.optimiser.state_dict(), "scaler": scaler}
            state = {"step": self.step, "log_bytes": self.log.length(), "best": self.best}
            checkpoint.write(new, self.modules, self.ema.shadow, optimiser, state)
        self.accelerator.wait_for_everyone()
        if self.rank == 0:
            checkpoint.commit(new)
            checkpoint.prune(self.folder, self.loop.keep, self.best["step"] if self.best else None)
        self.accelerator.wait_for_everyone()
        self._pause(time.monotonic() - then)

    def _load(self, step: int) -> int:
        """Continue from the checkpoint of `step`; returns the length that the log had."""
        folder = checkpoint.place(self.folder, step)
        state = checkpoint.read_state(folder)
        checkpoint.read_weights(folder, self.modules, self.ema)
        optimiser = checkpoint.read_torch(folder / "optimiser.pt")
        self.optimiser.load_state_dict(optimiser["optimiser"])
        if self.accelerator.scaler and optimiser["scaler"]:
            self.accelerator.scaler.load_state_dict(optimiser["scaler"])
        mine = checkpoint.read_torch(folder / f"process-{self.rank}.pt")
        randomness.restore(mine["random"], self.device)
        self.means.load(mine["means"])
        self.step, self.best = state["step"], state["best"]
        return int(state["log_bytes"])

    # The end.

    def _export(self) -> Path:
        final, new = self.out / "export", self.out / ".new-export"
        if self.rank == 0:
            if self.loop.export_weights == "best" and self.best and self.best["step"] != self.step:
                checkpoint.read_weights(
                    checkpoint.place(self.folder, self.best["step"]), self.modules, self.ema
                )
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            with self._finished_weights():
                self.task.export(new)
            shutil.rmtree(final, ignore_errors=True)
            new.rename(final)
        self.accelerator.wait_for_everyone()
        return final

    def _summary(self, stopped: str | None, loss: float | None, export: Path | None) -> dict[str, Any]:
        minutes = (time.monotonic() - self.began) / 60
        verb = f"stopped ({stopped}) at" if stopped else "finished at"
        notes = [f"{self.recipe.name}: {verb} step {self.step} of {self.loop.steps}, {minutes:.1f} minutes"]
        notes += [f"loss {loss:.4g}"] if loss is not None else []
        notes += [f"best {self.best['metric']} {self.best['value']:.4g}"] if self.best else []
        notes += [f"weights in {export}"] if export else []
        self.display.close()
        self.display.say(", ".join(notes))
        return {
            "name": self.recipe.name,
            "out": str(self.out),
            "rank": self.rank,
            "finished": stopped is None,
            "stopped": stopped,
            "step": self.step,
            "steps": self.loop.steps,
            "loss": loss,
            "best": self.best,
            "export": str(export) if export else None,
            "minutes": round(minutes, 3),
        }
