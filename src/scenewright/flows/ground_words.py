"""What is looked for in a picture: the phrases of its scene, or classes that were named.

Masks of a record belong to instances, so a class that no instance of the scene is of gets one without a
place: it is looked for, and it does not change the picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scenewright.errors import InputError
from scenewright.evaluate.asked import mentioned, named_class
from scenewright.scene import Instance, Scene, VocabClass, Vocabulary
from scenewright.scene.vocabulary import fold

KNOWN = ("toybox", "voc", "coco")
"""Lists that ship, in the order in which names are looked up for their synonyms."""

NAMED = 6
"""Classes that a note names one by one."""

_ARTICLES = re.compile(r"^(?:(?:an?|the|some|one)\s+)+", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """One thing to look for: `label`, the words that the head is asked with; `ids` of the instances that it
    stands for, in the order of the scene; and whether the prompt speaks of it."""

    label: str
    ids: tuple[str, ...]
    in_prompt: bool


def with_classes(scene: Scene, classes: Sequence[str]) -> Scene:
    """The scene with an instance without a place for every class that none of its instances is of."""
    if not classes:
        return scene
    there = {name for one in scene.instances if (name := _class_of(one, classes)) is not None}
    added = tuple(Instance(name, category=name) for name in classes if name not in there)
    return scene.replace(instances=(*scene.instances, *added)) if added else scene


def wanted(scene: Scene, classes: Sequence[str] = ()) -> tuple[Wanted, ...]:
    """What to look for in a picture of `scene` (as `with_classes` gave it), each label once.

    `classes` in their order; without them, every phrase of the scene, in the order of the instances, and
    instances of one class together. Instances of other classes than those named are left out.
    """
    groups: dict[str, list[str]] = {name: [] for name in classes}
    for one in scene.instances:
        label = _class_of(one, classes) if classes else label_of(one)
        if label is not None:
            groups.setdefault(_same(label, groups), []).append(one.id)
    said = mentioned(scene.prompt, _vocabulary(tuple(groups))) if groups else ()
    return tuple(Wanted(label, tuple(ids), label in said) for label, ids in groups.items() if ids)


def label_of(one: Instance) -> str:
    """The words that an instance is looked for with: its category, else the known class that its phrase names
    in just these words ("a red car": car), the longest if lists differ, else the phrase without article."""
    if one.category:
        return one.category
    bare = _ARTICLES.sub("", one.phrase.strip()) or one.phrase
    found = {named_class(bare, Vocabulary.load(name)) for name in KNOWN} - {None}
    named = [name for name in found if name and mentioned(bare, Vocabulary.from_names("one", [name]))]
    return max(sorted(named), key=len, default=bare)


def check_wanted(named: Sequence[tuple[str, Scene]], classes: Sequence[str]) -> list[str]:
    """What the user should know: scenes with nothing to look for, classes that prompts do not speak of.

    `named` are (name, scene) as `with_classes` gave them. Raises InputError when no scene has anything.
    """
    lookups = [(name, wanted(scene, classes)) for name, scene in named]
    empty = [name for name, found in lookups if not found]
    if lookups and len(empty) == len(lookups):
        raise InputError(
            f"there is nothing to look for: {empty[0]} has no instances, and no class was named",
            "--classes cat,dog names classes",
        )
    notes = []
    if empty:
        notes.append(
            f"{len(empty)} of {len(lookups)} scenes have no instances and get no masks: {empty[0]}, …"
        )
    silent: dict[str, list[str]] = {}
    for name, found in lookups:
        for one in found:
            if not one.in_prompt:
                silent.setdefault(one.label, []).append(name)
    together: dict[tuple[str, ...], list[str]] = {}
    for label, names in silent.items():
        together.setdefault(tuple(names), []).append(label)
    return notes + [_silence(names, labels) for names, labels in together.items()]


def _silence(names: Sequence[str], labels: Sequence[str]) -> str:
    """A note about classes that the prompts of some scenes do not speak of."""
    where = names[0] if len(names) == 1 else f"{len(names)} scenes, the first is {names[0]}"
    shown = ", ".join(repr(label) for label in labels[:NAMED])
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return f"{where}: the prompt does not speak of {shown}{more}; looked for all the same"


def _class_of(one: Instance, classes: Sequence[str]) -> str | None:
    """Which of the classes an instance is of, or None."""
    vocabulary = _vocabulary(tuple(classes))
    if one.category is not None:
        return named_class(one.category, vocabulary) if one.category in vocabulary else None
    return named_class(one.phrase, vocabulary)


def _same(label: str, groups: dict[str, list[str]]) -> str:
    """The label among `groups` that is the same name, else `label`."""
    return next((known for known in groups if fold(known) == fold(label)), label)


@lru_cache(maxsize=64)
def _vocabulary(classes: tuple[str, ...]) -> Vocabulary:
    """The classes as a vocabulary, with the synonyms that our lists know; names win over synonyms."""
    entries = tuple(
        VocabClass(name=name, id=k, synonyms=_synonyms(name)) for k, name in enumerate(classes, 1)
    )
    return Vocabulary(name="wanted", classes=entries)


@lru_cache(maxsize=1024)
def _synonyms(name: str) -> tuple[str, ...]:
    """Other names for the same thing, of all lists."""
    found: list[str] = []
    for vocabulary in (Vocabulary.load(one) for one in KNOWN):
        if name in vocabulary and (entry := vocabulary.find(name)) != vocabulary.background:
            found += [entry.name, *entry.synonyms]
    return tuple(dict.fromkeys(found))
