"""The classes that a segmenter tells apart, and true maps of them from anything that a Record knows.

Label maps hold the ids of a vocabulary; a network has outputs 0 to K - 1. A `LabelSpace` leads from one to
the other. `class_map` finds the true map of a Record: its own label map, else the masks of its instances,
else the semantic map that it was made from.

Letters: H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError
from scenewright.scene.boxes import pixels
from scenewright.scene.record import Record
from scenewright.scene.semantic import IGNORE, SemanticMap
from scenewright.scene.vocabulary import Vocabulary

Map = npt.NDArray[np.uint16]
"""HW; outputs 0 to K - 1, or `IGNORE` where nothing is known."""


@dataclass(frozen=True)
class LabelSpace:
    """Classes in the order of a network's outputs.

    vocabulary  name (or file) of the vocabulary
    names       of the outputs; the background first, where the vocabulary has one
    ids         their numbers in label maps
    behind      further ids, of stuff, that are background here; their pixels have output 0
    """

    vocabulary: str
    names: tuple[str, ...]
    ids: tuple[int, ...]
    behind: tuple[int, ...] = ()

    @classmethod
    def of(cls, vocabulary: str, *, things: bool = False) -> LabelSpace:
        """All classes of a vocabulary; with `things`, only countable ones: stuff is background.

        Raises InputError for an unknown vocabulary, and for `things` of one without background or things.
        """
        known = load(vocabulary)
        chosen = [one for one in known if one.thing or not things]
        stuff = tuple(one.id for one in known if not one.thing) if things else ()
        if things and (known.background is None or not chosen):
            lacks = "background" if chosen else "things"
            raise InputError(
                f"the vocabulary {vocabulary!r} has no {lacks}, so its things cannot be told from the rest",
                "take all of its classes",
            )
        if known.background is not None:
            chosen.insert(0, known.background)
        return cls(vocabulary, tuple(one.name for one in chosen), tuple(one.id for one in chosen), stuff)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def background(self) -> int:
        """The output of what is none of the classes; `IGNORE` where the vocabulary has no background."""
        known = load(self.vocabulary)
        return 0 if known.background is not None and self.ids[0] == known.background.id else IGNORE

    @property
    def classes(self) -> tuple[str, ...]:
        """The names without the background."""
        return self.names[1:] if self.background == 0 else self.names

    def position(self, name: str) -> int | None:
        """The output of a class, by its name or a synonym; None for one that is not told apart."""
        known = load(self.vocabulary)
        if name not in known:
            return None
        id = known.find(name).id
        return self.ids.index(id) if id in self.ids else 0 if id in self.behind else None

    def positions(self, names: Sequence[str]) -> tuple[int, ...]:
        """The outputs of several classes. Raises InputError for one that is not told apart."""
        found = []
        for name in names:
            output = self.position(name)
            if output is None:
                load(self.vocabulary).find(name)  # names the nearest
                raise InputError(f"{name!r} is none of the classes", f"they are {', '.join(self.classes)}")
            found.append(output)
        return tuple(found)

    def outputs(self, labels_HW: npt.NDArray[np.integer[Any]]) -> Map:
        """A label map in ids as outputs; ids that are none of these become `IGNORE`."""
        table = np.full(IGNORE + 1, IGNORE, np.uint16)
        table[list(self.behind)] = 0
        table[list(self.ids)] = np.arange(len(self.ids))
        return table[np.asarray(labels_HW).astype(np.uint16)]

    def labels(self, outputs_HW: npt.NDArray[np.integer[Any]]) -> SemanticMap:
        """A map of outputs as the semantic map of the vocabulary."""
        table = np.full(IGNORE + 1, IGNORE, np.uint16)
        table[: len(self.ids)] = self.ids
        return SemanticMap.from_labels(table[np.asarray(outputs_HW).astype(np.uint16)], self.vocabulary)

    def scored(self) -> Vocabulary:
        """A vocabulary of just these classes whose ids are the outputs: what maps of outputs are scored and
        painted by."""
        known = load(self.vocabulary)
        entries = tuple(replace(known.by_id(id), id=k) for k, id in enumerate(self.ids))
        first = entries[0] if self.background == 0 else None
        rest = entries if first is None else entries[1:]
        return Vocabulary(name=known.name, classes=rest, background=first, ignore=IGNORE)


@lru_cache(maxsize=32)
def load(vocabulary: str) -> Vocabulary:
    """`Vocabulary.load`, files read once."""
    return Vocabulary.load(vocabulary)


def class_map(record: Record, space: LabelSpace) -> Map:
    """The true map of a Record's picture.

    Taken from its `labels` if they are of the space's vocabulary, else from its masks, else from the semantic
    map of its scene. Of masks: instances with a larger z lie above others, smaller ones above larger ones of
    the same z; pixels of none are background. Nothing is known (`IGNORE`) where an instance's class is not in
    the vocabulary, and, outside of all masks, in the box of an instance without a mask. Raises InputError if
    the Record has none of the three.
    """
    own, asked = record.labels, record.scene.semantic_map
    if own is not None and own.vocabulary == space.vocabulary:
        return space.outputs(own.labels())
    if record.masks:
        return _of_masks(record, space)
    if asked is not None and asked.vocabulary == space.vocabulary and asked.size_hw == record.size_hw:
        return space.outputs(asked.labels())
    raise InputError(
        f"the picture {record.scene.prompt!r} has neither masks nor labels of {space.vocabulary!r}",
        "`scenewright dataset build` and `scenewright generate --ground` write masks into their pictures",
    )


def _of_masks(record: Record, space: LabelSpace) -> Map:
    """See `class_map`."""
    height, width = record.size_hw
    found_HW: Map = np.full((height, width), space.background, np.uint16)
    for one in record.scene.instances:
        if one.id not in record.masks and one.location_box is not None:
            found_HW[pixels(one.location_box, (width, height))] = IGNORE
    masked = [one for one in record.scene.instances if one.id in record.masks]
    for one in sorted(masked, key=lambda one: (one.z, -record.masks[one.id].area_px)):
        output = space.position(one.category or one.phrase)
        found_HW[record.masks[one.id].array()] = IGNORE if output is None else output
    return found_HW
