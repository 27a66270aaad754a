"""Pictures for people: overlays, layouts without a picture, and contact sheets.

Colours are distinct for people with and without colour blindness: the seven of Okabe and Ito (2008), then
nine that are farthest from all before them as seen by normal, protan and deutan eyes (Machado et al. 2009,
distance in OKLab).

Shape suffixes: H W pixels of the picture made, 3 red green blue. Pillow is imported inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError
from scenewright.scene.io import check_image
from scenewright.scene.marks import SKELETONS
from scenewright.scene.masks import Mask
from scenewright.scene.schema import Instance, Scene
from scenewright.scene.sheet import INK, PAPER, contact_sheet, with_caption, with_list
from scenewright.scene.text import Label, draw_labels
from scenewright.scene.vocabulary import Vocabulary, default_colour

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

__all__ = ["PALETTE", "colours", "contact_sheet", "layout_picture", "overlay", "semantic_picture"]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167), (135, 15, 30),
    (120, 255, 255), (40, 40, 255), (15, 75, 120), (135, 210, 165),
    (90, 135, 255), (180, 45, 0), (45, 105, 105), (45, 45, 180),
)  # fmt: skip
"""Instance colours, most useful first; more instances than colours begin again."""

FEW = 10
"""Up to this many instances are named inside the picture; more get numbers and a list beside it."""
FINE = 3
"""Lines are drawn this many times larger and scaled down, for smooth edges."""


def colours(n: int) -> tuple[Colour, ...]:
    """`n` instance colours, distinct up to 16."""
    return tuple(PALETTE[k % len(PALETTE)] for k in range(n))


def overlay(
    image_HW3: Picture,
    scene: Scene,
    masks: Mapping[str, Mask] | None = None,
    *,
    size_px: int = 640,
    marks: bool = True,
    paint: Sequence[Colour] | None = None,
    tint: float = 0.22,
) -> Picture:
    """The picture with every instance of the scene marked on it: mask tint and outline, box, parts, points,
    scribble, keypoints and a label.

    `masks` (instance id -> mask of any size) are drawn instead of the scene's own. Small pictures are
    enlarged by a whole factor to about `size_px` on the longer side, so that labels are legible. With
    more than ten instances, or instances without a place, the result is wider than the picture: it has a
    list on the right. `marks=False` leaves out parts, points, scribbles and keypoints.
    `paint` has a colour for each instance, by default those of `colours`; `tint` says how strongly masks are
    filled with it (0 to 1).
    """
    check_image(image_HW3)
    picture = _enlarged(image_HW3, size_px)
    return _annotated(picture, scene, masks or {}, size_px, tint=tint, marks=marks, paint=paint)


def layout_picture(scene: Scene, *, size_px: int = 640, prompt: bool = True) -> Picture:
    """The scene alone, on paper: its semantic map if it has one, boxes, masks and marks; the prompt below.

    The longer side of the canvas is `size_px`.
    """
    width, height = scene.size_wh
    scale = size_px / max(width, height)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    drawn = _annotated(_canvas(scene, size_wh), scene, {}, size_px, paper=True, tint=0.34, marks=True)
    if not (prompt and scene.prompt):
        return drawn
    return with_caption(drawn, scene.prompt, max(13, size_px // 38))


def semantic_picture(
    labels_HW: npt.NDArray[np.integer[Any]], vocabulary: Vocabulary | None = None
) -> Picture:
    """A label map in the colours of its vocabulary; without one, in colours of their own by number."""
    if vocabulary is not None:
        return vocabulary.colours(labels_HW)
    table = np.array([default_colour(k) for k in range(1024)], np.uint8)
    return table[np.asarray(labels_HW).astype(np.int64) % 1024]


# --- one annotated picture ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    """One instance as it is drawn."""

    instance: Instance
    mask: Mask | None
    colour: Colour
    number: int


def _annotated(
    picture: Image,
    scene: Scene,
    masks: Mapping[str, Mask],
    size_px: int,
    *,
    paper: bool = False,
    tint: float,
    marks: bool,
    paint: Sequence[Colour] | None = None,
) -> Picture:
    """`picture` with all instances on it. On paper, boxes are filled too."""
    from PIL import Image

    paint = colours(len(scene.instances)) if paint is None else paint
    items = [
        _Item(instance, masks.get(instance.id, instance.mask), paint[k], k + 1)
        for k, instance in enumerate(scene.instances)
    ]
    order = sorted(items, key=lambda item: (item.instance.z, -_extent(item)))
    stroke = max(2, round(size_px / 260))
    for item in order:
        picture = _tint(picture, item, stroke, tint)
    if paper:
        picture = _filled(picture, order, 46)
    lines = _lines(picture.size, order, stroke, marks)
    picture = Image.alpha_composite(picture.convert("RGBA"), lines).convert("RGB")
    placed = [item for item in order if _anchor(item) is not None]
    listed = len(items) > FEW or len(placed) < len(items)
    labels = [_label(item, picture.size, listed) for item in placed]
    letter_px = max(12, round(size_px / 42))
    picture = draw_labels(picture, labels, letter_px)
    if listed:
        picture = with_list(picture, [(item.instance.phrase, item.colour) for item in items], letter_px)
    return np.asarray(picture, np.uint8).copy()


def _extent(item: _Item) -> float:
    box = item.instance.location_box
    return box.area if box else 0.0


def _anchor(item: _Item) -> tuple[float, float, float, float] | None:
    """The place, in fractions, that a label belongs to."""
    instance = item.instance
    if instance.box is None and item.mask is not None and (found := item.mask.box()) is not None:
        return found.xyxy
    if instance.location_box is not None:
        return instance.location_box.xyxy
    joints = [(x, y) for x, y, seen in instance.keypoints.points if seen] if instance.keypoints else []
    if not joints:
        return None
    xs, ys = [x for x, _ in joints], [y for _, y in joints]
    return min(xs), min(ys), max(xs), max(ys)


def _label(item: _Item, size_wh: tuple[int, int], numbered: bool) -> Label:
    width, height = size_wh
    x0, y0, x1, y1 = _anchor(item) or (0.0, 0.0, 0.0, 0.0)
    text = str(item.number) if numbered else item.instance.phrase
    return Label(text, item.colour, (x0 * width, y0 * height, x1 * width, y1 * height))


def _tint(picture: Image, item: _Item, stroke: int, strength: float) -> Image:
    """The picture with the item's mask tinted and outlined, dark just outside the colour."""
    from PIL import Image, ImageChops, ImageFilter

    place = None if item.mask is None else item.mask.box()
    if item.mask is None or place is None:
        return picture
    bits = Image.fromarray(item.mask.array().astype(np.uint8) * 255)
    area = bits.resize(picture.size, Image.Resampling.BILINEAR).point(lambda level: 255 if level > 127 else 0)
    x0, y0, x1, y1 = (round(side) for side in place.to_xyxy_px(picture.size))
    margin = 2 * stroke + 8
    window = max(x0 - margin, 0), max(y0 - margin, 0), x1 + margin, y1 + margin
    window = (*window[:2], min(window[2], picture.width), min(window[3], picture.height))
    area, ground = area.crop(window), picture.crop(window)
    wide = area.filter(ImageFilter.MaxFilter(2 * (stroke // 2) + 3))
    inner = area.filter(ImageFilter.MinFilter(2 * (stroke // 2) + 1))
    smooth = ImageFilter.GaussianBlur(0.7)
    halo = ImageChops.subtract(wide, area).filter(smooth).point(lambda level: level * 0.55)
    edge = ImageChops.subtract(area, inner).filter(smooth)
    solid = Image.new("RGB", ground.size, item.colour)
    tinted = Image.composite(solid, ground, area.point(lambda level: level * strength))
    tinted = Image.composite(Image.new("RGB", ground.size, INK), tinted, halo)
    result = picture.copy()
    result.paste(Image.composite(solid, tinted, edge), window[:2])
    return result


def _filled(picture: Image, items: Sequence[_Item], opacity: int) -> Image:
    """The picture with the insides of boxes (of items without a mask) tinted."""
    from PIL import ImageDraw

    result = picture.copy()
    draw = ImageDraw.Draw(result, "RGBA")
    for item in items:
        if item.instance.box is not None and item.mask is None:
            draw.rectangle(item.instance.box.to_xyxy_px(picture.size), fill=(*item.colour, opacity))
    return result


def _lines(size_wh: tuple[int, int], items: Sequence[_Item], stroke: int, marks: bool) -> Image:
    """Boxes, parts, scribbles, keypoints and points as a transparent layer with smooth edges."""
    from PIL import Image

    large = Image.new("RGBA", (size_wh[0] * FINE, size_wh[1] * FINE), (*INK, 0))
    pen = _Pen(large, stroke * FINE)
    for item in items:
        for dark in (True, False):
            pen.item(item.instance, item.colour, dark, marks)
    return large.resize(size_wh, Image.Resampling.BOX)


class _Pen:
    """Draws the marks of one item on a layer; every line first wider in dark, then in its colour."""

    def __init__(self, layer: Image, stroke: int) -> None:
        from PIL import ImageDraw

        self.draw = ImageDraw.Draw(layer)
        self.size_wh = layer.size
        self.stroke = stroke

    def item(self, instance: Instance, colour: Colour, dark: bool, marks: bool) -> None:
        """The box and, if `marks`, all other marks of an instance, as dark casing or in colour."""
        ink = (*INK, 190) if dark else (*colour, 255)
        extra = self.stroke // 2 if dark else 0
        if instance.box is not None:
            self._box(instance.box.xyxy, ink, self.stroke, extra)
        if not marks:
            return
        for part in instance.parts:
            self._dashed_box(part.box.xyxy, ink, self.stroke * 2 // 3, extra)
        if instance.scribble is not None:
            self._polyline([point.xy for point in instance.scribble.points], ink, self.stroke * 2, extra)
        if instance.keypoints is not None:
            self._body(instance.keypoints.points, instance.keypoints.skeleton, ink, extra)
        for point in instance.points:
            self._dot(point.xy, ink, self.stroke * 3, extra, dark)

    def _px(self, x: float, y: float) -> tuple[float, float]:
        return x * self.size_wh[0], y * self.size_wh[1]

    def _box(self, xyxy: Sequence[float], ink: tuple[int, ...], stroke: int, extra: int) -> None:
        (x0, y0), (x1, y1) = self._px(*xyxy[:2]), self._px(*xyxy[2:])
        corners = (x0 - extra, y0 - extra, max(x1 - 1, x0) + extra, max(y1 - 1, y0) + extra)
        self.draw.rectangle(corners, outline=ink, width=stroke + 2 * extra)

    def _dashed_box(self, xyxy: Sequence[float], ink: tuple[int, ...], stroke: int, extra: int) -> None:
        (x0, y0), (x1, y1) = self._px(*xyxy[:2]), self._px(*xyxy[2:])
        for a, b in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))):
            length = math.dist(a, b)
            count = max(1, round(length / (stroke * 6)))
            for k in range(count):
                start, end = k / count, (k + 0.6) / count
                ends = [(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for t in (start, end)]
                self.draw.line(ends, fill=ink, width=stroke + 2 * extra)

    def _polyline(
        self, points: Sequence[tuple[float, float]], ink: tuple[int, ...], stroke: int, extra: int
    ) -> None:
        places = [self._px(x, y) for x, y in points]
        self.draw.line(places, fill=ink, width=stroke + 2 * extra, joint="curve")
        for place in (places[0], places[-1]):
            self._disc(place, stroke / 2 + extra, ink)

    def _dot(
        self, xy: tuple[float, float], ink: tuple[int, ...], radius: int, extra: int, dark: bool
    ) -> None:
        self._disc(self._px(*xy), radius + extra, ink)
        if not dark:
            self._disc(self._px(*xy), radius * 0.45, (255, 255, 255, 255))

    def _disc(self, place: tuple[float, float], radius: float, ink: tuple[int, ...]) -> None:
        x, y = place
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)

    def _body(
        self, joints: Sequence[tuple[float, float, int]], skeleton: str, ink: tuple[int, ...], extra: int
    ) -> None:
        for a, b in SKELETONS[skeleton].bones:
            if joints[a][2] and joints[b][2]:
                ends = [self._px(*joints[a][:2]), self._px(*joints[b][:2])]
                self.draw.line(ends, fill=ink, width=self.stroke + 2 * extra)
        for x, y, seen in joints:
            if seen:
                self._disc(self._px(x, y), self.stroke * (1.6 if seen == 2 else 1.0) + extra, ink)


# --- canvases ----------------------------------------------------------------------------------------------


def _enlarged(image_HW3: Picture, size_px: int) -> Image:
    """At least the given size, enlarged by the whole factor that comes nearest to `size_px`."""
    from PIL import Image

    picture = Image.fromarray(image_HW3)
    factor = max(1, round(size_px / max(picture.size)))
    if factor == 1:
        return picture
    wanted = (picture.width * factor, picture.height * factor)
    return picture.resize(wanted, Image.Resampling.BICUBIC)


def _canvas(scene: Scene, size_wh: tuple[int, int]) -> Image:
    """Paper with lines at the thirds, or the semantic map in pale colours."""
    from PIL import Image, ImageDraw

    paper = Image.new("RGB", size_wh, PAPER)
    if scene.semantic_map is not None:
        coloured = Image.fromarray(semantic_picture(scene.semantic_map.labels(), _known(scene)))
        return Image.blend(paper, coloured.resize(size_wh, Image.Resampling.NEAREST), 0.6)
    draw = ImageDraw.Draw(paper)
    for k in (1, 2):
        draw.line((size_wh[0] * k // 3, 0, size_wh[0] * k // 3, size_wh[1]), fill=(226, 224, 217))
        draw.line((0, size_wh[1] * k // 3, size_wh[0], size_wh[1] * k // 3), fill=(226, 224, 217))
    draw.rectangle((0, 0, size_wh[0] - 1, size_wh[1] - 1), outline=(205, 203, 196))
    return paper


def _known(scene: Scene) -> Vocabulary | None:
    """The vocabulary of the scene's map, or None when its name is nobody's."""
    try:
        return Vocabulary.load(scene.semantic_map.vocabulary) if scene.semantic_map else None
    except InputError:
        return None
