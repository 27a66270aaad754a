"""Segmentation datasets in the folders they are downloaded in: VOC, Pascal-Context, ADE20K, COCO-Stuff.

`open_label_set` finds pictures and their label files, `LabelSet.item` reads one pair; labels are ids of the
dataset's vocabulary (see `label_codecs`). Files prepared by other projects are found in their usual places,
too. Folders of Records are sets as well: `open_record_set`.

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.data.coco_maps import MappedPicture, annotation_files, read_coco_maps
from scenewright.data.label_codecs import read_label_file
from scenewright.data.label_layouts import LAYOUTS, LabelLayout
from scenewright.data.record_files import record_files
from scenewright.errors import InputError, StorageError, nearest
from scenewright.scene import IGNORE, Record
from scenewright.scene.files import read_bytes
from scenewright.scene.io import read_image
from scenewright.scene.label_space import LabelSpace, class_map

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint16]

PICTURES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".bmp", ".tif", ".webp")


@dataclass(frozen=True)
class LabelSet:
    """Pictures with label files, in the order of the dataset's list, else by name.

    root        folder of the dataset
    vocabulary  what the labels are ids of
    split       "train", "val", or "" of a set without parts
    layout      words about where the files were found
    names       one per picture, without ending; unique
    """

    root: Path
    vocabulary: str
    split: str
    layout: str
    names: tuple[str, ...]
    images: tuple[Path, ...]
    maps: tuple[Path, ...]
    codec: str

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int) -> LabelSet:
        """The first `count` pictures, all if 0. Raises InputError if there are fewer."""
        if not 0 <= count <= len(self):
            raise InputError(f"{count} pictures of {self.root} were asked for, it has {len(self)}")
        some = count or len(self)
        return replace(self, names=self.names[:some], images=self.images[:some], maps=self.maps[:some])

    def image(self, index: int) -> Picture:
        """The picture [H, W, 3]. Raises StorageError or InputError."""
        return read_image(self.images[index])

    def labels(self, index: int) -> Labels:
        """Ids of the vocabulary [H, W], `IGNORE` where nothing counts. Raises StorageError or InputError."""
        path = self.maps[index]
        if self.codec == "records":
            space = LabelSpace.of(self.vocabulary)
            return _record_labels(path, space)
        return read_label_file(path, self.codec, self.vocabulary)

    def item(self, index: int) -> tuple[Picture, Labels]:
        """Picture and labels; InputError when they are of different sizes."""
        image_HW3, labels_HW = self.image(index), self.labels(index)
        check_pair(image_HW3, labels_HW, str(self.images[index]), str(self.maps[index]))
        return image_HW3, labels_HW


@dataclass(frozen=True)
class CocoSet(LabelSet):
    """COCO-Stuff from its annotation files in JSON: the label maps are drawn when they are needed."""

    def labels(self, index: int) -> Labels:
        """As `LabelSet.labels`."""
        return _coco_pictures(self.maps)[self.names[index]].labels()


@lru_cache(maxsize=2)
def _coco_pictures(files: tuple[Path, ...]) -> dict[str, MappedPicture]:
    """The annotated pictures of JSON files by stem, sorted."""
    return {Path(one.name).stem: one for one in read_coco_maps(files)}


def check_pair(image_HW3: Picture, labels_HW: Labels, image: str, labels: str) -> None:
    """Raises InputError unless a picture and its label map have one size."""
    if image_HW3.shape[:2] != labels_HW.shape:
        raise InputError(
            f"{image} has {image_HW3.shape[1]} x {image_HW3.shape[0]} pixels, its labels {labels} "
            f"{labels_HW.shape[1]} x {labels_HW.shape[0]}",
            "a picture that is stored rotated (EXIF) has labels of its upright size",
        )


def open_label_set(root: Path, vocabulary: str, split: str = "val") -> LabelSet:
    """The labelled pictures of a dataset below `root`.

    vocabulary  "voc", "pascal-context", "pascal-context-459", "ade20k", "ade20k-full", "coco-stuff"; any
                other for a folder of Records whose labels or masks are of it, or with pictures and labels in
                ``images`` and ``labels``
    split       "train" or "val"; "" for the whole of a folder without parts

    Raises StorageError (no such folder), InputError (no label files found, naming where they were looked
    for).
    """
    if not root.is_dir():
        names = [one.name for one in root.parent.iterdir()] if root.parent.is_dir() else []
        close = nearest(root.name, names)
        hint = f"did you mean {root.parent / close}?" if close else ""
        raise StorageError(f"there is no folder {root}", hint)
    tried = []
    for layout in LAYOUTS.get(vocabulary, ()):
        for part in layout.parts(split):
            if found := _found(root, layout, vocabulary, split, part):
                return found
            tried.append(layout.words_of(part))
    for find in (_plain, _coco_json, open_record_set):
        if found := find(root, vocabulary, split):
            return found
    places = "; ".join(dict.fromkeys(tried)) or "images/ and labels/, or Records"
    raise InputError(
        f"{root} has no label files of {vocabulary!r}" + (f", part {split!r}" if split else ""),
        f"looked for {places}; is it the folder above, or below?",
    )


def open_record_set(root: Path, vocabulary: str, split: str = "") -> LabelSet | None:
    """The Records of a folder as a set, with the maps that `class_map` finds; None if it holds none."""
    try:
        paths = record_files([root])
    except InputError:
        return None
    names = tuple(path.relative_to(root).with_suffix("").as_posix() for path in paths)
    return LabelSet(root, vocabulary, split, "Records", names, paths, paths, "records")


def _record_labels(path: Path, space: LabelSpace) -> Labels:
    try:
        outputs_HW = class_map(Record.load(path), space)
    except InputError as fault:
        raise InputError(f"{path}: {fault.message}", fault.hint) from fault
    table = np.full(IGNORE + 1, IGNORE, np.uint16)
    table[: len(space.ids)] = space.ids
    return table[outputs_HW]


def _found(root: Path, layout: LabelLayout, vocabulary: str, split: str, part: str) -> LabelSet | None:
    """The pictures of a layout, or None where it is not there."""
    labels = root / layout.labels.format(split=part)
    images = root / layout.images.format(split=part)
    if not labels.is_dir() or not images.is_dir():
        return None
    listed = _listed(root, layout, part)
    if layout.lists and split and listed is None:
        return None
    pairs = _pairs(labels, images, layout, listed)
    rows = [(name, image, one) for name, one, image in pairs if image is not None]
    if not rows:
        return None
    names, pictures, maps = zip(*rows, strict=True)
    return LabelSet(root, vocabulary, split, layout.title, names, pictures, maps, layout.codec)


def _listed(root: Path, layout: LabelLayout, part: str) -> list[str] | None:
    """The stems of the layout's list of a part; None where it has none."""
    for place in layout.lists:
        path = root / place.format(split=part)
        if path.is_file():
            lines = read_bytes(path).decode("utf-8", "replace").split("\n")
            return [Path(line.split()[0]).stem for line in lines if line.strip()]
    return None


