"""Published instance and panoptic segmenters through transformers: MaskFormer, Mask2Former, DETR.

Each of a fixed number of queries says a class (or none) and a mask. The pictures are prepared here, in a few
lines and without torchvision, as the models' own processors do it: red green blue, shorter side to 800 pixels
and longer side to at most 1333 unless the folder's ``preprocessor_config.json`` says otherwise, stretched to
a multiple of 32 (but for DETR), mean and deviation of ImageNet.

Sources: Cheng et al., Per-Pixel Classification is Not All You Need (NeurIPS 2021) and Masked-attention Mask
Transformer (CVPR 2022), with their scores, class times mean of the mask; Carion et al., End-to-End Object
Detection with Transformers (ECCV 2020).

Letters: B pictures, Q queries, K classes, H W pixels of the picture, h w pixels of what the network sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.parts import quiet
from scenewright.errors import ModelError
from scenewright.evaluate.findings import Finding
from scenewright.models.labellers.protocol import Pictures
from scenewright.scene import Mask, Vocabulary
from scenewright.scene.vocabulary import VocabClass

KINDS = ("mask2former", "maskformer", "detr")
"""Values of ``model_type`` that are understood."""

LEAST = 0.05
"""Queries with a lower score are no findings; the published data sets begin there too."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How pictures become the network's input."""

    shortest: int = 800
    longest: int = 1333
    exact_hw: tuple[int, int] | None = None  # stretched to this, where the processor says so
    multiple: int = 32  # sides are rounded up to it
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION

    @classmethod
    def read(cls, folder: Path, kind: str) -> Preparation:
        """From ``preprocessor_config.json``; what it does not say is the default of that kind of model.

        Raises ModelError for a file that cannot be understood.
        """
        file = folder / "preprocessor_config.json"
        try:
            said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            size = said.get("size", {})
            size = {"shortest_edge": size} if isinstance(size, int) else size
            exact = (int(size["height"]), int(size["width"])) if "height" in size else None
            normal = said.get("do_normalize", True)
            multiple = said.get("size_divisor", said.get("size_divisibility", 1 if kind == "detr" else 32))
            return cls(
                shortest=int(size.get("shortest_edge", 800)),
                longest=int(size.get("longest_edge", said.get("max_size", 1333))),
                exact_hw=exact,
                multiple=max(1, int(multiple)),
                mean=tuple(float(v) for v in said.get("image_mean", MEAN)) if normal else (0.0,) * 3,
                deviation=tuple(float(v) for v in said.get("image_std", DEVIATION)) if normal else (1.0,) * 3,
            )
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as fault:
            raise ModelError(f"{file} cannot be understood: {fault}") from fault

    def size_hw(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width that a picture is resized to."""
        high, wide = self.exact_hw or self._kept_shape(size_hw)
        return high + -high % self.multiple, wide + -wide % self.multiple

    def _kept_shape(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The shorter side as wanted, unless the longer one becomes too long."""
        low, high = min(size_hw), max(size_hw)
        short = float(self.shortest)
        if high / low * short > self.longest:
            short = self.longest * low / high
        long = int(short * high / low)
        return (round(short), long) if size_hw[0] <= size_hw[1] else (long, round(short))

    def prepare(self, image_HW3: NDArray[np.uint8]) -> Tensor:
        """The input [1,3,h,w]."""
        size = self.size_hw((image_HW3.shape[0], image_HW3.shape[1]))
        image_13hw = torch.from_numpy(np.array(image_HW3)).permute(2, 0, 1)[None].float()
        if size != image_HW3.shape[:2]:
            image_13hw = nnf.interpolate(
                image_13hw, size=size, mode="bilinear", antialias=True, align_corners=False
            )
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.deviation))
        return (image_13hw / 255 - mean) / deviation


