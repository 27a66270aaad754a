"""``scenewright train``: train a recipe, or continue one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli import partners
from scenewright.errors import InputError


def command(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="Name of a recipe, or module:function, or file.py:function."),
    ] = "",
    settings: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value.")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Result folder; trained/RECIPE if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List recipes, or all keys of RECIPE, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Train a recipe: checkpoints, log, validation pictures and exported weights go to --out."""
    partners.train(context)
    from scenewright.train.recipe import flat, override
    from scenewright.train.recipes import descriptions, find

    if listed and not recipe:
        rows = descriptions()
        print(json.dumps(rows) if as_json else "\n".join(f"{name:24} {text}" for name, text in rows.items()))
        return
    if not recipe:
        raise InputError("no recipe was named", "scenewright train --list shows all recipes")
    chosen = override(find(recipe), settings)
    if listed:
        values = flat({"task": chosen.task, "loop": chosen.loop})
        print(
            json.dumps(values, default=str) if as_json else "\n".join(f"{k}={v}" for k, v in values.items())
        )
        return
    from scenewright.train.loop import run

    out = out or Path("trained") / chosen.name
    summary = run(chosen, out, resume)
    if as_json:
        print(json.dumps(summary))
    elif summary["export"]:
        print(summary["export"])
    if not summary["finished"]:
        changes = "".join(f" --set {setting}" for setting in settings)
        print(f"to continue: scenewright train {recipe}{changes} --out {out} --resume", file=sys.stderr)
    if summary["stopped"] == "interrupted":
        raise typer.Exit(130)
