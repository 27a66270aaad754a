"""``scenewright evaluate ovss``: open-vocabulary segmentation on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Context

from scenewright.cli import evaluate_options as its
from scenewright.cli import ovss_options as own
from scenewright.cli import partners
from scenewright.cli.options import Batch, Dtype
from scenewright.cli.progress import Phases


def ovss(
    context: Context,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="The dataset as it was downloaded, or Records.")],
    benchmark: own.Benchmark = "",
    vocabulary: own.Words = "",
    background: own.Background = "",
    threshold: own.Threshold = 0.5,
    model: own.Model = "nano",
    segmenter: own.Segmenter = "",
    maps: own.Maps = None,
    also: own.Also = [],  # noqa: B006
    seen: own.Seen = [],  # noqa: B006
    split: own.Split = "val",
    count: own.Count = 0,
    size: own.Size = 0,
    tile: own.Tile = 0,
    compare: its.Compare = None,
    out: its.Out = None,
    batch: Batch = 8,
    seed: its.Seed = 0,
    resamples: its.Resamples = 1000,
    device: its.Device = "auto",
    dtype: Dtype = "auto",
    as_json: its.Json = False,
) -> None:
    """mIoU of label maps for a benchmark's whole class list: of seen and unseen names, by both formulas."""
    from scenewright.flows.evaluate_ovss import OvssOptions, evaluate_ovss, lines
    from scenewright.flows.options import parse_classes
    from scenewright.flows.ovss_maps import MethodMaps
    from scenewright.flows.produce import ModelChoice

    options = OvssOptions(
        benchmark=benchmark, vocabulary=vocabulary, background=background, threshold=threshold,
        model=ModelChoice(name=model, device=device, dtype=dtype), segmenter=segmenter, maps=maps,
        also=tuple(map(MethodMaps.parse, also)), seen=parse_classes(seen, "--seen"), split=split, count=count,
        size=size, tile=tile, compare=compare, out=out, batch=batch, seed=seed, resamples=resamples,
    )  # fmt: skip
    partners.evaluate_ovss(context, options.protocol().rule)
    with Phases() as told:
        evaluated = evaluate_ovss(folder, options, told)
    print(its.dumps(evaluated.to_json()) if as_json else "\n".join(lines(evaluated)))
