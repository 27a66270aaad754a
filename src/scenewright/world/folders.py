"""Town pictures as the folders that real street datasets come in, so that their readers are used unchanged.

GTA (Richter et al. 2016): ``images/00001.png`` and ``labels/00001.png``, labels as palette PNG whose indices
are Cityscapes ids. Cityscapes (Cordts et al. 2016): ``leftImg8bit/SPLIT/CITY/STEM_leftImg8bit.png`` and
``gtFine/SPLIT/CITY/STEM_gtFine_{labelIds,labelTrainIds,instanceIds,color}.png``, STEM as CITY_000000_000019.
Letters: H, W pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from scenewright.errors import InputError
from scenewright.scene import atomic_write
from scenewright.scene.street_ids import MAPILLARY
from scenewright.world.drawn import Drawn
from scenewright.world.town_classes import IGNORE, TOWN_CLASSES, to_city_ids

FRAME = 19
"""Number of the annotated frame in each Cityscapes snippet of 30."""

COUNTED = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Classes whose single objects Cityscapes numbers in its instance files."""


def write_gta(pictures: Iterable[Drawn], folder: Path, *, first: int = 1) -> list[Path]:
    """Write town pictures in the GTA layout, numbered from `first`.

    Returns the picture paths. Raises InputError for pictures that are not of the town, StorageError if a file
    cannot be written.
    """
    written = []
    for number, drawn in enumerate(pictures, first):
        _check(drawn)
        ids_HW = to_city_ids(drawn.semantic)
        written.append(atomic_write(folder / "images" / f"{number:05d}.png", _rgb(drawn.image)))
        atomic_write(folder / "labels" / f"{number:05d}.png", _palette(ids_HW))
    return written


