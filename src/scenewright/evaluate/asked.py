"""What a scene asks for, in the words of a judge: class, attributes and place of each instance.

The class comes from the instance's `category`, else from its phrase; attributes from the words of the phrase,
which is all that a generator reads. What cannot be named in the judge's vocabulary is kept in `unnamed` and
reported: it is neither right nor wrong, but it is never dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from scenewright.errors import InputError
from scenewright.evaluate.findings import Findings
from scenewright.scene import Box, Instance, Mask, Point, Scene, Vocabulary

Attributes = Mapping[str, Sequence[str]]
"""Attribute name ("colour") -> the values that the judge can tell apart."""

_HEAD_ENDS = frozenset(
    ("with", "on", "in", "of", "at", "near", "behind", "beside", "under", "above", "below", "next", "from",
     "and", "wearing", "holding", "riding", "sitting", "standing", "that", "which", "for", "to", "by")
)  # fmt: skip
"""Words that end the part of a phrase that names the thing itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One instance as the judge would name it.

    `instance` its id; `category` its class; `box` where it should be, in fractions of the picture (None: it
    may be anywhere); `mask` its pixels; `attributes` what the phrase asks for ("colour": "red"); `points`
    and `scribble` the marks that place it.
    """

    instance: str
    category: str
    box: Box | None = None
    mask: Mask | None = None
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    points: tuple[Point, ...] = ()
    scribble: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedScene:
    """What one scene asks for: `asked` what the judge can name, `unnamed` the phrases it cannot.

    `picture` is the name under which findings are looked up; `size_wh` width, height in pixels.
    """

    picture: str
    size_wh: tuple[int, int]
    asked: tuple[Asked, ...] = ()
    unnamed: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """How many instances the scene asks for, those without a name included."""
        return len(self.asked) + len(self.unnamed)


@dataclass(frozen=True, slots=True)
class Pair:
    """A scene and what a judge found in its picture: what every metric takes."""

    scene: AskedScene
    findings: Findings


def asked_of(
    scene: Scene,
    picture: str,
    vocabulary: Vocabulary,
    attributes: Attributes | None = None,
    *,
    known: Collection[str] | None = None,
) -> AskedScene:
    """What `scene` asks for, in the classes of `vocabulary` and the `attributes` of a judge.

    `known` are the class names that the judge has been trained on (None: all of the vocabulary); instances
    of other classes are `unnamed`.
    """
    asked, unnamed = [], []
    for one in scene.instances:
        category = _category(one, vocabulary)
        if category is None or (known is not None and category not in known):
            unnamed.append(one.phrase)
        else:
            asked.append(_asked(one, category, attributes or {}))
    return AskedScene(picture, scene.size_wh, tuple(asked), tuple(unnamed))


def pair_up(asked: Sequence[AskedScene], findings: Sequence[Findings]) -> tuple[Pair, ...]:
    """Each scene with the findings of its picture, in the order of the scenes.

    Raises InputError when the two are not about the same pictures, or a name occurs twice: a missing picture
    must not raise a score.
    """
    by_name = {one.picture: one for one in findings}
    names = [one.picture for one in asked]
    if len(by_name) != len(findings) or len(set(names)) != len(names):
        raise InputError("a picture occurs twice", "Every picture needs a name of its own.")
    if missing := [name for name in names if name not in by_name]:
        raise InputError(
            f"{len(missing)} of {len(names)} pictures have no findings, the first is {missing[0]!r}",
            "Run the judge over all of them.",
        )
    if spare := sorted(set(by_name) - set(names)):
        raise InputError(
            f"{len(spare)} findings belong to no scene, the first is {spare[0]!r}",
            "Findings and scenes must be of the same pictures.",
        )
    return tuple(Pair(one, by_name[one.picture]) for one in asked)


def named_class(phrase: str, vocabulary: Vocabulary) -> str | None:
    """The class that a phrase is about, or None: "a red car with a dog" is about a car.

    The last class named before the first "with", "on", "of", …, else the first one after it; of names inside
    each other the longest; a plural counts as its singular.
    """
    words = re.findall(r"[^\W_]+|,", phrase.lower())
    cut = next((k for k, word in enumerate(words) if word in _HEAD_ENDS or word == ","), len(words))
    head, rest = _classes_in(words[:cut], vocabulary), _classes_in(words[cut:], vocabulary)
    if head:
        return head[-1]
    return rest[0] if rest else None


def mentioned(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The classes that a text names, in its order, each once; of names inside each other the longest."""
    return tuple(dict.fromkeys(_classes_in(re.findall(r"[^\W_]+|,", text.lower()), vocabulary)))


def _classes_in(words: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """Class names in the order of the words; at each place the longest name."""
    found, k = [], 0
    while k < len(words):
        for stop in range(min(len(words), k + 4), k, -1):
            name = _found(" ".join(words[k:stop]), vocabulary)
            if name is not None:
                found.append(name)
                k = stop - 1
                break
        k += 1
    return found


def _found(words: str, vocabulary: Vocabulary) -> str | None:
    """The class called `words`, or called so in the singular; the background is no class."""
    for name in (words, words.removesuffix("s"), words.removesuffix("es")):
        if name and name in vocabulary:
            entry = vocabulary.find(name)
            return None if entry == vocabulary.background else entry.name
    return None


def _category(one: Instance, vocabulary: Vocabulary) -> str | None:
    if one.category and (name := _found(one.category, vocabulary)) is not None:
        return name
    return named_class(one.phrase, vocabulary)


def _asked(one: Instance, category: str, attributes: Attributes) -> Asked:
    words = re.findall(r"[^\W_]+", one.phrase.lower())
    looks = {}
    for name, values in attributes.items():
        named = [word for word in words if word in values]
        if named:
            noted = [facts.get(name) for facts in one.extra.values() if isinstance(facts, Mapping)]
            looks[name] = next((word for word in named if word in noted), named[0])
    return Asked(
        instance=one.id,
        category=category,
        box=one.location_box,
        mask=one.mask,
        attributes=looks,
        points=one.points,
        scribble=one.scribble.points if one.scribble else (),
    )
