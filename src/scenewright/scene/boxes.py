"""The one box type, and geometry on arrays of boxes.

A box is float ``xyxy`` in fractions of the canvas: x from 0 (left edge) to 1 (right edge), y from 0 (top) to
1 (bottom). Every other convention is a named constructor. Pixels are half-open: pixel (row, column) is in a
box if its centre is, so mask -> box -> mask is exact.

Shape letters: N, M boxes; 4 is x0, y0, x1, y1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenewright.errors import SceneError
from scenewright.scene import checks

Floats = npt.NDArray[np.floating]

SLACK = 1e-6
"""How far, in fractions of the canvas, a converted box may stand out and still be taken as on the edge."""

_CONVENTIONS = "boxes are x0, y0, x1, y1 in fractions of the canvas; Box.from_xywh_px and others convert"


@dataclass(frozen=True, slots=True)
class Box:
    """A box: float ``x0 < x1`` and ``y0 < y1`` in [0, 1]. Anything else raises `SceneError`.

    x0, y0 is the upper left corner, x1, y1 the lower right one (exclusive).
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        for name in ("x0", "y0", "x1", "y1"):
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, checks.number(value, name, 0.0, 1.0))
            except SceneError as error:
                raise SceneError(error.message, error.hint or _CONVENTIONS, "") from None
        for low, high in (("x0", "x1"), ("y0", "y1")):
            a, b = getattr(self, low), getattr(self, high)
            if a == b:
                raise SceneError(f"expected {low} < {high}, got an empty box: both are {a}", _CONVENTIONS)
            if a > b:
                raise SceneError(f"expected {low} < {high}, got {low} = {a} and {high} = {b}", _CONVENTIONS)

    @classmethod
    def from_xyxy_px(cls, x0: float, y0: float, x1: float, y1: float, size_wh: tuple[int, int]) -> Box:
        """From corners in pixels of a canvas of `size_wh`. Corners off the canvas raise `SceneError`."""
        width, height = size_wh
        return _snapped(x0 / width, y0 / height, x1 / width, y1 / height)

    @classmethod
    def from_xywh_px(cls, x: float, y: float, width: float, height: float, size_wh: tuple[int, int]) -> Box:
        """From upper left corner, width and height in pixels (the convention of COCO)."""
        return cls.from_xyxy_px(x, y, x + width, y + height, size_wh)

    @classmethod
    def from_cxcywh(cls, cx: float, cy: float, width: float, height: float) -> Box:
        """From centre, width and height in fractions of the canvas (the convention of DETR and YOLO)."""
        return _snapped(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)

    @classmethod
    def from_yxyx_1000(cls, y0: float, x0: float, y1: float, x1: float) -> Box:
        """From y0, x0, y1, x1 on a grid of 0..1000 (the convention of vision-language models)."""
        return _snapped(x0 / 1000, y0 / 1000, x1 / 1000, y1 / 1000)

    @classmethod
    def clip_from_xyxy_px(
        cls, x0: float, y0: float, x1: float, y1: float, size_wh: tuple[int, int]
    ) -> tuple[Box | None, bool]:
        """For foreign files: the part of a pixel box that is on the canvas, and whether anything was cut off.

        None if nothing is left (the box is empty, inverted, or wholly outside). NaN raises `SceneError`.
        """
        width, height = size_wh
        wanted = (x0 / width, y0 / height, x1 / width, y1 / height)
        if not all(math.isfinite(value) for value in wanted):
            raise SceneError(f"expected finite numbers, got the box {[x0, y0, x1, y1]}")
        kept = tuple(min(max(value, 0.0), 1.0) for value in wanted)
        cut = any(abs(a - b) > SLACK for a, b in zip(wanted, kept, strict=True))
        if kept[0] >= kept[2] or kept[1] >= kept[3]:
            return None, cut
        return cls(*kept), cut

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in fractions of the canvas."""
        return self.x0, self.y0, self.x1, self.y1

    def to_xyxy_px(self, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
        """Corners in pixels, not rounded."""
        width, height = size_wh
        return self.x0 * width, self.y0 * height, self.x1 * width, self.y1 * height

    def to_xywh_px(self, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
        """Upper left corner, width and height in pixels, not rounded."""
        x0, y0, x1, y1 = self.to_xyxy_px(size_wh)
        return x0, y0, x1 - x0, y1 - y0

    @property
    def width(self) -> float:
        """Width in fractions of the canvas width."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in fractions of the canvas height."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Area in fractions of the canvas area, in (0, 1]."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """x, y of the centre in fractions of the canvas."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def clipped(self, window: Box) -> Box | None:
        """The part inside `window` (both on the same canvas), or None if they do not overlap."""
        x0, y0 = max(self.x0, window.x0), max(self.y0, window.y0)
        x1, y1 = min(self.x1, window.x1), min(self.y1, window.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def iou(self, other: Box) -> float:
        """Intersection over union, in [0, 1]."""
        both = self.clipped(other)
        shared = both.area if both else 0.0
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0  # areas under 1e-308 are 0

    def contains(self, x: float, y: float) -> bool:
        """Whether the point is inside; left and upper edges belong to it, right and lower ones do not."""
        return self.x0 <= x < self.x1 and self.y0 <= y < self.y1


def _snapped(x0: float, y0: float, x1: float, y1: float) -> Box:
    """A box whose corners may stand out by rounding (`SLACK`)."""
    values = (x0, y0, x1, y1)
    return Box(*(min(max(v, 0.0), 1.0) if -SLACK <= v <= 1 + SLACK else v for v in values))


def pixels(box: Box, size_wh: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the pixels whose centre is in the box: ``array_HW[pixels(box, size_wh)]``.

    Empty slices for boxes that hold no pixel centre.
    """
    width, height = size_wh
    columns = slice(_first_centre(box.x0 * width), _first_centre(box.x1 * width))
    return slice(_first_centre(box.y0 * height), _first_centre(box.y1 * height)), columns


def _first_centre(edge_px: float) -> int:
    """The first pixel whose centre is at or after the edge."""
    return math.ceil(edge_px - 0.5)


def area(box_N4: Floats) -> Floats:
    """Areas [...] of boxes [..., 4]; inverted boxes have none."""
    sides = np.maximum(box_N4[..., 2:] - box_N4[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def clip(box_N4: Floats, low: float = 0.0, high: float = 1.0) -> Floats:
    """Boxes [..., 4] with every coordinate moved into [low, high]; a new array."""
    return np.clip(box_N4, low, high)


def iou_matrix(a_N4: Floats, b_M4: Floats) -> Floats:
    """Intersection over union [N, M] of each box in `a_N4` with each in `b_M4`; 0 if both are empty."""
    a_N14, b_1M4 = a_N4[:, None, :], b_M4[None, :, :]
    corners = np.concatenate(
        [np.maximum(a_N14[..., :2], b_1M4[..., :2]), np.minimum(a_N14[..., 2:], b_1M4[..., 2:])], axis=-1
    )
    shared_NM = area(corners)
    union_NM = area(a_N14) + area(b_1M4) - shared_NM
    return np.divide(shared_NM, union_NM, out=np.zeros_like(shared_NM), where=union_NM > 0)
