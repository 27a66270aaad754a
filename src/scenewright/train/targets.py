"""What is true of a batch of drawn pictures, after mirroring and enlarging parts; boxes to read.

Letters: B batch, H W pixels, G things per picture (as many as the fullest picture has), R boxes to read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenewright.train.annotated import Annotated

LEAST_KEPT = 0.5
"""Smallest part of a thing that must be in the cut for it to count as a thing."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Pictures and what is in them.

    images_BHW3  uint8.
    numbers_BHW  uint8, k + 1 where thing k is visible.
    true_BG4     boxes in pixels around what is visible, zeros where there is no thing.
    class_BG     int64, -1 where there is no thing; colour_BG int64; texture_BG int64, -1 for plain.
    """

    images_BHW3: NDArray[np.uint8]
    numbers_BHW: NDArray[np.uint8]
    true_BG4: NDArray[np.float32]
    class_BG: NDArray[np.int64]
    colour_BG: NDArray[np.int64]
    texture_BG: NDArray[np.int64]

    def rows(self) -> dict[str, NDArray[np.generic]]:
        """The arrays about things, by name."""
        names = ("true_BG4", "class_BG", "colour_BG", "texture_BG")
        return {name: getattr(self, name) for name in names}


def truth(pictures: Annotated, indices: NDArray[np.int64], cut: float, rng: np.random.Generator) -> Truth:
    """The pictures at `indices`, half of them mirrored; of a share `cut` a square part is enlarged.

    Things of which less than half is left in the part are no things any more. Sides keep their lengths.
    """
    images_BHW3, numbers_BHW = pictures.images(indices), pictures.instances(indices)
    height, width = images_BHW3.shape[1:3]
    most = max(1, *(len(pictures.items[int(i)].classes) for i in indices))
    rows = np.full((3, len(indices), most), -1, np.int64)
    true_BG4 = np.zeros((len(indices), most, 4), np.float32)
    for b, index in enumerate(indices):
        item = pictures.items[int(index)]
        full = np.bincount(numbers_BHW[b].reshape(-1), minlength=most + 1)[1:]
        if rng.random() < 0.5:
            images_BHW3[b], numbers_BHW[b] = images_BHW3[b, :, ::-1], numbers_BHW[b, :, ::-1]
        part = 1.0
        if rng.random() < cut:
            part = float(rng.uniform(0.7, 1.0))
            at = _window(part, (height, width), rng)
            images_BHW3[b], numbers_BHW[b] = _enlarged(images_BHW3[b], at), numbers_BHW[b][np.ix_(*at)]
        left = np.bincount(numbers_BHW[b].reshape(-1), minlength=most + 1)[1:] * part**2
        for k in range(len(item.classes)):
            if left[k] >= max(LEAST_KEPT * full[k], 1):
                rows[:, b, k] = item.classes[k], item.colours[k], item.textures[k]
                true_BG4[b, k] = _box(numbers_BHW[b] == k + 1)
    return Truth(images_BHW3, numbers_BHW, true_BG4, *rows)


def moved_boxes(
    found: Truth, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes [B,R,4] to read and the thing that each means, -1 for none.

    Three quarters are true boxes moved by up to a fifth of their sides, resized by up to a quarter (in one of
    four cases twice that); the others lie anywhere and mean the thing that they meet with an IoU of 0.5.
    """
    batch = len(found.images_BHW3)
    height, width = found.images_BHW3.shape[1:3]
    boxes_BR4 = np.zeros((batch, count, 4), np.float32)
    thing_BR = np.full((batch, count), -1, np.int64)
    for b in range(batch):
        real = np.flatnonzero(found.class_BG[b] >= 0)
        near = (3 * count) // 4 if len(real) else 0
        if near:
            order = np.concatenate([rng.permutation(real) for _ in range(-(-near // len(real)))])[:near]
            boxes_BR4[b, :near] = shaken(found.true_BG4[b, order], rng)
            thing_BR[b, :near] = order
        boxes_BR4[b, near:] = anywhere(count - near, (height, width), rng)
        if near:
            meets = overlaps(boxes_BR4[b, near:, None], found.true_BG4[b, real][None])
            thing_BR[b, near:] = np.where(meets.max(1) >= 0.5, real[meets.argmax(1)], -1)
    return boxes_BR4, thing_BR


def shaken(
    boxes_N4: NDArray[np.float32], rng: np.random.Generator, strength: float = 1.0
) -> NDArray[np.float32]:
    """Boxes moved and resized at random, `strength` times as much as in `moved_boxes`."""
    number = len(boxes_N4)
    strength_N1 = strength * np.where(rng.random((number, 1)) < 0.25, 2.0, 1.0) * rng.random((number, 1))
    side_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
    centre_N2 = (boxes_N4[:, 2:] + boxes_N4[:, :2]) / 2
    centre_N2 = centre_N2 + 0.2 * strength_N1 * rng.uniform(-1, 1, (number, 2)) * side_N2
    half_N2 = side_N2 / 2 * np.exp(0.25 * strength_N1 * rng.uniform(-1, 1, (number, 2)))
    return np.concatenate([centre_N2 - half_N2, centre_N2 + half_N2], axis=1).astype(np.float32)


def anywhere(number: int, size_hw: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Boxes [number,4] of all sizes from 16 pixels on, at random places."""
    side_N2 = np.exp(rng.uniform(np.log(16.0), np.log(0.75 * min(size_hw)), (number, 2)))
    corner_N2 = rng.random((number, 2)) * (np.array(size_hw[::-1]) - side_N2)
    return np.concatenate([corner_N2, corner_N2 + side_N2], axis=1).astype(np.float32)


def _window(
    part: float, size_hw: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the picture that the enlarged part shows, as often as needed."""
    found = []
    for side in size_hw:
        first = rng.uniform(0, side * (1 - part))
        found.append(np.clip((first + (np.arange(side) + 0.5) * part).astype(np.int64), 0, side - 1))
    return found[0], found[1]


def _enlarged(
    image_HW3: NDArray[np.uint8], at: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.uint8]:
    """The part, resampled smoothly."""
    from PIL import Image

    (r0, r1), (c0, c1) = ((int(line[0]), int(line[-1]) + 1) for line in at)
    picture = Image.fromarray(np.ascontiguousarray(image_HW3))
    size_wh = (image_HW3.shape[1], image_HW3.shape[0])
    return np.asarray(picture.resize(size_wh, Image.Resampling.BICUBIC, box=(c0, r0, c1, r1)))


def _box(mask_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU of boxes [...,4] of one unit; the shapes broadcast."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    meet = np.prod(np.clip(high - low, 0, None), axis=-1)
    sizes = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1)
    return meet / np.maximum(sizes - meet, 1e-6)
