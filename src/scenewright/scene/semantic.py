"""Semantic maps: one class number per pixel.

Shape letters: H, W pixels.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenewright.errors import SceneError
from scenewright.scene import checks
from scenewright.scene.masks import LARGEST_PX

IGNORE = 65535
"""The class number of pixels that count for nothing. (Vocabularies of 8-bit files write it as 255.)"""


@dataclass(frozen=True, slots=True, eq=False)
class SemanticMap:
    """Class numbers of a `vocabulary` for each pixel.

    `data` is base64 of zlib of little-endian uint16, row by row; `size_hw` is in pixels. `IGNORE` (65535)
    marks pixels of no class; maps from 8-bit files keep their 255 unless the reader of that format turns it
    into `IGNORE`, as the vocabulary's `ignore` says. Equality compares vocabulary and labels.
    """

    vocabulary: str
    size_hw: tuple[int, int]
    data: str

    def __post_init__(self) -> None:
        checks.text(self.vocabulary, "vocabulary")
        object.__setattr__(self, "size_hw", checks.pair(self.size_hw, "size_hw", 1, LARGEST_PX))
        checks.text(self.data, "data")
        _unpacked(self.data, 2 * self.size_hw[0] * self.size_hw[1])

    @classmethod
    def from_labels(cls, labels_HW: npt.NDArray[np.integer], vocabulary: str) -> SemanticMap:
        """From class numbers [H, W] in 0..65535."""
        if labels_HW.ndim != 2 or 0 in labels_HW.shape or not np.issubdtype(labels_HW.dtype, np.integer):
            raise SceneError(
                f"expected whole numbers of shape [H, W], got {labels_HW.dtype} {list(labels_HW.shape)}"
            )
        if labels_HW.min() < 0 or labels_HW.max() > IGNORE:
            raise SceneError(f"expected labels in 0..{IGNORE}, got {labels_HW.min()}..{labels_HW.max()}")
        packed = zlib.compress(np.ascontiguousarray(labels_HW, dtype="<u2").tobytes(), 9)
        height, width = labels_HW.shape
        return cls(vocabulary, (height, width), base64.b64encode(packed).decode("ascii"))

    def labels(self) -> npt.NDArray[np.uint16]:
        """Class numbers as uint16 [H, W]; a new array each time."""
        raw = _unpacked(self.data, 2 * self.size_hw[0] * self.size_hw[1])
        return np.frombuffer(raw, dtype="<u2").reshape(self.size_hw).astype(np.uint16)

    def digest(self) -> str:
        """sha256, in hex, of vocabulary, size and labels; it does not depend on how they were compressed."""
        head = f"{self.vocabulary}\0{self.size_hw[0]}x{self.size_hw[1]}\0".encode()
        return hashlib.sha256(head + _unpacked(self.data, 2 * self.size_hw[0] * self.size_hw[1])).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SemanticMap):
            return NotImplemented
        return (self.vocabulary, self.size_hw) == (other.vocabulary, other.size_hw) and (
            self.data == other.data or self.digest() == other.digest()
        )

    def __hash__(self) -> int:
        return hash((self.vocabulary, self.size_hw, self.digest()))


def _unpacked(data: str, expected: int) -> bytes:
    """The raw bytes of base64 of zlib; never more than `expected` + 1 are unpacked."""
    try:
        reader = zlib.decompressobj()
        raw = reader.decompress(base64.b64decode(data.encode("ascii"), validate=True), expected + 1)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise SceneError(
            f"expected base64 of zlib, got data that does not unpack: {error}", path="data"
        ) from None
    if len(raw) != expected or not reader.eof or reader.unused_data:
        found = "more" if len(raw) > expected else f"{len(raw)}"
        raise SceneError(f"expected {expected} bytes of labels for this size, got {found}", path="data")
    return raw
