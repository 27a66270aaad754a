"""``scenewright dataset import``: other people's data sets, of generated pictures or of streets."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from scenewright.cli import dataset_options as its
from scenewright.cli import dataset_street_options as own
from scenewright.cli.dataset_outcomes import finish, tell
from scenewright.cli.given import refuse
from scenewright.cli.progress import Bar
from scenewright.cli.words import fail, say


def bring(
    context: typer.Context,
    words: own.Brought,
    out: own.BroughtTo = None,
    split: own.Part = "",
    presume: own.Presume = False,
    as_json: its.Json = False,
) -> None:
    """Bring in a dataset of streets (KIND and its folder: train ids, statistics, training list), or the
    samples of Grounded Diffusion's diffusers port (the folder alone). The same command again continues."""
    from scenewright.flows.dataset.streets import kind_of

    kind, folder = kind_of(words)
    if kind:
        refuse(context, ("presume",), f"with {kind}; it is for samples of Grounded Diffusion,")
    else:
        refuse(context, ("split",), "without a dataset of streets", f"KIND FOLDER: gta {folder}")
    if kind:
        return streets(kind, folder, out, split, as_json)
    from scenewright.flows.dataset import imports

    with Bar("samples") as bar:
        built = imports.import_samples(
            folder, out or Path("dataset"), presume_prompts=presume, on_done=tell, on_progress=bar
        )
    for note in imports.notes(presume):
        say(f"note: {note}")
    if code := finish(built, as_json):
        raise typer.Exit(code)


def streets(kind: str, folder: Path, out: Path | None, split: str, as_json: bool) -> None:
    """A dataset of streets; exit code 1 if pairs were left out."""
    from scenewright.flows.dataset.streets import import_streets, lines

    with Bar("label maps") as bar:
        found = import_streets(folder, kind, split=split, out=out, on_done=tell, on_progress=bar)
    print(json.dumps(found.to_json()) if as_json else "\n".join(lines(found)))
    if found.failed:
        words = f"{len(found.failed)} of {len(found.entries)} label maps were left out"
        raise typer.Exit(fail(words, f"{found.folder / 'import.jsonl'} says why", 1))
