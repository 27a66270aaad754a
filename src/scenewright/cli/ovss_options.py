"""Options of ``scenewright evaluate ovss``: their types and help, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

Benchmark = Annotated[
    str, Option("--benchmark", help="voc20, voc21, voc20b, pc59, pc459, a150, a847, coco-stuff.")
]
Words = Annotated[str, Option("--vocabulary", metavar="NAME|FILE", help="Classes of a dataset of your own.")]
Background = Annotated[
    str, Option("--background", help="With --vocabulary: none, ignored, names, context, threshold, plain.")
]
Threshold = Annotated[float, Option("--threshold", help="Probability that --background threshold wants.")]
Model = Annotated[str, Option("--model", help="The model whose features are read.")]
Segmenter = Annotated[
    str, Option("--segmenter", metavar="NAME|FILE", help="A segmenter; else the model's own.")
]
Maps = Annotated[
    Path | None, Option("--maps", help="Folder of our label maps, NAME.png, in place of segmenting.")
]
Also = Annotated[
    list[str],
    Option("--also", metavar="NAME=FOLDER", help="Label maps of another method; :contiguous after FOLDER."),
]
Seen = Annotated[
    list[str], Option("--seen", help="Classes trained on; repeat, or commas. Else as the segmenter says.")
]
Split = Annotated[str, Option("--split", help="Part of the dataset: val or train.")]
Count = Annotated[int, Option("--count", help="The first so many pictures; 0 is all.")]
Size = Annotated[int, Option("--size", help="Side in pixels at which pictures are shown; 0: the model's.")]
Tile = Annotated[int, Option("--tile", help="Side in pixels of windows of large pictures; 0: whole.")]
