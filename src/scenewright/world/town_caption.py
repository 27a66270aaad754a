"""Captions of streets: a small grammar over what is visible, how much of it, and the weather."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from scenewright.world.town_classes import TOWN_CLASSES

PLURALS = {item.name: item.plural for item in TOWN_CLASSES}

WEATHER: dict[str, tuple[tuple[str, str], ...]] = {
    "game": (("", "in a video game"), ("video game", ""), ("", "video game style")),
    "clear": (("", "in clear weather"), ("", "sunny weather"), ("", "in sunny weather"), ("clear", "")),
    "fog": (("", "in fog"), ("foggy", ""), ("", "foggy weather"), ("", "in foggy weather")),
    "rain": (("", "in the rain"), ("rainy", ""), ("", "rainy weather"), ("", "in rainy weather")),
    "snow": (("", "in snow"), ("snowy", ""), ("", "snowy weather"), ("", "in snowy weather")),
    "night": (("", "at night"), ("night", ""), ("dark", "at night"), ("", "in night weather")),
}
"""For each look, (word before the place, words after it)."""

PLACES: dict[str, tuple[str, ...]] = {
    "downtown": ("street scene", "city street", "city street scene", "street in the city"),
    "suburb": ("street scene", "suburban street", "street with houses", "city street scene"),
    "avenue": ("street scene", "tree-lined street", "avenue", "city street scene"),
    "outskirts": ("street scene", "road out of town", "road", "city street scene"),
}

SETTINGS: dict[str, tuple[str, ...]] = {
    "downtown": ("tall buildings", "buildings and shops", "rows of buildings"),
    "suburb": ("low houses", "houses and gardens", "lawns and houses"),
    "avenue": ("green trees", "grass and trees", "hedges and trees"),
    "outskirts": ("fences and walls", "open land", "a wide road"),
}


def caption(
    rng: random.Random, kind: str, look: str, counts: Mapping[str, int], phrases: Sequence[str]
) -> str:
    """A caption for a street of `kind` in `look`.

    Args: counts of visible things by class name; phrases of the largest things ("a red car").
    One caption in eight names no weather, one in eight is a list as in "A city street scene with …".
    """
    before, after = rng.choice(WEATHER[look]) if rng.random() < 0.88 else ("", "")
    place = rng.choice(PLACES[kind])
    first = before or place
    lead = rng.choice(("", "", "a photo of " if look != "game" else "a picture of "))
    text = f"{lead}{'an' if first[0] in 'aeiou' else 'a'} {f'{before} ' if before else ''}{place}"
    things = listed(_words(rng, counts, phrases))
    setting = rng.choice(SETTINGS[kind]) if rng.random() < 0.5 else ""
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
