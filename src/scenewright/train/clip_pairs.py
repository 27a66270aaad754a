"""What the judge CLIP is asked while it learns: crops with phrases, pictures with captions, wrong answers.

Texts that are true of a crop without being its own ("a red car" of another red car's crop) are no wrong
answers and are left out of the comparison. Half of the crops of a batch come in groups of one class, so that
colour and texture alone tell their phrases apart. Wrong captions differ in one word (Yuksekgonul et al.,
"When and Why Vision-Language Models Behave like Bags-of-Words", 2023).

Letters: B crops or pictures, T texts, K instances of all pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenewright.train.annotated import Annotated
from scenewright.world.captions import phrase, pick_word
from scenewright.world.classes import SETTINGS, THINGS
from scenewright.world.palette import COLOURS, TEXTURES
from scenewright.world.town_classes import NAMES as TOWN_NAMES

COLOUR_NAMES = tuple(COLOURS)
CLASS_WORDS = tuple(thing.words[0] for thing in THINGS)

_NOUNS = ("object", "object", "thing", "toy")
_WEATHER = ("foggy", "rainy", "snowy", "sunny", "night"), ("fog", "rain", "snow")
_SWAPS: tuple[tuple[str, ...], ...] = (
    COLOUR_NAMES,
    TEXTURES,
    tuple(dict.fromkeys(word for thing in THINGS for word in thing.words if " " not in word)),
    tuple(name for name in TOWN_NAMES if " " not in name and name not in {"car", "bus", "train"}),
    ("left", "right"),
    ("top", "bottom"),
    ("above", "below"),
    tuple(place.split()[-1] for places in SETTINGS.values() for place in places),
    *_WEATHER,
)
"""Words of which one may stand for another in a caption that is to be wrong."""


@dataclass(frozen=True)
class Crops:
    """Every instance of some pictures that is large enough to be seen, one row [K] each.

    picture, instance   where it is.
    facts_K3            class, colour, texture as positions in the world's names; -1 where there is none.
    """

    picture: NDArray[np.int64]
    instance: NDArray[np.int64]
    facts_K3: NDArray[np.int64]

    @classmethod
    def of(cls, pictures: Annotated, size_wh: tuple[int, int], least_px: float) -> Crops:
        """The instances whose boxes have sides of at least `least_px`."""
        rows = []
        for p, item in enumerate(pictures.items):
            facts = zip(item.boxes, item.classes, item.colours, item.textures, strict=True)
            for n, (box, kind, colour, texture) in enumerate(facts):
                wide, high = (box[2] - box[0]) * size_wh[0], (box[3] - box[1]) * size_wh[1]
                if min(wide, high) >= least_px:
                    rows.append((p, n, kind, colour, texture))
        table_K5 = np.array(rows, np.int64).reshape(-1, 5)
        return cls(table_K5[:, 0], table_K5[:, 1], table_K5[:, 2:])

    def __len__(self) -> int:
        return len(self.picture)

    def some(self, rng: np.random.Generator, number: int) -> NDArray[np.int64]:
        """Rows [number], half of them of instances with a texture where there are any."""
        rows = rng.integers(len(self), size=number)
        textured = np.flatnonzero(self.facts_K3[:, 2] >= 0)
        if len(textured):
            rows[: number // 2] = rng.choice(textured, size=number // 2)
        return rows

    def groups(self, rng: np.random.Generator, groups: int, each: int) -> NDArray[np.int64]:
        """Rows [groups * each]: `each` crops of every one of `groups` different classes; half of the groups
        have textures."""
        kinds = np.unique(self.facts_K3[:, 0])
        chosen = rng.choice(kinds, size=groups, replace=groups > len(kinds))
        members = [np.flatnonzero(self.facts_K3[:, 0] == kind) for kind in chosen]
        textured = [rows[self.facts_K3[rows, 2] >= 0] for rows in members]
        pools = [
            best if len(best) and rng.random() < 0.5 else rows
            for best, rows in zip(textured, members, strict=True)
        ]
        return np.concatenate([rng.choice(rows, size=each) for rows in pools])


def toy_phrase(rng: np.random.Generator, facts_3: NDArray[np.int64]) -> tuple[str, tuple[int, int, int]]:
    """A phrase of one toy that may leave things out, and what it tells: class, colour, texture or -1 each."""
    kind, colour, texture = (int(fact) for fact in facts_3)
    colour = colour if rng.random() < 0.85 else -1
    texture = texture if rng.random() < 0.85 else -1
    named = rng.random() < 0.8 or (colour < 0 and texture < 0)
    word = pick_word(rng, THINGS[kind].name) if named else str(rng.choice(_NOUNS))
    text = phrase(
        word,
        COLOUR_NAMES[colour] if colour >= 0 else None,
        TEXTURES[texture] if texture >= 0 else None,
    )
    return bare(text, rng), (kind if named else -1, colour, texture)


def bare(text: str, rng: np.random.Generator) -> str:
    """The phrase, without its article in one of three cases."""
    return text.partition(" ")[2] if rng.random() < 1 / 3 else text


def also_true(facts_B3: NDArray[np.int64], told_T3: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether text t holds for crop b [B,T]: all that it tells is so."""
    agree_BT3 = (told_T3[None] < 0) | (told_T3[None] == facts_B3[:, None])
    return np.asarray(agree_BT3.all(2))


