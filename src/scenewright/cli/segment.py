"""``scenewright segment``: label maps of pictures, for any classes."""

from __future__ import annotations

from pathlib import Path

import typer

from scenewright.cli import options as its
from scenewright.cli import partners
from scenewright.cli import segmented as own
from scenewright.cli.progress import Bar


def command(
    context: typer.Context,
    pictures: own.Pictures,
    classes: own.Classes = [],  # noqa: B006
    vocabulary: own.Words = "",
    background: own.Background = "auto",
    threshold: own.Threshold = 0.5,
    behind: own.Behind = [],  # noqa: B006
    tile: own.Tile = 0,
    overlap: own.Overlap = 0.25,
    size: own.Size = 0,
    model: its.Model = "nano",
    segmenter: own.Segmenter = "",
    refine: own.Refine = None,
    refine_steps: own.RefineSteps = 10,
    refine_strength: own.RefineStrength = 0.5,
    batch: its.Batch = 8,
    device: its.Device = "auto",
    dtype: its.Dtype = "auto",
    other_backbone: its.OtherBackbone = False,
    out: its.Out = Path("out"),
    overwrite: its.Overwrite = False,
    as_json: its.Json = False,
) -> None:
    """Label maps of pictures for any classes, in one pass of the network for each picture.

    Of every picture a label PNG, score and entropy maps, an overlay with a legend, and areas as JSON.
    """
    partners.segment(context)
    from scenewright.flows.options import parse_classes
    from scenewright.flows.produce import ModelChoice
    from scenewright.flows.segment_folder import Refine, segment_files
    from scenewright.flows.segment_options import asked

    options = asked(
        parse_classes(classes), vocabulary, background, threshold, parse_classes(behind, "--behind"),
        tile=tile, overlap=overlap, size=size, batch=batch,
    )  # fmt: skip
    chosen = ModelChoice(name=model, device=device, dtype=dtype, allow_other_backbone=other_backbone)
    with Bar("pictures") as bar:
        done = segment_files(
            pictures, chosen, segmenter, options, out, on_done=lambda one: own.tell(one, as_json),
            refine=Refine.of(refine, refine_steps, refine_strength), overwrite=overwrite, on_progress=bar,
        )  # fmt: skip
    if code := own.finish(done, as_json):
        raise typer.Exit(code)
