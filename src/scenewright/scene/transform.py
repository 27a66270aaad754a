"""One object that crops, resizes and mirrors a picture and everything that belongs to it.

    fit = Transform.fit(picture_wh, (512, 512), mode="crop").flip()
    image, scene = fit.image(image), fit.scene(scene)

Shape letters: H, W pixels in; h, w pixels out; C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from scenewright.errors import SceneError, nearest
from scenewright.scene import checks, resampling
from scenewright.scene.boxes import Box
from scenewright.scene.marks import SKELETONS, Keypoints, Point, Scribble
from scenewright.scene.masks import LARGEST_PX, Mask
from scenewright.scene.schema import Instance, Part, Scene
from scenewright.scene.semantic import IGNORE, SemanticMap

Mode = Literal["crop", "pad", "stretch"]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Crop:
    """Cut out whole pixels x0, y0 (inclusive) to x1, y1 (exclusive); what lies outside is padding."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class Resize:
    """Resize to width, height in pixels."""

    to_wh: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Flip:
    """Swap left and right."""


Step = Crop | Resize | Flip


@dataclass(frozen=True, slots=True)
class Transform:
    """Steps applied one after another to pictures of `size_wh` (width, height in pixels).

    `crop`, `resize` and `flip` return a longer Transform. Pictures are resized by an antialiased filter,
    masks and label maps by nearest, places exactly.
    """

    size_wh: tuple[int, int]
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_wh", checks.pair(self.size_wh, "size_wh", 1, LARGEST_PX))

    @classmethod
    def fit(cls, size_wh: tuple[int, int], to_wh: tuple[int, int], mode: Mode = "crop") -> Transform:
        """From `size_wh` to exactly `to_wh`: "crop" cuts off, "pad" adds margins, "stretch" distorts."""
        modes = ("crop", "pad", "stretch")
        if mode not in modes:
            close = nearest(str(mode), modes)
            hint = f"did you mean {close!r}?" if close else ""
            raise SceneError(f"expected mode crop, pad or stretch, got {mode!r}", hint)
        whole = cls(size_wh)
        to_w, to_h = checks.pair(to_wh, "to_wh", 1, LARGEST_PX)
        if mode == "stretch":
            return whole.resize((to_w, to_h))
        width, height = whole.size_wh
        too_wide = width * to_h > height * to_w
        if too_wide == (mode == "crop"):
            width = max(1, round(height * to_w / to_h))
        else:
            height = max(1, round(width * to_h / to_w))
        left, top = (whole.size_wh[0] - width) // 2, (whole.size_wh[1] - height) // 2
        return whole.crop((left, top, left + width, top + height)).resize((to_w, to_h))

    def crop(self, xyxy_px: tuple[int, int, int, int]) -> Transform:
        """Then cut out whole pixels x0, y0, x1, y1; a window that reaches outside is padded there."""
        if len(xyxy_px) != 4:
            raise SceneError(f"expected x0, y0, x1, y1, got {checks.shown(xyxy_px)}", path="xyxy_px")
        x0, y0, x1, y1 = (
            checks.whole(value, f"xyxy_px[{k}]", -LARGEST_PX, 2 * LARGEST_PX)
            for k, value in enumerate(xyxy_px)
        )
        if not (0 < x1 - x0 <= LARGEST_PX and 0 < y1 - y0 <= LARGEST_PX):
            raise SceneError(f"expected x0 < x1 and y0 < y1, got {[x0, y0, x1, y1]}", path="xyxy_px")
        unchanged = (x0, y0, x1, y1) == (0, 0, *self.out_wh)
        return self if unchanged else replace(self, steps=(*self.steps, Crop(x0, y0, x1, y1)))

    def resize(self, to_wh: tuple[int, int]) -> Transform:
        """Then resize to width, height in pixels."""
        to_wh = checks.pair(to_wh, "to_wh", 1, LARGEST_PX)
        return self if to_wh == self.out_wh else replace(self, steps=(*self.steps, Resize(to_wh)))

    def flip(self) -> Transform:
        """Then swap left and right."""
        if self.steps and isinstance(self.steps[-1], Flip):
            return replace(self, steps=self.steps[:-1])
        return replace(self, steps=(*self.steps, Flip()))

    @property
    def out_wh(self) -> tuple[int, int]:
        """Width, height of the result in pixels."""
        return self._sizes()[-1]

    @property
    def mirrored(self) -> bool:
        """Whether left and right are swapped in the end."""
        return sum(isinstance(step, Flip) for step in self.steps) % 2 == 1

    def image(self, image_HWC: npt.NDArray[np.uint8], fill: int = 0) -> npt.NDArray[np.uint8]:
        """A picture [H, W, C] uint8 as [h, w, C]; padding has the value `fill`."""
        if image_HWC.ndim != 3 or image_HWC.dtype != np.uint8:
            raise SceneError(f"expected uint8 [H, W, C], got {image_HWC.dtype} {list(image_HWC.shape)}")
        self._check_shape(image_HWC)
        for step in self.steps:
            if isinstance(step, Resize):
                image_HWC = resampling.resize_image(image_HWC, step.to_wh)
            else:
                image_HWC = _moved(image_HWC, step, fill)
        return np.array(image_HWC, order="C")

    def labels(self, labels_HW: npt.NDArray[Kind], fill: int | None = None) -> npt.NDArray[Kind]:
        """Labels [H, W] of any whole or bool type as [h, w], by nearest.

        Padding has the value `fill`: if not given, the ignored label (255 in uint8, False in bool, else
        65535).
        """
        if labels_HW.ndim != 2 or labels_HW.dtype.kind not in "biu":
            raise SceneError(f"expected whole numbers [H, W], got {labels_HW.dtype} {list(labels_HW.shape)}")
        self._check_shape(labels_HW)
        if fill is None:
            fill = 0 if labels_HW.dtype.kind == "b" else 255 if labels_HW.dtype.itemsize == 1 else IGNORE
        for step in self.steps:
            if isinstance(step, Resize):
                labels_HW = resampling.resize_labels(labels_HW, step.to_wh)
            else:
                labels_HW = _moved(labels_HW, step, fill)
        return np.array(labels_HW, order="C")

    def mask(self, mask: Mask) -> Mask:
        """A mask, by nearest; padding is outside."""
        return Mask.from_array(self.labels(mask.array())) if self.steps else mask

    def semantic(self, labels: SemanticMap) -> SemanticMap:
        """A semantic map, by nearest; padding is `IGNORE`."""
        return (
            SemanticMap.from_labels(self.labels(labels.labels()), labels.vocabulary) if self.steps else labels
        )

    def xy(self, x: float, y: float) -> tuple[float, float]:
        """A place in fractions of the canvas; the result may lie off the canvas."""
        for step, (width, height) in zip(self.steps, self._sizes(), strict=False):
            if isinstance(step, Crop):
                x = (x * width - step.x0) / (step.x1 - step.x0)
                y = (y * height - step.y0) / (step.y1 - step.y0)
            elif isinstance(step, Flip):
                x = 1.0 - x
        return x, y

    def box(self, box: Box) -> Box | None:
        """What remains of a box on the new canvas; None if nothing does."""
        (xa, y0), (xb, y1) = self.xy(box.x0, box.y0), self.xy(box.x1, box.y1)
        x0, x1 = (xb, xa) if self.mirrored else (xa, xb)
        left, top, right, bottom = self._shown()
        x0, y0, x1, y1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def visible(self, box: Box) -> float:
        """The fraction of the box's area that remains on the canvas, in [0, 1]."""
        (x0, y0), (x1, y1) = self.xy(box.x0, box.y0), self.xy(box.x1, box.y1)
        kept = self.box(box)
        return min(1.0, kept.area / abs((x1 - x0) * (y1 - y0))) if kept else 0.0

    def point(self, point: Point) -> Point | None:
        """A point, or None if it is off the canvas."""
        x, y = self.xy(point.x, point.y)
        return Point(x, y) if self._shows(x, y) else None

    def points(self, points: tuple[Point, ...]) -> tuple[Point, ...]:
        """The points that are still on the canvas, in order."""
        return tuple(moved for point in points if (moved := self.point(point)) is not None)

    def scribble(self, scribble: Scribble) -> Scribble | None:
        """The scribble through those of its points that remain; None if fewer than two do."""
        points = self.points(scribble.points)
        return Scribble(points) if len(points) >= 2 else None

    def keypoints(self, keypoints: Keypoints) -> Keypoints | None:
        """Joints; those off the canvas become (0, 0, 0). Mirrored, left and right joints trade places.

        None if the last labelled joint has left.
        """
        joints = [self._joint(*joint) for joint in keypoints.points]
        if self.mirrored:
            for a, b in SKELETONS[keypoints.skeleton].mirrored:
                joints[a], joints[b] = joints[b], joints[a]
        moved = Keypoints(tuple(joints), keypoints.skeleton)
        return None if _labelled(keypoints) and not _labelled(moved) else moved

    def part(self, part: Part) -> Part | None:
        """A part; None if its box is off the canvas."""
        box = self.box(part.box)
        return Part(part.name, box, self._kept(part.mask)) if box else None

    def instance(self, instance: Instance) -> Instance | None:
        """An instance with every place moved; None if it had a place and none is left on the canvas.

        Phrase and `extra` are kept as they are, also where they speak of left and right.
        """
        parts = [self.part(part) for part in instance.parts]
        moved = replace(
            instance,
            box=self.box(instance.box) if instance.box else None,
            mask=self._kept(instance.mask),
            points=self.points(instance.points),
            scribble=self.scribble(instance.scribble) if instance.scribble else None,
            keypoints=self.keypoints(instance.keypoints) if instance.keypoints else None,
            parts=tuple(part for part in parts if part is not None),
        )
        return moved if not _placed(instance) or _placed(moved) else None

    def scene(self, scene: Scene, visible: float = 0.0) -> Scene:
        """A scene of `size_wh` with everything in it moved; ids are kept.

        Instances that leave the canvas are left out, as are those of whose `location_box` less than the
        fraction `visible` remains. The new size must suit a scene (multiples of 8, or a scene with a
        `picture`).
        """
        if scene.size_wh != self.size_wh:
            raise SceneError(
                f"expected a scene of {list(self.size_wh)}, got {list(scene.size_wh)}", path="size_wh"
            )
        kept = [self.instance(item) for item in scene.instances if self._seen(item, visible)]
        return replace(
            scene,
            size_wh=self.out_wh,
            instances=tuple(item for item in kept if item is not None),
            semantic_map=self.semantic(scene.semantic_map) if scene.semantic_map else None,
        )

    def _seen(self, instance: Instance, visible: float) -> bool:
        box = instance.location_box if visible > 0 else None
        return box is None or self.visible(box) >= visible

    def _kept(self, mask: Mask | None) -> Mask | None:
        """The mask moved; None if everything in it has left the canvas."""
        if mask is None:
            return None
        moved = self.mask(mask)
        return None if moved.is_empty and not mask.is_empty else moved

    def _joint(self, x: float, y: float, v: int) -> tuple[float, float, int]:
        x, y = self.xy(x, y)
        return (x, y, v) if v > 0 and self._shows(x, y) else (0.0, 0.0, 0)

    def _shows(self, x: float, y: float) -> bool:
        left, top, right, bottom = self._shown()
        return left <= x <= right and top <= y <= bottom

    def _shown(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the picture on the new canvas; the rest is padding.

        What one crop has cut off does not come back when a later one reaches outside.
        """
        x0, y0, x1, y1 = 0.0, 0.0, 1.0, 1.0
        for step, (width, height) in zip(self.steps, self._sizes(), strict=False):
            if isinstance(step, Crop):
                across, down = step.x1 - step.x0, step.y1 - step.y0
                x0, x1 = (x0 * width - step.x0) / across, (x1 * width - step.x0) / across
                y0, y1 = (y0 * height - step.y0) / down, (y1 * height - step.y0) / down
                x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0)
            elif isinstance(step, Flip):
                x0, x1 = 1.0 - x1, 1.0 - x0
        return x0, y0, x1, y1

    def _sizes(self) -> list[tuple[int, int]]:
        """Width, height before each step and after the last."""
        sizes = [self.size_wh]
        for step in self.steps:
            if isinstance(step, Crop):
                sizes.append((step.x1 - step.x0, step.y1 - step.y0))
            else:
                sizes.append(step.to_wh if isinstance(step, Resize) else sizes[-1])
        return sizes

    def _check_shape(self, array: npt.NDArray[np.generic]) -> None:
        if array.shape[1::-1] != self.size_wh:
            raise SceneError(
                f"expected height and width {list(self.size_wh[::-1])}, got {list(array.shape[:2])}"
            )


def _moved(array: npt.NDArray[Kind], step: Crop | Flip, fill: int) -> npt.NDArray[Kind]:
    """The array [H, W, ...] cropped or mirrored; a view where possible."""
    if isinstance(step, Flip):
        return array[:, ::-1]
    height, width = array.shape[:2]
    x0, y0, x1, y1 = max(step.x0, 0), max(step.y0, 0), min(step.x1, width), min(step.y1, height)
    if (x0, y0, x1, y1) == (step.x0, step.y0, step.x1, step.y1):
        return array[y0:y1, x0:x1]
    out = np.full((step.y1 - step.y0, step.x1 - step.x0, *array.shape[2:]), fill, dtype=array.dtype)
    if x0 < x1 and y0 < y1:
        out[y0 - step.y0 : y1 - step.y0, x0 - step.x0 : x1 - step.x0] = array[y0:y1, x0:x1]
    return out


def _placed(instance: Instance) -> bool:
    """Whether an instance says where it is, in any way; empty masks and joints do not."""
    return bool(
        instance.box
        or (instance.mask and not instance.mask.is_empty)
        or instance.points
        or instance.scribble
        or (instance.keypoints and _labelled(instance.keypoints))
        or instance.parts
    )


def _labelled(keypoints: Keypoints) -> bool:
    """Whether any joint is labelled."""
    return any(v > 0 for _, _, v in keypoints.points)
