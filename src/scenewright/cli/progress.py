"""The progress bar on stderr: pictures done, time left. Without a terminal, a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from scenewright.cli.words import say

EVERY_S = 10.0
"""Without a terminal, progress is printed at most this often."""


class Bar:
    """A context that shows progress: ``with Bar("pictures") as bar: bar(3, 10)``."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._bar: Any = None
        self._task: Any = None
        self._began = self._told = 0.0

    def __enter__(self) -> Bar:
        return self

    def __call__(self, done: float, total: int) -> None:
        """`done` of `total` are finished; fractions count."""
        if sys.stderr.isatty():
            self._show(done, total)
        elif not self._began:  # the clock starts after loading
            self._began = self._told = time.monotonic()
        elif time.monotonic() - self._told >= EVERY_S:
            self._told = time.monotonic()
            left = (self._told - self._began) * (total - done) / max(done, 1e-9)
            say(f"{int(done)} of {total} {self._words}, about {left:.0f} s left")

    def note(self, text: str) -> None:
        """A line above the bar."""
        say(f"note: {text}")

    def _show(self, done: float, total: int) -> None:
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            columns = (progress.BarColumn(), progress.TaskProgressColumn(), progress.TimeRemainingColumn())
            words, console = f"{total} {self._words}", Console(stderr=True)
            both = sys.stdout.isatty()  # else what is printed must go to the pipe, not above the bar
            self._bar = progress.Progress(
                words, *columns, console=console, transient=True, redirect_stdout=both
            )
            self._task = self._bar.add_task("", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is KeyboardInterrupt:
            say(f"interrupted; the same command continues with the {self._words} that are missing")


class Phases:
    """A context like `Bar` for work in parts: ``with Phases() as told: told("pictures read", 3, 10)``."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._words = ""

    def __enter__(self) -> Phases:
        return self

    def __call__(self, words: str, done: float, total: int) -> None:
        """`done` of `total` of the part called `words` are finished; another part begins a bar of its own."""
        if words != self._words or self._bar is None:
            self._end()
            self._bar, self._words = Bar(words), words
        self._bar(done, total)

    def _end(self, *fault: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*(fault or (None, None, None)))

    def __exit__(self, *fault: Any) -> None:
        self._end(*fault)
