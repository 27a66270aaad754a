"""What a person sees of a training run, and what a program reads: the bar, ``log.jsonl``, ``timing.jsonl``.

The log holds no clock, so that a resumed run writes the same bytes as an uninterrupted one; times are in a
file of their own.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


class JsonLines:
    """A file of JSON lines that can be cut back to a length it once had."""

    def __init__(self, path: Path, length: int | None = None) -> None:
        """Open for appending; first cut to `length` bytes (None: leave as it is)."""
        self.file = path.open("ab")
        if length is not None:
            if path.stat().st_size < length:
                warnings.warn(f"{path} has lost lines since the checkpoint was written", stacklevel=2)
            self.file.truncate(min(length, path.stat().st_size))

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line; numbers that JSON does not know (infinities) become null."""
        self.file.write((json.dumps(_json(line)) + "\n").encode())
        self.file.flush()

    def length(self) -> int:
        """The present length in bytes, after making sure that they are on the disk."""
        os.fsync(self.file.fileno())
        return os.fstat(self.file.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Means:
    """Running means of named numbers; tensors stay on their device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Any]) -> None:
        """Take in one value of each name."""
        for key, value in values.items():
            value = value.detach().float() if isinstance(value, Tensor) else float(value)
            self.sums[key] = value + self.sums.get(key, 0.0)
            self.counts[key] = self.counts.get(key, 0) + 1

    def state(self) -> dict[str, dict[str, float]]:
        """What was taken in so far, as plain numbers."""
        return {"sums": {key: float(value) for key, value in self.sums.items()}, "counts": dict(self.counts)}

    def load(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from what `state` gave."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])

    def take(self) -> dict[str, float]:
        """The means over all processes, which all must call this; then start anew."""
        states = gather_object([self.state()])
        self.sums, self.counts = {}, {}
        keys = list(dict.fromkeys(key for state in states for key in state["sums"]))
        sums = {key: sum(state["sums"].get(key, 0.0) for state in states) for key in keys}
        return {key: sums[key] / sum(state["counts"].get(key, 0) for state in states) for key in keys}


def say(text: str) -> None:
    """One line on stderr, from the main process only."""
    if os.environ.get("RANK", "0") == "0":
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


class Display:
    """A bar with the time left on a terminal; elsewhere one line now and then. Everything goes to stderr."""

    def __init__(
        self, name: str, steps: int, start: int, *, shown: bool = True, every_seconds: float = 30
    ) -> None:
        self.console = Console(stderr=True, quiet=not shown)
        self.name, self.steps, self.start, self.every_seconds = name, steps, start, every_seconds
        self.began = self.spoke = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False))
        live = shown and self.console.is_terminal
        self.bar = Progress(*columns, *times, console=self.console, disable=not live)
        self.task = self.bar.add_task(name, total=steps, completed=start, note="")
        self.live, self.note = live, ""
        self.bar.start()

    def advance(self, step: int, note: str = "") -> None:
        """Say that `step` steps are done; `note` is shown beside the bar until the next one."""
        self.note = note or self.note
        self.bar.update(self.task, completed=step, note=self.note)
        now = time.monotonic()
        if not self.live and note and now - self.spoke >= self.every_seconds:
            self.spoke = now
            left = (now - self.began) / max(step - self.start, 1) * (self.steps - step)
            self.say(f"{self.name}: step {step} of {self.steps}, {note}, about {left / 60:.1f} minutes left")

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()