def _pairs(
    labels: Path, images: Path, layout: LabelLayout, listed: Sequence[str] | None
) -> Iterator[tuple[str, Path, Path | None]]:
    """Name, label file and picture; a picture has the same place below its folder."""
    if listed is not None and not layout.deep:
        files = [labels / f"{stem}{layout.ending}" for stem in listed]
        files = [path for path in files if path.is_file()]
    else:
        every = labels.rglob(f"*{layout.ending}") if layout.deep else labels.glob(f"*{layout.ending}")
        wanted = None if listed is None else set(listed)
        files = sorted(
            path
            for path in every
            if not path.name.startswith(".")
            and not (layout.without and path.name.endswith(layout.without))
            and (wanted is None or path.name.removesuffix(layout.ending) in wanted)
        )
    for path in files:
        place = path.relative_to(labels)
        stem = place.with_name(place.name.removesuffix(layout.ending))
        named = (images / stem.with_name(stem.name + end) for end in PICTURES)
        yield stem.name, path, next((one for one in named if one.is_file() and one != path), None)


def _plain(root: Path, vocabulary: str, split: str) -> LabelSet | None:
    """Pictures and label maps of the vocabulary's own ids in two folders, of a part or not."""
    for folder in ("labels", "annotations", "segmentations", "masks"):
        for part in (split, ""):
            for ending in (".png", ".tif"):
                plain = LabelLayout(
                    title=f"images/ and {folder}/", images=f"images/{part}", labels=f"{folder}/{part}",
                    ending=ending, codec="ids",
                )  # fmt: skip
                if found := _found(root, plain, vocabulary, split if part else "", part):
                    return found
    return None


def _coco_json(root: Path, vocabulary: str, split: str) -> LabelSet | None:
    """COCO as it is downloaded: JSON files of things and stuff."""
    if vocabulary != "coco-stuff":
        return None
    try:
        files, images = annotation_files(root)
    except StorageError:
        return None
    known = _coco_pictures(tuple(files))
    pictures = [images / one.name for one in known.values()]
    part = files[0].stem.split("_", 1)[1]
    title = f"annotations of {part} in JSON"
    return CocoSet(root, vocabulary, split, title, tuple(known), tuple(pictures), tuple(files), "json")
