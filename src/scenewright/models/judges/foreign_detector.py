"""Published detectors of transformers as judges: instance segmenters by queries, and detectors of boxes.

Everything that they find is kept, down to a very low score, as average precision needs it. Mask2Former and
MaskFormer score a class of a query by its probability times the mean of its mask (Cheng et al., CVPR 2022),
the best pairs of query and class count; DETR and its kind by the probability alone (Carion et al., ECCV
2020), with a class "nothing" or, in later ones, without.

Letters: Q queries, K classes, H W pixels of the picture, h w cells of a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.parts import quiet
from scenewright.errors import ModelError, SceneError
from scenewright.evaluate.findings import Finding
from scenewright.models.judges.foreign import NOT_A_CLASS
from scenewright.models.judges.pictures import Picture
from scenewright.models.labellers.queries import Preparation
from scenewright.scene import Box, Mask

LEAST = 0.001
"""Least score of a finding."""

MOST = 100
"""Most findings of a picture, the surest."""


@dataclass(frozen=True, eq=False)
class ForeignDetector:
    """A loaded detector; `names` are those of its outputs, in order."""

    net: Any
    preparation: Preparation
    names: tuple[str, ...]

    @torch.no_grad()
    def findings(self, images: Sequence[Picture]) -> list[tuple[Finding, ...]]:
        """What is seen in each picture, the surest first."""
        return [self._one(image) for image in images]

    def _one(self, image_HW3: NDArray[np.uint8]) -> tuple[Finding, ...]:
        place = next(self.net.parameters())
        out = self.net(pixel_values=self.preparation.prepare(image_HW3).to(place.device, place.dtype))
        logits = getattr(out, "class_queries_logits", None)
        share_QK = self._shares((out.logits if logits is None else logits)[0].float())
        boxes = getattr(out, "pred_boxes", None)
        masks = out.masks_queries_logits if logits is not None else getattr(out, "pred_masks", None)
        masks_Qhw = None if masks is None else masks[0].float().flatten(0, -3)
        if logits is not None and masks_Qhw is not None:
            inside_Qhw = masks_Qhw > 0
            sure_Q = (masks_Qhw.sigmoid() * inside_Qhw).sum((1, 2)) / inside_Qhw.sum((1, 2)).clamp(min=1)
            share_QK = share_QK * sure_Q[:, None]
        score_N, place_N = share_QK.flatten().topk(min(MOST, share_QK.numel()))
        found = []
        for score, where in zip(score_N.tolist(), place_N.tolist(), strict=True):
            query, k = divmod(where, share_QK.shape[1])
            if score < LEAST or self.names[k] in NOT_A_CLASS:
                continue
            mask = None if masks_Qhw is None else _mask(masks_Qhw[query], image_HW3.shape[:2])
            given = None if boxes is None else _box(boxes[0, query].float().tolist())
            box = given or (mask.box() if mask is not None else None)
            if box is not None:
                found.append(Finding(self.names[k], min(score, 1.0), box, mask))
        return tuple(found)

    def _shares(self, logits_QK: Tensor) -> Tensor:
        """Probabilities [Q, K] of the classes."""
        if logits_QK.shape[1] == len(self.names) + 1:
            return logits_QK.softmax(-1)[:, :-1]
        return logits_QK.sigmoid()


def _mask(logits_hw: Tensor, size_hw: tuple[int, ...]) -> Mask | None:
    """The mask on the picture, None if nothing is in it."""
    grown = nnf.interpolate(logits_hw[None, None], size=size_hw, mode="bilinear", align_corners=False)[0, 0]
    bits_HW = (grown > 0).cpu().numpy()
    return Mask.from_array(bits_HW) if bits_HW.any() else None


def _box(cxcywh: Sequence[float]) -> Box | None:
    """A box of fractions, cut to the picture; None if nothing is left."""
    cx, cy, wide, high = cxcywh
    corners = (cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2)
    x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in corners)
    try:
        return Box(x0, y0, x1, y1)
    except SceneError:
        return None


def load_detector(folder: Path, device: torch.device) -> ForeignDetector:
    """The detector in a folder. Raises ModelError for a model that cannot be read or lacks weights."""
    from transformers import AutoConfig, AutoModelForObjectDetection, AutoModelForUniversalSegmentation

    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            made = " ".join(config.architectures or ())
            kind = (
                AutoModelForUniversalSegmentation if "Segmentation" in made else AutoModelForObjectDetection
            )
            net, told = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, ImportError, RuntimeError) as fault:
        raise ModelError(f"{folder.name} cannot be loaded as a detector: {fault}") from fault
    if missing := sorted(key for key in told["missing_keys"] if not key.startswith("criterion.")):
        raise ModelError(
            f"{folder.name} lacks {len(missing)} weights, the first is {missing[0]}", "is it the whole model?"
        )
    names = tuple(str(config.id2label[key]) for key in sorted(config.id2label, key=int))
    net = net.requires_grad_(False).eval().to(device)
    return ForeignDetector(net, Preparation.read(folder, config.model_type), names)
