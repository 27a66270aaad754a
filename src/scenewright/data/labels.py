"""InstanceDiffusion's training files: one ``label_*.json`` a picture, with the picture inside.

Keys of a file: `image` (base64 JPEG), `caption`, `is_det`, `file_name`, and `annos` with `bbox` (x, y, width,
height in pixels), `mask` (COCO run lengths), `category_name`, `caption` (of the crop; not of small things).
Stored text embeddings are left out: phrases are embedded by the model that is trained. A text file lists such
files, one a line. Source: Wang et al., InstanceDiffusion, CVPR 2024, data generation and loader.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data import foreign
from scenewright.data.foreign import XYWH_PX
from scenewright.errors import InputError
from scenewright.scene import Box, ImageRef, Instance, Mask, Scene
from scenewright.scene.files import read_bytes, read_json
from scenewright.scene.io import decode_image

PATTERN = "label_*.json"


def label_files(place: Path) -> list[Path]:
    """The label files of a folder (sorted by name), those a text file lists, or the file itself.

    Lines are paths, beside the list where they are not absolute. Raises InputError for none, StorageError for
    a list that cannot be read.
    """
    if place.is_dir():
        found = sorted(place.glob(PATTERN))
    elif place.suffix == ".txt":
        lines = read_bytes(place).decode("utf-8", "replace").splitlines()
        found = [place.parent / line.strip() for line in lines if line.strip()]
    else:
        found = [place]
    if not found:
        raise InputError(f"no label files in {place}", f"expected {PATTERN}, or a text file that lists them")
    return found


def has_labels(place: Path) -> bool:
    """Whether a path is a label file, a list of them, or a folder with some."""
    if place.is_dir():
        return next(place.glob(PATTERN), None) is not None
    return place.is_file() and (place.suffix == ".txt" or place.match(PATTERN))


def read_label(path: Path) -> tuple[NDArray[np.uint8], Scene]:
    """Picture HW3 and scene of a label file; boxes that leave the picture are clipped with a warning.

    An instance is called by its own caption, with the class in front where the caption does not name it, and
    its category is the class. Raises StorageError, InputError.
    """
    document = foreign.object_of(read_json(path), str(path))
    image_HW3 = _image(document, str(path))
    size_wh = (image_HW3.shape[1], image_HW3.shape[0])
    annos = foreign.rows_of(document.get("annos", []), f"{path}: annos")
    rows = [foreign.four(foreign.need(anno, "bbox", f"{path}: annos[{k}]"), f"{path}: annos[{k}].bbox")
            for k, anno in enumerate(annos)]  # fmt: skip
    boxes = foreign.place_boxes(rows, [size_wh] * len(rows), XYWH_PX, str(path))
    instances = [
        _instance(anno, box, size_wh, f"{path}: annos[{k}]")
        for k, (anno, box) in enumerate(zip(annos, boxes, strict=True))
        if box is not None
    ]
    scene = Scene(
        prompt=_caption(document, instances, str(path)),
        size_wh=size_wh,
        instances=tuple(instances),
        picture=ImageRef(path=str(document.get("file_name") or path.stem)),
    )
    return image_HW3, scene


def _image(document: dict[str, Any], name: str) -> NDArray[np.uint8]:
    text = foreign.text(foreign.need(document, "image", name), f"{name}: image")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name}: image: expected a picture in base64, {error}") from error
    return decode_image(content, f"the picture in {name}")


def _instance(anno: dict[str, Any], box: Box, size_wh: tuple[int, int], where: str) -> Instance:
    category = foreign.text(anno.get("category_name") or "", f"{where}.category_name").strip()
    caption = foreign.text(anno.get("caption") or "", f"{where}.caption").strip()
    if not category and not caption:
        raise InputError(f"{where}: neither 'caption' nor 'category_name' says what it is")
    named = caption and category.lower() not in caption.lower()
    phrase = f"{category}. {caption}" if named and category else caption or category
    with foreign.named(where):
        mask: Mask | None = foreign.mask_of(anno.get("mask"), size_wh, "mask")
        return Instance(phrase=phrase, category=category or None, box=box, mask=mask)


def _caption(document: dict[str, Any], instances: list[Instance], name: str) -> str:
    """The caption; in detection sets (`is_det` 1) the counted classes come before it: "2 dog, 1 cat. ..."."""
    caption = foreign.text(document.get("caption") or "", f"{name}: caption").strip()
    if not document.get("is_det"):
        return caption
    counts = Counter(one.category or one.phrase for one in instances)
    counted = ", ".join(f"{count} {word}" for word, count in counts.items())
    return ". ".join(part for part in (counted, caption) if part)
