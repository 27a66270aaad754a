"""Label maps on disk, a method's folder of them: ours and those of others are scored from files alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.label_codecs import read_label_file
from scenewright.errors import InputError, StorageError
from scenewright.scene.files import atomic_write
from scenewright.scene.io import grey_png_bytes
from scenewright.scene.resampling import resize_labels

ENDINGS = (".labels.png", ".png", ".tif")
"""How label maps are named after their picture, in the order in which they are looked for."""

CODECS = ("ids", "contiguous")

Labels = NDArray[np.uint16]


@dataclass(frozen=True)
class MethodMaps:
    """A method's label maps: its name, the folder, and what they hold: "ids" of the vocabulary, or
    "contiguous" numbers of its classes from 0 (`data.label_codecs`)."""

    name: str
    folder: Path
    codec: str = "ids"

    @classmethod
    def parse(cls, text: str) -> MethodMaps:
        """From ``NAME=FOLDER`` or ``NAME=FOLDER:contiguous``. Raises InputError, StorageError."""
        name, sign, place = text.partition("=")
        if not sign or not name.strip() or not place:
            raise InputError(f"expected NAME=FOLDER, got {text!r}", "for example SAN=maps/san")
        path, _, codec = place.rpartition(":")
        if codec not in CODECS:
            path, codec = place, CODECS[0]
        if not Path(path).is_dir():
            raise StorageError(f"there is no folder {path}", "it should hold a label map for every picture")
        return cls(name.strip(), Path(path), codec)

    def path(self, picture: str) -> Path:
        """The label map of a picture. Raises StorageError if there is none."""
        for ending in ENDINGS:
            if (found := self.folder / f"{picture}{ending}").is_file():
                return found
        raise StorageError(
            f"{self.name} has no label map for the picture {picture}",
            f"expected {self.folder / picture}{ENDINGS[1]}",
        )

    def read(self, picture: str, size_hw: Sequence[int], vocabulary: str) -> Labels:
        """Ids [H, W] at that size, by nearest where the file has another. Raises StorageError, InputError."""
        found_HW = read_label_file(self.path(picture), self.codec, vocabulary)
        height, width = size_hw
        return found_HW if found_HW.shape == (height, width) else resize_labels(found_HW, (width, height))


def write_map(folder: Path, picture: str, labels_HW: NDArray[np.integer[Any]]) -> Path:
    """Write ids as ``PICTURE.png``, 8 bits where they fit, else 16. Raises StorageError."""
    narrow = np.uint8 if labels_HW.max(initial=0) < 256 else np.uint16
    path = folder / f"{picture}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return atomic_write(path, grey_png_bytes(labels_HW.astype(narrow)))
