"""The training lists of Seg-diffusion: pictures, grey label pictures and class prompts.

Two text files name pictures and label files, one path a line, paired by their order; a JSON object says which
classes a picture shows: ``{"name.jpg": ["cat", "sofa"]}``. Validation sets are folders: the label file of
``name.any.jpg`` is ``name.png`` (the name up to its first dot). Differences from the released reader: blank
lines are left out, lists of unequal length are refused, a bare string counts as one class and is told, and
relative paths are looked for beside their list too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.label_sets import PICTURES
from scenewright.errors import InputError, StorageError
from scenewright.scene.files import read_bytes, read_json
from scenewright.scene.io import read_image, read_labels


class BareClass(UserWarning):
    """A picture's classes were written as one string and not as a list; the message says where."""


@dataclass(frozen=True)
class MaskExample:
    """A picture, its label file, and the prompts of its classes."""

    image: Path
    labels: Path
    prompts: tuple[str, ...]

    def item(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Picture [H, W, 3] and levels of grey [H, W]; of a label file in colours the first channel.

        Raises StorageError, InputError.
        """
        image_HW3 = read_image(self.image)
        try:
            levels_HW = read_labels(self.labels)
        except InputError:
            levels_HW = read_image(self.labels)[..., 0].astype(np.uint16)
        if levels_HW.shape != image_HW3.shape[:2]:
            raise InputError(
                f"{self.image} and {self.labels} have different sizes: {image_HW3.shape[1]} x "
                f"{image_HW3.shape[0]} and {levels_HW.shape[1]} x {levels_HW.shape[0]}"
            )
        return image_HW3, np.minimum(levels_HW, 255).astype(np.uint8)


def read_mask_lists(images: Path, labels: Path, texts: Path) -> tuple[MaskExample, ...]:
    """The examples of three lists.

    Raises StorageError (a list is missing), InputError (unequal lengths, none, a picture without classes).
    """
    pictures, maps = _paths(images), _paths(labels)
    if len(pictures) != len(maps):
        raise InputError(
            f"{images} names {len(pictures)} pictures, {labels} {len(maps)} label files",
            "line k of one belongs to line k of the other",
        )
    said = _said(texts)
    pairs = zip(pictures, maps, strict=True)
    return tuple(MaskExample(image, one, _classes(said, image.name, texts)) for image, one in pairs)


def read_mask_folders(images: Path, labels: Path, texts: Path) -> tuple[MaskExample, ...]:
    """The examples of a validation set, sorted by name. Raises StorageError, InputError."""
    if not images.is_dir():
        raise StorageError(f"there is no folder {images}", "task.val_img names a folder of pictures")
    said = _said(texts)
    found = sorted(path for path in images.iterdir() if path.suffix in PICTURES)
    if not found:
        raise InputError(f"{images} holds no pictures")
    return tuple(
        MaskExample(path, labels / f"{path.name.split('.')[0]}.png", _classes(said, path.name, texts))
        for path in found
    )


def _paths(path: Path) -> list[Path]:
    lines = [line.strip() for line in read_bytes(path).decode("utf-8", "replace").splitlines()]
    found = [Path(line) for line in lines if line]
    if not found:
        raise InputError(f"{path} names no file", "one path a line")
    return [one if one.is_absolute() or one.exists() else path.parent / one for one in found]


def _said(path: Path) -> Mapping[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected an object, file name -> list of classes")
    return document


def _classes(said: Mapping[str, Any], name: str, path: Path) -> tuple[str, ...]:
    if name not in said:
        raise InputError(
            f"{path} says nothing of the picture {name!r}", "its keys are file names with ending"
        )
    value = said[name]
    if isinstance(value, str):
        warnings.warn(
            BareClass(f"{path}: the classes of {name!r} are the text {value!r}, not a list"), stacklevel=3
        )
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise InputError(f"{path}: the classes of {name!r} must be a list of names, not {value!r}")
    return tuple(value)
