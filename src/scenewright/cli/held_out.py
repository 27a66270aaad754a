"""``scenewright evaluate held-out``: draw a frozen held-out set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.given import refuse
from scenewright.cli.progress import Bar
from scenewright.cli.words import say


def held_out(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="toybox-1 or town-1; none lists them.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Folder; held-out/NAME if not given.")] = None,
    count: Annotated[int, typer.Option("--count", help="The first so many pictures; 0 is all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw a frozen set of pictures with exact ground truth, on which nothing was ever trained."""
    from scenewright.evaluate.protocol import HELD_OUT, held_out
    from scenewright.flows.held_out import write_held_out

    if not name:
        refuse(context, ("out", "count"), "without a set", f"name one: {', '.join(HELD_OUT)}")
        titles = {one.id: one.title for one in HELD_OUT.values()}
        print(json.dumps(titles) if as_json else "\n".join(f"{id:12} {text}" for id, text in titles.items()))
        return
    folder = out or Path("held-out") / held_out(name).id
    with Bar("pictures") as bar:
        written = write_held_out(name, folder, count, bar)
    if written.different:
        say(
            f"warning: {len(written.different)} drawings differ from the frozen ones, the first is "
            f"{written.different[0]}; figures on them are not comparable (another version of Pillow?)"
        )
    told = {"folder": str(folder), "pictures": len(written.pictures), "different": len(written.different)}
    print(json.dumps(told) if as_json else folder)
