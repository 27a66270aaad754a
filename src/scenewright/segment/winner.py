"""From logits to labels without ever holding all classes at full size.

Classes come in pieces. For every pixel a running winner is kept, with the sum of exponentials and the mean
logit under it, so that the winner's probability and the entropy are those of the softmax over all classes:
with m the largest logit so far, s = Σ exp(l - m) and e = Σ (l - m) exp(l - m), the probability is 1 / s and
the entropy log s - e / s.

Background policies: ``none`` (every pixel has a class), ``threshold`` (a pixel whose winner has less than a
probability is background), ``names`` (some of the classes asked for are names of the background: pixels they
win are background).

Letters: B pictures, K classes, h w cells of the logits, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scenewright.errors import InputError, nearest

POLICIES = ("none", "threshold", "names")
"""Names of the background policies."""

NONE = 65535
"""Label of a pixel that has no class."""

MOST = 2**22
"""Numbers (classes times pixels) that are enlarged at once: 16 MB, a few times that while they are read. The
system hands out the memory of larger parts anew each time, which takes as long as the work."""

Crop = tuple[float, float, float, float]
"""Top, left, bottom, right in cells of the logits."""


@dataclass(frozen=True)
class Background:
    """What is background: a policy, and the probability that ``threshold`` wants at least."""

    policy: str = "none"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Raises InputError for an unknown policy, or a probability outside (0, 1)."""
        if self.policy not in POLICIES:
            close = nearest(self.policy, POLICIES)
            raise InputError(
                f"unknown background policy {self.policy!r}; known: {', '.join(POLICIES)}",
                f"did you mean {close}?" if close else "",
            )
        if not 0.0 < self.threshold < 1.0:
            raise InputError(f"the threshold must be above 0 and below 1, got {self.threshold}", "try 0.5")


@dataclass(frozen=True, eq=False)
class Decision:
    """What was found in pictures [B, Y, X], on the CPU: the position of the winning class (int32, `NONE`
    for background), its probability, and the entropy as a share of that of even odds, both float32."""

    labels_BYX: Tensor
    score_BYX: Tensor
    entropy_BYX: Tensor


class Winner:
    """The running winner of pictures of `size_yx` pixels; `add` takes classes in pieces, `decision` ends."""

    def __init__(self, batch: int, size_yx: tuple[int, int], device: torch.device | str = "cpu") -> None:
        self.size_yx, self.count = size_yx, 0
        shape = (batch, *size_yx)
        self._label = torch.zeros(shape, dtype=torch.int32, device=device)
        self._top = torch.full(shape, -math.inf, device=device)
        self._sum = torch.zeros(shape, device=device)
        self._mean = torch.zeros(shape, device=device)

    def add(self, views: Sequence[tuple[Tensor, Crop | None]]) -> None:
        """The next K classes: logits [B, K, h, w] of the picture, or of a larger one in which it lies at the
        crop; of several views the mean counts."""
        batch, classes = views[0][0].shape[:2]
        for first, last in strips(batch * classes, self.size_yx):
            large = [enlarged(logits.float(), self.size_yx, (first, last), crop) for logits, crop in views]
            self._take(torch.stack(large).mean(0) if len(large) > 1 else large[0], slice(first, last))
        self.count += classes

    def _take(self, logits_BKyx: Tensor, rows: slice) -> None:
        top, place = logits_BKyx.max(1)
        old = self._top[:, rows]
        new = torch.maximum(old, top)
        self._label[:, rows] = torch.where(top > old, (place + self.count).int(), self._label[:, rows])
        fall = torch.where(old.isinf(), torch.zeros_like(old), old - new)
        kept = fall.exp()
        apart = logits_BKyx - new[:, None]
        weight = apart.exp()
        before, mean = self._sum[:, rows] * kept, self._mean[:, rows]
        self._mean[:, rows] = (mean + self._sum[:, rows] * fall) * kept + (apart * weight).sum(1)
        self._sum[:, rows] = before + weight.sum(1)
        self._top[:, rows] = new

    def decision(self, background: Background | None = None, named: int = 0) -> Decision:
        """The end. With the policy ``names`` the last `named` classes are names of the background."""
        rule = background or Background()
        score = 1.0 / self._sum
        entropy = (self._sum.log() - self._mean / self._sum).clamp_min(0.0)
        share = entropy / math.log(self.count) if self.count > 1 else torch.zeros_like(entropy)
        none = torch.zeros_like(self._label, dtype=torch.bool)
        if rule.policy == "threshold":
            none = score < rule.threshold
        elif rule.policy == "names":
            none = self._label >= self.count - named
        return Decision(self._label.masked_fill(none, NONE).cpu(), score.cpu(), share.clamp(max=1.0).cpu())


def strips(rows: int, size_yx: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Parts of the picture, from one row to another, of at most `MOST` numbers when `rows` classes are
    enlarged; one row at least."""
    height, width = size_yx
    step = max(1, MOST // max(1, rows * width))
    for first in range(0, height, step):
        yield first, min(height, first + step)


def enlarged(
    logits_BKhw: Tensor,
    size_yx: tuple[int, int],
    rows: tuple[int, int],
    crop: Crop | None = None,
) -> Tensor:
    """Rows `rows` of logits brought to `size_yx` pixels, bilinear with cell centres aligned; `crop` as in
    `Winner.add`. Strips put together are the whole."""
    height, width = logits_BKhw.shape[-2:]
    top, left, bottom, right = crop or (0.0, 0.0, float(height), float(width))
    device = logits_BKhw.device
    y = (torch.arange(*rows, device=device) + 0.5) * ((bottom - top) / size_yx[0]) + top - 0.5
    x = (torch.arange(size_yx[1], device=device) + 0.5) * ((right - left) / size_yx[1]) + left - 0.5
    across = _between(logits_BKhw.flatten(0, 1), y, 1)
    return _between(across, x, 2).view(*logits_BKhw.shape[:2], rows[1] - rows[0], size_yx[1])


def _between(maps_Rhw: Tensor, place: Tensor, axis: int) -> Tensor:
    """Values at places (in cells) along one axis, linear, the edge's own beyond it."""
    place = place.clamp(0, maps_Rhw.shape[axis] - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=maps_Rhw.shape[axis] - 1)
    part = (place - low).to(maps_Rhw)
    below, above = maps_Rhw.index_select(axis, low), maps_Rhw.index_select(axis, high)
    return below + (above - below) * (part[:, None] if axis == 1 else part)
