"""Class lists as data: names, synonyms, ids, colours, and what is background.

The lists that ship lie in ``scene/vocabularies/*.json``; a user's own is a JSON or YAML file of the same
form, or in short::

    name: farm
    classes: [cow, barn, {name: tractor, synonyms: [traction engine], colour: [200, 30, 30]}]

`id` is the number that stands in label maps; `code` is the dataset's other number, where it has two (the
category id of COCO annotation files, the label id of Cityscapes).
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError, nearest
from scenewright.scene.files import parse_json, read_bytes

ALIASES = {
    "pascal-voc": "voc",
    "voc20": "voc",
    "coco80": "coco",
    "coco-stuff-171": "coco-stuff",
    "ade20k-150": "ade20k",
    "ade": "ade20k",
    "ade20k-847": "ade20k-full",
    "pascal-context-59": "pascal-context",
    "pc-59": "pascal-context",
    "pc-459": "pascal-context-459",
}
"""Other names under which the lists are known."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class VocabClass:
    """One class.

    name      as the dataset writes it ("tvmonitor")
    id        its number in label maps, 0..65535
    synonyms  other names for the same thing ("tv"), best for a text encoder first
    colour    red, green, blue in 0..255, for pictures of label maps
    thing     True: countable objects; False: stuff such as sky
    code      the dataset's other number, where it has one
    """

    name: str
    id: int
    synonyms: tuple[str, ...] = ()
    colour: Colour = (0, 0, 0)
    thing: bool = True
    code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Classes in the order of the dataset, with `background` (None: every pixel has a class) and the
    label that means "not labelled" (`ignore`).

    Raises InputError when it has no classes or two of them share an id.
    """

    name: str
    classes: tuple[VocabClass, ...]
    background: VocabClass | None = None
    ignore: int = 255
    title: str = ""
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.classes:
            raise InputError(f"vocabulary {self.name!r} has no classes")
        ids = [entry.id for entry in self._all()]
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise InputError(f"vocabulary {self.name!r} gives the id {twice} to two classes")

    @staticmethod
    def load(name: str) -> Vocabulary:
        """A list that ships, by name ("voc", "coco", "coco-stuff", "ade20k", "ade20k-full",
        "pascal-context", "pascal-context-459", "cityscapes", …), or the path of a .json, .yaml or .yml file.

        Raises InputError (unknown name, broken file) or StorageError (missing file).
        """
        if Path(name).suffix.lower() in (".json", ".yaml", ".yml"):
            return Vocabulary.from_json(_read(Path(name)), Path(name).stem, name)
        known = name.strip().lower().replace("_", "-").replace(" ", "-")
        return _shipped(ALIASES.get(known, known), name)

    @staticmethod
    def from_names(name: str, names: Sequence[str]) -> Vocabulary:
        """A vocabulary of bare names, ids from 1, background 0."""
        return Vocabulary.from_json({"name": name, "classes": list(names)}, name, name)

    @staticmethod
    def from_json(value: Any, name: str, where: str) -> Vocabulary:
        """From parsed JSON or YAML; `name` is used when it has none, `where` in messages.

        Raises InputError naming the entry that is wrong.
        """
        if isinstance(value, list):
            value = {"classes": value}
        if not isinstance(value, dict):
            raise InputError(f"{where}: a list of classes was expected, not {type(value).__name__}")
        _refuse_unknown(value, ("name", "title", "source", "background", "ignore", "classes"), where)
        entries = value.get("classes")
        if not isinstance(entries, list) or not entries:
            raise InputError(f"{where}: 'classes' must be a list of names or of objects with a name")
        classes = tuple(_class(entry, k, f"{where}: classes[{k}]") for k, entry in enumerate(entries))
        return Vocabulary(
            name=str(value.get("name", name)),
            title=str(value.get("title", "")),
            source=str(value.get("source", "")),
            classes=classes,
            background=_background(value, classes, where),
            ignore=_integer(value.get("ignore", 255), f"{where}: ignore"),
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, as `from_json` reads it."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "background": None if self.background is None else _class_json(self.background),
            "ignore": self.ignore,
            "classes": [_class_json(entry) for entry in self.classes],
        }

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[VocabClass]:
        return iter(self.classes)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and fold(name) in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """The class names in order."""
        return tuple(entry.name for entry in self.classes)

    def find(self, name: str) -> VocabClass:
        """The class of that name or synonym; case, spaces, hyphens and underscores do not matter.

        Raises InputError with the nearest name.
        """
        found = self._by_name.get(fold(name))
        if found is None:
            close = nearest(fold(name), self._by_name)
            hint = f"Did you mean {self._by_name[close].name!r}?" if close else _listing(self.names)
            raise InputError(f"{name!r} is no class of the vocabulary {self.name!r}", hint)
        return found

    def by_id(self, id: int) -> VocabClass:
        """The class (or background) with that number in label maps. Raises InputError."""
        found = self._by_id.get(id)
        if found is None:
            raise InputError(f"the vocabulary {self.name!r} has no class with id {id}")
        return found

    def index(self, name: str) -> int:
        """Position 0..N-1 of a class among the classes, by name or synonym. Raises InputError."""
        return self.classes.index(self.find(name))

    def colours(
        self, labels_HW: npt.NDArray[np.integer[Any]], ignored: Colour = (255, 255, 255)
    ) -> npt.NDArray[np.uint8]:
        """Label map HW of ids -> picture HW3; labels that no class has (and `ignore`) become `ignored`."""
        table = np.full((65536, 3), ignored, np.uint8)
        for entry in self._all():
            table[entry.id] = entry.colour
        return table[np.asarray(labels_HW).astype(np.uint16)]

    def _all(self) -> tuple[VocabClass, ...]:
        return self.classes if self.background is None else (self.background, *self.classes)

    @cached_property
    def _by_id(self) -> Mapping[int, VocabClass]:
        return {entry.id: entry for entry in self._all()}

    @cached_property
    def _by_name(self) -> Mapping[str, VocabClass]:
        """Folded name or synonym -> class; a name wins over a synonym, an earlier class over a later one."""
        found: dict[str, VocabClass] = {}
        for entry in self._all():
            found.setdefault(fold(entry.name), entry)
        for entry in self._all():
            for synonym in entry.synonyms:
                found.setdefault(fold(synonym), entry)
        return found


def fold(name: str) -> str:
    """What names are compared by: letters and digits only, lower case ("Potted-plant" -> "pottedplant")."""
    return re.sub(r"[^\w]|_", "", name.casefold())


def available() -> tuple[str, ...]:
    """Names of the vocabularies that ship."""
    folder = resources.files("scenewright.scene") / "vocabularies"
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


def default_colour(position: int) -> Colour:
    """A colour for a class whose vocabulary names none: hue, strength and brightness from a low-discrepancy
    sequence, so that neighbours differ and the first thousand are all different."""
    hue = (0.58 + position * 0.6180339887) % 1.0
    saturation = 0.45 + 0.5 * (position * 0.7548776662 % 1.0)
    value = 0.55 + 0.42 * (position * 0.5698402910 % 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


@lru_cache(maxsize=32)
def _shipped(name: str, asked: str) -> Vocabulary:
    if name not in available():
        close = nearest(name, [*available(), *ALIASES])
        hint = f"Did you mean {close!r}?" if close else _listing(available())
        raise InputError(f"there is no vocabulary {asked!r}", f"{hint} A .json or .yaml file works too.")
    content = (resources.files("scenewright.scene") / "vocabularies" / f"{name}.json").read_bytes()
    return Vocabulary.from_json(parse_json(content, f"{name}.json"), name, f"{name}.json")


def _read(path: Path) -> Any:
    content = read_bytes(path, limit=32 * 2**20)
    if path.suffix.lower() == ".json":
        return parse_json(content, str(path))
    try:
        import yaml
    except ImportError as fault:
        raise InputError(f"{path} is YAML, and PyYAML is not installed", "pip install pyyaml") from fault
    try:
        return yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise InputError(f"{path} is not YAML: {' '.join(str(fault).split())}") from fault


def _class(value: Any, position: int, where: str) -> VocabClass:
    """One entry: a bare name, or an object with at least a name."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise InputError(f"{where}: a name or an object was expected, not {value!r}")
    _refuse_unknown(value, ("name", "id", "synonyms", "colour", "color", "thing", "code"), where)
    name, synonyms = value.get("name"), value.get("synonyms", [])
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{where}: a class needs a 'name' with at least one letter")
    if not isinstance(synonyms, list) or not all(isinstance(word, str) for word in synonyms):
        raise InputError(f"{where}.synonyms: a list of names was expected")
    if not isinstance(value.get("thing", True), bool):
        raise InputError(f"{where}.thing: true or false was expected, not {value['thing']!r}")
    code = value.get("code")
    return VocabClass(
        name=name.strip(),
        id=_integer(value.get("id", position + 1), f"{where}.id"),
        synonyms=tuple(synonyms),
        colour=_colour(value.get("colour", value.get("color", default_colour(position))), f"{where}.colour"),
        thing=value.get("thing", True),
        code=None if code is None else _integer(code, f"{where}.code"),
    )


