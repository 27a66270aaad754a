"""The baseline of a one-pass segmenter: the network's own text attention, with nothing trained."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scenewright.segment.one_pass import Context, OnePass
from scenewright.segment.see import ClassTexts, Seen

SHARP = 20.0
"""What mean scores in (-1, 1) are multiplied by; it changes probabilities, not labels."""


class AttentionOnly(OnePass):
    """Logits are the mean of what all heads of all blocks say; see `content.ContentAttention.own`."""

    @classmethod
    def of(cls, backbone: Any) -> AttentionOnly:
        """The baseline of a backbone."""
        made = cls.for_unet(backbone.unet, stride=backbone.stride, width=4, cost=4, rounds=0, doublings=0)
        assert isinstance(made, cls)
        return made.requires_grad_(False).eval().to(backbone.device)

    def context(self, seen: Seen) -> Context:
        """What the blocks ask, at the latent's size."""
        finest = seen.features.levels[-1][0]
        return Context(finest, seen.asked, finest, ())

    def logits(
        self,
        context: Context,
        texts: ClassTexts,
        hidden_K: Tensor | None = None,
        chosen_BJ: Tensor | None = None,
    ) -> Tensor:
        """Mean scores [B, K, h, w]; the last two arguments are for trainings and not read."""
        size = (int(context.fused_BFhw.shape[-2]), int(context.fused_BFhw.shape[-1]))
        return SHARP * self.attention.own(context.asked, texts, size)
