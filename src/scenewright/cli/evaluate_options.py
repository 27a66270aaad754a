"""Options of ``scenewright evaluate``: their types and help, written once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

Folder = Annotated[
    Path,
    Argument(metavar="FOLDER", help="Pictures with their scenes, or a COCO file that names its pictures."),
]
Reference = Annotated[
    Path | None, Option("--reference", help="Folder of pictures that are right, for ceilings and distances.")
]
Judges = Annotated[
    list[str], Option("--judge", metavar="NAME|FILE", help="A judge; repeat for several. Else our own.")
]
Compare = Annotated[
    Path | None, Option("--compare", help="results.json of other pictures of the same scenes.")
]
Out = Annotated[
    Path | None, Option("--out", help="Folder for results; FOLDER/evaluation if not given.")
]  # fmt: skip
Seed = Annotated[int, Option("--seed", help="Of the bootstrap.")]
Resamples = Annotated[int, Option("--resamples", help="Of the bootstrap.")]
Device = Annotated[str, Option("--device", help="Where judges run: auto, cpu, or another by torch's name.")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]


def dumps(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value)