def _class_json(entry: VocabClass) -> dict[str, Any]:
    value: dict[str, Any] = {"id": entry.id, "name": entry.name, "colour": list(entry.colour)}
    if entry.synonyms:
        value["synonyms"] = list(entry.synonyms)
    if not entry.thing:
        value["thing"] = False
    if entry.code is not None:
        value["code"] = entry.code
    return value


def _background(value: Mapping[str, Any], classes: Sequence[VocabClass], where: str) -> VocabClass | None:
    """As written; when nothing is written, id 0 is background unless a class uses it."""
    if "background" not in value:
        taken = any(entry.id == 0 for entry in classes)
        return None if taken else VocabClass(name="background", id=0, thing=False)
    if value["background"] is None:
        return None
    written = value["background"]
    if isinstance(written, str):
        written = {"name": written}
    if not isinstance(written, dict):
        raise InputError(f"{where}: background: a name, an object or null was expected")
    return _class({"id": 0, "colour": [0, 0, 0], "thing": False, **written}, 0, f"{where}: background")


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise InputError(f"{where}: a whole number in 0..65535 was expected, not {value!r}")
    return value


def _colour(value: Any, where: str) -> Colour:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        value = [int(value[k : k + 2], 16) for k in (1, 3, 5)]
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise InputError(f'{where}: [red, green, blue] or "#rrggbb" was expected, not {value!r}')
    red, green, blue = (_integer(level, where) for level in value)
    if max(red, green, blue) > 255:
        raise InputError(f"{where}: levels lie in 0..255, not {value!r}")
    return red, green, blue


def _refuse_unknown(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in value:
        if key not in known:
            close = nearest(str(key), known)
            hint = f"Did you mean {close!r}?" if close else f"Known are {', '.join(known)}."
            raise InputError(f"{where}: unknown key {key!r}", hint)


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:24])
    return f"Known are {shown}{', …' if len(names) > 24 else ''}."
