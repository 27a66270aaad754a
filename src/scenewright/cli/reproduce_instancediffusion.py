"""``scenewright reproduce instancediffusion``: masks, points, scribbles, parts, switches and changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from scenewright.cli import options as its
from scenewright.cli.progress import Phases


def instancediffusion(
    scenes: Annotated[int, Option("--scenes", help="Held-out scenes, drawn in every arm.")] = 500,
    seeds: Annotated[int, Option("--seeds", help="Pictures of each scene and arm.")] = 3,
    part_scenes: Annotated[int, Option("--part-scenes", help="Scenes with part boxes; 0: none.")] = 100,
    edit_scenes: Annotated[int, Option("--edit-scenes", help="Scenes with a change; 0: none.")] = 40,
    arm: Annotated[list[str], Option("--arm", help="One of the arms only; repeat for more.")] = [],  # noqa: B006
    gligen: Annotated[
        str, Option("--gligen", help="The model that boxes are compared with.")
    ] = "nano+gligen",
    judge: Annotated[str, Option("--judge", help="A detector's name or file; else our own.")] = "",
    resamples: Annotated[int, Option("--resamples", help="Of the bootstrap over scenes.")] = 1000,
    model: its.Model = "nano+instancediffusion",
    steps: its.Steps = 20,
    guidance: its.Guidance = 4.0,
    batch: its.Batch = 8,
    device: its.Device = "auto",
    dtype: its.Dtype = "auto",
    out: its.Out = Path("reproduce-instancediffusion"),
    as_json: its.Json = False,
) -> None:
    """Things are placed by boxes, masks, points and scribbles; parts; switches on and off; changes.

    Writes results.json, table.md, plots and sheets. The same command again continues an interrupted run.
    """
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice
    from scenewright.flows.reproduce.instancediffusion import reproduce_instancediffusion
    from scenewright.flows.reproduce.instancediffusion_plan import InstanceReproduceOptions

    options = InstanceReproduceOptions(
        scenes=scenes, seeds=seeds, part_scenes=part_scenes, edit_scenes=edit_scenes, only=tuple(arm),
        gligen=ModelChoice(name=gligen, device=device, dtype=dtype), judge=judge, resamples=resamples,
        generate=GenerateOptions(steps=steps, guidance=guidance, batch=batch), device=device,
    )  # fmt: skip
    chosen = ModelChoice(name=model, device=device, dtype=dtype)
    with Phases() as told:
        done = reproduce_instancediffusion(options, chosen, out, told)
    print(json.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
