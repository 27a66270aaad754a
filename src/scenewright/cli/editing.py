"""The options of ``generate`` that change a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scenewright.errors import InputError

if TYPE_CHECKING:
    from scenewright.flows.edit import EditRequest

ORDER = ("remove", "replace", "resize", "move", "add")
"""Edits of one command are made in this order, whatever that of the words."""


def change_asked(
    start: Path | None, words: Mapping[str, Sequence[str]], scenes: Sequence[Path], prompts: Sequence[str],
    keep: float, given: Collection[str], *, chain: bool,
) -> EditRequest | None:  # fmt: skip
    """What is to be changed in the picture `start`; None without one. `given` as from `named`.

    Raises InputError for options that do not go together, or words that are no edit.
    """
    kinds = [kind for kind in ORDER if words[kind]]
    if start is None:
        if kinds:
            raise InputError(f"--{kinds[0]} changes a picture, and none was given", "--from PICTURE.png")
        if "keep" in given and not chain:
            raise InputError("--keep is about rounds of one picture", "add --chain, or --from PICTURE.png")
        return None
    if scenes or chain or len(prompts) > 1:
        raise InputError("--from goes with edits and one --prompt at most, not with scenes or --chain")
    if spare := sorted({"size", "seed", "count"}.intersection(given)):
        raise InputError(f"--from changes one picture of its own size and seed: --{spare[0]} has no meaning")
    from scenewright.flows.edit import EditRequest
    from scenewright.scene.edits import parse

    edits = tuple(parse(kind, text) for kind in kinds for text in words[kind])
    return EditRequest(start=start, edits=edits, prompt=prompts[0] if prompts else None, keep=keep)


def named(context: typer.Context) -> frozenset[str]:
    """Names of the options that stand on the command line, as parameters; --no-NAME counts as NAME."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    there = {name for name, source in sources.items() if source and source.name != "DEFAULT"}
    return frozenset(name.removeprefix("no_") for name in there)
