"""``scenewright reproduce grounding``: masks out of the network that draws, of seen and unseen classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Context, Option

from scenewright.cli import options as its
from scenewright.cli import partners
from scenewright.cli.progress import Phases


def grounding(
    context: Context,
    pictures: Annotated[int, Option("--pictures", help="Generated pictures tried for training.")] = 4000,
    data: Annotated[
        list[Path], Option("--data", help="Folder of Records to train on instead; repeat for more.")
    ] = [],  # noqa: B006
    tested: Annotated[int, Option("--tested", help="Generated pictures measured beside the renders.")] = 240,
    seeds: Annotated[int, Option("--seeds", help="Trainings of each variant.")] = 3,
    train_steps: Annotated[int, Option("--train-steps", help="Of every training; 0: the recipe's.")] = 0,
    scenes: Annotated[int, Option("--scenes", help="Held-out renders that are scored.")] = 500,
    variant: Annotated[
        list[str], Option("--variant", help="One of the variants only; repeat for more.")
    ] = [],  # noqa: B006
    quick: Annotated[bool, Option("--quick", help="Two variants, few pictures, short trainings.")] = False,
    named: Annotated[bool, Option("--named", help="Prompts of renders name their classes only.")] = False,
    labeller: Annotated[str, Option("--labeller", help="Who labels the pictures; else our own.")] = "",
    model: Annotated[str, Option("--model", help="The model that draws and is read.")] = "nano",
    steps: its.Steps = 20,
    guidance: its.Guidance = 4.0,
    batch: its.Batch = 8,
    resamples: Annotated[int, Option("--resamples", help="Of the bootstrap over pictures.")] = 1000,
    device: its.Device = "auto",
    out: its.Out = Path("reproduce-grounding"),
    as_json: its.Json = False,
) -> None:
    """Heads trained on generated, labelled pictures, scored on renders: seen, unseen, long tail, attention.

    Writes results.json, table.md, plots and a sheet. The same command again continues an interrupted run.
    """
    partners.reproduce_grounding(context)
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice
    from scenewright.flows.reproduce.grounding import reproduce_grounding
    from scenewright.flows.reproduce.grounding_plan import HeadsOptions
    from scenewright.train.head_cells import train_head

    options = HeadsOptions(
        pictures=pictures, data=tuple(data), tested=tested, seeds=seeds, steps=train_steps, scenes=scenes,
        only=tuple(variant), named=named, labeller=labeller, resamples=resamples,
        model=ModelChoice(name=model, device=device, dtype="float32"),
        generate=GenerateOptions(steps=steps, guidance=guidance, batch=batch),
    )  # fmt: skip
    with Phases() as told:
        done = reproduce_grounding(options.quick() if quick else options, train_head, out, told)
    print(json.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
