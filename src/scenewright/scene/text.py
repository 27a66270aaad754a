"""Letters on pictures: fonts, wrapping, and labels that keep out of each other's way."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]

PLATE = (24, 25, 30, 222)
LETTERS: Colour = (255, 255, 255)

KNOWN_LETTERS = frozenset("“”‘’…°")
"""Letters beyond ASCII that Pillow's font has."""
REPLACED = {
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "ß": "ss",
    "ø": "o",
    "Ø": "O",
    "æ": "ae",
    "œ": "oe",
    "ł": "l",
}
"""Letters that have no decomposition, and what stands for them."""


@dataclass(frozen=True)
class Label:
    """A text, the colour of what it names, and the place it belongs to (x0, y0, x1, y1 in pixels)."""

    text: str
    colour: Colour
    place: Corners


@lru_cache(maxsize=64)
def font(size_px: int) -> Font:
    """The font that comes with Pillow; a small fixed one where Pillow was built without FreeType."""
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


def line_height(letters: Font) -> int:
    """Distance of lines in pixels."""
    _, top, _, bottom = letters.getbbox("Ágy")
    return round((bottom - top) * 1.22) + 1


def width_px(text: str, letters: Font) -> float:
    """Width of one line in pixels."""
    return letters.getlength(text)


def legible(text: str) -> str:
    """The text on one line, in letters that the font has where that is possible: it knows little beyond
    ASCII, so "café – 2×" is shown as "cafe - 2x"; other scripts stay as they are."""
    if text.isascii():
        return " ".join(text.split())
    found = []
    for letter in text:
        if letter in KNOWN_LETTERS:
            found.append(letter)
            continue
        plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
        found.append(REPLACED.get(letter) or plain or ("" if unicodedata.combining(letter) else letter))
    return " ".join("".join(found).split())


def shorten(text: str, letters: Font, limit_px: float) -> str:
    """The text on one line, cut and ended by "…" if it is wider than `limit_px`."""
    text = legible(text)
    if width_px(text, letters) <= limit_px:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_px(text[:middle].rstrip() + "…", letters) <= limit_px:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def wrap(text: str, letters: Font, limit_px: float, lines: int) -> list[str]:
    """At most `lines` lines no wider than `limit_px`; what does not fit ends in "…". Line breaks are kept."""
    found: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in legible(paragraph).split():
            longer = f"{line} {word}".strip()
            if line and width_px(longer, letters) > limit_px:
                found.append(line)
                line = word
            else:
                line = longer
        found.append(line)
    if len(found) > lines:
        found = [*found[: lines - 1], " ".join(found[lines - 1 :])]
    return [shorten(line, letters, limit_px) for line in found]


def draw_labels(picture: Image, labels: Sequence[Label], letter_px: int) -> Image:
    """The picture with a dark plate, a bar of the label's colour and white letters for each label.

    Plates are put at the corners of the places, where they cover each other least and stay on the picture.
    """
    from PIL import Image

    letters = font(letter_px)
    plates = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    taken: list[Corners] = []
    places = [label.place for label in labels]
    for label in sorted(labels, key=lambda item: _area(item.place)):
        text = shorten(label.text, letters, max(picture.width * 0.45, letter_px * 6))
        corners = _free_place(label.place, _plate_wh(text, letters), picture.size, taken, places)
        taken.append(corners)
        _draw_plate(plates, corners, text, label.colour, letters)
    return Image.alpha_composite(picture.convert("RGBA"), plates).convert("RGB")


def _plate_wh(text: str, letters: Font) -> tuple[int, int]:
    """Width and height of a plate around a text."""
    step = line_height(letters)
    return round(width_px(text, letters) + step * 0.8), round(step * 1.18)


def _draw_plate(plates: Image, corners: Corners, text: str, colour: Colour, letters: Font) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(plates)
    x0, y0, x1, y1 = corners
    bar = max(4, round((y1 - y0) * 0.26))
    radius = max(2, round((y1 - y0) * 0.18))
    draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=radius, fill=PLATE)
    draw.rounded_rectangle(
        (x0, y0, x0 + bar, y1 - 1), radius=radius, fill=(*colour, 255), corners=(True, False, False, True)
    )
    centre = ((x0 + bar + x1) / 2, (y0 + y1) / 2)
    draw.text(centre, text, fill=(*LETTERS, 255), font=letters, anchor="mm")


def _free_place(
    place: Corners,
    plate_wh: tuple[int, int],
    size_wh: tuple[int, int],
    taken: Sequence[Corners],
    places: Sequence[Corners],
) -> Corners:
    """The candidate that covers other plates, and things of about a plate's size, least; among equals the
    first."""
    plate_px = plate_wh[0] * plate_wh[1]
    small = [other for other in places if _area(other) < 4 * plate_px]
    best, least = (0.0, 0.0, 0.0, 0.0), float("inf")
    for rank, (x, y) in enumerate(_candidates(place, plate_wh)):
        x = min(max(x, 0), max(size_wh[0] - plate_wh[0], 0))
        y = min(max(y, 0), max(size_wh[1] - plate_wh[1], 0))
        corners = (float(round(x)), float(round(y)), round(x) + plate_wh[0], round(y) + plate_wh[1])
        cost = sum(_shared(corners, other) for other in taken) + rank * 0.01 * plate_px
        cost += 0.5 * sum(_shared(corners, other) for other in small)
        if cost < least:
            best, least = corners, cost
    return (best[0], best[1], float(best[2]), float(best[3]))


def _candidates(place: Corners, plate_wh: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Upper left corners to try: on the box's edges from outside, then inside, then ever further down."""
    x0, y0, x1, y1 = place
    wide, high = plate_wh
    if y0 >= high:
        yield x0, y0 - high
    yield x0, y0
    yield x0, y1
    yield x1 - wide, y0 - high
    yield x1 - wide, y0
    yield x0, y1 - high
    yield x1 - wide, y1
    yield x1 - wide, y1 - high
    yield (x0 + x1 - wide) / 2, (y0 + y1 - high) / 2
    for step in range(1, 9):
        yield x0, y0 + step * high
        yield x0, y0 - (step + 1) * high


def _area(corners: Corners) -> float:
    return max(corners[2] - corners[0], 0) * max(corners[3] - corners[1], 0)


def _shared(a: Corners, b: Corners) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
