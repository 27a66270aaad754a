"""All commands by name; one is imported when it is called, not when it is listed."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from scenewright.errors import InputError, nearest

COMMANDS = {
    "dataset": ("scenewright.cli.dataset:app", "Labelled data sets of generated pictures."),
    "demo": ("scenewright.cli.demo:command", "Draw twelve scenes with the embedded model and score them."),
    "evaluate": ("scenewright.cli.evaluate:app", "Score pictures against what was asked for."),
    "generate": ("scenewright.cli.generate:command", "Pictures from scenes, prompts or COCO files."),
    "ground": ("scenewright.cli.ground:command", "Masks of things in pictures that are there already."),
    "mask-denoiser": ("scenewright.cli.mask_denoiser:command", "Maps of pictures by mask denoising."),
    "models": ("scenewright.cli.models:app", "Models: what there is, fetch, check, add, convert."),
    "reproduce": ("scenewright.cli.reproduce:app", "A paper's claim in miniature, as a table and plots."),
    "segment": ("scenewright.cli.segment:command", "Label maps of pictures, for any classes."),
    "train": ("scenewright.cli.train:command", "Train a recipe, or continue one."),
    "world": ("scenewright.cli.world:app", "Pictures of the drawn worlds, with exact ground truth."),
}
"""Name -> where the command is, and its line in the overview."""


class Commands(TyperGroup):
    """The commands of `COMMANDS`: listed without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, sorted."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that only knows its line of help."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The real command. Raises InputError with the nearest name for an unknown one."""
        return args[0], load(args[0]), args[1:]


def load(name: str) -> Any:
    """Import the command called `name`."""
    if name not in COMMANDS:
        close = nearest(name, COMMANDS)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(COMMANDS)}"
        raise InputError(f"there is no command {name!r}", hint)
    place, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(place), attribute)
    if not isinstance(found, typer.Typer):
        command, found = found, typer.Typer(add_completion=False)
        found.command(name)(command)
    found.rich_markup_mode = None  # plain text: half the time of coloured panels
    return typer.main.get_command(found)
