"""``scenewright evaluate semantic``: pictures against their maps, or a segmenter against datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Option

from scenewright.cli import evaluate_options as its
from scenewright.cli import partners
from scenewright.cli.evaluate_score import score
from scenewright.cli.progress import Phases
from scenewright.errors import InputError


def semantic(
    context: Context,
    folders: Annotated[list[Path], Argument(metavar="FOLDER…", help="Pictures; with --segmenter datasets.")],
    segmenter: Annotated[
        str, Option("--segmenter", help="Measure this SegFormer, a folder or id, on labelled datasets.")
    ] = "",
    vocabulary: Annotated[
        str, Option("--vocabulary", help="Of its outputs: cityscapes, town.")
    ] = "cityscapes",
    window: Annotated[int, Option("--window", help="Side of sliding windows in pixels; 0: whole.")] = 0,
    stride: Annotated[int, Option("--stride", help="From window to window; 0: half a window.")] = 0,
    size: Annotated[str, Option("--size", help="Bring pictures to WIDTHxHEIGHT first, or published.")] = "",
    split: Annotated[str, Option("--split", help="Part of the datasets; else that to measure on.")] = "",
    count: Annotated[int, Option("--count", help="The first so many pictures of each; 0 is all.")] = 0,
    reference: its.Reference = None,
    judge: its.Judges = [],  # noqa: B006
    compare: its.Compare = None,
    out: its.Out = None,
    seed: its.Seed = 0,
    resamples: its.Resamples = 1000,
    device: its.Device = "auto",
    as_json: its.Json = False,
) -> None:
    """Semantic maps and looks of streets; with --segmenter, mIoU of a segmenter on every dataset named."""
    partners.evaluate_semantic(context)
    if not segmenter:
        if len(folders) != 1:
            raise InputError(f"{len(folders)} folders were given", "several are for --segmenter")
        return score("semantic", folders[0], reference, judge, compare, out, seed, resamples, device, as_json)
    from scenewright.flows.evaluate_streets import StreetOptions, evaluate_streets, lines
    from scenewright.flows.options import parse_size

    options = StreetOptions(
        segmenter=segmenter, vocabulary=vocabulary, window_px=window, stride_px=stride, split=split,
        count=count, size_wh=parse_size(size) if size not in ("", "published") else None,
        published=size == "published", compare=compare, out=out, device=device,
        seed=seed, resamples=resamples,
    )  # fmt: skip
    with Phases() as told:
        found = evaluate_streets(folders, options, told)
    print(its.dumps(found.to_json()) if as_json else "\n".join(lines(found)))
