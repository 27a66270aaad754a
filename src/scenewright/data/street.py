"""Street datasets in the folders they come in: GTA, Cityscapes, BDD100K, Mapillary, ACDC, Dark Zurich.

`open_streets` finds pictures and their label files; a label file is read as train ids (0 to 18, 255 for what
does not count) whatever numbers or colours it holds. Sources: Richter et al. 2016 (GTA), Cordts et al. 2016
(Cityscapes), Yu et al. 2020 (BDD100K), Neuhold et al. 2017 (Mapillary Vistas v1.2), Sakaridis et al. 2021
(ACDC) and 2019 (Dark Zurich), Jia et al. 2024 (the generated set of DGInStyle).

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, StorageError, nearest
from scenewright.scene import Vocabulary
from scenewright.scene.io import read_image, read_labels
from scenewright.scene.label_maps import from_colours, outputs
from scenewright.scene.label_space import LabelSpace
from scenewright.scene.street_ids import UNCOUNTED, train_ids

TRAIN_END = "_labelTrainIds.png"
"""How label files of train ids end."""

VOCABULARY = "cityscapes"


@dataclass(frozen=True, kw_only=True)
class StreetLayout:
    """How a dataset lies on disk.

    images, labels  folders below the root; {split} stands for the part
    pictures        endings of picture files after the stem
    maps            (ending of a label file, what it holds) in the order in which they are preferred: "train",
                    "city", "mapillary" numbers, "colour", or "generated" (train ids in which 19 is ignored
                    too, as the published generator writes)
    splits          names of the parts, the one to measure on first; empty: there are none
    mixed           the part's name stands somewhere below, as in gt/fog/val/
    """

    name: str
    title: str
    images: str
    labels: str
    pictures: tuple[str, ...]
    maps: tuple[tuple[str, str], ...]
    splits: tuple[str, ...] = ()
    mixed: bool = False


_TRAIN_OR = (TRAIN_END, "train")
_ANON = ("_rgb_anon.png", "_rgb_anon.jpg")
_GT = (("_gt_labelTrainIds.png", "train"), ("_gt_labelIds.png", "city"), ("_gt_labelColor.png", "colour"))

LAYOUTS: dict[str, StreetLayout] = {
    one.name: one
    for one in (
        StreetLayout(
            name="cityscapes", title="Cityscapes", images="leftImg8bit/{split}", labels="gtFine/{split}",
            pictures=("_leftImg8bit.png",), splits=("val", "train", "test"),
            maps=(
                ("_gtFine_labelTrainIds.png", "train"), ("_gtFine_labelIds.png", "city"),
                ("_gtFine_color.png", "colour"),
            ),
        ),
        StreetLayout(
            name="bdd100k", title="BDD100K", images="images/10k/{split}",
            labels="labels/sem_seg/masks/{split}", pictures=(".jpg", ".png"), splits=("val", "train"),
            maps=((".png", "train"),),
        ),
        StreetLayout(
            name="mapillary", title="Mapillary Vistas v1.2", images="{split}/images", labels="{split}/labels",
            pictures=(".jpg", ".png"), splits=("validation", "training"),
            maps=(_TRAIN_OR, (".png", "mapillary")),
        ),
        StreetLayout(
            name="dark-zurich", title="Dark Zurich", images="rgb_anon", labels="gt", pictures=_ANON,
            splits=("val", "test"), maps=_GT, mixed=True,
        ),
        StreetLayout(
            name="acdc", title="ACDC", images="rgb_anon", labels="gt", pictures=_ANON,
            splits=("val", "train", "test"), maps=_GT, mixed=True,
        ),
        StreetLayout(
            name="gta", title="GTA", images="images", labels="labels", pictures=(".png", ".jpg"),
            maps=(_TRAIN_OR, (".png", "city")),
        ),
        StreetLayout(
            name="generated", title="generated pictures, the published archive", images="images",
            labels="labels", pictures=(".png", ".jpg"), maps=((TRAIN_END, "generated"),),
        ),
        StreetLayout(
            name="maps", title="label maps without pictures", images=".", labels=".", pictures=(),
            maps=((TRAIN_END, "generated"),),
        ),
    )
}  # fmt: skip
"""All layouts by name."""


@dataclass(frozen=True)
class Street:
    """One picture with its label file; `stem` is unique in the set, `image` None where there is no picture,
    `ids` what the label file holds."""

    stem: str
    label: Path
    ids: str
    image: Path | None = None


@dataclass(frozen=True)
class StreetSet:
    """The pictures of a folder, sorted by stem."""

    root: Path
    layout: StreetLayout
    streets: tuple[Street, ...]
    split: str = ""

    def __len__(self) -> int:
        return len(self.streets)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name

    def first(self, count: int) -> StreetSet:
        """The first `count` of them, all if 0. Raises InputError if there are fewer."""
        if not 0 <= count <= len(self):
            raise InputError(f"{count} pictures of {self.root} were asked for, it has {len(self)}")
        return replace(self, streets=self.streets[: count or len(self)])

    def labels(self, index: int) -> NDArray[np.uint8]:
        """Train ids [H, W]. Raises as `read_street_labels` does."""
        one = self.streets[index]
        return read_street_labels(one.label, one.ids)

    def image(self, index: int) -> NDArray[np.uint8]:
        """The picture [H, W, 3]. Raises StorageError if there is none."""
        one = self.streets[index]
        if one.image is None:
            raise StorageError(
                f"{one.label} has no picture in {self.root / self.layout.images.format(split=self.split)}",
                f"it would be called {one.stem}{(self.layout.pictures or ('.png',))[0]}",
            )
        return read_image(one.image)

    def item(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Picture [H, W, 3] and train ids [H, W]; InputError when they are of different sizes."""
        image_HW3, labels_HW = self.image(index), self.labels(index)
        check_sizes(image_HW3.shape[:2], labels_HW.shape, self.streets[index])
        return image_HW3, labels_HW