@dataclass(frozen=True)
class Choice:
    """One question: which of `texts` holds for each of the crops `rows`; `answers` are places in texts."""

    texts: tuple[str, ...]
    rows: NDArray[np.int64]
    answers: NDArray[np.int64]


def choices(rng: np.random.Generator, facts_B3: NDArray[np.int64], groups: int, each: int) -> list[Choice]:
    """Colour, texture and class of every crop, and colour or texture by its own class word for the groups.

    The first ``groups * each`` crops are grouped by class.
    """
    noun = str(rng.choice(_NOUNS))
    found = [
        _choice(rng, [phrase(noun, name, None) for name in COLOUR_NAMES], facts_B3[:, 1]),
        _choice(rng, [phrase(noun, None, name) for name in TEXTURES], facts_B3[:, 2]),
        _choice(rng, [phrase(pick_word(rng, thing.name), None, None) for thing in THINGS], facts_B3[:, 0]),
    ]
    for start in range(0, groups * each, each):
        word = CLASS_WORDS[int(facts_B3[start, 0])]
        which = 1 if rng.random() < 1 / 3 else 2
        names = (COLOUR_NAMES, TEXTURES)[which - 1]
        texts = [phrase(word, *((name, None) if which == 1 else (None, name))) for name in names]
        answers_B = np.full(len(facts_B3), -1)
        answers_B[start : start + each] = facts_B3[start : start + each, which]
        found.append(_choice(rng, texts, answers_B))
    return [choice for choice in found if len(choice.rows)]


def _choice(rng: np.random.Generator, texts: Sequence[str], answers_B: NDArray[np.int64]) -> Choice:
    rows = np.flatnonzero(answers_B >= 0)
    without = rng.random() < 1 / 3
    told = tuple(text.partition(" ")[2] for text in texts) if without else tuple(texts)
    return Choice(told, rows, answers_B[rows])


def wrong_caption(rng: np.random.Generator, caption: str) -> str:
    """The caption with one word exchanged for another of its kind; as it is if no word is known."""
    words = caption.split(" ")
    places = [(k, group) for k, word in enumerate(words) for group in _SWAPS if word.rstrip(",") in group]
    if not places:
        return caption
    place, group = places[int(rng.integers(len(places)))]
    old = words[place].rstrip(",")
    others = [word for word in dict.fromkeys(group) if word != old]
    words[place] = words[place].replace(old, others[int(rng.integers(len(others)))])
    return " ".join(words)
