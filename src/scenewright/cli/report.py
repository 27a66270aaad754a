"""How the command line ends: errors, warnings and exit codes, the same for every command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from scenewright.errors import InputError, SceneError, ScenewrightError, StorageError

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
            warnings.showwarning = _show
            result = action()
            return result if isinstance(result, int) else 0
    except (InputError, StorageError) as fault:
        return fail(fault.message, fault.hint or _advice(fault), 2)
    except ScenewrightError as fault:
        return fail(fault.message, fault.hint, 1)
    except USAGE as fault:
        return _usage(fault)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader of stdout has gone, as in `scenewright ... | head`
        sys.stdout = None  # type: ignore[assignment]
        return 1


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def fail(message: str, hint: str, code: int) -> int:
    """The two lines of an error on stderr; returns `code`."""
    say(f"error: {message}" + (f"\nhint: {hint}" if hint else ""))
    return code


def _advice(fault: ScenewrightError) -> str:
    """What can be said when the message says it all."""
    if isinstance(fault, SceneError):
        return "docs/concepts/scene-format.md explains every field; examples/ has scenes to copy"
    if isinstance(fault, StorageError):
        return "check the path"
    return "--help after the command lists what it takes"


def _usage(fault: Any) -> int:
    if type(fault).__name__ == "NoArgsIsHelpError":
        fault.show()
        return 2
    path = fault.ctx.command_path if fault.ctx else "scenewright"
    return fail(fault.format_message().replace("\n", " "), f"{path} --help lists all options", 2)


def _show(message: Warning | str, category: type[Warning], *_: Any) -> None:
    own = category.__module__.startswith("scenewright") or category is UserWarning
    say(f"warning: {message}" if own else f"warning: {category.__name__}: {message}")
