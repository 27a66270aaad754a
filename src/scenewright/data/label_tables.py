"""Label maps of one vocabulary in the classes of another: named tables from class to class.

A class that a table does not name has no counterpart, and its pixels count for nothing.

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, nearest
from scenewright.scene import IGNORE
from scenewright.scene.label_maps import outputs
from scenewright.scene.label_space import LabelSpace, load


@dataclass(frozen=True)
class LabelTable:
    """`names` of classes of the vocabulary `source` -> names of classes of `target`."""

    name: str
    source: str
    target: str
    names: Mapping[str, str]

    def translated(self, labels_HW: NDArray[np.integer[Any]]) -> NDArray[np.uint16]:
        """A map [H, W] of the source's ids in the target's; its "ignore" where there is no counterpart.

        Raises InputError for a number that the source does not have.
        """
        source, target = load(self.source), load(self.target)
        outputs(labels_HW, LabelSpace.of(self.source))
        ids = np.full(IGNORE + 1, target.ignore, np.uint16)
        for one in source:
            if one.name in self.names:
                ids[one.id] = target.find(self.names[one.name]).id
        return ids[np.asarray(labels_HW).astype(np.uint16)]


_STREET = {
    "road": ("road",),
    "sidewalk": ("pavement",),
    "building": ("building-other", "house", "skyscraper", "roof"),
    "wall": ("wall-brick", "wall-stone", "wall-concrete"),
    "fence": ("fence", "railing"),
    "traffic light": ("traffic light",),
    "traffic sign": ("stop sign",),
    "vegetation": ("tree", "bush", "plant-other", "branch", "leaves", "flower", "moss"),
    "terrain": ("grass", "dirt", "mud", "sand", "gravel", "ground-other", "hill", "playingfield"),
    "sky": ("sky-other", "clouds"),
    "person": ("person",),
    "car": ("car",),
    "truck": ("truck",),
    "bus": ("bus",),
    "train": ("train",),
    "motorcycle": ("motorcycle",),
    "bicycle": ("bicycle",),
}
"""COCO-Stuff has no poles, and its riders are persons; walls indoors, bridges and rails are nothing here."""

_COCO = {name: street for street, names in _STREET.items() for name in names}

TABLES: Mapping[str, LabelTable] = {
    one.name: one
    for one in (
        LabelTable("coco-stuff-to-town", "coco-stuff", "town", _COCO),
        LabelTable("coco-stuff-to-cityscapes", "coco-stuff", "cityscapes", _COCO),
    )
}
"""All tables by name."""


def label_table(name: str) -> LabelTable:
    """The table called `name`; InputError with the nearest name if there is none."""
    if name not in TABLES:
        close = nearest(name, TABLES)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(TABLES)}"
        raise InputError(f"there is no table {name!r}", hint)
    return TABLES[name]