def check_sizes(image_hw: tuple[int, ...], labels_hw: tuple[int, ...], street: Street) -> None:
    """Raises InputError unless a picture and its label map have one size."""
    if tuple(image_hw) != tuple(labels_hw):
        raise InputError(
            f"{street.image} has {image_hw[1]} x {image_hw[0]} pixels, its labels {street.label.name} "
            f"{labels_hw[1]} x {labels_hw[0]}",
            "GTA's 15188 and 17705 are published so; `scenewright dataset import` leaves such pairs out",
        )


def open_streets(root: Path, layout: str = "auto", split: str = "") -> StreetSet:
    """The labelled pictures below `root`.

    layout  name in `LAYOUTS`; "auto" goes by the folders that are there
    split   part of the dataset; "" the layout's first one that is there ("val" before "train")

    Raises StorageError (no such folder), InputError (unknown layout or split, no label files).
    """
    if not root.is_dir():
        names = [one.name for one in root.parent.iterdir() if one.is_dir()] if root.parent.is_dir() else []
        close = nearest(root.name, names)
        raise StorageError(
            f"there is no folder {root}", f"did you mean {root.parent / close}?" if close else ""
        )
    found = LAYOUTS[detect_layout(root) if layout == "auto" else _known(layout)]
    if split and split not in found.splits:
        parts = ", ".join(found.splits) or "none: leave the split out"
        raise InputError(f"{found.title} has no part {split!r}", f"its parts are {parts}")
    tried = [split] if split else [*found.splits] or [""]
    for part in tried:
        if streets := tuple(_streets(root, found, part)):
            return StreetSet(root, found, streets, part)
    raise InputError(
        f"{root} has no label files of {found.title}" + (f", {' or '.join(tried)}" if tried != [""] else ""),
        f"expected {found.labels.format(split=tried[0])}/…{found.maps[0][0]}",
    )


