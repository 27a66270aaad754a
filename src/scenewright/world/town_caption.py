"""Captions of streets: a small grammar over what is visible, how much of it, and the weather."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenewright.world.town_classes import TOWN_CLASSES

PLURALS = {item.name: item.plural for item in TOWN_CLASSES}

WEATHER: dict[str, tuple[tuple[str, str], ...]] = {
    "game": (("", "in a video game"), ("video game", ""), ("", "video game style")),
    "clear": (("", "in clear weather"), ("", "sunny weather"), ("", "in sunny weather"), ("sunny", "")),
    "fog": (("", "in fog"), ("foggy", ""), ("", "foggy weather"), ("", "in foggy weather")),
    "rain": (("", "in the rain"), ("rainy", ""), ("", "rainy weather"), ("", "in rainy weather")),
    "snow": (("", "in snow"), ("snowy", ""), ("", "snowy weather"), ("", "in snowy weather")),
    "night": (("", "at night"), ("night", ""), ("dark", "at night"), ("", "in night weather")),
}
"""For each look, (word before the place, words after it)."""

PLACES: dict[str, tuple[str, ...]] = {
    "downtown": ("street scene", "city street", "city street scene", "street in the city"),
    "suburb": ("street scene", "suburban street", "residential street", "city street scene"),
    "avenue": ("street scene", "tree-lined street", "avenue", "city street scene"),
    "outskirts": ("street scene", "road out of town", "road", "city street scene"),
}

SETTINGS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("building", 0.15, ("buildings", "rows of buildings")),
    ("vegetation", 0.08, ("trees", "trees beside the road")),
    ("terrain", 0.03, ("grass beside the road",)),
    ("wall", 0.02, ("a wall",)),
    ("fence", 0.02, ("a fence",)),
)
"""(class, smallest share of the picture, words): what may be said of the surroundings."""


@dataclass(frozen=True)
class View:
    """What a caption may speak of.

    `kind` of street and `look`; `shares` of the picture by class name, 0..1; `counts` of things by
    class name; `phrases` of the things, largest first ("a red car").
    """

    kind: str
    look: str
    shares: Mapping[str, float]
    counts: Mapping[str, int]
    phrases: Sequence[str]


def caption(rng: random.Random, view: View) -> str:
    """A caption of what is seen; one in eight names no weather."""
    before, after = rng.choice(WEATHER[view.look]) if rng.random() < 0.88 else ("", "")
    place = rng.choice(_places(view))
    first = before or place
    lead = rng.choice(("", "", "a picture of " if view.look == "game" else "a photo of "))
    text = f"{lead}{'an' if first[0] in 'aeiou' else 'a'} {f'{before} ' if before else ''}{place}"
    things = listed(_words(rng, view.counts, view.phrases))
    setting = _setting(rng, view) if rng.random() < 0.5 else ""
    late = after and rng.random() < 0.4
    if after and not late:
        text += f" {after}" if after.startswith(("in ", "at ")) else f", {after}"
    if things:
        text += f" with {things}"
    if setting:
        text += f", {setting}"
    if late:
        text += f", {after}"
    return text


def _places(view: View) -> tuple[str, ...]:
    """Names of the place that what is seen bears out."""
    needed = {"tree-lined street": "vegetation", "avenue": "vegetation", "residential street": "building"}
    return tuple(
        word for word in PLACES[view.kind] if word not in needed or view.shares.get(needed[word], 0.0) > 0.06
    )


def _setting(rng: random.Random, view: View) -> str:
    """Words for one large part of the surroundings, or nothing."""
    found = [words for name, least, words in SETTINGS if view.shares.get(name, 0.0) >= least]
    if not found:
        return ""
    words = rng.choice(found)
    if words[0] == "buildings":
        words = {"downtown": (*words, "tall buildings"), "suburb": ("houses", "low houses")}.get(
            view.kind, words
        )
    if words[0].startswith("grass") and view.look == "snow":
        return ""
    return rng.choice(words)


def _words(rng: random.Random, counts: Mapping[str, int], phrases: Sequence[str]) -> list[str]:
    """Up to four noun groups: one or two single things by their phrase, the others by class."""
    if phrases and rng.random() < 0.4:
        return list(dict.fromkeys(phrases))[: rng.choice((1, 2, 3))]
    words = []
    for name, count in counts.items():
        words.append(
            f"a {name}"
            if count == 1
            else PLURALS[name]
            if count > 2 or rng.random() < 0.5
            else f"two {PLURALS[name]}"
        )
    rng.shuffle(words)
    return words[:4]


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def phrase_of(kind: str, colour: str) -> str:
    """The phrase of one thing: "a red car", "a person in blue", "a traffic light"."""
    if not colour or kind in ("traffic light", "traffic sign"):
        return f"a {kind}"
    if kind in ("person", "rider"):
        return f"a {kind} in {colour}"
    return f"a {colour} {kind}"
