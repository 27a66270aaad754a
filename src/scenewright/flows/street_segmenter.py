"""Segmenters of streets: loaded by name, and asked in windows that slide over large pictures.

Letters: K classes, H W pixels of a picture, h w of a window.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.call import Window
from scenewright.backbone.windows import cover
from scenewright.errors import ModelError
from scenewright.models.judges.pictures import in_batches
from scenewright.models.load import pick_device
from scenewright.models.segformer import BATCH, Segmenter, full_size, load_segmenter
from scenewright.scene import Transform
from scenewright.scene.label_space import LabelSpace


def load_street_segmenter(name: str, vocabulary: str, device: str = "auto") -> tuple[Segmenter, str]:
    """The segmenter in a folder, or of a hub id, and its identity ``name@sha8``.

    A foreign folder may spell the names of the classes in another way. Raises ModelError if it is not there,
    or its outputs are not the classes of the vocabulary in their order.
    """
    found = load_segmenter(name, device=pick_device(device))
    wanted = LabelSpace.of(vocabulary)
    ids = tuple(wanted.position(one) for one in found.names)
    if found.space is None and ids == tuple(range(len(wanted))):
        found = dataclasses.replace(found, space=wanted)
    if found.space is None or (found.space.names, found.space.ids) != (wanted.names, wanted.ids):
        raise ModelError(
            f"the outputs of {name} are not the {len(wanted)} classes of {vocabulary}",
            "train one on that vocabulary, or name the vocabulary that it has",
        )
    digest = hashlib.sha256()
    for key, value in sorted(found.net.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().numpy().tobytes())
    return found, f"{Path(name).name}@{digest.hexdigest()[:8]}"


def slid(segmenter: Segmenter, image_HW3: NDArray[np.uint8], window_px: int, stride_px: int) -> Tensor:
    """Float32 logits [K,H,W] of a picture: the mean over square windows of `window_px` that cover it.

    Windows are clamped to the picture and flush with its end; 0 is the whole picture at once. Raises
    InputError for a stride below 1 or above the window.
    """
    height, width = image_HW3.shape[:2]
    if not window_px or (window_px >= height and window_px >= width and stride_px <= window_px):
        return segmenter.logits(image_HW3[None])[0]
    plain = dataclasses.replace(segmenter, prepare=dataclasses.replace(segmenter.prepare, size_wh=None))
    views = cover((height, width), (window_px, window_px), (stride_px, stride_px))
    sums_KHW, count_HW = None, np.zeros((height, width), np.float32)
    for batch in in_batches(list(range(len(views))), BATCH):
        parts = np.stack([_cut(image_HW3, views[k]) for k in batch])
        for k, logits_Khw in zip(batch, plain.logits(parts), strict=True):
            if sums_KHW is None:
                sums_KHW = logits_Khw.new_zeros((len(logits_Khw), height, width))
            rows, columns = views[k].slices
            sums_KHW[:, rows, columns] += logits_Khw
            count_HW[rows, columns] += 1
    assert sums_KHW is not None, "a picture has a window"
    mean_KHW: Tensor = sums_KHW / torch.from_numpy(count_HW).to(sums_KHW.device)
    return mean_KHW


def named_pixels(
    segmenter: Segmenter,
    image_HW3: NDArray[np.uint8],
    to_hw: tuple[int, int],
    *,
    size_wh: tuple[int, int] | None = None,
    window_px: int = 0,
    stride_px: int = 0,
) -> NDArray[np.uint16]:
    """The likeliest output in each pixel of a map of `to_hw`: the picture is brought to `size_wh` (None: left
    as it is), read in windows, and the logits brought to the map's size."""
    height, width = image_HW3.shape[:2]
    seen_HW3 = Transform((width, height)).resize(size_wh or (width, height)).image(image_HW3)
    logits_KHW = slid(segmenter, seen_HW3, window_px, stride_px)
    return full_size(logits_KHW[None], to_hw)[0].argmax(0).cpu().numpy().astype(np.uint16)


def _cut(image_HW3: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    rows, columns = window.slices
    return image_HW3[rows, columns]