def detect_layout(root: Path) -> str:
    """The name of the layout of a folder, by the folders in it. Raises InputError if it is none of ours."""
    if (root / "leftImg8bit").is_dir() or (root / "gtFine").is_dir():
        return "cityscapes"
    if (root / "labels" / "sem_seg").is_dir():
        return "bdd100k"
    if any((root / part / "labels").is_dir() for part in LAYOUTS["mapillary"].splits):
        return "mapillary"
    if (root / "gt").is_dir():
        nights = (root / "gt" / "val" / "night").is_dir() or "zurich" in root.resolve().name.lower()
        return "dark-zurich" if nights else "acdc"
    if (root / "labels").is_dir():
        plain = (one.name for one in (root / "labels").glob("*.png") if not one.name.endswith(TRAIN_END))
        return "gta" if next(plain, None) else "generated"
    if next(root.glob(f"*{TRAIN_END}"), None):
        return "maps"
    raise InputError(
        f"{root} is none of the layouts of street datasets that are known",
        f"they are {', '.join(LAYOUTS)}; is it the folder above, or below?",
    )


def read_street_labels(path: Path, ids: str) -> NDArray[np.uint8]:
    """A label file as train ids [H, W]; `ids` is what it holds, see `StreetLayout.maps`.

    Raises StorageError (missing, cut off), InputError (no label picture, a number that is no id).
    """
    if ids == "colour":
        return from_colours(read_image(path), Vocabulary.load(VOCABULARY)).astype(np.uint8)
    labels_HW = read_labels(path)
    if ids in ("city", "mapillary"):
        return train_ids(labels_HW, ids, str(path))
    space = LabelSpace.of(VOCABULARY)
    if ids == "generated":
        labels_HW = np.where(labels_HW == len(space), np.uint16(UNCOUNTED), labels_HW)
    outputs(labels_HW, space, str(path))
    return np.minimum(labels_HW, UNCOUNTED).astype(np.uint8)


def map_stem(path: Path) -> str:
    """The stem of a label file of any layout: its name without what says that it is one."""
    ends = sorted({end for one in LAYOUTS.values() for end, _ in one.maps}, key=len, reverse=True)
    return next((path.name.removesuffix(end) for end in ends if path.name.endswith(end)), path.stem)


def _streets(root: Path, layout: StreetLayout, split: str) -> Iterator[Street]:
    """Label files with their pictures; of several files of one stem the preferred one."""
    images, labels = (root / folder.format(split=split) for folder in (layout.images, layout.labels))
    if not labels.is_dir():
        return
    best: dict[Path, tuple[Path, str]] = {}
    files = sorted(labels.glob("*.png") if layout.name == "maps" else labels.rglob("*.png"))
    for end, ids in reversed(layout.maps):
        for path in files:
            place = path.relative_to(labels)
            if not path.name.endswith(end) or _is_other(path.name, end, layout):
                continue
            if not layout.mixed or split in place.parts[:-1]:
                best[place.with_name(path.name.removesuffix(end))] = (path, ids)
    for place, (path, ids) in sorted(best.items()):
        named = (images / place.with_name(place.name + end) for end in layout.pictures)
        yield Street(place.name, path, ids, next((one for one in named if one.is_file()), None))


def _is_other(name: str, end: str, layout: StreetLayout) -> bool:
    """Whether a file that ends in `end` is of a longer ending, or none of the published numbers."""
    if name.startswith("."):
        return True
    longer = [other for other, _ in layout.maps if other != end and other.endswith(end)]
    if any(name.endswith(other) for other in longer):
        return True
    return layout.name == "gta" and end == ".png" and not name.removesuffix(end)[-1:].isdigit()


def _known(name: str) -> str:
    if name not in LAYOUTS:
        close = nearest(name, LAYOUTS)
        hint = f"did you mean {close}?" if close else f"known are auto, {', '.join(LAYOUTS)}"
        raise InputError(f"unknown layout {name!r}", hint)
    return name
