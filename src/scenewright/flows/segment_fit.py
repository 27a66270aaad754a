"""How a picture is shown to the network: its scale, what is padded, and windows of pictures too large.

The shape is kept. A picture is scaled to about as many pixels as the network draws (left alone where it is
near that), and padded at the right and at the bottom with its own last pixels up to whole cells of the
network's coarsest map; logits of the padding are cut off again.

Letters: H W pixels of the picture, Y X pixels shown, 3 red green blue.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scenewright.backbone.model import Backbone
from scenewright.backbone.windows import cover
from scenewright.scene import Transform

ROOMY = 2.0
"""Pictures with up to so many times the pixels that the network draws, or one so-manieth, keep their size."""

LONG = 4
"""No side is shown with more than so many times the pixels of the square of the same area."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Fit:
    """`size_wh` of a picture, `shown_wh` after scaling, `padded_wh` with padding: what the network takes."""

    size_wh: tuple[int, int]
    shown_wh: tuple[int, int]
    padded_wh: tuple[int, int]

    @classmethod
    def of(cls, size_wh: tuple[int, int], side_px: int, grain: int) -> Fit:
        """For pictures with about `side_px`² pixels and sides that are multiples of `grain`."""
        share = size_wh[0] * size_wh[1] / side_px**2
        scale = 1.0 if 1 / ROOMY <= share <= ROOMY else share**-0.5
        scale = min(scale, LONG * side_px / max(size_wh))
        width, height = (max(1, round(side * scale)) for side in size_wh)
        return cls(size_wh, (width, height), (-(-width // grain) * grain, -(-height // grain) * grain))

    def shown(self, image_HW3: Picture) -> Picture:
        """The picture as the network takes it, [Y, X, 3]."""
        scaled = Transform(self.size_wh).resize(self.shown_wh).image(image_HW3)
        right, below = (a - b for a, b in zip(self.padded_wh, self.shown_wh, strict=True))
        return np.pad(scaled, ((0, below), (0, right), (0, 0)), mode="edge") if right or below else scaled

    def crop(self, cell_px: int) -> tuple[float, float, float, float]:
        """Where the picture lies in logits with cells of `cell_px` pixels: top, left, bottom, right."""
        return 0.0, 0.0, self.shown_wh[1] / cell_px, self.shown_wh[0] / cell_px

    def part(self, window: Tile, cell_px: int) -> tuple[float, float, float, float]:
        """Where a window of the picture lies in its logits."""
        across, down = self.shown_wh[0] / self.size_wh[0], self.shown_wh[1] / self.size_wh[1]
        left, top, right, bottom = window.xyxy
        return (
            top * down / cell_px,
            left * across / cell_px,
            bottom * down / cell_px,
            right * across / cell_px,
        )


@dataclass(frozen=True)
class Tile:
    """A window of a picture, and the part of it that it decides, both x0, y0, x1, y1 in pixels."""

    xyxy: tuple[int, int, int, int]
    own: tuple[int, int, int, int]

    def cut(self, image_HW3: Picture) -> Picture:
        """The window's pixels."""
        x0, y0, x1, y1 = self.xyxy
        return image_HW3[y0:y1, x0:x1]


def tiles(size_wh: tuple[int, int], side: int, overlap: float) -> list[Tile]:
    """Windows of `side` pixels (fewer where the picture is smaller) that cover a picture row by row.

    Neighbours share `overlap` of a window at least, and each decides up to the middle of what they share, so
    every pixel is decided once.
    """
    width, height = size_wh
    step = max(1, round(side * (1 - overlap)))
    windows = cover((height, width), (side, side), (step, step))
    ys, xs = sorted({one.y0 for one in windows}), sorted({one.x0 for one in windows})
    down, across = _borders(ys, side, height), _borders(xs, side, width)
    return [
        Tile((one.x0, one.y0, one.x1, one.y1), (across[i], down[j], across[i + 1], down[j + 1]))
        for one in windows
        for i, j in [(xs.index(one.x0), ys.index(one.y0))]
    ]


def _borders(starts: list[int], side: int, length: int) -> list[int]:
    """Where one window's part ends and the next one's begins."""
    between = [(after + min(before + side, length)) // 2 for before, after in pairwise(starts)]
    return [0, *between, length]


def grain_of(backbone: Backbone) -> int:
    """Pixels that sides have to be multiples of: a cell of the network's coarsest map."""
    halvings = sum(bool(block.downsamplers) for block in backbone.unet.down_blocks)
    return backbone.stride << halvings


def side_of(backbone: Backbone) -> int:
    """Side of the square with as many pixels as the network draws."""
    width, height = backbone.native_wh
    return round((width * height) ** 0.5)
