"""``scenewright reproduce gligen``: boxes are followed, measured by a detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from scenewright.cli import options as its
from scenewright.cli.progress import Phases


def gligen(
    scenes: Annotated[int, Option("--scenes", help="Held-out scenes, drawn in every condition.")] = 500,
    seeds: Annotated[int, Option("--seeds", help="Pictures of each scene and condition.")] = 3,
    sweep_scenes: Annotated[int, Option("--sweep-scenes", help="Scenes of the gate sweep; 0: none.")] = 100,
    log: Annotated[
        list[Path], Option("--log", help="log.jsonl of a training; repeat for its stages. Else nano's curve.")
    ] = [],  # noqa: B006
    judge: Annotated[str, Option("--judge", help="A detector's name or file; else our own.")] = "",
    resamples: Annotated[int, Option("--resamples", help="Of the bootstrap over scenes.")] = 1000,
    model: its.Model = "nano+gligen",
    steps: its.Steps = 20,
    guidance: its.Guidance = 4.0,
    batch: its.Batch = 8,
    device: its.Device = "auto",
    dtype: its.Dtype = "auto",
    out: its.Out = Path("reproduce-gligen"),
    as_json: its.Json = False,
) -> None:
    """Boxes are followed: text only, null layout and layout against real renders, judged by a detector.

    Writes results.json, table.md, plots and sheets. The same command again continues an interrupted run.
    """
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice
    from scenewright.flows.reproduce.gligen import reproduce_gligen
    from scenewright.flows.reproduce.plan import ReproduceOptions

    options = ReproduceOptions(
        scenes=scenes, seeds=seeds, sweep_scenes=sweep_scenes, logs=tuple(log), judge=judge,
        generate=GenerateOptions(steps=steps, guidance=guidance, batch=batch), resamples=resamples,
        device=device,
    )  # fmt: skip
    with Phases() as told:
        done = reproduce_gligen(options, ModelChoice(name=model, device=device, dtype=dtype), out, told)
    print(json.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
