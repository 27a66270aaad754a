"""Drawing as the command line asks for it: pictures, rounds of one picture, or a change to one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scenewright.cli import grounding
from scenewright.cli.given import named, refuse
from scenewright.cli.outcomes import finish, tell
from scenewright.cli.progress import Bar

if TYPE_CHECKING:
    from scenewright.flows.edit import EditRequest
    from scenewright.flows.jobs import Request
    from scenewright.flows.options import GenerateOptions, GroundOptions
    from scenewright.flows.produce import ModelChoice


def check_partners(context: typer.Context, options: GenerateOptions) -> None:
    """Raises InputError for options of ``generate`` that would be ignored beside the others. Those that a
    change to a picture makes senseless are for `editing.change_asked`."""
    from scenewright.flows.options import check_given

    asked = context.params
    if not asked["ground"]:
        refuse(context, grounding.NAMES, "without --ground", "add --ground for masks")
    if asked["start"] is not None:
        return  # what the picture was made with counts too: `flows.edit`
    if not asked["vocabulary"]:
        refuse(context, ("crop",), "without label maps", "--vocabulary cityscapes LIST.json")
    elif not any(str(path).lower().endswith(".json") for path in asked["scenes"] or ()):
        refuse(context, ("crop",), "with label maps alone, which are drawn whole,", "name a generation list")
    if asked["vocabulary"] or not asked["scenes"]:
        refuse(context, ("fmt",), "without scene files")
    check_given(options, named(context))


def draw(
    request: Request | EditRequest, chain_keep: float | None, model: ModelChoice, options: GenerateOptions,
    out: Path, ground: GroundOptions | None, overwrite: bool, as_json: bool, given: Collection[str],
) -> None:  # fmt: skip
    """Draw what is asked for: pictures, rounds of one picture (held to each other by `chain_keep`), or a
    change, which takes options that are not `given` from its record. Tells of each; code 1 if one failed."""
    from scenewright.flows import edit, produce

    with Bar("pictures") as bar:
        telling = edit.Telling(note=bar.note, done=lambda one: tell(one, as_json), progress=bar)
        if isinstance(request, edit.EditRequest):
            written = edit.edit(
                request, model, options, out,
                given=given, ground=ground, overwrite=overwrite, tell=telling,
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
