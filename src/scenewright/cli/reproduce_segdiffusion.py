"""``scenewright reproduce segdiffusion``: any class, in one pass of the network that draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Context, Option

from scenewright.cli import options as its
from scenewright.cli.given import refuse
from scenewright.cli.progress import Phases


def segdiffusion(
    context: Context,
    pictures: Annotated[int, Option("--pictures", help="Drawings of seen toys that are trained on.")] = 4000,
    train_steps: Annotated[int, Option("--train-steps", help="Of every training; 0: the recipe's.")] = 0,
    seeds: Annotated[int, Option("--seeds", help="Trainings of the one-pass segmenter.")] = 3,
    scenes: Annotated[int, Option("--scenes", help="Held-out pictures of each world.")] = 500,
    split: Annotated[int, Option("--split", help="Which classes are unseen: split 1, 2 or 3.")] = 1,
    variant: Annotated[
        list[str], Option("--variant", help="One of the variants only; repeat for more.")
    ] = [],  # noqa: B006
    model: Annotated[str, Option("--model", help="The model that is read.")] = "nano",
    members: Annotated[int, Option("--members", help="Maps of every class, of mask denoising.")] = 1,
    sampler_steps: Annotated[int, Option("--sampler-steps", help="Of mask denoising.")] = 4,
    resamples: Annotated[int, Option("--resamples", help="Of the bootstrap over pictures.")] = 1000,
    device: its.Device = "auto",
    out: its.Out = Path("reproduce-segdiffusion"),
    as_json: its.Json = False,
) -> None:
    """Segmenters trained on seen toys, scored on unseen ones, synonyms, another style and the town, beside
    mask denoising, a closed-set segmenter and the network's own attention.

    Writes results.json, table.md, a plot and a sheet. The same command again continues an interrupted run.
    """
    if variant and "mask-denoiser" not in variant:
        words = "without the variant mask-denoiser"
        refuse(context, ("members", "sampler_steps"), words, "add --variant mask-denoiser")
    from scenewright.flows.produce import ModelChoice
    from scenewright.flows.reproduce.segdiffusion import reproduce_segdiffusion
    from scenewright.flows.reproduce.segdiffusion_plan import SegOptions
    from scenewright.train.segment_cells import train_cell

    options = SegOptions(
        pictures=pictures, steps=train_steps, seeds=seeds, scenes=scenes, split=split, only=tuple(variant),
        resamples=resamples, members=members, sampler_steps=sampler_steps,
        model=ModelChoice(name=model, device=device, dtype="float32"),
    )  # fmt: skip
    with Phases() as told:
        done = reproduce_segdiffusion(options, train_cell, out, told)
    print(json.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
