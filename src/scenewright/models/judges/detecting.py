"""From the detector's maps to things found: candidates, suppression, masks, findings.

Letters as in `scenewright.models.judges.detector`; N things found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.models.judges.detector import NATIVE, Detector, Maps
from scenewright.models.judges.geometry import inside, suppress
from scenewright.models.judges.layers import signal

if TYPE_CHECKING:
    from scenewright.evaluate.findings import Finding

CANDIDATES = 40
"""Cells per picture that are read."""

SAME_CLASS, ANY_CLASS = 0.55, 0.75
"""Of two boxes with a larger IoU only the better one is kept, within a class and among all."""


class Found(NamedTuple):
    """Things in one picture, best first.

    boxes_N4 in [0,1]; scores_N in [0,1]; classes_N, colours_N positions among the labels; textures_N too, or
    -1 for plain; colour_sure_N and texture_sure_N are the probabilities of what is said; masks_NHW bool at
    the picture's own size (no rows if masks were not asked for).
    """

    boxes_N4: Tensor
    scores_N: Tensor
    classes_N: Tensor
    colours_N: Tensor
    textures_N: Tensor
    colour_sure_N: Tensor
    texture_sure_N: Tensor
    masks_NHW: Tensor


@torch.no_grad()
def find(
    net: Detector,
    images: Sequence[NDArray[np.uint8]],
    *,
    least: float = 0.05,
    masks: bool = True,
    batch: int = 16,
) -> list[Found]:
    """What `net` finds in each picture (HW3 uint8, any sizes), with scores of at least `least`."""
    found: dict[int, Found] = {}
    for rows in _alike(images, batch):
        input_B3HW, sizes = _input([images[i] for i in rows])
        maps = net.maps(input_B3HW.to(next(net.parameters()).device))
        for i, one in zip(rows, _pick(net, maps, sizes, least, masks), strict=True):
            found[i] = one
    return [found[i] for i in range(len(images))]


def detect(
    net: Detector, images: Sequence[NDArray[np.uint8]], *, least: float = 0.05, masks: bool = True
) -> list[tuple[Finding, ...]]:
    """The findings of each picture, best first: class, score, box, visible mask, colour, texture if any."""
    return [findings(net, one) for one in find(net, images, least=least, masks=masks)]


def findings(net: Detector, found: Found) -> tuple[Finding, ...]:
    """What was found in one picture in the words of the labels; boxes without any width are left out."""
    from scenewright.evaluate.findings import Finding
    from scenewright.scene import Box, Mask

    made = []
    for k, corners in enumerate(found.boxes_N4.tolist()):
        if corners[2] - corners[0] < 1e-4 or corners[3] - corners[1] < 1e-4:
            continue
        attributes = {"colour": net.labels["colours"][int(found.colours_N[k])]}
        if int(found.textures_N[k]) >= 0:
            attributes["texture"] = net.labels["textures"][int(found.textures_N[k])]
        mask_HW = found.masks_NHW[k].numpy() if len(found.masks_NHW) else None
        made.append(
            Finding(
                category=net.labels["classes"][int(found.classes_N[k])],
                score=float(found.scores_N[k]),
                box=Box(*corners),
                mask=Mask.from_array(mask_HW) if mask_HW is not None and mask_HW.any() else None,
                attributes=attributes,
            )
        )
    return tuple(made)


@torch.no_grad()
def picture_features(
    net: Detector, images: Sequence[NDArray[np.uint8]], batch: int = 32
) -> NDArray[np.float32]:
    """One vector [pictures, C] float32 of the detector's trunk per picture, for distances between sets."""
    device = next(net.parameters()).device
    rows: dict[int, NDArray[np.float32]] = {}
    for part in _alike(images, batch):
        values = net.features(_input([images[i] for i in part])[0].to(device)).cpu().numpy()
        rows |= dict(zip(part, values, strict=True))
    return np.stack([rows[i] for i in range(len(images))])


