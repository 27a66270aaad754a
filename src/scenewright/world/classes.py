"""What the toybox is made of: thing classes, stuff, settings, and the words for them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from scenewright.world.palette import RGB


class ThingClass(NamedTuple):
    """One kind of toy.

    name    class name (VOC's spelling where VOC has the class).
    words   how captions call it; the first is the usual one.
    habit   "ground", "air" (may fly), "water" (may swim).
    alive   animals and people sit and stand, things just are.
    """

    name: str
    words: tuple[str, ...]
    habit: str = "ground"
    alive: bool = False


THINGS: Final[tuple[ThingClass, ...]] = (
    ThingClass("aeroplane", ("aeroplane", "airplane", "plane"), "air"),
    ThingClass("bicycle", ("bicycle", "bike")),
    ThingClass("bird", ("bird",), "air", True),
    ThingClass("boat", ("boat", "ship"), "water"),
    ThingClass("bottle", ("bottle",)),
    ThingClass("bus", ("bus",)),
    ThingClass("car", ("car",)),
    ThingClass("cat", ("cat", "kitten"), alive=True),
    ThingClass("chair", ("chair",)),
    ThingClass("cow", ("cow",), alive=True),
    ThingClass("diningtable", ("dining table", "table", "diningtable")),
    ThingClass("dog", ("dog", "puppy"), alive=True),
    ThingClass("horse", ("horse",), alive=True),
    ThingClass("motorbike", ("motorbike", "motorcycle")),
    ThingClass("person", ("person", "human"), alive=True),
    ThingClass("pottedplant", ("potted plant", "pottedplant", "plant")),
    ThingClass("sheep", ("sheep",), alive=True),
    ThingClass("sofa", ("sofa", "couch")),
    ThingClass("train", ("train",)),
    ThingClass("tvmonitor", ("tv monitor", "tv", "tvmonitor", "monitor")),
    ThingClass("basketball", ("basketball", "ball")),
    ThingClass("mug", ("mug", "cup")),
    ThingClass("monkey", ("monkey",), alive=True),
    ThingClass("banana", ("banana",)),
    ThingClass("eagle", ("eagle",), "air", True),
    ThingClass("truck", ("truck", "lorry")),
    ThingClass("air balloon", ("air balloon", "hot air balloon"), "air"),
    ThingClass("house", ("house",)),
    ThingClass("tree", ("tree",)),
    ThingClass("fish", ("fish",), "water", True),
    ThingClass("umbrella", ("umbrella",)),
    ThingClass("cake", ("cake",)),
    ThingClass("robin", ("robin",), "ground", True),
    ThingClass("duck", ("duck",), "water", True),
    ThingClass("star", ("star",), "air"),
    ThingClass("lamp", ("lamp",)),
    ThingClass("flower", ("flower",)),
    ThingClass("hat", ("hat",)),
)
"""All toys; a toy's semantic id is its place in this list plus one."""

BY_NAME: Final[dict[str, ThingClass]] = {thing.name: thing for thing in THINGS}

STUFF: Final[dict[str, RGB]] = {
    "sky": (112, 176, 224),
    "grass": (96, 172, 84),
    "sea": (40, 112, 172),
    "sand": (226, 200, 140),
    "snow": (228, 238, 248),
    "mountain": (140, 150, 172),
    "wall": (200, 176, 168),
    "floor": (164, 124, 92),
    "cabinet": (120, 92, 120),
    "road": (104, 104, 112),
    "sidewalk": (184, 180, 172),
    "building": (152, 108, 96),
}
"""Stuff name -> colour in pictures of label maps; ids follow those of the things."""

SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "grass": ("on the grass", "in a field", "on a field", "on green grass"),
    "beach": ("on the beach", "on the sand", "on a sandy beach"),
    "sea": ("on the sea", "on the water", "on a river"),
    "snow": ("in the snow", "on the snow"),
    "kitchen": ("in a kitchen", "in the kitchen"),
    "room": ("in a room", "in a living room"),
    "road": ("on the road", "on a street", "in the street"),
    "sky": ("in the sky", "in the blue sky"),
}
"""Setting name -> how captions say it."""

INDOORS: Final = ("kitchen", "room")
"""Settings without a sky."""

EMPTY: Final[dict[str, str]] = {
    "grass": "a green field",
    "beach": "a beach",
    "sea": "the sea",
    "snow": "a snowy field",
    "kitchen": "a kitchen",
    "room": "a room",
    "road": "a street",
    "sky": "the sky",
}
"""Setting name -> how captions call a picture without toys."""

_STUFF_SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "sea": ("water", "river"),
    "sand": ("beach",),
    "grass": ("field", "meadow"),
    "cabinet": ("counter",),
    "road": ("street",),
    "sidewalk": ("pavement",),
    "building": ("buildings",),
}


def semantic_ids() -> dict[str, int]:
    """Class name -> id in `Drawn.semantic`: things from 1, then stuff."""
    names = [thing.name for thing in THINGS] + list(STUFF)
    return {name: k + 1 for k, name in enumerate(names)}


def label_colour(position: int) -> RGB:
    """A distinct colour for the thing at `position`, by the bit pattern of VOC's label pictures."""
    red = green = blue = 0
    number = position + 1
    for bit in range(8):
        red |= (number & 1) << (7 - bit)
        green |= (number >> 1 & 1) << (7 - bit)
        blue |= (number >> 2 & 1) << (7 - bit)
        number >>= 3
    return red, green, blue


def vocabulary_document() -> dict[str, Any]:
    """The vocabulary "toybox" in the form of ``scene/vocabularies/*.json``."""
    ids = semantic_ids()
    classes: list[dict[str, Any]] = []
    for k, thing in enumerate(THINGS):
        entry: dict[str, Any] = {"id": ids[thing.name], "name": thing.name}
        if synonyms := [word for word in thing.words if word != thing.name]:
            entry["synonyms"] = synonyms
        classes.append(entry | {"colour": list(label_colour(k))})
    for name, colour in STUFF.items():
        entry = {"id": ids[name], "name": name}
        if name in _STUFF_SYNONYMS:
            entry["synonyms"] = list(_STUFF_SYNONYMS[name])
        classes.append(entry | {"colour": list(colour), "thing": False})
    return {
        "name": "toybox",
        "title": f"Toybox, {len(THINGS)} things and {len(STUFF)} kinds of stuff",
        "source": "the drawn world of this package; things 1 to 20 are those of PASCAL VOC",
        "background": {"id": 0, "name": "background", "colour": [0, 0, 0]},
        "ignore": 255,
        "classes": classes,
    }
