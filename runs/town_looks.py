"""Does a street come out in the weather that its caption asks for?

Held-out streets of the town whose captions name a look are drawn from the text alone; a small classifier that
was trained on renders says which look each picture has, and the same of the renders themselves (the ceiling).

    python runs/town_looks.py --streets 240 --out runs/out/looks
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import ScenewrightError
from scenewright.evaluate.colour import wilson
from scenewright.evaluate.protocol import held_out
from scenewright.flows.generate import GenerateOptions, pictures
from scenewright.flows.held_out import drawings
from scenewright.models.judges.store import load_judge
from scenewright.models.load import load_bundle
from scenewright.scene import Scene, contact_sheet, write_png
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.world.drawn import Drawn
from scenewright.world.town_caption import WEATHER

SET = "town-1"
LEAST = 0.8
SHOWN = 24


def main() -> int:
    """Draw, judge, print a row per look, write numbers and a sheet. Exit 1 below `LEAST`."""
    options = _arguments()
    drawn = asked(options.streets)
    scenes = [Scene(prompt=one.scene.prompt, size_wh=one.scene.size_wh) for one in drawn]
    looks = [look_of(one) for one in drawn]
    how = GenerateOptions(steps=options.steps, guidance=options.guidance, batch=16)
    backbone = load_bundle(options.model).backbone
    images = pictures(backbone, None, scenes, [one.auto_seed() for one in scenes], how)
    judge = load_judge("looks", kind="looks").net
    seen = {"drawn": _names(judge, [one.image for one in drawn]), "from text": _names(judge, images)}
    result = {name: shares(looks, found) for name, found in seen.items()}
    for name, found in result.items():
        low, high = found["interval"]
        each = ", ".join(f"{look} {share:.0%}" for look, share in found["by_look"].items())
        print(f"{name:10} {found['right']:.1%} ({low:.1%} to {high:.1%}) of {len(looks)}: {each}")
    captions = [
        f"{look} / {said}: {scene.prompt}"
        for look, said, scene in zip(looks, seen["from text"], scenes, strict=True)
    ]
    write_png(options.out / "sheet.png", contact_sheet(images[:SHOWN], captions[:SHOWN], columns=6))
    atomic_write(options.out / "result.json", to_json_bytes(result))
    return 0 if result["from text"]["right"] >= LEAST else 1


def asked(count: int) -> list[Drawn]:
    """The first `count` streets of the set whose captions name their look."""
    found = [one for one in drawings(held_out(SET)) if names_look(one)]
    return found[:count]


def names_look(one: Drawn) -> bool:
    """Whether a caption has one of the ways to say its look."""
    words = f" {one.scene.prompt.replace(',', '')} "
    return any(f" {word} " in words for pair in WEATHER[look_of(one)] for word in pair if word)


def look_of(one: Drawn) -> str:
    """The look that a street was drawn in."""
    return str(one.scene.style)


def shares(looks: Sequence[str], found: Sequence[str]) -> dict[str, object]:
    """Share of pictures that have the look that was asked for, with its interval, and by look."""
    right = [a == b for a, b in zip(looks, found, strict=True)]
    by_look = {
        look: float(np.mean([r for r, a in zip(right, looks, strict=True) if a == look]))
        for look in sorted(set(looks))
    }
    return {"right": sum(right) / len(right), "interval": wilson(sum(right), len(right)), "by_look": by_look}


def _names(judge: Any, images: Sequence[NDArray[np.uint8]]) -> list[str]:
    return [one.name for one in judge.looks(images)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheet and the numbers")
    parser.add_argument("--model", default="nano", help="name or folder")
    parser.add_argument("--streets", type=int, default=240, help="pictures")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ScenewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(2)