def input_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width, multiples of 32, that a picture is resized to: its longer side becomes `NATIVE`."""
    scale = NATIVE / max(size_hw)
    high, wide = (max(32, round(side * scale / 32) * 32) for side in size_hw)
    return high, wide


def _alike(images: Sequence[NDArray[np.uint8]], batch: int) -> Iterator[list[int]]:
    """Positions of pictures that become inputs of one size, at most `batch` together."""
    groups: dict[tuple[int, int], list[int]] = {}
    for position, image_HW3 in enumerate(images):
        groups.setdefault(input_size(image_HW3.shape[:2]), []).append(position)
    for positions in groups.values():
        for start in range(0, len(positions), batch):
            yield positions[start : start + batch]


def _input(images: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Pictures as one input, and their own heights and widths."""
    size = input_size(images[0].shape[:2])
    rows = []
    for image_HW3 in images:
        row_13HW = signal(torch.from_numpy(np.array(image_HW3))[None])
        if tuple(image_HW3.shape[:2]) != size:
            row_13HW = nnf.interpolate(
                row_13HW, size=size, mode="bilinear", antialias=True, align_corners=False
            )
        rows.append(row_13HW)
    return torch.cat(rows), [(image.shape[0], image.shape[1]) for image in images]


def _pick(
    net: Detector, maps: Maps, sizes: Sequence[tuple[int, int]], least: float, masks: bool
) -> Iterator[Found]:
    """The things in each picture of a batch."""
    high, wide = (4 * side for side in maps.middle_Bhw.shape[1:])
    limit_4 = torch.tensor([wide, high, wide, high], device=maps.middle_Bhw.device, dtype=torch.float32)
    middle_Bhw = maps.middle_Bhw.sigmoid()
    peaks_Bhw = middle_Bhw * (nnf.max_pool2d(middle_Bhw[:, None], 3, 1, 1)[:, 0] == middle_Bhw)
    scores_BR, cells_BR = peaks_Bhw.flatten(1).topk(min(CANDIDATES, peaks_Bhw[0].numel()), dim=1)
    boxes_BR4 = maps.boxes_Bhw4.flatten(1, 2).gather(1, cells_BR[..., None].expand(-1, -1, 4))
    boxes_BR4 = torch.minimum(boxes_BR4.clamp(min=0.0), limit_4)
    read = net.read(maps, boxes_BR4)
    classes_BRK = read.classes_BRK.softmax(-1)
    sure_BR, kinds_BR = classes_BRK.max(-1)
    scores_BR = (scores_BR * read.quality_BR.sigmoid()).sqrt() * sure_BR
    fixed_BR4 = torch.minimum(read.boxes_BR4.clamp(min=0.0), limit_4)
    for b, size_hw in enumerate(sizes):
        keep = torch.nonzero(scores_BR[b] >= least)[:, 0]
        keep = keep[suppress(fixed_BR4[b][keep], scores_BR[b][keep], ANY_CLASS)]
        keep = keep[suppress(fixed_BR4[b][keep], scores_BR[b][keep], SAME_CLASS, kinds_BR[b][keep])]
        colour_sure_N, colours_N = read.colours_BRK[b][keep].softmax(-1).max(-1)
        texture_sure_N, textures_N = read.textures_BRK[b][keep].softmax(-1).max(-1)
        boxes_N4 = fixed_BR4[b][keep] / limit_4
        shapes = torch.zeros((0, *size_hw), dtype=torch.bool)
        if masks:
            shapes = _masks(maps.prototypes_BPyx[b], read.coefficients_BRP[b][keep], boxes_N4, size_hw)
        columns = (boxes_N4, scores_BR[b][keep], kinds_BR[b][keep], colours_N, textures_N - 1)
        yield Found(*(one.cpu() for one in (*columns, colour_sure_N, texture_sure_N, shapes)))


def _masks(
    prototypes_Pyx: Tensor, coefficients_NP: Tensor, boxes_N4: Tensor, size_hw: tuple[int, int]
) -> Tensor:
    """Masks [N,H,W] at the picture's own size, cut to their boxes."""
    if not len(boxes_N4):
        return torch.zeros((0, *size_hw), dtype=torch.bool)
    logits_Nyx = torch.einsum("np,pyx->nyx", coefficients_NP, prototypes_Pyx)
    logits_NHW = nnf.interpolate(logits_Nyx[None], size=size_hw, mode="bilinear", align_corners=False)[0]
    scale_4 = boxes_N4.new_tensor([size_hw[1], size_hw[0], size_hw[1], size_hw[0]])
    edges_N4 = boxes_N4 * scale_4 + boxes_N4.new_tensor([-0.5, -0.5, 0.5, 0.5])
    return (logits_NHW > 0) & (inside(edges_N4, size_hw) > 0)
