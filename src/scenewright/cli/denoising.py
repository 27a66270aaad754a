"""Options of ``scenewright mask-denoiser``: their types and help, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

Folder = Annotated[
    Path, Option("--model", metavar="FOLDER", help="A mask denoiser: a folder, or its unet/ with --base.")
]
Base = Annotated[str, Option("--base", help="The model beside a folder that holds a UNet only; else sd2.")]
Members = Annotated[int, Option("--members", help="Maps drawn of each, and put together.")]
Half = Annotated[bool, Option("--half", help="Half precision.")]
Size = Annotated[
    int, Option("--size", help="Longer side shown to the network, in pixels; 0: as trained, -1: its own.")
]
ShownSize = Annotated[bool, Option("--shown-size", help="Grey maps as large as what the network was shown.")]
Align = Annotated[
    str, Option("--align", help="How members meet: affine, published, marigold, start, none; else by kind.")
]
Reduce = Annotated[str, Option("--reduce", help="median or mean of the members; else by kind.")]
Seed = Annotated[int, Option("--seed", help="Of the first member's noise, counting up.")]
Rows = Annotated[int, Option("--batch", help="Maps drawn together; 0: what the memory is known to hold.")]
