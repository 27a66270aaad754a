"""Seen and unseen classes: the three splits of the VOC names that open-vocabulary grounding is measured on.

Fifteen names are trained on, five are not; a name that is in neither part belongs to the long tail. Source:
Li et al., Open-vocabulary Object Segmentation with Diffusion Models, ICCV 2023, files
``VOC/class_split{1,2,3}.csv``. Their order of the twenty names is their own (car, dog, sofa and train come
last), so the splits differ from those of other papers on VOC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from scenewright.errors import InputError
from scenewright.scene.files import parse_json
from scenewright.scene.vocabulary import fold

SEEN: Final = "seen"
UNSEEN: Final = "unseen"
LONG_TAIL: Final = "long tail"
PARTS: Final = (SEEN, UNSEEN, LONG_TAIL)
"""Parts that the classes of a vocabulary fall into."""


@dataclass(frozen=True)
class ClassSplit:
    """A split: its number, the names that are trained on and those that are not, in the files' order.

    The published ones have the numbers 1 to 3, 15 names and 5; 0 is one of the user's own. Raises InputError
    for a name that stands in it twice, and for a split without seen names.
    """

    number: int
    seen: tuple[str, ...]
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [fold(name) for name in self.classes]
        if twice := [name for k, name in enumerate(self.classes) if fold(name) in names[:k]]:
            raise InputError(f"the class split names {twice[0]!r} twice")
        if not self.seen:
            raise InputError("the class split has no seen classes")

    @property
    def classes(self) -> tuple[str, ...]:
        """All of them, twenty in the published ones, the seen ones first."""
        return (*self.seen, *self.unseen)

    def part(self, name: str) -> str:
        """ "seen", "unseen" or "long tail"; case, spaces and hyphens of `name` do not matter."""
        if fold(name) in map(fold, self.seen):
            return SEEN
        return UNSEEN if fold(name) in map(fold, self.unseen) else LONG_TAIL

    def only(self, names: Sequence[str], part: str) -> tuple[str, ...]:
        """Those of `names` that are of one part, in their order."""
        return tuple(name for name in names if self.part(name) == part)


@cache
def class_splits() -> dict[int, ClassSplit]:
    """The three splits by number."""
    file = resources.files("scenewright.evaluate") / "sets" / "voc-splits.json"
    document = parse_json(file.read_bytes(), file.name)
    return {
        int(number): ClassSplit(int(number), tuple(one["seen"]), tuple(one["unseen"]))
        for number, one in document["splits"].items()
    }


def class_split(number: int) -> ClassSplit:
    """One of them. Raises InputError for another number than 1, 2, 3."""
    if number not in class_splits():
        raise InputError(f"there is no class split {number!r}", "the splits are 1, 2 and 3")
    return class_splits()[number]
