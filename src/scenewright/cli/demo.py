"""``scenewright demo``: twelve scenes drawn by the embedded model, and judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli import options as its
from scenewright.cli.progress import Bar
from scenewright.cli.words import fail


def command(
    out: its.Out = Path("demo"),
    model: its.Model = "nano+gligen",
    steps: its.Steps = 20,
    guidance: its.Guidance = 4.0,
    device: its.Device = "auto",
    dtype: its.Dtype = "auto",
    no_layout: its.NoLayout = False,
    judge: Annotated[str, typer.Option("--judge", help="A detector's name or file; else our own.")] = "",
    overwrite: its.Overwrite = False,
    as_json: its.Json = False,
) -> None:
    """Draw twelve scenes that come with the package, and judge every instance: class, colour and place.

    One line per scene, and what is wrong in it; then the total, what the judge finds on drawings that are
    right by construction, and where the contact sheet is. Ends with 1 if fewer than ten scenes are right.
    """
    from scenewright.flows.demo import NEEDED, demo
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice

    options = GenerateOptions(steps=steps, guidance=guidance, layout=not no_layout)
    chosen = ModelChoice(name=model, device=device, dtype=dtype)
    with Bar("pictures") as bar:
        shown = demo(
            out, chosen, options, judge=judge, overwrite=overwrite, on_note=bar.note, on_progress=bar
        )
    if as_json:
        print(json.dumps(shown.to_json()))
    else:
        print("\n".join([*(line for one in shown.verdicts for line in one.lines()), *shown.lines()]))
        print(f"contact sheet: {shown.written.sheet}")
    if not shown.enough:
        words = (
            f"{shown.total.scenes_right} of {shown.total.scenes} scenes are right, at least {NEEDED} must be"
        )
        raise typer.Exit(fail(words, f"what is wrong is said above; the pictures are kept in {out}", 1))
