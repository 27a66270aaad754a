"""What all readers of foreign files share: box conventions, clipping with a count, and refusing a misread
file.

Published files mix conventions under one key: `bbox` is x, y, width, height in one program and two corners
in the next. A file in which more than a quarter of the boxes leave the canvas, or are turned inside out, is
therefore refused, and the message names the convention that would fit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scenewright.errors import InputError, SceneError, nearest
from scenewright.scene import Box, Mask, Point
from scenewright.scene.checks import shown
from scenewright.scene.masks import LARGEST_PX

Four = tuple[float, float, float, float]
SizeWH = tuple[int, int]

DEFAULT_SIZE_WH: SizeWH = (512, 512)
"""Canvas of files that do not name one, in pixels."""


LARGEST = 1e15
"""Numbers of this size and more are no places."""


class ClippedBoxes(UserWarning):
    """Boxes of a foreign file stood out of the canvas, or had no area; the message counts them."""


@dataclass(frozen=True)
class Convention:
    """A meaning of four numbers: `words` for messages, the `format` that uses it, and `corners`, which turns
    them into x0, y0, x1, y1 in fractions of a canvas."""

    words: str
    format: str
    corners: Callable[[Four, SizeWH], Four]


XYWH_PX = Convention(
    "x, y, width, height in pixels",
    "instancediffusion",
    lambda b, s: (b[0] / s[0], b[1] / s[1], (b[0] + b[2]) / s[0], (b[1] + b[3]) / s[1]),
)
XYXY_PX = Convention(
    "corners x0, y0, x1, y1 in pixels",
    "planned",
    lambda b, s: (b[0] / s[0], b[1] / s[1], b[2] / s[0], b[3] / s[1]),
)
XYXY_1 = Convention("corners x0, y0, x1, y1 in fractions of the canvas", "gligen", lambda b, s: b)
YXYX_1000 = Convention(
    "corners y0, x0, y1, x1 on a grid of 0..1000",
    "box-list",
    lambda b, s: (b[1] / 1000, b[0] / 1000, b[3] / 1000, b[2] / 1000),
)
CONVENTIONS = (XYXY_PX, XYWH_PX, XYXY_1, YXYX_1000)


def place_boxes(
    rows: Sequence[Four | None],
    sizes_wh: Sequence[SizeWH],
    convention: Convention,
    name: str,
    same_keys: Sequence[Convention] = (),
) -> list[Box | None]:
    """Boxes on their canvases; None stays None, and so becomes a box of which nothing is left.

    rows       four numbers each, or None for "no box"
    sizes_wh   canvas of each row, in pixels
    convention what the numbers mean
    name       how messages call the file
    same_keys  conventions for which there is a format with the same keys: a refusal names it

    Warns `ClippedBoxes` with the count. Raises InputError when more than a quarter are bad.
    """
    given = [(row, size) for row, size in zip(rows, sizes_wh, strict=True) if row is not None]
    bad = count_bad(given, convention)
    if bad * 4 > len(given):
        raise _misread(given, bad, convention, name, same_keys)
    placed = [None if row is None else _clip(convention.corners(row, size)) for row, size in
              zip(rows, sizes_wh, strict=True)]  # fmt: skip
    if bad:
        lost = sum(row is not None and box is None for row, box in zip(rows, placed, strict=True))
        words = f"{bad} of {len(given)} boxes in {name} left the canvas or had no area and were clipped"
        more = f"; nothing was left of {lost}, which are kept without a box" if lost else ""
        warnings.warn(ClippedBoxes(words + more), stacklevel=3)
    return placed


def count_bad(given: Sequence[tuple[Four, SizeWH]], convention: Convention) -> int:
    """How many rows leave their canvas, are inside out or have no area when read so."""
    return sum(_is_bad(convention.corners(row, size)) for row, size in given)


def _is_bad(corners: Four, slack: float = 1e-6) -> bool:
    x0, y0, x1, y1 = corners
    return min(corners) < -slack or max(corners) > 1 + slack or x1 <= x0 or y1 <= y0


def _clip(corners: Four) -> Box | None:
    x0, y0, x1, y1 = (min(max(value, 0.0), 1.0) for value in corners)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _misread(
    given: Sequence[tuple[Four, SizeWH]],
    bad: int,
    convention: Convention,
    name: str,
    same_keys: Sequence[Convention],
) -> InputError:
    """The refusal, naming the convention under which the fewest boxes are bad, if one fits."""
    others = [
        (count_bad(given, other), k, other) for k, other in enumerate(CONVENTIONS) if other != convention
    ]
    fewest, _, likely = min(others)
    hint = "Check the file: its boxes fit no convention that is known here."
    if fewest * 4 <= len(given) and not _all_tiny(given, likely):
        hint = f"The boxes are likely {likely.words}: read so, {fewest} of {len(given)} leave it. " + (
            f"That is the format {likely.format!r}." if likely in same_keys else "Convert them."
        )
    return InputError(
        f"{name}: {bad} of {len(given)} boxes leave the canvas or are inside out, read as {convention.words}",
        hint,
    )


def _all_tiny(given: Sequence[tuple[Four, SizeWH]], convention: Convention) -> bool:
    """Whether every box would cover less than a thousandth of each side: no one means that."""
    boxes = [convention.corners(row, size) for row, size in given]
    return all(x1 - x0 < 2e-3 and y1 - y0 < 2e-3 for x0, y0, x1, y1 in boxes)


# --- fields of foreign JSON --------------------------------------------------------------------------------


def four(value: Any, where: str) -> Four:
    """Four finite numbers. Raises InputError."""
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise InputError(f"{where}: expected four numbers, got {shown(value)}")
    a, b, c, d = (number(item, f"{where}[{k}]") for k, item in enumerate(value))
    return a, b, c, d


def number(value: Any, where: str) -> float:
    """A finite number. Raises InputError."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not abs(value) < LARGEST or not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number below {LARGEST:g}, got {shown(value)}")
    return float(value)


