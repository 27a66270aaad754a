"""Options of ``scenewright dataset`` about streets and label maps: their types and help, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Brought = Annotated[
    list[str],
    Argument(metavar="[KIND] FOLDER", help="gta, cityscapes, … and its folder; or one with samples/*.pk."),
]
BroughtTo = Annotated[
    Path | None, Option("--out", help="Folder to write to; streets: the data set itself, samples: dataset.")
]
Part = Annotated[str, Option("--split", help="Part of a dataset of streets; else the training part.")]
Presume = Annotated[
    bool, Option("--presume-prompts", help="Fill in the prompts that the published generator writes.")
]
Weathers = Annotated[
    str,
    Option("--weather", help="Of label maps: none, published, coin, even, or words: none=3,snowy=1,night=1."),
]
Template = Annotated[
    str, Option("--template", help="Prompt of label maps in a weather, with {classes} and {weather}.")
]
Crop = Annotated[int, Option("--crop", help="Shorter side, in pixels of the map, of what is cut out.")]
Temperature = Annotated[
    float, Option("--rare", help="Temperature of rare-class sampling from folders of maps; 0: in turn.")
]
Doubtful = Annotated[
    str, Option("--doubtful", help="Classes of a map below --least-agreement: ignore, refuse, keep.")
]
