"""``scenewright``: the command line's entry."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from scenewright.cli.commands import Commands
from scenewright.cli.report import run

app = typer.Typer(cls=Commands, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def _version(wanted: bool) -> None:
    if wanted:
        from scenewright.models.version import version

        print(f"scenewright {version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Images that know where everything is: scenes go in, pictures that follow them come out."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path in letters that the terminal lacks is no crash
        utf = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if utf else "backslashreplace")
    command = typer.main.get_command(app)
    sys.exit(run(lambda: command.main(args=arguments, prog_name="scenewright", standalone_mode=False)))


if __name__ == "__main__":
    main()
