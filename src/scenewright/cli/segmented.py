"""Options of segmenting, and what became of pictures: label maps or JSON on stdout, failures on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from scenewright.cli.words import fail, say

if TYPE_CHECKING:
    from scenewright.flows.segment_folder import Segmentation, SegmentOutcome

Pictures = Annotated[list[Path], Argument(metavar="PICTURE", help="Pictures, or folders of them.")]
Classes = Annotated[list[str], Option("--classes", help="What to look for; repeat, or commas.")]
Words = Annotated[
    str, Option("--vocabulary", help="A list of classes by name or file; --classes: some of it.")
]
Background = Annotated[
    str, Option("--background", help="none, threshold, names; auto: names where there is a background.")
]
Threshold = Annotated[float, Option("--threshold", help="Least probability of a class, with threshold.")]
Behind = Annotated[list[str], Option("--behind", help="What counts as background, with names; commas.")]
Tile = Annotated[int, Option("--tile", help="Side in pixels of windows for large pictures; 0: shown whole.")]
Overlap = Annotated[float, Option("--overlap", help="Share of a window that the next one covers too.")]
Size = Annotated[
    int, Option("--size", help="Side of the square that pictures are shown as large as; 0: the model's.")
]
Segmenter = Annotated[
    str, Option("--segmenter", metavar="NAME|FILE", help="A one-pass segmenter; else the model's own.")
]

Refine = Annotated[
    Path | None, Option("--refine", metavar="FOLDER", help="A mask denoiser that redraws edges.")
]
RefineSteps = Annotated[int, Option("--refine-steps", help="Sampler steps of --refine.")]
RefineStrength = Annotated[float, Option("--refine-strength", help="How much noise maps get first, to 1.")]


def tell(one: SegmentOutcome, as_json: bool) -> None:
    """One picture: the path of its label map on stdout, or its JSON; a failure on stderr."""
    if one.state == "failed":
        say(f"failed: {one.picture}: {one.error}")
    if as_json or one.state != "failed":
        print(json.dumps(one.to_json()) if as_json else one.files.labels, flush=True)


def finish(done: Segmentation, as_json: bool) -> int:
    """The sheet on stdout, the number of failures on stderr; returns the exit code."""
    if done.sheet:
        print(json.dumps({"sheet": str(done.sheet)}) if as_json else done.sheet, flush=True)
    if not done.failed:
        return 0
    return fail(f"{done.failed} of {len(done.outcomes)} pictures failed", f"{done.failures} says why", 1)
