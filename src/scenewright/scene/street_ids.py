"""The numbers that datasets of streets write into their label files, as train ids.

Train ids are the ids of the vocabulary "cityscapes", 0 to 18 and 255 for what does not count. GTA (Richter et
al. 2016) and Cityscapes (Cordts et al. 2016) files hold label ids 0 to 34 (licence plates, -1, as 255),
Mapillary Vistas v1.2 (Neuhold et al. 2017) 0 to 65.

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError
from scenewright.scene.vocabulary import Vocabulary

UNCOUNTED: Final = 255
"""The train id of pixels that do not count."""

MAPILLARY: Final[Mapping[int, tuple[int, ...]]] = {
    0: (13, 24, 41), 1: (2, 15), 2: (17,), 3: (6,), 4: (3,), 5: (45, 47), 6: (48,), 7: (50,), 8: (30,),
    9: (29,), 10: (27,), 11: (19,), 12: (20, 21, 22), 13: (55,), 14: (61,), 15: (54,), 16: (58,), 17: (57,),
    18: (52,),
}  # fmt: skip
"""Train id -> ids of Mapillary Vistas v1.2; the first is the class's own."""

LARGEST: Final = {"city": 34, "mapillary": 65}
"""The largest number that files of each kind hold, besides 255."""


@lru_cache(maxsize=4)
def _table(kind: str) -> npt.NDArray[np.uint8]:
    if kind == "mapillary":
        pairs = [(code, train) for train, codes in MAPILLARY.items() for code in codes]
    else:
        pairs = [(entry.code, entry.id) for entry in Vocabulary.load("cityscapes") if entry.code is not None]
    table = np.full(256, UNCOUNTED, np.uint8)
    for code, train in pairs:
        table[code] = train
    table.setflags(write=False)
    return table


def table(kind: str) -> npt.NDArray[np.uint8]:
    """Train id of every number 0 to 255 in files of a kind, "city" or "mapillary"; 255: not counted.

    Raises InputError for another kind.
    """
    if kind not in LARGEST:
        raise InputError(f"unknown kind of ids {kind!r}; expected {' or '.join(LARGEST)}")
    return _table(kind)


def train_ids(
    ids_HW: npt.NDArray[np.integer[Any]], kind: str, where: str = "the label map"
) -> npt.NDArray[np.uint8]:
    """Numbers of a label file as train ids. Raises InputError for a number that such files do not hold."""
    numbers = table(kind)
    ids_HW = np.asarray(ids_HW)
    strange_HW = ((ids_HW < 0) | (ids_HW > LARGEST[kind])) & (ids_HW != UNCOUNTED)
    if strange_HW.any():
        raise InputError(
            f"{where} holds {int(ids_HW[strange_HW][0])}, expected {kind} ids 0 to {LARGEST[kind]}",
            "is this the right layout, and a file of class ids (not of instances or colours)?",
        )
    return numbers[ids_HW.astype(np.intp)]
