"""Masks, stored as COCO run lengths; polygons, arrays and PNG files are constructors.

Shape letters: H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scenewright.errors import SceneError
from scenewright.scene import checks, polygons, rle
from scenewright.scene.boxes import Box
from scenewright.scene.marks import Point

LARGEST_PX = 16384
"""Longest side of a mask or scene in pixels."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A binary mask: `size_hw` in pixels and `counts`, the compressed COCO run lengths of its columns.

    Counts are stored in their shortest form, so equal masks compare equal. Counts that do not fill the size
    exactly raise `SceneError`.
    """

    size_hw: tuple[int, int]
    counts: str

    def __post_init__(self) -> None:
        size_hw = checks.pair(self.size_hw, "size_hw", 1, LARGEST_PX)
        object.__setattr__(self, "size_hw", size_hw)
        runs = rle.from_text(checks.text(self.counts, "counts"))
        if (runs < 0).any():
            raise SceneError("expected run lengths of at least 0, got a negative one", path="counts")
        found, expected = int(runs.sum()), size_hw[0] * size_hw[1]
        if found != expected or (runs > expected).any():
            raise SceneError(
                f"expected run lengths that sum to {size_hw[0]} x {size_hw[1]} = {expected}, got {found}",
                "size_hw is height, width",
                "counts",
            )
        shortest = rle.canonical(runs)
        if shortest is not runs:
            object.__setattr__(self, "counts", rle.to_text(shortest))

    @classmethod
    def from_array(cls, mask_HW: npt.NDArray[np.generic]) -> Mask:
        """From an array [H, W]; everything that is not zero is inside."""
        if mask_HW.ndim != 2 or 0 in mask_HW.shape:
            raise SceneError(f"expected a mask array of shape [H, W], got {list(mask_HW.shape)}")
        height, width = mask_HW.shape
        bits = np.asarray(mask_HW, dtype=np.bool_)
        return cls((height, width), rle.to_text(rle.from_array(bits)))

    @classmethod
    def empty(cls, size_hw: tuple[int, int]) -> Mask:
        """A mask with nothing inside."""
        return cls(size_hw, rle.to_text(np.array([size_hw[0] * size_hw[1]])))

    @classmethod
    def from_uncompressed(cls, counts: Sequence[int], size_hw: tuple[int, int]) -> Mask:
        """From COCO's uncompressed list of run lengths (crowd regions are written so)."""
        runs = np.asarray(counts)
        if runs.ndim != 1 or not runs.size or not np.issubdtype(runs.dtype, np.integer):
            raise SceneError("expected a list of whole run lengths", path="counts")
        return cls(size_hw, rle.to_text(runs.astype(np.int64)))

    @classmethod
    def from_polygons(cls, polygons_px: Sequence[Sequence[float]], size_wh: tuple[int, int]) -> Mask:
        """The union of polygons, each a flat list x0, y0, x1, y1, ... in pixels, rasterised as COCO does.

        No polygon at all gives the empty mask. Raises `SceneError` for fewer than three corners.
        """
        width, height = checks.pair(size_wh, "size_wh", 1, LARGEST_PX)
        runs = [polygons.rasterise(list(polygon), (width, height)) for polygon in polygons_px]
        return cls((height, width), rle.to_text(_union(runs, width * height)))

    @classmethod
    def from_png(cls, source: bytes | Path) -> Mask:
        """From a picture, as a file or its content: alpha if it has transparency, else brightness over half.

        Raises `StorageError` or `InputError` as `scenewright.scene.read_image` does. Needs Pillow.
        """
        from scenewright.scene import files, io

        content = source if isinstance(source, bytes) else files.read_bytes(source)
        return cls.from_array(io.mask_from_png(content))

    @classmethod
    def from_box(cls, box: Box, size_wh: tuple[int, int]) -> Mask:
        """The pixels whose centre is in the box."""
        from scenewright.scene.boxes import pixels

        bits = np.zeros((size_wh[1], size_wh[0]), np.bool_)
        bits[pixels(box, size_wh)] = True
        return cls.from_array(bits)

    def runs(self) -> rle.Counts:
        """Run lengths [zeros, ones, zeros, ...] down the columns."""
        return rle.from_text(self.counts)

    def array(self) -> npt.NDArray[np.bool_]:
        """The mask as bool [H, W]; a new array each time."""
        return rle.to_array(self.runs(), self.size_hw)

    @property
    def area_px(self) -> int:
        """Number of pixels inside."""
        return int(self.runs()[1::2].sum())

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is inside."""
        return self.area_px == 0

    def box(self) -> Box | None:
        """The smallest box around the mask; None if it is empty."""
        height, width = self.size_hw
        starts, ends = rle.spans(self.runs())
        if not len(starts):
            return None
        first, last = starts // height, (ends - 1) // height
        whole = bool((first != last).any())  # a run over a column's end touches the top and the bottom row
        y0 = 0 if whole else int((starts % height).min())
        y1 = height if whole else int(((ends - 1) % height).max()) + 1
        return Box(int(first.min()) / width, y0 / height, (int(last.max()) + 1) / width, y1 / height)

    def iou(self, other: Mask) -> float:
        """Intersection over union, in [0, 1]; two empty masks have 0. Both must be of one size."""
        shared = rle.shared_px(self.runs(), self._same_size(other).runs())
        union = self.area_px + other.area_px - shared
        return shared / union if union else 0.0

    def union(self, other: Mask) -> Mask:
        """The pixels of either mask. Both must be of one size."""
        runs = _union([self.runs(), self._same_size(other).runs()], self.size_hw[0] * self.size_hw[1])
        return Mask(self.size_hw, rle.to_text(runs))

    def inverted(self) -> Mask:
        """The pixels outside."""
        runs = self.runs()
        runs = runs[1:] if runs[0] == 0 else np.concatenate([[0], runs])
        return Mask(self.size_hw, rle.to_text(runs))

    def minus(self, other: Mask) -> Mask:
        """The pixels of this mask that are not in `other`."""
        return self.inverted().union(other).inverted()

    def components(self) -> tuple[Mask, ...]:
        """The connected parts (pixels touch by sides or corners), largest first, then from the left."""
        from scenewright.scene.components import split

        total = self.size_hw[0] * self.size_hw[1]
        parts = split(*rle.spans(self.runs()), self.size_hw[0])
        return tuple(Mask(self.size_hw, rle.to_text(rle.from_spans(*part, total))) for part in parts)

    def points(self, rng: np.random.Generator, n: int) -> tuple[Point, ...]:
        """`n` pixel centres drawn evenly from the inside, without repeats while there are enough pixels.

        An empty mask raises `SceneError`.
        """
        starts, ends = rle.spans(self.runs())
        lengths = ends - starts
        area = int(lengths.sum())
        if area == 0:
            raise SceneError(
                f"expected a mask with something inside to draw {n} points from, got an empty one"
            )
        chosen = rng.choice(area, size=n, replace=n > area)
        run = np.searchsorted(np.cumsum(lengths), chosen, side="right")
        places = starts[run] + chosen - (np.cumsum(lengths) - lengths)[run]
        height, width = self.size_hw
        x, y = (places // height + 0.5) / width, (places % height + 0.5) / height
        return tuple(Point(float(a), float(b)) for a, b in zip(x, y, strict=True))

    def _same_size(self, other: Mask) -> Mask:
        if other.size_hw != self.size_hw:
            raise SceneError(f"expected a mask of size_hw {self.size_hw}, got {other.size_hw}")
        return other


def _union(runs: Sequence[rle.Counts], total: int) -> rle.Counts:
    """Run lengths of the union of masks."""
    spans = [rle.spans(item) for item in runs]
    none = np.zeros(0, np.int64)
    starts = np.concatenate([none, *(span[0] for span in spans)])
    ends = np.concatenate([none, *(span[1] for span in spans)])
    return rle.from_spans(starts, ends, total)
