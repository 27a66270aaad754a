"""The one-pass segmenter: what one pass saw of a picture and any class names to logits per class and cell.

Method (c) of the specification of Seg-diffusion's re-implementation: maps of the drawing network are fused,
`content.ContentAttention` makes a cost volume over classes, a few convolutions that are the same for all
classes clean each class's cost with the fused map beside it, and the picture's own pixels sharpen it while it
is doubled. As cost volumes over class names in Cho et al., "CAT-Seg: Cost Aggregation for Open-Vocabulary
Semantic Segmentation", CVPR 2024, without their attention between classes.

Letters: B pictures, K classes, C channels, F fused channels, h w latent cells, Y X pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.tap_layout import tap_layout
from scenewright.errors import InputError, ModelError
from scenewright.segment.config import SegmentConfig
from scenewright.segment.content import ContentAttention
from scenewright.segment.see import Asked, ClassTexts, Seen


@dataclass(frozen=True, eq=False)
class Context:
    """All that is computed once for a picture, whatever the classes: the fused map, what the blocks ask, the
    fused map's share in the cost's channels, and the picture's share at every doubling."""

    fused_BFhw: Tensor
    asked: tuple[Asked, ...]
    guide_BChw: Tensor
    edges: tuple[Tensor, ...]


class OnePass(nn.Module):
    """The segmenter. `for_unet` makes a fresh one, `fitting` an unfilled one of a stored configuration."""

    def __init__(self, config: SegmentConfig) -> None:
        super().__init__()
        self.config = config
        width, cost = config.width, config.cost
        self.reduce = nn.ModuleList(
            nn.Sequential(CellNorm(given), nn.Conv2d(given, own, 1))
            for given, own in zip(config.channels, config.reduced, strict=True)
        )
        self.join = nn.Conv2d(sum(config.reduced), width, 1)
        self.fuse = nn.ModuleList(Residual(width) for _ in range(2))
        self.attention = ContentAttention(config)
        self.enter = nn.Conv2d(self.attention.channels, cost, 1)
        self.guide = nn.Conv2d(width, cost, 1)
        self.clean = nn.ModuleList(Residual(cost, plain=True) for _ in range(config.rounds))
        sides = [config.stride // 2 ** (k + 1) for k in range(config.doublings)]
        widths = [max(4, cost // 2 ** (k + 1)) for k in range(config.doublings)]
        self.edges = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3 * side**2, 16, 1), nn.GELU(), nn.Conv2d(16, own, 3, padding=1))
            for side, own in zip(sides, widths, strict=True)
        )
        self.enlarge = nn.ModuleList(
            nn.Conv2d(given, own, 3, padding=1) for given, own in zip([cost, *widths], widths, strict=False)
        )
        self.last = nn.Conv2d([cost, *widths][-1], 1, 1)
        self.short = nn.Conv2d(self.attention.channels, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.short.weight, 0.5)

    @classmethod
    def for_unet(
        cls, unet: Any, *, layout: str = "blocks", stride: int = 8, seed: int = 0, **sizes: Any
    ) -> OnePass:
        """A fresh segmenter for `unet` tapped by `layout`; `stride` is `Backbone.stride`, `sizes` are fields
        of `SegmentConfig`. Weights are drawn from `seed` alone, on the CPU."""
        taps = tap_layout(unet, layout)
        blocks: Any = transformer_blocks(unet)
        reduced = sizes.pop("reduced", ()) or (32,) * len(taps.levels)
        config = SegmentConfig(
            layout=layout,
            channels=taps.widths(("cond",)),
            reduced=reduced,
            attention=tuple(int(block.attn2.heads) for block in blocks.values()),
            text_width=int(unet.config.cross_attention_dim),
            stride=stride,
            **sizes,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @classmethod
    def fitting(cls, unet: Any, config: SegmentConfig) -> OnePass:
        """An unfilled segmenter with a stored configuration, on the UNet's device (meta included).

        Raises ModelError if it cannot read `unet`.
        """
        blocks: Any = transformer_blocks(unet)
        pairs = {
            "levels of channels": (config.channels, tap_layout(unet, config.layout).widths(("cond",))),
            "heads of text attention": (
                config.attention,
                tuple(int(block.attn2.heads) for block in blocks.values()),
            ),
            "text of width": (config.text_width, int(unet.config.cross_attention_dim)),
        }
        for words, (wanted, given) in pairs.items():
            if wanted != given:
                raise ModelError(
                    f"the segmenter reads {words} {wanted}, this network has {given}",
                    "a segmenter fits the network it was trained on only",
                )
        with torch.device(next(unet.parameters()).device):
            return cls(config)

    def forward(
        self,
        seen: Seen,
        texts: ClassTexts,
        hidden_K: Tensor | None = None,
        chosen_BJ: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, K, y, x] in float32, cells of `config.fine` pixels; see `logits`, and `content` for
        `hidden_K`."""
        return self.logits(self.context(seen), texts, hidden_K, chosen_BJ)

    def context(self, seen: Seen) -> Context:
        """What is computed once for pictures. Raises ModelError for maps of another network."""
        if seen.features.widths != self.config.channels:
            raise ModelError(
                f"the segmenter reads maps of {self.config.channels} channels, got {seen.features.widths}",
                "see the picture with the segmenter's own tap layout",
            )
        height, width = seen.image_B3YX.shape[-2:]
        size_hw = seen.features.size_hw
        if (size_hw[0] * self.config.stride, size_hw[1] * self.config.stride) != (height, width):
            raise InputError(f"a picture of {width}x{height} with maps of {size_hw[1]}x{size_hw[0]} cells")
        parts = []
        for level, reduce in zip(seen.features.levels, self.reduce, strict=True):
            joined = torch.cat([_resized(one.float(), level[0].shape[-2:]) for one in level], 1)
            parts.append(_resized(reduce(joined), size_hw))
        fused_BFhw = self.join(torch.cat(parts, 1))
        for block in self.fuse:
            fused_BFhw = block(fused_BFhw)
        edges = []
        for k, stem in enumerate(self.edges):
            side = self.config.stride // 2 ** (k + 1)
            edges.append(stem(nnf.pixel_unshuffle(seen.image_B3YX.float(), side)))
        return Context(fused_BFhw, seen.asked, self.guide(fused_BFhw), tuple(edges))

    def logits(
        self,
        context: Context,
        texts: ClassTexts,
        hidden_K: Tensor | None = None,
        chosen_BJ: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, K, y, x] of some classes; those of a class are the same in every company.

        With `chosen_BJ`, places among the K, each picture has logits of its own J of them, [B, J, y, x].
        """
        cost_BKChw = self.attention(context.fused_BFhw, context.asked, texts, hidden_K)
        if chosen_BJ is not None:
            cost_BKChw = cost_BKChw[torch.arange(len(chosen_BJ), device=chosen_BJ.device)[:, None], chosen_BJ]
        batch, classes = cost_BKChw.shape[:2]
        rows = cost_BKChw.flatten(0, 1)
        x = self.enter(rows) + _each(context.guide_BChw, classes)
        for block in self.clean:
            x = block(x)
        for enlarge, edge_BCyx in zip(self.enlarge, context.edges, strict=True):
            larger = nnf.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = nnf.relu(enlarge(larger) + _each(edge_BCyx, classes))
        size = (int(x.shape[-2]), int(x.shape[-1]))
        found: Tensor = self.last(x) + _resized(self.short(rows), size)
        return found.view(batch, classes, *size).float()

    def numbers(self, size_yx: tuple[int, int]) -> int:
        """About how many numbers one class of one picture takes while it is worked on."""
        cells = size_yx[0] * size_yx[1] // self.config.stride**2
        own = sum(self.config.attention) + 4 * self.attention.channels + 4 * self.config.cost
        return cells * (own + (2 * self.config.cost << 2 * self.config.doublings))


class CellNorm(nn.Module):
    """Layer norm over the channels of every cell by itself: neither padding nor neighbours change it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BChw: Tensor) -> Tensor:
        """x normalised."""
        moved = x_BChw.movedim(1, -1)
        return nnf.layer_norm(moved, moved.shape[-1:], self.weight, self.bias).movedim(-1, 1)


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity; `plain` without a norm before them."""

    def __init__(self, channels: int, *, plain: bool = False) -> None:
        super().__init__()
        self.norm = nn.Identity() if plain else CellNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """x with what they add."""
        added: Tensor = self.second(nnf.relu(self.first(self.norm(x_BChw))))
        return x_BChw + added


def _resized(x_BChw: Tensor, size_hw: Any) -> Tensor:
    if tuple(x_BChw.shape[-2:]) == tuple(size_hw):
        return x_BChw
    return nnf.interpolate(x_BChw, tuple(size_hw), mode="bilinear", align_corners=False)


def _each(x_BChw: Tensor, classes: int) -> Tensor:
    """The same for every class, as rows of classes: [B K, C, h, w]."""
    return x_BChw[:, None].expand(-1, classes, -1, -1, -1).flatten(0, 1)
