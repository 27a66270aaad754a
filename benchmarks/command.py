"""What the command of every benchmark does around its measuring: threads, errors, lines, the result file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import torch
from measuring import write

from scenewright.errors import ScenewrightError

Result = dict[str, Any]


def carried_out(
    given: argparse.Namespace,
    run: Callable[[argparse.Namespace], Result],
    report: Callable[[Result], list[str]],
    more: Callable[[Result], object] | None = None,
) -> int:
    """Runs, prints, writes the JSON to ``given.out``, then what `more` writes; the exit status.

    ``given.threads`` are torch's, 0 leaves them as they are. An error of the package is told and gives 1.
    """
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        result = run(given)
    except ScenewrightError as error:
        print(f"error: {error}\nhint: {error.hint}" if error.hint else f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(report(result)))
    write(given.out, result)
    if more is not None:
        more(result)
    print(f"written       {given.out}")
    return 0


def other_work(result: Result) -> list[str]:
    """The limit to tell of where the machine was busy with something else."""
    load = result["machine"]["load_1min"]
    return [f"other work was running (load {load}): compare ratios only"] if load and load > 0.7 else []
