"""Which classes a segmenter has seen: the splits of PASCAL VOC's 20 classes into 15 seen and 5 unseen ones.

The splits are those of Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023, in
their order and spelling (``sets/voc-splits.json``). A class that is in neither part belongs to the long tail.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

from scenewright.errors import InputError, nearest
from scenewright.scene.vocabulary import fold

SPLITS: Final = ("voc-1", "voc-2", "voc-3")
"""Ids of the published splits."""

SEEN: Final = "seen"
UNSEEN: Final = "unseen"
LONG_TAIL: Final = "long tail"
PARTS: Final = (SEEN, UNSEEN, LONG_TAIL)
"""Parts that the classes of a vocabulary fall into."""


@dataclass(frozen=True)
class ClassSplit:
    """Classes to train on (`seen`) and classes to be tested on (`unseen`), by name, without repetition.

    Raises InputError for a class that is in both or twice in one, and for a split without seen classes.
    """

    id: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [fold(name) for name in (*self.seen, *self.unseen)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"the split {self.id!r} names {twice[0]!r} twice")
        if not self.seen:
            raise InputError(f"the split {self.id!r} has no seen classes")

    @property
    def classes(self) -> tuple[str, ...]:
        """All of them, the seen ones first."""
        return (*self.seen, *self.unseen)

    def part(self, name: str) -> str:
        """ "seen", "unseen" or "long tail"; case, spaces and hyphens of `name` do not matter."""
        for part, names in ((SEEN, self.seen), (UNSEEN, self.unseen)):
            if fold(name) in map(fold, names):
                return part
        return LONG_TAIL

    def only(self, names: Sequence[str], part: str) -> tuple[str, ...]:
        """Those of `names` that are of one part, in their order."""
        return tuple(name for name in names if self.part(name) == part)


def class_split(id: str) -> ClassSplit:
    """The published split of that id, "voc-1" to "voc-3" (or "1" to "3").

    Raises InputError with the nearest id.
    """
    wanted = f"voc-{id}" if id.isdigit() else id.strip().lower()
    found = _published()
    if wanted not in found:
        close = nearest(wanted, found)
        hint = f"did you mean {close!r}?" if close else f"there are {', '.join(found)}"
        raise InputError(f"there is no class split {id!r}", hint)
    return found[wanted]


@lru_cache(maxsize=1)
def _published() -> dict[str, ClassSplit]:
    text = (resources.files("scenewright.evaluate") / "sets" / "voc-splits.json").read_text(encoding="utf-8")
    return {
        one["id"]: ClassSplit(one["id"], tuple(one["seen"]), tuple(one["unseen"]))
        for one in json.loads(text)["splits"]
    }
