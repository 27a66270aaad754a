"""Published CLIPs of transformers as judges (Radford et al. 2021; LAION's are the same network).

Pictures are prepared as the models' own processors do it, without torchvision: the shorter side to the
network's size by cubic interpolation, the middle cut out, mean and deviation of the folder's
``preprocessor_config.json``, else CLIP's.

Letters: B pictures or texts, L tokens, D width of the common space.
"""

from __future__ import annotations

import json
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
from scenewright.errors import ModelError
from scenewright.models.judges.pictures import Picture, in_batches
from scenewright.scene.io import check_image

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, eq=False)
class ForeignClip:
    """A loaded CLIP with what prepares its input."""

    net: Any
    tokenizer: Any
    side_px: int
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION

    @torch.no_grad()
    def embed_images(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        """Unit vectors [B, D] of pictures or crops HW3 of any sizes."""
        rows = [np.zeros((0, self.net.config.projection_dim), np.float32)]
        place = next(self.net.parameters())
        for batch in in_batches(images, 32):
            image_BCHW = torch.cat([self.prepared(image) for image in batch]).to(place.device, place.dtype)
            pooled_BD = self.net.vision_model(pixel_values=image_BCHW).pooler_output
            rows.append(_units(self.net.visual_projection(pooled_BD)))
        return np.concatenate(rows)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [B, D] of texts, cut at the window."""
        rows = [np.zeros((0, self.net.config.projection_dim), np.float32)]
        place = next(self.net.parameters())
        window = self.net.config.text_config.max_position_embeddings
        for batch in in_batches(texts, 256):
            found = self.tokenizer(
                list(batch), truncation=True, max_length=window, padding=True, return_tensors="pt"
            ).to(place.device)
            pooled_BD = self.net.text_model(
                input_ids=found["input_ids"], attention_mask=found["attention_mask"]
            ).pooler_output
            rows.append(_units(self.net.text_projection(pooled_BD)))
        return np.concatenate(rows)

    def prepared(self, image_HW3: Picture) -> Tensor:
        """The network's input [1, 3, side, side]."""
        check_image(image_HW3)
        high, wide = image_HW3.shape[:2]
        short = min(high, wide)
        size_hw = (self.side_px * high // short, self.side_px * wide // short)
        image_13HW = torch.from_numpy(np.array(image_HW3)).permute(2, 0, 1)[None].float()
        if size_hw != (high, wide):
            image_13HW = nnf.interpolate(
                image_13HW, size=size_hw, mode="bicubic", antialias=True, align_corners=False
            ).clamp(0, 255)
        top, left = (size_hw[0] - self.side_px) // 2, (size_hw[1] - self.side_px) // 2
        image_13HW = image_13HW[..., top : top + self.side_px, left : left + self.side_px]
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.deviation))
        return (image_13HW / 255 - mean) / deviation


def _units(vectors_BD: Tensor) -> NDArray[np.float32]:
    return np.asarray(nnf.normalize(vectors_BD.float(), dim=-1).cpu().numpy(), dtype=np.float32)


def load_clip(folder: Path, device: torch.device) -> ForeignClip:
    """The CLIP in a folder. Raises ModelError for a model that cannot be read or lacks weights."""
    from transformers import AutoTokenizer, CLIPModel

    kind: Any = CLIPModel
    try:
        with quiet():
            net, told = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        file = folder / "preprocessor_config.json"
        said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        mean = tuple(float(value) for value in said.get("image_mean", MEAN))
        deviation = tuple(float(value) for value in said.get("image_std", DEVIATION))
    except (OSError, ValueError, ImportError, RuntimeError, TypeError) as fault:
        raise ModelError(f"{folder.name} cannot be loaded as a CLIP: {fault}") from fault
    if told["missing_keys"]:
        first = sorted(told["missing_keys"])[0]
        raise ModelError(f"{folder.name} lacks weights, such as {first}", "is it the whole model?")
    net = net.requires_grad_(False).eval().to(device)
    return ForeignClip(net, tokenizer, int(net.config.vision_config.image_size), mean, deviation)
