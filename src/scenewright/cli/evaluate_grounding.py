"""``scenewright evaluate grounding``: a grounding head on pictures with known masks."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from scenewright.cli import evaluate_options as its
from scenewright.cli.options import Batch, Dtype
from scenewright.cli.progress import Phases


def grounding(
    folder: its.Folder,
    head: Annotated[str, Option("--head", metavar="NAME|FILE", help="The head; else the model's own.")] = "",
    model: Annotated[str, Option("--model", help="The model whose features it reads.")] = "nano",
    split: Annotated[
        int, Option("--split", help="Published class split, 1 to 3; 0: as the head's file says.")
    ] = 0,
    count: Annotated[int, Option("--count", help="The first so many pictures; 0 is all.")] = 0,
    named: Annotated[
        bool, Option("--named", help="Prompts of pictures without latents name their classes only.")
    ] = False,
    compare: its.Compare = None,
    out: its.Out = None,
    batch: Batch = 8,
    seed: its.Seed = 0,
    resamples: its.Resamples = 1000,
    device: its.Device = "auto",
    dtype: Dtype = "auto",
    as_json: its.Json = False,
) -> None:
    """Masks of named classes against the masks in the records: seen classes, unseen ones, the long tail.

    Records of `dataset build` are read from their latents; others are encoded first.
    """
    from scenewright.flows.evaluate import lines
    from scenewright.flows.evaluate_grounding import HeadOptions, evaluate_grounding
    from scenewright.flows.produce import ModelChoice

    options = HeadOptions(
        head=head, model=ModelChoice(name=model, device=device, dtype=dtype), split=split, count=count,
        named=named, compare=compare, out=out, batch=batch, seed=seed, resamples=resamples,
    )  # fmt: skip
    with Phases() as told:
        evaluated = evaluate_grounding(folder, options, told)
    print(its.dumps(evaluated.to_json()) if as_json else "\n".join(lines(evaluated)))
