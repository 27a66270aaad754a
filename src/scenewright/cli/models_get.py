"""``scenewright models pull`` and ``convert``: bring a model here, and into a form that can be loaded."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Alias (sd15, sd14+gligen, …) or hub id.")],
    half: Annotated[bool, typer.Option("--half", help="Half precision where there is a choice.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch a model into the hub cache. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE count."""
    from scenewright.models.pull import pull as fetch

    places = [str(place) for place in fetch(name, half=half, say=lambda line: print(line, file=sys.stderr))]
    print(json.dumps(places) if as_json else "\n".join(places))


def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Alias, BASE+ADAPTER, folder or file.")],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Result; may be left out for an alias to be named.")
    ] = "",
    config: Annotated[str, typer.Option(help="Single files: sd1, sd2, sd2-v or a diffusers folder.")] = "",
    tokenizer: Annotated[str, typer.Option(help="Single files: folder with CLIP's tokenizer.")] = "",
    slots: Annotated[
        int,
        typer.Option(
            help="GLIGEN files: grounding slots, if the weights do not tell.", min=0, show_default=False
        ),
    ] = 0,
    heads: Annotated[
        int,
        typer.Option(
            help="GLIGEN files: attention heads, if the weights do not tell.", min=0, show_default=False
        ),
    ] = 0,
    half: Annotated[bool, typer.Option("--half/--full", help="Number type of the result.")] = True,
    as_json: Json = False,
) -> None:
    """Convert foreign files to folders and adapters, and BASE+ADAPTER to a gated diffusers folder."""
    from scenewright.convert.dispatch import convert as convert_model

    path, kind = convert_model(
        source, out, config=config, tokenizer=tokenizer, slots=slots, heads=heads, half=half,
        say=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    print(json.dumps({"path": str(path), "kind": kind}) if as_json else str(path))
