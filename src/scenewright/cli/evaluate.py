"""``scenewright evaluate``: frozen benchmarks on folders of pictures, and the sets to measure them on."""

from __future__ import annotations

from collections.abc import Callable

import typer

from scenewright.cli import evaluate_options as its
from scenewright.cli.evaluate_grounding import grounding
from scenewright.cli.held_out import held_out
from scenewright.cli.progress import Phases

app = typer.Typer(
    help="Score pictures against what was asked for.", no_args_is_help=True, add_completion=False
)
app.command("held-out")(held_out)

BENCHMARKS = {
    "layout": "Boxes, classes, colours and textures: is everything where it was asked for?",
    "instances": "Masks, points and scribbles.",
    "semantic": "Semantic maps and looks of streets.",
    "pictures": "Distances to the pictures of --reference, and how captions fit.",
}


def _benchmark(name: str) -> Callable[..., None]:
    def command(
        folder: its.Folder,
        reference: its.Reference = None,
        judge: its.Judges = [],  # noqa: B006
        compare: its.Compare = None,
        out: its.Out = None,
        seed: its.Seed = 0,
        resamples: its.Resamples = 1000,
        device: its.Device = "auto",
        as_json: its.Json = False,
    ) -> None:
        from scenewright.flows.evaluate import EvaluateOptions, evaluate, lines

        options = EvaluateOptions(
            judges=tuple(judge), reference=reference, compare=compare, out=out,
            seed=seed, resamples=resamples, device=device,
        )  # fmt: skip
        with Phases() as told:
            evaluated = evaluate(name, folder, options, told)
        print(its.dumps(evaluated.to_json()) if as_json else "\n".join(lines(evaluated)))

    command.__doc__ = BENCHMARKS[name]
    return command


for _name in BENCHMARKS:
    app.command(_name)(_benchmark(_name))

app.command("grounding")(grounding)
