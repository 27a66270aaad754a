"""The grounding head: features of one sampling step and class vectors to one mask per class.

Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv 2301.05221), section
3.3: a pyramid fuses the maps, class vectors attend to its patches, and each class's mask is a dot product of
its embedding with the fused map. Differences from the released code, none of which changes a result: 1x1
convolutions come before the bilinear upsampling they commute with, the dot product is taken at the latent's
size and the logits are upsampled, and every sample of a batch attends to itself alone. Sizes come from the
tensors, so pictures may have any size. `attention` maps of the classes' own words are an addition of ours
(`refine.Refinement`).

Letters: B samples, K classes, D width, F fused channels, T patches, A attention maps per class, h w cells of
the latent, H W pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.features import Features, tap_layout
from scenewright.backbone.tap_layout import attention_maps
from scenewright.errors import InputError, ModelError
from scenewright.ground.config import GroundingConfig
from scenewright.ground.mix import MixBlock
from scenewright.ground.refine import Refinement

__all__ = ["ABSENT", "GroundingConfig", "GroundingHead"]

ABSENT = -1e4
"""Logit of a class slot that is not used: probability 0, never chosen, no loss and no gradient."""


class GroundingHead(nn.Module):
    """The head. `config` says what it reads; `for_unet` makes a fresh one.

    Lives in float32 whatever the network runs in: spectral norms and batch statistics need it.
    """

    def __init__(self, config: GroundingConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.reduced
        self.reduce = nn.ModuleList(
            nn.Conv2d(given, own, 1, bias=False) for given, own in zip(config.channels, widths, strict=True)
        )
        self.mix = nn.ModuleList(
            MixBlock(sum(widths[: i + 1]), config.bn_mode) for i in range(1, len(widths))
        )
        self.to_tokens = nn.Linear(sum(widths) * config.patch**2, config.width, bias=False)
        self.to_queries = nn.Linear(config.text_width, config.width, bias=False)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.mask = nn.ModuleList(
            [
                nn.Linear(config.width, config.width),
                nn.Linear(config.width, config.width),
                nn.Linear(config.width, sum(widths)),
            ]
        )
        self.refinement = (
            Refinement(config.attention, sum(widths), config.width) if config.attention else None
        )

    @classmethod
    def for_unet(
        cls, unet: nn.Module, *, layout: str = "blocks", stride: int = 8, seed: int = 0, **sizes: Any
    ) -> GroundingHead:
        """A fresh head for `unet` tapped by `layout`; `stride` is `Backbone.stride`, `sizes` fields of
        `GroundingConfig` (``attention=True``: as many maps as the network has). Weights are drawn from
        `seed` alone, on the CPU."""
        taps = tap_layout(unet, layout)
        if sizes.get("attention") is True:
            sizes["attention"] = attention_maps(unet, sizes.get("attention_detail", "depth"))
        halves = tuple(sizes.pop("halves", GroundingConfig.halves))
        config = GroundingConfig(
            layout=layout,
            channels=taps.widths(halves),
            text_width=int(unet.config.cross_attention_dim),  # type: ignore[union-attr, arg-type]
            stride=stride,
            halves=halves,
            reduced=_reduced(sizes.pop("reduced", None), len(taps.levels)),
            **sizes,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @classmethod
    def fitting(cls, unet: nn.Module, config: GroundingConfig) -> GroundingHead:
        """An unfilled head with a stored configuration, on the UNet's device (meta included).

        Raises ModelError if it cannot read `unet`.
        """
        taps = tap_layout(unet, config.layout)
        text = int(unet.config.cross_attention_dim)  # type: ignore[union-attr, arg-type]
        if config.channels != taps.widths(config.halves):
            raise ModelError(
                f"the head reads levels of {config.channels} channels; taps {config.layout!r} of this UNet "
                f"give {taps.widths(config.halves)}",
                "a head fits the network it was trained on only",
            )
        maps = attention_maps(unet, config.attention_detail)
        if config.attention not in (0, maps):
            raise ModelError(
                f"the head reads {config.attention} attention maps per class, this network gives {maps}",
                "a head fits the network it was trained on only",
            )
        if config.text_width != text:
            raise ModelError(
                f"the head reads class vectors of width {config.text_width}; this model's text has {text}",
                "a head fits the network it was trained on only",
            )
        with torch.device(next(unet.parameters()).device):
            return cls(config)

    def forward(
        self,
        features: Features,
        classes_BKD: Tensor,
        used_BK: Tensor | None = None,
        attention_BKAhw: Tensor | None = None,
    ) -> Tensor:
        """Mask logits [B, K, H, W] in float32, H and W `config.stride` times the latent's.

        `used_BK` is False for padded class slots, whose logits are `ABSENT`. `attention_BKAhw` are maps in
        [0, 1] for heads with `config.attention` of them (``[B, K, h, w]`` where it is 1). Raises ModelError
        for features of another network or tap layout, InputError for tensors that do not fit together.
        """
        if attention_BKAhw is not None and attention_BKAhw.ndim == 4:
            attention_BKAhw = attention_BKAhw.unsqueeze(2)
        used_BK = self._check(features, classes_BKD, used_BK, attention_BKAhw)
        fused_BFhw = self.fuse(features)
        queries_BKD = self._queries(classes_BKD)
        if self.refinement is not None and attention_BKAhw is not None:
            attention_BKAhw = attention_BKAhw.to(fused_BFhw)
            queries_BKD = queries_BKD + self.refinement.seek(fused_BFhw, attention_BKAhw)
        masks_BKF = self.embed(self.decode(queries_BKD, self.tokens(fused_BFhw), used_BK))
        logits_BKhw = torch.einsum("bkf,bfhw->bkhw", masks_BKF, fused_BFhw)
        if self.refinement is not None and attention_BKAhw is not None:
            logits_BKhw = self.refinement(logits_BKhw, fused_BFhw, attention_BKAhw)
        size = [self.config.stride * side for side in features.size_hw]
        logits_BKHW = nnf.interpolate(logits_BKhw.float(), size, mode="bilinear", align_corners=False)
        return logits_BKHW.masked_fill(~used_BK[:, :, None, None], ABSENT)

    def _queries(self, classes_BKD: Tensor) -> Tensor:
        """Class vectors as queries [B, K, D]; in training some are hidden (`config.text_dropout`)."""
        queries_BKD: Tensor = self.to_queries(classes_BKD.to(self.to_queries.weight))
        if not self.training or not self.config.text_dropout:
            return queries_BKD
        kept_BK1 = torch.rand_like(queries_BKD[..., :1]) >= self.config.text_dropout
        return queries_BKD * kept_BK1

    def fuse(self, features: Features) -> Tensor:
        """The fused map [B, F, h, w] at the latent's size: reduced levels, upsampled and mixed in turn."""
        sizes = [level[0].shape[-2:] for level in features.levels]
        fused: Tensor | None = None
        dtype = self.to_tokens.weight.dtype
        for i, (reduce, level) in enumerate(zip(self.reduce, features.levels, strict=True)):
            size = sizes[min(i + 1, len(sizes) - 1)]
            own = _resized(reduce(torch.cat(level, dim=1).to(dtype)), size)
            if fused is None:
                fused = own
            else:
                fused = self.mix[i - 1](torch.cat([_resized(fused, size), own], dim=1))
        assert fused is not None
        return fused

    def tokens(self, fused_BFhw: Tensor) -> Tensor:
        """Patches of the fused map as tokens [B, T, D], row by row; edges are repeated to whole patches."""
        patch = self.config.patch
        height, width = fused_BFhw.shape[-2:]
        if height % patch or width % patch:
            fused_BFhw = nnf.pad(fused_BFhw, (0, -width % patch, 0, -height % patch), mode="replicate")
        return self.to_tokens(nnf.unfold(fused_BFhw, patch, stride=patch).transpose(1, 2))  # type: ignore[no-any-return]

    def decode(self, queries_BKD: Tensor, tokens_BTD: Tensor, used_BK: Tensor) -> Tensor:
        """Queries [B, K, D] after attending to each other (query mode "joint") and to the tokens."""
        own = torch.eye(used_BK.shape[1], dtype=torch.bool, device=used_BK.device)
        joint = self.config.query_mode == "joint"
        sees_BKK = used_BK[:, None, :] | own if joint else own.expand(len(used_BK), -1, -1)
        for layer in self.decoder:
            queries_BKD = layer(queries_BKD, tokens_BTD, sees_BKK)
        return queries_BKD

    def embed(self, decoded_BKD: Tensor) -> Tensor:
        """Mask embeddings [B, K, F] of decoded queries."""
        first, second, last = self.mask
        return last(nnf.relu(second(nnf.relu(first(decoded_BKD)))))  # type: ignore[no-any-return]

    def _check(
        self, features: Features, classes_BKD: Tensor, used_BK: Tensor | None, attention: Tensor | None
    ) -> Tensor:
        """Raise for what does not fit; the mask of used classes, all of them by default."""
        if features.widths != self.config.channels:
            raise ModelError(
                f"the head reads levels of {self.config.channels} channels, the features have "
                f"{features.widths}",
                f"tap the network it was trained on with the layout {self.config.layout!r}",
            )
        if classes_BKD.ndim != 3 or classes_BKD.shape[0] != features.batch or not classes_BKD.shape[1]:
            raise InputError(
                f"class vectors of shape {tuple(classes_BKD.shape)} for {features.batch} samples; "
                "[B, K, D] with at least one class expected"
            )
        if classes_BKD.shape[2] != self.config.text_width:
            raise ModelError(
                f"class vectors of width {classes_BKD.shape[2]}, the head reads {self.config.text_width}",
                "use the text encoder of the model that the head was trained on",
            )
        if (attention is not None) != bool(self.config.attention):
            raise InputError(
                f"the head reads {self.config.attention} attention maps per class, "
                f"{'none were' if attention is None else 'some were'} given"
            )
        shape = classes_BKD.shape[:2]
        maps = (*shape, self.config.attention, *features.size_hw)
        if attention is not None and tuple(attention.shape) != maps:
            raise InputError(f"attention maps of shape {tuple(attention.shape)}; {maps} expected")
        if used_BK is None:
            return torch.ones(shape, dtype=torch.bool, device=classes_BKD.device)
        if used_BK.shape != shape:
            raise InputError(f"used_BK has shape {tuple(used_BK.shape)}, {tuple(shape)} expected")
        return used_BK.to(classes_BKD.device, torch.bool)


