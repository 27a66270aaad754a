"""Content attention: every class's text attends to the picture's cells, and costs of all kinds come out.

Three kinds of cost channels for each class and cell:

* `own`: scores of the network's own text attention against the empty text, mixed over heads. Nothing in them
  was trained on masks, so they know every word that the drawing network knows.
* `learnt`: cosines of learnt projections of class vector and map, before and after the class vector has taken
  in the content that it attends to.
* `looks`: cosines of each cell with prototypes, the mean map where the class attends. They are about the
  picture alone and spread a find to all cells that look alike, for every word in the same way.

Classes do not see each other: a class's logits do not depend on which others are asked for, nor on how many
of them are worked on at once.

Letters: B pictures, K classes, D text width, F channels of the fused map, S channels of a kind, N cells, h w
rows and columns of them, H E heads and their width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.segment.config import SegmentConfig
from scenewright.segment.see import Asked, ClassTexts

SOFT = 4.0
"""Scores of the network's own attention are divided by this and limited to one either way, softly."""


class ContentAttention(nn.Module):
    """See the module. Costs have `channels` of them."""

    def __init__(self, config: SegmentConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.learnt
        self.channels = config.own + 2 * heads + config.looks
        self.mixes = nn.ParameterList(
            nn.Parameter(torch.randn(count, config.own) / (count * len(config.attention)) ** 0.5)
            for count in config.attention
        )
        self.read_text = nn.Sequential(nn.LayerNorm(config.text_width), nn.Linear(config.text_width, width))
        self.read_map = nn.Conv2d(width, width, 1)
        self.scale = nn.Parameter(torch.full((heads,), 5.0))
        self.attend = nn.Linear(config.own + heads, config.looks)
        self.take_in = nn.Sequential(
            nn.LayerNorm(width * config.looks + width),
            nn.Linear(width * config.looks + width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )
        self.look_scale = nn.Parameter(torch.full((config.looks,), 5.0))

    def forward(
        self, fused_BFhw: Tensor, asked: tuple[Asked, ...], texts: ClassTexts, hidden_K: Tensor | None = None
    ) -> Tensor:
        """Costs [B, K, channels, h, w]. Classes with `hidden_K` are known by the network's own attention
        alone: their vectors are not read (in training, so that it must serve)."""
        size_hw = (int(fused_BFhw.shape[-2]), int(fused_BFhw.shape[-1]))
        own_BKSN = self._own(asked, texts, size_hw).flatten(3)
        map_BFN = self.read_map(fused_BFhw).flatten(2)
        text_KF = self.read_text(texts.vectors_KD)
        if hidden_K is not None:
            text_KF = text_KF * (~hidden_K).to(text_KF)[:, None]
        query_BKF = text_KF.expand(len(map_BFN), -1, -1)
        first_BKSN = self._cosines(query_BKF, map_BFN)
        weight_BKAN = self.attend(torch.cat([own_BKSN, first_BKSN], 2).transpose(2, 3)).softmax(2)
        content_BKAF = torch.einsum("bkna,bfn->bkaf", weight_BKAN, fused_BFhw.flatten(2))
        looks_BKAN = torch.einsum(
            "bkaf,bfn->bkan",
            nnf.normalize(content_BKAF, dim=-1) * self.look_scale[:, None],
            nnf.normalize(fused_BFhw.flatten(2), dim=1),
        )
        taken_BKF = query_BKF + self.take_in(torch.cat([content_BKAF.flatten(2), query_BKF], 2))
        second_BKSN = self._cosines(taken_BKF, map_BFN)
        cost_BKCN = torch.cat([own_BKSN, first_BKSN, second_BKSN, looks_BKAN], 2)
        return cost_BKCN.view(*cost_BKCN.shape[:3], *size_hw)

    def own(self, asked: tuple[Asked, ...], texts: ClassTexts, size_hw: tuple[int, int]) -> Tensor:
        """The mean score of the network's own attention [B, K, h, w]: what it says without any training."""
        evenly = [one.new_full((len(one), 1), 1 / (len(one) * len(self.mixes))) for one in self.mixes]
        return own_scores(asked, texts, evenly, size_hw)[:, :, 0]

    def _own(self, asked: tuple[Asked, ...], texts: ClassTexts, size_hw: tuple[int, int]) -> Tensor:
        return own_scores(asked, texts, list(self.mixes), size_hw)

    def _cosines(self, query_BKF: Tensor, map_BFN: Tensor) -> Tensor:
        """Cosines [B, K, S, N] of text and map in each of the learnt products, scaled."""
        heads = len(self.scale)
        query = nnf.normalize(query_BKF.unflatten(2, (heads, -1)), dim=-1) * self.scale[:, None]
        return torch.einsum("bkse,bsen->bksn", query, nnf.normalize(map_BFN.unflatten(1, (heads, -1)), dim=2))


def own_scores(
    asked: tuple[Asked, ...], texts: ClassTexts, mixes: list[Tensor], size_hw: tuple[int, int]
) -> Tensor:
    """Scores [B, K, S, h, w] of classes against the empty text, log-odds limited to (-1, 1), mixed by
    [H, S] weights for each block and summed over blocks."""
    by_size: dict[tuple[int, int], Tensor] = {}
    for one, key_KHE, mix_HS in zip(asked, texts.keys, mixes, strict=True):
        odds_BKHN = torch.einsum("bhne,khe->bkhn", one.queries_BHNE, key_KHE) - one.none_BHN[:, None]
        mixed_BKSN = torch.einsum("bkhn,hs->bksn", torch.tanh(odds_BKHN / SOFT), mix_HS)
        known = by_size.get(one.size_hw)
        by_size[one.size_hw] = mixed_BKSN if known is None else known + mixed_BKSN
    total: Tensor | None = None
    for own_hw, mixed_BKSN in by_size.items():
        maps_BKShw = mixed_BKSN.unflatten(3, own_hw)
        if own_hw != size_hw:
            flat = nnf.interpolate(maps_BKShw.flatten(0, 1), size_hw, mode="bilinear", align_corners=False)
            maps_BKShw = flat.unflatten(0, maps_BKShw.shape[:2])
        total = maps_BKShw if total is None else total + maps_BKShw
    assert total is not None
    return total
