"""``scenewright models``: list, check, pull, add, convert."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from scenewright.cli import models_get

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Alias (nano, sd15, sd14+gligen, …) or hub id.")]

app = typer.Typer(
    help="Models: what there is, fetch, check, add, convert.", no_args_is_help=True, add_completion=False
)
app.command("pull")(models_get.pull)
app.command("convert")(models_get.convert)


@app.command("list")
def listing(as_json: Json = False) -> None:
    """All known models, and whether they are on this machine."""
    from scenewright.models.overview import COLUMNS, overview, table

    rows = overview()
    print(json.dumps(rows, indent=1) if as_json else table(rows, COLUMNS))


@app.command("check")
def check(name: Name, as_json: Json = False) -> None:
    """Compare a model's files with their expected sizes and hashes, offline. Exit 1 if one is not ok."""
    from scenewright.models.overview import table
    from scenewright.models.pull import check as check_files

    rows = [dataclasses.asdict(row) for row in check_files(name)]
    print(json.dumps(rows, indent=1) if as_json else table(rows, ("alias", "path", "state", "detail")))
    if any(row["state"] != "ok" for row in rows):
        raise typer.Exit(1)


@app.command("add")
def add(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder or file on this machine.")],
    name: Annotated[str, typer.Option(help="What to call it; the file's name if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Give a model on this machine a name."""
    from scenewright.models.overview import add as add_model

    known, kind = add_model(path, name)
    print(json.dumps({"name": known, "kind": kind}) if as_json else f"{known} ({kind})")
