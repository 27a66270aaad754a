"""``scenewright world``: pictures of the drawn worlds, with exact ground truth."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Draw pictures of the toybox or the town, with exact ground truth.",
    no_args_is_help=True,
    add_completion=False,
)

_LOOKS = "Town: game, clear, fog, rain, snow, night. Toybox: flat, outlined, shaded. Repeat for several."


@app.callback()
def world() -> None:
    """Draw pictures of the toybox or the town, with exact ground truth."""


@app.command("sample")
def command(
    world: Annotated[str, typer.Option(help="toybox or town.")] = "toybox",
    count: Annotated[int, typer.Option(help="Number of pictures.")] = 24,
    seed: Annotated[int, typer.Option(help="Seed of the first picture; the next ones count up.")] = 0,
    look: Annotated[list[str], typer.Option("--look", "--style", help=_LOOKS)] = [],  # noqa: B006
    size: Annotated[
        str, typer.Option(help="WIDTHxHEIGHT or one number, in pixels.", show_default=False)
    ] = "",
    layout: Annotated[str, typer.Option(help="records; of the town also gta, cityscapes, …")] = "records",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("world"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Draw pictures, write them with their ground truth, and a contact sheet (sheet.png)."""
    from scenewright.flows.world_sample import SampleOptions, parse_size, sample_world

    options = SampleOptions(
        world=world,
        count=count,
        seed=seed,
        looks=tuple(look),
        size_wh=parse_size(size) if size else None,
        layout=layout,
    )
    written = sample_world(options, out, _progress)
    if as_json:
        print(json.dumps({"pictures": [str(path) for path in written.pictures], "sheet": str(written.sheet)}))
    else:
        print(written.sheet)


def _progress(done: int, total: int) -> None:
    if done == total or done % 50 == 0:
        print(f"{done} of {total} pictures", file=sys.stderr)