@dataclass(frozen=True, eq=False)
class QueryLabeller:
    """A loaded model of one of `KINDS`."""

    id: str
    net: Any
    preparation: Preparation

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The classes of its configuration, with synonyms where COCO, VOC or ADE20K know the name."""
        return vocabulary_of(self.net.config.id2label)

    @cached_property
    def _places(self) -> dict[str, int]:
        """Name -> its place among the outputs."""
        return {str(name): int(k) for k, name in self.net.config.id2label.items()}

    def label(self, images: Pictures, classes: Sequence[Sequence[str]]) -> list[tuple[Finding, ...]]:
        """See `Labeller`. A query counts for the class that it finds likeliest."""
        return [self._one(image, wanted) for image, wanted in zip(images, classes, strict=True)]

    @torch.no_grad()
    def _one(self, image_HW3: NDArray[np.uint8], wanted: Sequence[str]) -> tuple[Finding, ...]:
        place = next(self.net.parameters())
        out = self.net(pixel_values=self.preparation.prepare(image_HW3).to(place.device, place.dtype))
        logits_QK, masks_Qhw = _answers(out)
        share_Q, class_Q = logits_QK.float().softmax(-1)[:, :-1].max(-1)
        found = []
        for name in dict.fromkeys(wanted):
            rows = torch.nonzero((class_Q == self._places[name]) & (share_Q >= LEAST))[:, 0]
            if len(rows):
                masks_NHW = nnf.interpolate(
                    masks_Qhw[rows][None].float(),
                    size=image_HW3.shape[:2],
                    mode="bilinear",
                    align_corners=False,
                )[0]
                found += self._findings(name, share_Q[rows], masks_NHW)
        return tuple(sorted(found, key=lambda one: -one.score))

    def _findings(self, name: str, share_N: Tensor, masks_NHW: Tensor) -> list[Finding]:
        made = []
        for share, logits_HW in zip(share_N.tolist(), masks_NHW, strict=True):
            inside_HW = logits_HW > 0
            if not bool(inside_HW.any()):
                continue
            sure = (
                1.0 if self.net.config.model_type == "detr" else float(logits_HW.sigmoid()[inside_HW].mean())
            )
            mask = Mask.from_array(inside_HW.cpu().numpy())
            box = mask.box()
            if share * sure >= LEAST and box is not None:
                made.append(Finding(name, round(min(share * sure, 1.0), 4), box, mask))
        return made


def _answers(out: Any) -> tuple[Tensor, Tensor]:
    """Class logits [Q,K+1] and mask logits [Q,h,w] of the one picture."""
    if getattr(out, "class_queries_logits", None) is not None:
        return out.class_queries_logits[0], out.masks_queries_logits[0]
    return out.logits[0], out.pred_masks[0]


def vocabulary_of(id2label: Mapping[Any, str]) -> Vocabulary:
    """The classes of a model's configuration, in the order of its outputs.

    A class gets the names that COCO, VOC and ADE20K have for it, so that "tvmonitor" finds "tv".
    """
    shipped = [Vocabulary.load(name) for name in ("coco", "voc", "ade20k")]
    names = [str(id2label[key]) for key in sorted(id2label, key=int)]
    found: dict[str, VocabClass] = {}
    for k, name in enumerate(names):
        words: dict[str, None] = {}
        for entry in (one.find(name) for one in shipped if name in one):
            words.update(dict.fromkeys((entry.name, *entry.synonyms)))
        words.pop(name, None)
        found.setdefault(name, VocabClass(name=name, id=k + 1, synonyms=tuple(words)))
    return Vocabulary(name="labeller", classes=tuple(found.values()))


def load_queries(folder: Path, name: str, device: torch.device) -> QueryLabeller:
    """The model in a folder that transformers can read; `name` is what it was asked for by.

    Raises ModelError for another kind of model, or one that cannot be read.
    """
    from transformers import AutoConfig, AutoModelForUniversalSegmentation

    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            if config.model_type not in KINDS:
                raise ModelError(
                    f"{name} is a {config.model_type}; a labeller is one of {', '.join(KINDS)}",
                    "models for instance or panoptic segmentation give masks",
                )
            net, told = AutoModelForUniversalSegmentation.from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, ImportError, RuntimeError) as fault:
        if isinstance(fault, ModelError):
            raise
        raise ModelError(f"{name} cannot be loaded as a labeller: {fault}") from fault
    if missing := sorted(key for key in told["missing_keys"] if not key.startswith("criterion.")):
        raise ModelError(
            f"{name} lacks {len(missing)} weights, the first is {missing[0]}", "is it the whole model?"
        )
    net = net.requires_grad_(False).eval().to(device)
    return QueryLabeller(f"{name}@{_digest(net)}", net, Preparation.read(folder, config.model_type))


def _digest(net: Any) -> str:
    """Eight hex digits of a SHA-256 over configuration and weights."""
    import hashlib

    found = hashlib.sha256(net.config.to_json_string(use_diff=False).encode())
    for key, tensor in sorted(net.state_dict().items()):
        found.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:8]
