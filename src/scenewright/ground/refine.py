"""Cross-attention maps as a second input of the grounding head.

The text query tells the head which class is meant; a class it never saw in training has a query it never
learnt to follow. The drawing network's own cross-attention says where the word acted, for every word alike.
Two small additions read it, both the same for all classes, so that what they learn holds for unseen ones:

* `seek`: the fused map is averaged under the attention, and that sample of the thing joins the text query;
* `forward`: a few convolutions over attention, first logits and fused map correct the logits.

Ours; the paper (arXiv 2301.05221) has no such input. A fresh head starts with the correction at zero.

Letters: B samples, K classes, A maps per class, F fused channels, D query width, h w cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

CHANNELS = 32
"""Width of the correcting convolutions."""


class Refinement(nn.Module):
    """Reads `maps` attention maps per class beside a fused map of `fused` channels."""

    def __init__(self, maps: int, fused: int, width: int) -> None:
        super().__init__()
        self.to_query = nn.Linear(maps * fused, width, bias=False)
        self.own = nn.Conv2d(maps + 1, CHANNELS, 3, padding=1)
        self.context = nn.Conv2d(fused, CHANNELS, 3, padding=1, bias=False)
        self.middle = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.last = nn.Conv2d(CHANNELS, 1, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def seek(self, fused_BFhw: Tensor, attention_BKAhw: Tensor) -> Tensor:
        """What lies under each class's attention, as an addition to its query [B, K, D]."""
        weight_BKA11 = attention_BKAhw.sum(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
        found_BKAF = torch.einsum("bkahw,bfhw->bkaf", attention_BKAhw / weight_BKA11, fused_BFhw)
        return self.to_query(found_BKAF.flatten(2))  # type: ignore[no-any-return]

    def forward(self, logits_BKhw: Tensor, fused_BFhw: Tensor, attention_BKAhw: Tensor) -> Tensor:
        """Corrected logits [B, K, h, w]."""
        batch, classes = logits_BKhw.shape[:2]
        own = torch.cat([logits_BKhw.unsqueeze(2), attention_BKAhw], dim=2).flatten(0, 1)
        hidden = self.own(own).unflatten(0, (batch, classes)) + self.context(fused_BFhw).unsqueeze(1)
        hidden = nnf.relu(self.middle(nnf.relu(hidden).flatten(0, 1)))
        return logits_BKhw + self.last(hidden).view_as(logits_BKhw)  # type: ignore[no-any-return]
