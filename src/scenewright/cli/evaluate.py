"""``scenewright evaluate``: frozen benchmarks on folders of pictures, and the sets to measure them on."""

from __future__ import annotations

from collections.abc import Callable

import typer

from scenewright.cli import evaluate_options as its
from scenewright.cli.evaluate_grounding import grounding
from scenewright.cli.evaluate_instances import instances
from scenewright.cli.evaluate_ovss import ovss
from scenewright.cli.evaluate_score import score
from scenewright.cli.evaluate_semantic import semantic
from scenewright.cli.held_out import held_out

app = typer.Typer(
    help="Score pictures against what was asked for.", no_args_is_help=True, add_completion=False
)
app.command("held-out")(held_out)

BENCHMARKS = {
    "layout": "Boxes, classes, colours and textures: is everything where it was asked for?",
    "semantic": "",
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
        score(name, folder, reference, judge, compare, out, seed, resamples, device, as_json)

    command.__doc__ = BENCHMARKS[name]
    return command


OWN = {"semantic": semantic}

for _name in BENCHMARKS:
    app.command(_name)(OWN.get(_name) or _benchmark(_name))

app.command("instances")(instances)
app.command("grounding")(grounding)
app.command("ovss")(ovss)
