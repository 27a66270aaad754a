"""``scenewright mask-denoiser``: maps of pictures drawn by a denoising network, several members of each."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from scenewright.cli import denoising as own
from scenewright.cli import options as its
from scenewright.cli import partners, segmented
from scenewright.cli.progress import Bar
from scenewright.cli.words import fail


def command(
    context: typer.Context,
    pictures: segmented.Pictures,
    model: own.Folder,
    base: own.Base = "",
    classes: segmented.Classes = [],  # noqa: B006
    vocabulary: segmented.Words = "",
    threshold: segmented.Threshold = 0.5,
    steps: its.Steps = 10,
    members: own.Members = 10,
    half: own.Half = False,
    size: own.Size = 0,
    shown_size: own.ShownSize = False,
    align: own.Align = "",
    reduce: own.Reduce = "",
    seed: own.Seed = 0,
    batch: own.Rows = 0,
    device: its.Device = "auto",
    out: its.Out = Path("out"),
    as_json: its.Json = False,
) -> None:
    """Label maps, or grey maps, of pictures: noise is denoised to a mask, the picture beside it."""
    partners.mask_denoiser(context, model)
    from scenewright.flows.denoise_masks import denoise_files
    from scenewright.flows.options import parse_classes
    from scenewright.flows.segment_options import asked
    from scenewright.segment.denoise import DenoiseOptions

    named = asked(parse_classes(classes), vocabulary, "none") if classes or vocabulary else None
    options = DenoiseOptions(
        steps=steps, members=members, seed=seed, rows=batch, align=align, reduce=reduce, size=size,
        own_size=not shown_size,
    )  # fmt: skip
    with Bar("pictures") as bar:
        done = denoise_files(
            pictures, model, named, options, out, base=base, device=device,
            dtype="float16" if half else "float32", threshold=threshold, on_progress=bar,
        )  # fmt: skip
    for one in done:
        if as_json or not one.error:
            print(json.dumps(one.to_json()) if as_json else one.files.get("labels", one.files.get("levels")))
    if failed := [one for one in done if one.error]:
        raise typer.Exit(fail(f"{len(failed)} of {len(done)} pictures failed", failed[0].error, 1))
