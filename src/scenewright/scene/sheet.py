"""Several pictures on one page: contact sheets, captions, and the list beside a crowded picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError
from scenewright.scene.io import check_image
from scenewright.scene.text import font, line_height, width_px, wrap

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER: Colour = (247, 246, 242)
INK: Colour = (28, 29, 33)
WHITE: Colour = (255, 255, 255)


def contact_sheet(
    pictures: Sequence[Picture],
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    *,
    cell_px: int | None = None,
    title: str = "",
) -> Picture:
    """Pictures in rows on white, each with its caption below (up to three lines).

    `columns`: about as many as rows when None. `cell_px`: longer side of a picture on the sheet; by default
    the largest picture's, between 192 and 384. Pictures keep their shape. Raises InputError for no pictures
    or another number of captions than pictures.
    """
    if not pictures:
        raise InputError("a contact sheet of no pictures was asked for; expected at least one")
    if captions is not None and len(captions) != len(pictures):
        raise InputError(f"{len(captions)} captions were given for {len(pictures)} pictures")
    for picture in pictures:
        check_image(picture)
    if columns is not None and columns < 1:
        raise InputError(f"columns must be at least 1, got {columns}")
    longest = max(max(picture.shape[:2]) for picture in pictures)
    cell = cell_px or min(max(longest, 192), 384)
    fitted = [_fitted(picture, cell) for picture in pictures]
    across = min(columns or _columns(fitted), len(fitted))
    letter_px = max(12, cell // 20)
    return _grid(_cards(fitted, captions, letter_px), across, title, letter_px)


def with_caption(picture: Picture, text: str, letter_px: int) -> Picture:
    """The picture with up to three lines of text on white below it."""
    from PIL import Image

    sheet = Image.fromarray(picture)
    margin = letter_px // 2
    block = _text_block(text, picture.shape[1] - 2 * margin, letter_px)
    page = Image.new("RGB", (sheet.width, sheet.height + block.height + 2 * margin), WHITE)
    page.paste(sheet, (0, 0))
    page.paste(block, (margin, sheet.height + margin))
    return np.asarray(page, np.uint8).copy()


def with_list(picture: Image, entries: Sequence[tuple[str, Colour]], letter_px: int) -> Image:
    """The picture with numbered phrases at its right, each number on its colour.

    Letters shrink to 10 px before the list is allowed to be longer than the picture.
    """
    from PIL import Image, ImageDraw

    letters, pad = font(letter_px), round(letter_px * 0.8)
    step, indent = line_height(letters), round(letter_px * 2.1)
    room = max(round(picture.width * 0.5), letter_px * 14)
    texts = [wrap(phrase, letters, room, 2) for phrase, _ in entries]
    widest = max(width_px(line, letters) for lines in texts for line in lines)
    width = max(round(widest), letter_px * 6) + indent + 2 * pad
    needed = sum(len(lines) * step + step // 2 for lines in texts) + 2 * pad
    if needed > picture.height and letter_px > 10:
        return with_list(picture, entries, letter_px - 1)
    sheet = Image.new("RGB", (picture.width + width, max(picture.height, needed)), PAPER)
    sheet.paste(picture, (0, 0))
    draw, y = ImageDraw.Draw(sheet), pad
    for number, ((_, colour), lines) in enumerate(zip(entries, texts, strict=True), 1):
        x = picture.width + pad
        chip = (x, y, x + indent - round(letter_px * 0.5), y + step)
        draw.rounded_rectangle(chip, radius=letter_px // 4, fill=colour)
        centre = ((chip[0] + chip[2]) / 2, (chip[1] + chip[3]) / 2)
        draw.text(centre, str(number), fill=readable_on(colour), font=letters, anchor="mm")
        for line in lines:
            draw.text((x + indent, y + step / 2), line, fill=INK, font=letters, anchor="lm")
            y += step
        y += step // 2
    return sheet


def readable_on(colour: Colour) -> Colour:
    """Near-black or white, whichever contrasts more with the colour (WCAG relative luminance)."""
    linear = [((level / 255 + 0.055) / 1.055) ** 2.4 if level > 10 else level / 3294.6 for level in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if luminance > 0.18 else WHITE


def _text_block(text: str, width: int, letter_px: int, lines: int = 3) -> Image:
    """Wrapped text on white, as high as it needs to be."""
    from PIL import Image, ImageDraw

    letters = font(letter_px)
    found = wrap(text, letters, width, lines)
    step = line_height(letters)
    block = Image.new("RGB", (max(width, 1), step * len(found)), WHITE)
    draw = ImageDraw.Draw(block)
    for k, line in enumerate(found):
        draw.text((0, (k + 0.5) * step), line, fill=INK, font=letters, anchor="lm")
    return block


def _cards(
    pictures: Sequence[Picture], captions: Sequence[str] | None, letter_px: int
) -> list[tuple[Image, Image | None]]:
    """Each picture with its caption as a block of the sheet's cell width."""
    from PIL import Image

    wide = max(picture.shape[1] for picture in pictures)
    texts: Sequence[str | None] = [None] * len(pictures) if captions is None else captions
    blocks = [None if text is None else _text_block(text, wide, letter_px) for text in texts]
    return [(Image.fromarray(picture), block) for picture, block in zip(pictures, blocks, strict=True)]


def _grid(cards: Sequence[tuple[Image, Image | None]], across: int, title: str, letter_px: int) -> Picture:
    """Cards in rows: pictures of a row stand on one line, captions below it."""
    from PIL import Image

    wide = max(picture.width for picture, _ in cards)
    gap, under = max(10, wide // 16), letter_px // 2
    page_width = across * (wide + gap) + gap
    rows = [cards[k : k + across] for k in range(0, len(cards), across)]
    strips = []
    for row in rows:
        high = max(picture.height for picture, _ in row)
        text = max((under + block.height for _, block in row if block is not None), default=0)
        strip = Image.new("RGB", (page_width, high + text + gap), WHITE)
        for k, (picture, block) in enumerate(row):
            x = gap + k * (wide + gap)
            strip.paste(picture, (x + (wide - picture.width) // 2, high - picture.height))
            if block is not None:
                strip.paste(block, (x, high + under))
        strips.append(strip)
    head = _text_block(title, page_width - 2 * gap, round(letter_px * 1.4), 2) if title else None
    top = gap + (head.height + gap // 2 if head else 0)
    page = Image.new("RGB", (page_width, top + sum(strip.height for strip in strips)), WHITE)
    if head:
        page.paste(head, (gap, gap))
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    return np.asarray(page, np.uint8).copy()


def _fitted(picture: Picture, cell: int) -> Picture:
    """The picture, its longer side brought to `cell` pixels."""
    from PIL import Image

    scale = cell / max(picture.shape[:2])
    if scale == 1:
        return picture
    size_wh = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize(size_wh, method), np.uint8)


def _columns(pictures: Sequence[Picture]) -> int:
    """As many columns as make the sheet a little wider than high."""
    shape = float(np.mean([picture.shape[0] / picture.shape[1] for picture in pictures]))
    return max(1, min(len(pictures), round(math.sqrt(len(pictures) * 1.3 * shape))))
