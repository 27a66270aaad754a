"""The 19 classes of the town: one table that the drawings, the folders and the vocabulary file follow.

Order and meaning are those of the Cityscapes training ids (Cordts et al. 2016); `city_id` is the id in
`_labelIds.png` files and in the label pictures of GTA (Richter et al. 2016); 255 means "not counted".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IGNORE = 255


@dataclass(frozen=True)
class TownClass:
    """One class: its position in `TOWN_CLASSES` is its training id.

    `city_id` 0..33, `colour` display RGB 0..255, `thing` True if single objects are told apart,
    `plural` and `synonyms` are the words captions and readers may use.
    """

    name: str
    city_id: int
    colour: tuple[int, int, int]
    thing: bool
    plural: str = ""
    synonyms: tuple[str, ...] = ()


TOWN_CLASSES: tuple[TownClass, ...] = (
    TownClass("road", 7, (128, 64, 128), False, "roads", ("street", "roadway")),
    TownClass("sidewalk", 8, (244, 35, 232), False, "sidewalks", ("pavement", "footpath")),
    TownClass("building", 11, (70, 70, 70), False, "buildings", ("house", "houses", "tower", "buildings")),
    TownClass("wall", 12, (102, 102, 156), False, "walls", ("brick wall",)),
    TownClass("fence", 13, (190, 153, 153), False, "fences", ("railing",)),
    TownClass("pole", 17, (153, 153, 153), False, "poles", ("lamp post", "street lamp", "post")),
    TownClass("traffic light", 19, (250, 170, 30), True, "traffic lights", ("stoplight", "traffic signal")),
    TownClass("traffic sign", 20, (220, 220, 0), True, "traffic signs", ("road sign", "street sign", "sign")),
    TownClass("vegetation", 21, (107, 142, 35), False, "trees", ("tree", "trees", "bush", "hedge")),
    TownClass("terrain", 22, (152, 251, 152), False, "lawns", ("grass", "lawn", "verge")),
    TownClass("sky", 23, (70, 130, 180), False, "skies", ()),
    TownClass("person", 24, (220, 20, 60), True, "people", ("pedestrian", "man", "woman", "people")),
    TownClass("rider", 25, (255, 0, 0), True, "riders", ("cyclist", "motorcyclist")),
    TownClass("car", 26, (0, 0, 142), True, "cars", ("automobile", "van")),
    TownClass("truck", 27, (0, 0, 70), True, "trucks", ("lorry",)),
    TownClass("bus", 28, (0, 60, 100), True, "buses", ("coach",)),
    TownClass("train", 31, (0, 80, 100), True, "trains", ("tram", "streetcar")),
    TownClass("motorcycle", 32, (0, 0, 230), True, "motorcycles", ("motorbike", "scooter")),
    TownClass("bicycle", 33, (119, 11, 32), True, "bicycles", ("bike", "cycle")),
)

NAMES: tuple[str, ...] = tuple(item.name for item in TOWN_CLASSES)
TRAIN_ID: dict[str, int] = {item.name: index for index, item in enumerate(TOWN_CLASSES)}
THINGS: tuple[str, ...] = tuple(item.name for item in TOWN_CLASSES if item.thing)


def to_city_ids(labels_HW: np.ndarray) -> np.ndarray:
    """Training ids (0..18, 255) [H, W] -> Cityscapes / GTA ids (0..33; 255 becomes 0, "unlabeled"), uint8."""
    table = np.zeros(256, np.uint8)
    for index, item in enumerate(TOWN_CLASSES):
        table[index] = item.city_id
    return table[labels_HW]


def from_city_ids(ids_HW: np.ndarray) -> np.ndarray:
    """Cityscapes / GTA ids (0..34) [H, W] -> training ids, uint8; every other id becomes 255."""
    table = np.full(256, IGNORE, np.uint8)
    for index, item in enumerate(TOWN_CLASSES):
        table[item.city_id] = index
    return table[ids_HW]
