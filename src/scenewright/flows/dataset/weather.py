"""How many pictures are asked for in which weather: explicit shares, met exactly. Needs no torch.

Jia et al., DGInStyle (ECCV 2024): the released pictures are 3000 without weather, 3000 in adverse weather
(file names begin with "a") and 1000 at night ("n"); the released program draws a coin and one of five words.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from scenewright.errors import InputError, nearest
from scenewright.scene.label_maps import WEATHERS, check_weather

NONE = "none"
"""How policies call pictures whose prompt names no weather."""

ADVERSE = ("snowy", "rainy", "foggy")

STREAM = 0xAEA7
"""Second word of the seed of the order of the weathers."""

POLICIES: dict[str, dict[str, float]] = {
    "none": {NONE: 1},
    "published": {NONE: 3000, "snowy": 1000, "rainy": 1000, "foggy": 1000, "night": 1000},
    "coin": {NONE: 5, **dict.fromkeys(WEATHERS, 1)},
    "even": {NONE: 1, **dict.fromkeys(WEATHERS, 1)},
}
"""By name: the released pictures (7000), the released program, and everything equally often."""


@dataclass(frozen=True)
class WeatherPolicy:
    """`shares`: (word of `WEATHERS`, or "" for none; weight above 0), each word once."""

    shares: tuple[tuple[str, float], ...] = (("", 1.0),)

    @classmethod
    def parse(cls, text: str) -> WeatherPolicy:
        """From a name in `POLICIES`, a word ("night"), or words with weights ("none=3,snowy=1,night=1").

        Raises InputError for an unknown word, and for a weight that is not above 0.
        """
        name = text.strip().lower()
        if name in POLICIES:
            return cls(tuple((_word(word), float(n)) for word, n in POLICIES[name].items()))
        found: dict[str, float] = {}
        for part in name.split(","):
            match = re.fullmatch(r"\s*([a-z]+)\s*(?:=\s*([0-9.]+)\s*)?", part)
            if match is None:
                raise InputError(
                    f"weather {text!r} given", f"{', '.join(POLICIES)}, or none=3,snowy=1,night=1"
                )
            word = _known(match[1])
            weight = _weight(match[2])
            if not weight > 0 or word in found:
                raise InputError(f"weather {text!r}: each word once, with a weight above 0")
            found[word] = weight
        return cls(tuple(found.items()))

    def words(self, total: int, seed: int) -> tuple[str, ...]:
        """The weather of each of `total` pictures: as many of each word as its share says, in a random order.

        What is left after rounding down goes to the largest remainders.
        """
        weights = np.array([weight for _, weight in self.shares])
        exact = total * weights / weights.sum()
        counts = np.floor(exact + 1e-9).astype(int)
        for k in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
            counts[k] += 1
        every = [word for (word, _), n in zip(self.shares, counts, strict=True) for _ in range(n)]
        order = np.random.default_rng((seed, STREAM)).permutation(total)
        return tuple(every[k] for k in order)

    def to_json(self) -> dict[str, float]:
        """Word -> weight, as it stands in the data set's description."""
        return {word or NONE: weight for word, weight in self.shares}


def prefix(word: str) -> str:
    """How the published archive's file names begin: "a" in adverse weather, "n" at night, else ""."""
    return "n" if word == "night" else "a" if word in ADVERSE else ""


def _word(name: str) -> str:
    return "" if name == NONE else name


def _known(name: str) -> str:
    if name == NONE:
        return ""
    if name not in WEATHERS and (close := nearest(name, [*POLICIES, *WEATHERS])):
        raise InputError(f"unknown weather {name!r}", f"did you mean {close}?")
    check_weather(name)
    return name


def _weight(text: str | None) -> float:
    try:
        value = 1.0 if text is None else float(text)
    except ValueError:
        value = math.nan
    return value if math.isfinite(value) else math.nan
