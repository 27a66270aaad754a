"""``scenewright dataset``: labelled data sets of generated pictures."""

from __future__ import annotations

import typer

from scenewright.cli.dataset_build import build
from scenewright.cli.dataset_carry import export, split
from scenewright.cli.dataset_import import bring
from scenewright.cli.dataset_look import stats, verify, view

app = typer.Typer(
    help="Data sets of generated pictures with labels: build, look, check, split, carry over.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("build")(build)
app.command("stats")(stats)
app.command("view")(view)
app.command("verify")(verify)
app.command("split")(split)
app.command("import")(bring)
app.command("export")(export)
