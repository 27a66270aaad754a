"""``scenewright demo``: twelve scenes drawn by the embedded model, and scored."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from scenewright.cli import options as its
from scenewright.cli.progress import Bar


def command(
    out: its.Out = Path("demo"),
    model: its.Model = "nano+gligen",
    steps: its.Steps = 20,
    guidance: its.Guidance = 4.0,
    device: its.Device = "auto",
    dtype: its.Dtype = "auto",
    no_layout: its.NoLayout = False,
    overwrite: its.Overwrite = False,
    as_json: its.Json = False,
) -> None:
    """Draw twelve scenes that come with the package, and score where their colours are.

    One line per scene: coloured things asked for, how many of them are found in their box, mean IoU. The last
    lines are the total, the best that can be reached, and where the contact sheet is.
    """
    from scenewright.flows.demo import Score, demo
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice

    def told(one: Score) -> None:
        if not as_json:
            print(one.line(), flush=True)

    options = GenerateOptions(steps=steps, guidance=guidance, layout=not no_layout)
    chosen = ModelChoice(name=model, device=device, dtype=dtype)
    with Bar("pictures") as bar:
        shown = demo(
            out, chosen, options, overwrite=overwrite, on_score=told, on_note=bar.note, on_progress=bar
        )
    print(json.dumps(shown.to_json()) if as_json else "\n".join(shown.lines()))
    if shown.written.sheet and not as_json:
        print(f"contact sheet: {shown.written.sheet}")
    if shown.written.failed:
        raise typer.Exit(1)
