"""What a labeller is, and how the words of a scene become its classes.

A labeller makes training data. It must therefore never be the judge that scores what was trained on it: the
package's own detector scores, and another network labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, nearest
from scenewright.evaluate.asked import named_class
from scenewright.evaluate.findings import Finding
from scenewright.scene import Box, Instance, Vocabulary
from scenewright.scene.vocabulary import fold

Pictures = Sequence[NDArray[np.uint8]]
"""HW3, uint8, red green blue."""


class Labeller(Protocol):
    """Finds things of given classes, with their pixels."""

    @property
    def id(self) -> str:
        """What it is and with which weights, e.g. ``labeller@1f0c9a52``."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that it knows."""
        ...

    def label(self, images: Pictures, classes: Sequence[Sequence[str]]) -> list[tuple[Finding, ...]]:
        """Of each picture the things of its wanted classes (names in `vocabulary`), best first.

        Every finding has a mask of the picture's size, which is not empty. Pictures may differ in size.
        """
        ...


class Checker(Protocol):
    """A second opinion: is a thing of this class in this box?"""

    @property
    def id(self) -> str:
        """As a labeller's."""
        ...

    def agreement(self, image_HW3: NDArray[np.uint8], asked: Sequence[tuple[str, Box]]) -> list[float | None]:
        """Probability of each (class, box) in 0..1; None for a class that it does not know."""
        ...


def wanted_class(one: Instance, vocabulary: Vocabulary) -> str:
    """The labeller's class that an instance is of: by its category, else by its phrase.

    Raises InputError, naming the nearest class, for one that the labeller does not know.
    """
    background = vocabulary.background.name if vocabulary.background else None
    if one.category and one.category in vocabulary:
        if (name := vocabulary.find(one.category).name) != background:
            return name
    elif (found := named_class(one.category or one.phrase, vocabulary)) is not None:
        return found
    word = one.category or one.phrase
    close = nearest(fold(word), {fold(name): name for name in vocabulary.names})
    hint = f"did you mean {_named(close, vocabulary)!r}?" if close else f"it knows {listing(vocabulary)}"
    raise InputError(f"the labeller knows no class {word!r}", hint)


def listing(vocabulary: Vocabulary, most: int = 24) -> str:
    """The first names of a vocabulary, for messages."""
    names = vocabulary.names
    return f"{', '.join(names[:most])}{', …' if len(names) > most else ''}"


def _named(folded: str, vocabulary: Vocabulary) -> str:
    return next(name for name in vocabulary.names if fold(name) == folded)