def write_cityscapes(
    pictures: Iterable[Drawn], folder: Path, *, split: str = "train", city: str = "town"
) -> list[Path]:
    """Write town pictures in the Cityscapes layout, as consecutive sequences of one city.

    Args: split "train", "val" or "test"; city a plain name of letters and hyphens.
    Returns the picture paths. Raises InputError for other names or pictures, StorageError as above.
    """
    if split not in ("train", "val", "test"):
        raise InputError(f"unknown split {split!r}, expected train, val or test")
    if not city.replace("-", "").isalpha():
        raise InputError(f"city {city!r} given, expected letters and hyphens", "file names are split at '_'")
    written = []
    for number, drawn in enumerate(pictures):
        _check(drawn)
        stem = f"{city}_{number:06d}_{FRAME:06d}"
        written.append(
            atomic_write(folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", _rgb(drawn.image))
        )
        for kind, content in _city_labels(drawn).items():
            atomic_write(folder / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png", content)
    return written


def _check(drawn: Drawn) -> None:
    if drawn.vocabulary != "town":
        raise InputError(
            f"a picture of the {drawn.vocabulary} was given, expected one of the town",
            "only the town has the 19 street classes; save other worlds as records",
        )


def _city_labels(drawn: Drawn) -> dict[str, bytes]:
    """PNG contents of the four label files of one picture."""
    ids_HW = to_city_ids(drawn.semantic)
    return {
        "labelIds": _png(Image.fromarray(ids_HW)),
        "labelTrainIds": _png(Image.fromarray(drawn.semantic)),
        "instanceIds": _png(Image.fromarray(instance_ids(drawn))),
        "color": _rgb(_colours()[drawn.semantic]),
    }


def instance_ids(drawn: Drawn) -> np.ndarray:
    """Cityscapes instance ids [H, W] uint16: class id * 1000 + number for counted things, else class id."""
    ids_HW = to_city_ids(drawn.semantic).astype(np.uint16)
    numbers = dict.fromkeys(COUNTED, 0)
    for index, instance in enumerate(drawn.scene.instances, 1):
        name = instance.category or ""
        if name in numbers:
            seen_HW = drawn.instance_map == index
            ids_HW[seen_HW] = ids_HW[seen_HW] * 1000 + numbers[name]
            numbers[name] += 1
    return ids_HW


def _colours() -> np.ndarray:
    """Display colour of every training id [256, 3] uint8; black where nothing counts."""
    table = np.zeros((IGNORE + 1, 3), np.uint8)
    for index, item in enumerate(TOWN_CLASSES):
        table[index] = item.colour
    return table


def _palette(ids_HW: np.ndarray) -> bytes:
    """A palette PNG whose indices are Cityscapes ids."""
    table = np.zeros((256, 3), np.uint8)
    for item in TOWN_CLASSES:
        table[item.city_id] = item.colour
    picture = Image.fromarray(ids_HW)
    picture.putpalette(table.reshape(-1).tolist())
    return _png(picture)


def _rgb(image_HW3: np.ndarray) -> bytes:
    return _png(Image.fromarray(image_HW3))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def write_bdd100k(pictures: Iterable[Drawn], folder: Path, *, split: str = "val") -> list[Path]:
    """Write town pictures in the BDD100K layout (Yu et al. 2020): label files of training ids.

    Args: split "train" or "val". Returns the picture paths. Raises as `write_cityscapes` does.
    """
    _one_of(split, ("train", "val"))
    places = (folder / "images" / "10k" / split, folder / "labels" / "sem_seg" / "masks" / split)
    return [
        _pair(drawn, places[0] / f"{k:08d}.png", places[1] / f"{k:08d}.png", drawn.semantic)
        for k, drawn in enumerate(pictures)
    ]


def write_mapillary(pictures: Iterable[Drawn], folder: Path, *, split: str = "validation") -> list[Path]:
    """Write town pictures in the layout of Mapillary Vistas v1.2 (Neuhold et al. 2017), with its 66 ids.

    Args: split "training" or "validation". Returns the picture paths. Raises as `write_cityscapes` does.
    """
    _one_of(split, ("training", "validation"))
    table = np.full(256, 65, np.uint8)  # 65: unlabelled
    table[list(MAPILLARY)] = [codes[0] for codes in MAPILLARY.values()]
    written = []
    for k, drawn in enumerate(pictures):
        image, label = (folder / split / kind / f"town{k:08d}.png" for kind in ("images", "labels"))
        written.append(_pair(drawn, image, label, table[drawn.semantic]))
    return written


def write_acdc(pictures: Iterable[Drawn], folder: Path, *, split: str = "val") -> list[Path]:
    """Write town pictures in the layout of ACDC (Sakaridis et al. 2021), looks as conditions.

    Args: split "train", "val" or "test". Returns the picture paths. Raises as `write_cityscapes` does.
    """
    _one_of(split, ("train", "val", "test"))
    return _anonymous(pictures, folder, lambda look: Path(look, split))


def write_dark_zurich(pictures: Iterable[Drawn], folder: Path, *, split: str = "val") -> list[Path]:
    """Write town pictures in the layout of Dark Zurich (Sakaridis et al. 2019), its nights.

    Args: split "val" or "test". Returns the picture paths. Raises as `write_cityscapes` does.
    """
    _one_of(split, ("val", "test"))
    return _anonymous(pictures, folder, lambda look: Path(split, look))


def _anonymous(pictures: Iterable[Drawn], folder: Path, inner_of: Callable[[str], Path]) -> list[Path]:
    """Pictures and label files of training ids in the folders that `inner_of` a look names."""
    written = []
    for k, drawn in enumerate(pictures):
        inner, stem = inner_of(drawn.scene.style or "clear"), f"TOWN0001_frame_{k:06d}"
        image = folder / "rgb_anon" / inner / "TOWN0001" / f"{stem}_rgb_anon.png"
        label = folder / "gt" / inner / "TOWN0001" / f"{stem}_gt_labelTrainIds.png"
        written.append(_pair(drawn, image, label, drawn.semantic))
    return written


def _pair(drawn: Drawn, image: Path, label: Path, ids_HW: np.ndarray) -> Path:
    """Write a picture and its label file; returns the picture's path."""
    _check(drawn)
    atomic_write(label, _png(Image.fromarray(ids_HW)))
    return atomic_write(image, _rgb(drawn.image))


def _one_of(split: str, known: tuple[str, ...]) -> None:
    if split not in known:
        raise InputError(f"unknown split {split!r}, expected {' or '.join(known)}")
