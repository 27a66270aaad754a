"""From logits to masks: one class per pixel, or every class for itself.

Letters: K classes, H W pixels; any leading dimensions are kept.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as nnf

from scenewright.errors import InputError, nearest

RULES = ("argmax", "independent")
"""Names of the rules."""


def decide(logits_KHW: Tensor, rule: str = "argmax", threshold: float = 0.5) -> Tensor:
    """Masks [..., K, H, W], bool, of logits.

    ``argmax``: a pixel belongs to the class with the highest logit, or to none (background) where that
    class's probability is not above `threshold`; masks never overlap, of equal logits the first class wins.
    ``independent``: every class has the pixels with a probability above `threshold`, as the released code
    does. Raises InputError for another rule, or a threshold outside (0, 1).
    """
    if rule not in RULES:
        close = nearest(rule, RULES)
        raise InputError(
            f"unknown rule {rule!r}; known: {', '.join(RULES)}", f"did you mean {close}?" if close else ""
        )
    if not 0.0 < threshold < 1.0:
        raise InputError(f"the threshold must be above 0 and below 1, got {threshold}", "0.5 is usual")
    if logits_KHW.ndim < 3 or not logits_KHW.shape[-3]:
        raise InputError(f"logits of shape {tuple(logits_KHW.shape)}; [K, H, W] with a class expected")
    above = logits_KHW > math.log(threshold / (1.0 - threshold))
    if rule == "independent":
        return above
    winner = logits_KHW.argmax(dim=-3)
    one_hot = nnf.one_hot(winner, logits_KHW.shape[-3]).movedim(-1, -3).bool()
    return one_hot & above


def labels(masks_KHW: Tensor, background: int = -1) -> Tensor:
    """The number of the class of every pixel [..., H, W], `background` where there is none.

    Where masks overlap the first class counts.
    """
    return masks_KHW.int().argmax(dim=-3).masked_fill(~masks_KHW.any(dim=-3), background)
