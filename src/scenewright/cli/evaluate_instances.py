"""``scenewright evaluate instances``: masks and marks of a folder, or what InstanceDiffusion does on COCO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Option

from scenewright.cli import evaluate_options as its
from scenewright.cli import partners
from scenewright.cli.evaluate_score import score
from scenewright.cli.options import Batch, Dtype
from scenewright.cli.progress import Phases
from scenewright.errors import InputError


# fmt: off
def instances(
    context: Context,
    source: Annotated[Path, Argument(metavar="SOURCE", help="Pictures with their scenes; with --protocol COCO annotations.")],  # noqa: E501
    protocol: Annotated[str, Option("--protocol", help="On COCO: box, mask, pim-point, pim-scribble, colour, texture.")] = "",  # noqa: E501
    captions: Annotated[Path | None, Option("--captions", help="COCO captions; else those beside the annotations.")] = None,  # noqa: E501
    pictures: Annotated[Path | None, Option("--pictures", help="Score this folder; else pictures are drawn.")] = None,  # noqa: E501
    model: Annotated[str, Option("--model", help="What draws: BASE+ADAPTER.")] = "sd15+instancediffusion",
    steps: Annotated[int, Option("--steps", help="Sampler steps; 0: the protocol's 50.")] = 0,
    size: Annotated[int, Option("--size", help="Side in pixels; 0: the protocol's 512.")] = 0,
    count: Annotated[int, Option("--count", help="The first so many pictures by id; 0: all.")] = 0,
    beside: Annotated[str, Option("--beside", help="paper: the published figures beside ours.")] = "",
    reference: its.Reference = None, judge: its.Judges = [], compare: its.Compare = None,  # noqa: B006
    out: its.Out = None, batch: Batch = 8, seed: its.Seed = 0, resamples: its.Resamples = 1000,
    device: its.Device = "auto", dtype: Dtype = "auto", as_json: its.Json = False,
) -> None:
    # fmt: on
    """Masks, points, scribbles of a folder; with --protocol one of InstanceDiffusion's evaluations on COCO.

    The same command again continues an interrupted run.
    """
    partners.evaluate_instances(context)
    if not protocol:
        if beside:
            raise InputError("the paper has no figures for instances-1, another protocol", "--protocol box")
        score("instances", source, reference, judge, compare, out, seed, resamples, device, as_json)
        return
    from scenewright.flows.evaluate_instances import InstanceOptions, evaluate_instances
    from scenewright.flows.produce import ModelChoice

    options = InstanceOptions(
        protocol=protocol, captions=captions, pictures=pictures, reference=reference,
        model=ModelChoice(name=model, device=device, dtype=dtype), steps=steps, size_px=size, count=count,
        batch=batch, judges=tuple(judge), compare=compare, beside=beside, out=out, seed=seed,
        resamples=resamples, device=device,
    )  # fmt: skip
    with Phases() as told:
        done = evaluate_instances(source, options, told)
    print(its.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
