"""The judge CLIP: how well a crop fits a phrase, and a picture its caption.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021: an ordinary
transformers CLIPModel of small size. It shares nothing with the text encoder that conditions a generator:
own tokenizer, own weights, other pictures. Pictures and crops of any shape are stretched to one square.
Patches are read by a few convolutions instead of one (Xiao et al., "Early Convolutions Help Transformers See
Better", 2021): a linear map of 8x8 pixels learns textures very slowly.

Letters: B pictures or texts, L tokens, D width of the common space, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.models.judges.pictures import Picture, as_fields, crop, in_batches, signals

__all__ = ["ClipConfig", "ClipNet", "build", "crop"]


PATCH_PX = 8


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Sizes of both towers, and the tokenizer: its `tokens` in the order of their ids, its `merges`."""

    tokens: tuple[str, ...]  # the last two are the start and end mark
    merges: tuple[str, ...]  # pairs, joined by a blank, in the order of merging
    side_px: int = 64  # of the square that pictures are stretched to
    stem: tuple[int, int] = (32, 64)  # channels of the two convolutions before the last one
    image_width: int = 128
    image_layers: int = 4
    text_width: int = 96
    text_layers: int = 4
    window: int = 48  # tokens, both end marks included
    heads: int = 4  # of both towers
    common_width: int = 96  # of the vectors


class Stem(nn.Module):
    """Pictures to one vector per 8x8 pixels, in place of CLIP's patch embedding."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, *config.stem)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Conv2d(config.stem[-1], config.image_width, 3, stride=2, padding=1)

    @property
    def weight(self) -> Tensor:
        """Tells CLIP the number type of its input."""
        return self.out.weight

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Features [B,D,H/8,W/8]."""
        features: Tensor = self.out(self.layers(image_BCHW))
        return features


class ClipNet(nn.Module):
    """The judge CLIP: pictures and texts to unit vectors of one space."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = _tokenizer(config)
        self.clip = _fresh_clip(config)

    def image_vectors(self, image_BCHW: Tensor) -> Tensor:
        """Unit vectors [B,D] float32 of pictures in [-1,1] of ``side_px``."""
        pooled_BD = self.clip.vision_model(pixel_values=image_BCHW).pooler_output
        return nnf.normalize(self.clip.visual_projection(pooled_BD).float(), dim=-1)

    def text_vectors(self, ids_BL: Tensor) -> Tensor:
        """Unit vectors [B,D] float32 of token ids; attention is causal, what follows the end mark is idle."""
        pooled_BD = self.clip.text_model(input_ids=ids_BL).pooler_output
        return nnf.normalize(self.clip.text_projection(pooled_BD).float(), dim=-1)

    def token_ids(self, texts: Sequence[str]) -> Tensor:
        """Ids [B,L] padded to the longest text; texts are cut at the window."""
        rows = self.tokenizer(
            list(texts), truncation=True, max_length=self.config.window, padding=True, return_tensors="np"
        )
        return torch.from_numpy(np.asarray(rows["input_ids"], np.int64))

    def scale(self) -> Tensor:
        """The learnt factor on cosines, at most 100, before a softmax over texts or pictures."""
        factor: Tensor = self.clip.logit_scale.exp().clamp(max=100.0)
        return factor

    @torch.no_grad()
    def embed_images(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        """Unit vectors [B,D] of pictures or crops (HW3 uint8, any sizes; see `crop` for crops of boxes).

        Raises InputError for arrays that are no pictures.
        """
        side = self.config.side_px
        rows = [np.zeros((0, self.config.common_width), np.float32)]
        for batch in in_batches(images, 64):
            rows.append(self.image_vectors(signals(batch, (side, side), self)).cpu().numpy())
        return np.concatenate(rows)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [B,D] of texts; words beyond the window of 48 tokens are not read."""
        rows = [np.zeros((0, self.config.common_width), np.float32)]
        place = self.clip.logit_scale.device
        for batch in in_batches(texts, 256):
            rows.append(self.text_vectors(self.token_ids(batch).to(place)).cpu().numpy())
        return np.concatenate(rows)


def build(config: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> ClipNet:
    """An unfilled network from what a judge's file says: `ClipConfig`'s fields; it has no labels."""
    return ClipNet(ClipConfig(**as_fields(config)))


def _tokenizer(config: ClipConfig) -> Any:
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    vocabulary = {token: number for number, token in enumerate(config.tokens)}
    merges = [tuple(pair.split(" ")) for pair in config.merges]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=config.window)


def _fresh_clip(config: ClipConfig) -> Any:
    from transformers.models.clip.configuration_clip import CLIPConfig
    from transformers.models.clip.modeling_clip import CLIPModel

    start, end = len(config.tokens) - 2, len(config.tokens) - 1
    shared = {
        "num_attention_heads": config.heads,
        "projection_dim": config.common_width,
        "hidden_act": "gelu",
    }
    text = {
        **shared,
        "vocab_size": len(config.tokens),
        "hidden_size": config.text_width,
        "intermediate_size": 4 * config.text_width,
        "num_hidden_layers": config.text_layers,
        "max_position_embeddings": config.window,
        "bos_token_id": start,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = {
        **shared,
        "hidden_size": config.image_width,
        "intermediate_size": 4 * config.image_width,
        "num_hidden_layers": config.image_layers,
        "image_size": config.side_px,
        "patch_size": PATCH_PX,
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=config.common_width))
    model.vision_model.embeddings.patch_embedding = Stem(config)
    model.set_attn_implementation("eager")  # with so few tokens half the time of fused attention on a CPU
    return model
