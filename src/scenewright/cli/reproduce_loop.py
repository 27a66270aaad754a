"""``scenewright reproduce loop``: segmenters from real pictures, from generated ones, and from both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from scenewright.cli import options as its
from scenewright.cli.progress import Phases


def loop(
    synthetic: Annotated[
        list[Path], Option("--synthetic", help="Folder of generated Records with masks; repeat for more.")
    ],
    real: Annotated[
        list[Path], Option("--real", help="Folder of Records that count as real; else renders.")
    ] = [],  # noqa: B006
    pictures: Annotated[int, Option("--pictures", help="Real pictures; ratios are multiples of it.")] = 500,
    ratios: Annotated[str, Option("--ratios", help="Synthetic pictures per real one.")] = "0,1,2,4",
    hide: Annotated[
        bool, Option("--hide/--no-hide", help="Also with real labels of the seen classes alone.")
    ] = True,
    split: Annotated[int, Option("--split", help="Which classes are unseen: split 1, 2 or 3.")] = 1,
    seeds: Annotated[int, Option("--seeds", help="Trainings of each mixture.")] = 1,
    steps: Annotated[int, Option("--steps", help="Of every training, 16 pictures each.")] = 800,
    scenes: Annotated[int, Option("--scenes", help="Held-out renders that are scored.")] = 500,
    resamples: Annotated[int, Option("--resamples", help="Of the bootstrap over renders.")] = 1000,
    device: its.Device = "auto",
    out: its.Out = Path("reproduce-loop"),
    as_json: its.Json = False,
) -> None:
    """Generated pictures teach a segmenter: synthetic, real and mixed ones, scored on real renders.

    Writes results.json, table.md, a plot and a sheet. The same command again continues an interrupted run.
    """
    from scenewright.flows.reproduce.loop import reproduce_loop
    from scenewright.flows.reproduce.loop_plan import LoopOptions
    from scenewright.train.loop_cells import train_cell
    from scenewright.train.recipe import parse

    options = LoopOptions(
        synthetic=tuple(synthetic), real=tuple(real), pictures=pictures,
        ratios=parse(ratios, tuple[float, ...], "--ratios"), hide=hide, split=split, seeds=seeds, steps=steps,
        scenes=scenes, resamples=resamples,
    )  # fmt: skip
    with Phases() as told:
        done = reproduce_loop(options, train_cell, out, device=device, on_progress=told)
    print(json.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
