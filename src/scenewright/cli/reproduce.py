"""``scenewright reproduce``: claims of papers in miniature, on the embedded world."""

from __future__ import annotations

import typer

from scenewright.cli.reproduce_dginstyle import dginstyle
from scenewright.cli.reproduce_gligen import gligen
from scenewright.cli.reproduce_grounding import grounding
from scenewright.cli.reproduce_instancediffusion import instancediffusion
from scenewright.cli.reproduce_loop import loop
from scenewright.cli.reproduce_segdiffusion import segdiffusion

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command("dginstyle")(dginstyle)
app.command("gligen")(gligen)
app.command("grounding")(grounding)
app.command("instancediffusion")(instancediffusion)
app.command("loop")(loop)
app.command("segdiffusion")(segdiffusion)


@app.callback()
def root() -> None:
    """A paper's claim in miniature, measured against exact truth: tables, plots, pictures."""
