"""The options of ``generate`` that change a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scenewright.cli.given import refuse
from scenewright.errors import InputError

if TYPE_CHECKING:
    from scenewright.flows.edit import EditRequest

ORDER = ("remove", "replace", "resize", "move", "add")
"""Edits of one command are made in this order, whatever that of the words."""

OF_SCENES = ("fmt", "size", "seed", "count", "vocabulary", "weather", "crop")
"""Options about scenes, which a picture that is changed has already."""


def change_asked(
    context: typer.Context, start: Path | None, words: Mapping[str, Sequence[str]], scenes: Sequence[Path],
    prompts: Sequence[str], keep: float, *, chain: bool,
) -> EditRequest | None:  # fmt: skip
    """What is to be changed in the picture `start`; None without one.

    Raises InputError for options that do not go together, or words that are no edit.
    """
    if start is None:
        refuse(context, ORDER, "without a picture to change", "--from PICTURE.png names one")
        if not chain:
            refuse(context, ("keep",), "without rounds of one picture", "add --chain, or --from PICTURE.png")
        return None
    if scenes or chain or len(prompts) > 1:
        raise InputError("--from goes with edits and one --prompt at most, not with scenes or --chain")
    refuse(context, OF_SCENES, "with --from, a picture of its own size and seed,")
    from scenewright.flows.edit import EditRequest
    from scenewright.scene.edits import parse

    edits = tuple(parse(kind, text) for kind in ORDER for text in words[kind])
    return EditRequest(start=start, edits=edits, prompt=prompts[0] if prompts else None, keep=keep)
