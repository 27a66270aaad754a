"""Captions of the toybox: a small grammar over what is in the picture and where.

Whatever a caption says is true of the picture: places and relations are read from the visible boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from scenewright.world.classes import BY_NAME, EMPTY, SETTINGS

MAX_WORDS: Final = 40
"""Longest caption: it fits into 48 tokens of a small tokenizer."""

_OPENINGS: Final = (("", 0.4), ("a photograph of ", 0.25), ("a picture of ", 0.14), ("a drawing of ", 0.07))
_ENDINGS: Final = (
    "long shot",
    "with strong natural light",
    "lit by a warm natural light",
    "high quality photography",
)


class Told(NamedTuple):
    """What a caption needs to know of one toy: its looks and its visible box, xyxy in [0, 1]."""

    name: str
    word: str
    colour: str
    texture: str | None
    xyxy: tuple[float, float, float, float]
    flying: bool

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the visible box."""
        x0, y0, x1, y1 = self.xyxy
        return (x0 + x1) / 2, (y0 + y1) / 2


class Relation(NamedTuple):
    """`subject` is `kind` ("left of", "on top of", ...) `target`; both are places in the list of toys."""

    kind: str
    subject: int
    target: int


def pick_word(rng: np.random.Generator, name: str) -> str:
    """The word a caption uses for class `name`: mostly the usual one."""
    words = BY_NAME[name].words
    return words[0] if rng.random() < 0.75 else words[int(rng.integers(len(words)))]


def phrase(word: str, colour: str | None, texture: str | None) -> str:
    """ "a red metallic car"; colour and texture may be left out."""
    named = " ".join(part for part in (colour, texture, word) if part)
    return f"{'an' if named[0] in 'aeiou' else 'a'} {named}"


def place_words(centre: tuple[float, float]) -> str:
    """Where a point (x, y in [0, 1]) is, in words: "in the top left", "at the bottom", ..."""
    x, y = centre
    column = "left" if x < 0.37 else "right" if x > 0.63 else ""
    row = "top" if y < 0.37 else "bottom" if y > 0.63 else ""
    if row and column:
        return f"in the {row} {column}"
    if row:
        return f"at the {row}"
    return f"on the {column}" if column else "in the middle"


def relation_holds(kind: str, first: Told, second: Told) -> bool:
    """Whether "first `kind` second" is true of the visible boxes."""
    (ax, ay), (bx, by) = first.centre, second.centre
    if kind in ("right of", "below"):
        return relation_holds({"right of": "left of", "below": "above"}[kind], second, first)
    if kind == "left of":
        return bx - ax > 0.18 and bx - ax > abs(by - ay)
    if kind == "above":
        return by - ay > 0.18 and by - ay > abs(bx - ax)
    if kind == "on top of":
        gap = second.xyxy[1] - first.xyxy[3]
        return abs(gap) < 0.06 and first.xyxy[0] < second.xyxy[2] and second.xyxy[0] < first.xyxy[2]
    if kind == "side by side":
        near = max(first.xyxy[0], second.xyxy[0]) - min(first.xyxy[2], second.xyxy[2])
        return -0.08 < near < 0.12 and abs(first.xyxy[3] - second.xyxy[3]) < 0.1
    raise ValueError(
        f"unknown relation {kind!r}, expected left of, right of, above, below, on top of, side by side"
    )


def write(
    rng: np.random.Generator, toys: Sequence[Told], setting: str, style: str, pairing: str | None
) -> tuple[str, tuple[Relation, ...]]:
    """A caption of at most `MAX_WORDS` words, and the relations it states."""
    opening = _opening(rng, style)
    if not toys:
        return opening + EMPTY[setting], ()
    place = SETTINGS[setting][int(rng.integers(len(SETTINGS[setting])))] if rng.random() < 0.8 else ""
    ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))] if rng.random() < 0.06 else ""
    keep = [(rng.random() >= 0.1, rng.random() >= 0.15) for _ in toys]
    placed = rng.random() < (0.5 if len(toys) == 1 else 0.65)
    related = bool(len(toys) >= 2 and (rng.random() < (0.75 if pairing else 0.4)))
    choice = rng.random()
    for leave_out in range(4):
        words = [
            phrase(toy.word, toy.colour if c else None, toy.texture if t and leave_out < 2 else None)
            for toy, (c, t) in zip(toys, keep, strict=True)
        ]
        with_places = placed and leave_out < (3 if len(toys) < 4 else 1)
        body, relations = _body(choice, toys, words, pairing if related else None, related, with_places)
        tail = place if leave_out < 3 else ""
        text = opening + _join(body, tail)
        if ending and leave_out < 1:
            text += f", {ending}"
        if len(text.split()) <= MAX_WORDS:
            break
    return text, relations


def _opening(rng: np.random.Generator, style: str) -> str:
    draw = float(rng.random())
    for text, share in _OPENINGS:
        if draw < share:
            return text
        draw -= share
    return f"{'an' if style[0] in 'aeiou' else 'a'} {style} drawing of "


def _join(body: str, place: str) -> str:
    if place.endswith("sky") and "sky" in body:
        return body
    comma = "," if body.endswith(("left", "right", "top", "bottom", "middle", "sky")) else ""
    return f"{body}{comma} {place}" if place and place not in body else body


def _listed(items: Sequence[str]) -> str:
    if len(items) < 3:
        return " and ".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def _body(
    choice: float, toys: Sequence[Told], words: list[str], pairing: str | None, related: bool, placed: bool
) -> tuple[str, tuple[Relation, ...]]:
    """The toys with a relation between the first two, with places, with flying, or just listed."""
    if related:
        relation = _relation(choice, toys, pairing)
        if relation is not None:
            told = _tell(choice, toys, words, relation)
            rest = words[2:]
            return (f"{told}, with {_listed(rest)}" if rest else told), (relation,)
    items = list(words)
    for k, toy in enumerate(toys):
        if placed and (len(toys) < 4 or k < 2):
            items[k] += f" {place_words(toy.centre)}"
        elif toy.flying and k == len(toys) - 1 and choice < 0.6:
            items[k] += " flying in the sky" if BY_NAME[toy.name].habit == "air" else " in the sky"
    return _listed(items), ()


def _relation(choice: float, toys: Sequence[Told], pairing: str | None) -> Relation | None:
    """A true relation between the first two toys."""
    kinds = {"on top": ["on top of"], "side by side": ["side by side"]}.get(pairing or "", [])
    for kind in (*kinds, "left of", "right of", "above", "below"):
        order = (0, 1) if choice < 0.5 or kind in kinds else (1, 0)
        if relation_holds(kind, toys[order[0]], toys[order[1]]):
            return Relation(kind, *order)
    return None


def _tell(choice: float, toys: Sequence[Told], words: Sequence[str], relation: Relation) -> str:
    """The relation as a clause."""
    first, second = words[relation.subject], words[relation.target]
    alive = BY_NAME[toys[relation.subject].name].alive
    pick = int(choice * 1000) % 3
    if relation.kind == "on top of":
        verb = ("sitting ", "standing ", "")[pick] if alive else ("", "standing ", "")[pick]
        if pick == 1:
            return f"{second} with {first} {verb}on top of it"
        return f"{first} {verb}on top of {second}"
    if relation.kind == "side by side":
        return (
            f"{first} and {second} side by side",
            f"{first} side by side with {second}",
            f"{first} next to {second}",
        )[pick]
    if relation.kind in ("left of", "right of"):
        lead = ("", "to the ", "on the ")[pick]
        return f"{first} {lead}{relation.kind} {second}"
    return f"{first} {relation.kind} {second}"
