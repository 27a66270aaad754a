"""Drawing as the command line asks for it: pictures, rounds of one picture, or a change to one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scenewright.cli.given import named
from scenewright.cli.outcomes import finish, tell
from scenewright.cli.progress import Bar

if TYPE_CHECKING:
    from scenewright.flows.edit import EditRequest
    from scenewright.flows.jobs import Request
    from scenewright.flows.options import GenerateOptions, GroundOptions
    from scenewright.flows.produce import ModelChoice


def draw(
    request: Request | EditRequest, chain_keep: float | None, model: ModelChoice, options: GenerateOptions,
    out: Path, ground: GroundOptions | None, overwrite: bool, as_json: bool, context: typer.Context,
) -> None:  # fmt: skip
    """Draw what is asked for: pictures, rounds of one picture (held to each other by `chain_keep`), or a
    change, which takes options that are not on the command line from its record. Tells of each; exit code 1
    if one failed."""
    from scenewright.flows import edit, produce

    with Bar("pictures") as bar:
        telling = edit.Telling(note=bar.note, done=lambda one: tell(one, as_json), progress=bar)
        if isinstance(request, edit.EditRequest):
            written = edit.edit(
                request, model, options, out,
                given=named(context), ground=ground, overwrite=overwrite, tell=telling,
            )  # fmt: skip
        elif chain_keep is not None:
            written = edit.chain(
                request, chain_keep, model, options, out, ground=ground, overwrite=overwrite, tell=telling
            )
        else:
            written = produce.produce(
                request, model, options, out, ground=ground, overwrite=overwrite,
                on_note=bar.note, on_done=telling.done, on_progress=bar,
            )  # fmt: skip
    if code := finish(written, as_json):
        raise typer.Exit(code)
