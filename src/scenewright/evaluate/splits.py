"""Seen and unseen classes: the three splits of the VOC names that open-vocabulary grounding is measured on.

Fifteen names are trained on, five are not. Source: Li et al., Open-vocabulary Object Segmentation with
Diffusion Models, ICCV 2023, files ``VOC/class_split{1,2,3}.csv``. Their order of the twenty names is their
own (car, dog, sofa and train come last), so the splits differ from those of other papers on VOC.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from scenewright.errors import InputError
from scenewright.scene.files import parse_json


@dataclass(frozen=True)
class ClassSplit:
    """A split: its number, the 15 names that are trained on and the 5 that are not, in the files' order."""

    number: int
    seen: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """All twenty, the seen ones first."""
        return (*self.seen, *self.unseen)


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