class Attention(nn.Module):
    """Multi-head attention without biases; `project` holds query, key and value rows in that order."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.project.weight)

    def forward(self, x_BKD: Tensor, y_BTD: Tensor, sees_BKT: Tensor | None = None) -> Tensor:
        """What queries x gather from y [B, K, D]; `sees_BKT` True where a query may look."""
        query, key, value = self.project.weight.chunk(3)
        q, k, v = (
            nnf.linear(a, w).reshape(*a.shape[:2], self.heads, -1).transpose(1, 2)
            for a, w in ((x_BKD, query), (y_BTD, key), (y_BTD, value))
        )
        mask = None if sees_BKT is None else sees_BKT.unsqueeze(1)
        drop = self.dropout if self.training else 0.0
        found = nnf.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop)
        return self.out(found.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """One pre-norm layer: queries attend to each other, to the tokens, then a ReLU network."""

    def __init__(self, config: GroundingConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.norm3 = nn.LayerNorm(config.width)
        self.self_attention = Attention(config.width, config.heads, config.dropout)
        self.cross_attention = Attention(config.width, config.heads, config.dropout)
        self.feed1 = nn.Linear(config.width, config.hidden)
        self.feed2 = nn.Linear(config.hidden, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, z_BKD: Tensor, tokens_BTD: Tensor, sees_BKK: Tensor) -> Tensor:
        """Queries [B, K, D] after this layer; the tokens are not normalised."""
        a = self.norm1(z_BKD)
        z_BKD = z_BKD + self.drop(self.self_attention(a, a, sees_BKK))
        z_BKD = z_BKD + self.drop(self.cross_attention(self.norm2(z_BKD), tokens_BTD))
        inner = self.drop(nnf.relu(self.feed1(self.norm3(z_BKD))))
        return z_BKD + self.drop(self.feed2(inner))  # type: ignore[no-any-return]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[-2:] == size:
        return x
    return nnf.interpolate(x, list(size), mode="bilinear", align_corners=False)


def _reduced(given: Any, levels: int) -> tuple[int, ...]:
    """Channels per level after the first convolution: 16, 32, 64, 128 for four levels."""
    return tuple(given) if given else tuple(128 >> (levels - 1 - i) for i in range(levels))