def whole(value: Any, where: str) -> int:
    """A whole number; 64.0 counts as 64, as in JSON. Raises InputError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{where}: expected a whole number, got {shown(value)}")
    return value


def text(value: Any, where: str) -> str:
    """A text, possibly empty. Raises InputError."""
    if not isinstance(value, str):
        raise InputError(f"{where}: expected a text, got {shown(value)}")
    return value


def rows_of(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of objects. Raises InputError."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got {shown(value)}")
    for k, row in enumerate(value):
        if not isinstance(row, dict):
            raise InputError(f"{where}[{k}]: expected an object, got {shown(row)}")
    return value


def object_of(value: Any, where: str) -> dict[str, Any]:
    """An object. Raises InputError."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {shown(value)}")
    return value


def need(row: dict[str, Any], key: str, where: str) -> Any:
    """The value of a key that must be there. Raises InputError."""
    if key not in row:
        raise InputError(f"{where}: the key {key!r} is missing", f"Found are {', '.join(map(repr, row))}.")
    return row[key]


def refuse_unknown(row: dict[str, Any], known: Sequence[str], where: str) -> None:
    """Raises InputError, with the nearest known key, when an object has a key that is not known."""
    for key in row:
        if key not in known:
            close = nearest(key, known)
            hint = f"Did you mean {close!r}?" if close else f"Known are {', '.join(known)}."
            raise InputError(f"{where}: unknown key {key!r}", hint)


def size_of(row: dict[str, Any], where: str) -> SizeWH:
    """`width` and `height`, whole and positive. Raises InputError."""
    size_wh = (
        whole(need(row, "width", where), f"{where}.width"),
        whole(need(row, "height", where), f"{where}.height"),
    )
    if min(size_wh) < 1 or max(size_wh) > LARGEST_PX:
        raise InputError(
            f"{where}: width and height must be from 1 to {LARGEST_PX}, "
            f"got {shown(size_wh[0])} and {shown(size_wh[1])}"
        )
    return size_wh


def mask_of(value: Any, size_wh: SizeWH, where: str) -> Mask | None:
    """A COCO segmentation: polygons, or run lengths as text or list. None for null, an empty list, or {}."""
    if isinstance(value, list):
        value = [polygon for polygon in value if polygon != []]  # "[[]]" is how some tools write "none"
    if not value:
        return None
    width, height = size_wh
    with named(where):
        if isinstance(value, list):
            return Mask.from_polygons(value, size_wh)
        counts, size = need(object_of(value, where), "counts", where), need(value, "size", where)
        if size not in ([height, width], (height, width)):
            raise InputError(
                f"the mask has size {shown(size)}, the picture [{height}, {width}]", "size is height, width"
            )
        if isinstance(counts, list):
            return Mask.from_uncompressed(counts, (height, width))
        return Mask((height, width), counts)


def point_of(x_px: float, y_px: float, size_wh: SizeWH) -> Point:
    """A pixel place as a point, moved onto the canvas if it is off."""
    return Point(min(max(x_px / size_wh[0], 0.0), 1.0), min(max(y_px / size_wh[1], 0.0), 1.0))


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors from inside get the place in the file in front of them."""
    try:
        yield
    except SceneError as fault:
        raise SceneError(f"{where}: {fault.message}", fault.hint) from fault
    except InputError as fault:
        if fault.message.startswith(where):
            raise
        raise InputError(f"{where}: {fault.message}", fault.hint) from fault
    except (TypeError, ValueError) as fault:
        raise InputError(f"{where}: {fault}") from fault


def plain_number(value: float) -> float | int:
    """A whole number as int, for readable files."""
    return round(value) if abs(value - round(value)) < 1e-9 else value
