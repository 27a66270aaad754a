"""How the command line ends: errors, warnings and exit codes, the same for every command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from scenewright.cli.words import advice, fail, warn
from scenewright.errors import InputError, ScenewrightError, StorageError

USAGE: Any = typer.BadParameter.__mro__[1]
"""The parser's error of wrong usage."""


def run(action: Callable[[], Any]) -> int:
    """Run a command and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Errors that the package raises on purpose, and wrong usage, become ``error:`` and ``hint:`` lines on
    stderr, warnings become ``warning:`` lines. Any other exception is a bug and passes through.
    """
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
                warnings.filterwarnings("always", category=UserWarning, module=r"scenewright\b")
            warnings.showwarning = warn  # type: ignore[assignment]
            result = action()
            return result if isinstance(result, int) else 0
    except ScenewrightError as fault:
        return fail(fault.message, advice(fault), 2 if isinstance(fault, (InputError, StorageError)) else 1)
    except USAGE as fault:
        return _usage(fault)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader of stdout has gone, as in `scenewright ... | head`
        sys.stdout = None
        return 1


def _usage(fault: Any) -> int:
    if type(fault).__name__ == "NoArgsIsHelpError":
        fault.show()
        return 2
    path = fault.ctx.command_path if fault.ctx else "scenewright"
    return fail(fault.format_message().replace("\n", " "), f"{path} --help lists all options", 2)
