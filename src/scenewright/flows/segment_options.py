"""What is looked for in pictures that are segmented, how pixels of none of it are told, and how large
pictures are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from scenewright.errors import InputError
from scenewright.scene import VocabClass, Vocabulary
from scenewright.scene.vocabulary import fold
from scenewright.segment.winner import Background

MOST_CLASSES = 60_000
"""Classes that can be asked for at once: their ids have to fit into 16 bits."""


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """How pictures are segmented; checked when made (InputError).

    vocabulary   the classes, with the ids that label maps get
    background   policy for pixels of none of them
    behind       names of the background for the policy "names"; empty: `context_names`
    tile         side in pixels of the windows that a picture is cut into; 0: it is shown whole
    overlap      share of a window that the next one covers too
    size         pictures are shown with as many pixels as a square of this side; 0: as the network draws
    batch        pictures (or windows) shown to the network together
    """

    vocabulary: Vocabulary
    background: Background = field(default_factory=Background)
    behind: tuple[str, ...] = ()
    tile: int = 0
    overlap: float = 0.25
    size: int = 0
    batch: int = 8

    def __post_init__(self) -> None:
        for name, low, high in (("tile", 16, 100_000), ("size", 8, 100_000), ("batch", 1, 100_000)):
            value = getattr(self, name)
            if not low <= value <= high and (value or name == "batch"):
                raise InputError(f"{name} is {value}; expected {low} to {high}", "the default suits")
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"overlap is {self.overlap}; expected a share from 0 to 0.9", "0.25 suits")
        if len(self.vocabulary) > MOST_CLASSES:
            raise InputError(f"{len(self.vocabulary)} classes were asked for; at most {MOST_CLASSES:,} fit")
        if self.behind and self.background.policy != "names":
            raise InputError(
                "names of the background were given, and its policy is " + self.background.policy,
                "--background names",
            )

    @property
    def hidden(self) -> tuple[tuple[str, ...], ...]:
        """Names of the background that are asked for beside the classes, each a class of its own."""
        if self.background.policy != "names":
            return ()
        names = self.behind or context_names()
        return tuple((name,) for name in names if name not in self.vocabulary or fold(name) == "background")

    @property
    def empty(self) -> int:
        """Id of pixels without a class."""
        known = self.vocabulary.background
        return self.vocabulary.ignore if known is None else known.id


def asked(
    classes: Sequence[str],
    vocabulary: str = "",
    background: str = "auto",
    threshold: float = 0.5,
    behind: Sequence[str] = (),
    *,
    tile: int = 0,
    overlap: float = 0.25,
    size: int = 0,
    batch: int = 8,
) -> SegmentOptions:
    """The options of the command line; the background "auto" is "names" for a vocabulary that has a
    background, else "none". Raises InputError."""
    known = wanted_classes(classes, vocabulary)
    policy = background
    if background == "auto":
        policy = "names" if known.background is not None else "none"
    return SegmentOptions(
        vocabulary=known, background=Background(policy, threshold), behind=tuple(behind),
        tile=tile, overlap=overlap, size=size, batch=batch,
    )  # fmt: skip


def wanted_classes(classes: Sequence[str], vocabulary: str = "") -> Vocabulary:
    """The classes that were named, as a vocabulary: ids from 1 and background 0; those of a vocabulary that
    is named too, with its ids and synonyms; all of it when no class is.

    Raises InputError for neither, for a class that is named twice, and for one the vocabulary lacks.
    """
    twice = [name for name, count in Counter(map(fold, classes)).items() if count > 1]
    if twice:
        own = [name for name in classes if fold(name) == twice[0]]
        raise InputError(
            f"the class {own[0]!r} is named {len(own)} times", "leave the others out: a pixel has one class"
        )
    if bad := [name for name in classes if not fold(name)]:
        raise InputError(f"the class {bad[0]!r} has no letter", "a class is a name, such as cat or hot dog")
    if vocabulary:
        known = Vocabulary.load(vocabulary)
        if not classes:
            return known
        chosen = {known.find(name).id for name in classes}
        kept = tuple(one for one in known if one.id in chosen)
        return Vocabulary(
            name=known.name, classes=kept, background=known.background, ignore=known.ignore,
            title=known.title, source=known.source,
        )  # fmt: skip
    if not classes:
        raise InputError(
            "nothing was named to look for",
            "--classes cat,dog names classes, --vocabulary voc a list of them",
        )
    if len(classes) > MOST_CLASSES:
        raise InputError(f"{len(classes)} classes were asked for; at most {MOST_CLASSES:,} fit")
    return _named(classes)


def _named(classes: Sequence[str]) -> Vocabulary:
    """Bare names as a vocabulary; what is not labelled has an id that no class has."""
    made = Vocabulary.from_names("classes", list(classes))
    if len(classes) < 255:
        return made
    return Vocabulary(name=made.name, classes=made.classes, background=made.background, ignore=65535)


def spoken(one: VocabClass) -> tuple[str, ...]:
    """What a text encoder is told of a class: its names as they are spoken, each once.

    A name that a dataset writes in its own way ("wall-concrete", "tvmonitor") gives way to its synonyms.
    """
    respelt = [name for name in one.synonyms if fold(name) == fold(one.name) and name != one.name]
    written = any(mark in one.name for mark in "-_/")
    if respelt or (written and one.synonyms):
        names = [*respelt, *one.synonyms]
    else:
        names = [one.name.translate(str.maketrans("-_/", "   ")), *one.synonyms]
    return tuple(dict.fromkeys(" ".join(name.split()) for name in names))


def context_names() -> tuple[str, ...]:
    """Names that count as background: "background", and the classes of Pascal-Context that are no VOC
    classes (as the published 21-class protocol of ODISE has it)."""
    voc = Vocabulary.load("voc")
    beside = [one for one in Vocabulary.load("pascal-context") if one.name not in voc]
    return ("background", *(spoken(one)[0] for one in beside))
