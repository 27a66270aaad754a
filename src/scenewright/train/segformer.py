"""Training a SegFormer on pictures as `scenewright.train.closed_set` has them.

Letters: B pictures, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from scenewright.errors import InputError
from scenewright.models.segformer import (
    Preparation,
    SegformerSize,
    Segmenter,
    begin_from,
    fresh,
    save_segmenter,
)
from scenewright.train.closed_set import ClosedSetTask, ClosedSetTraining
from scenewright.train.optimise import parameter_groups

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig


@dataclass(frozen=True, kw_only=True)
class SegformerTraining(ClosedSetTraining):
    """The network, its classes, and the pictures."""

    start: str = ""  # folder or hub id of a SegFormer to train further; "": random weights
    net: SegformerSize = field(default_factory=SegformerSize)  # of a fresh network
    head_lr: float = 1.0  # rate of the decoder, times that of the rest

    def build(self, loop: LoopConfig) -> SegformerTask:
        """The task of this configuration. Raises InputError for values out of range."""
        self.check_pictures()
        if not self.head_lr > 0:
            raise InputError(f"head_lr is {self.head_lr}; expected a factor above 0")
        return SegformerTask(self, loop)


class SegformerTask(ClosedSetTask):
    """See `SegformerTraining`; exports a folder of transformers with ``scenewright.json``."""

    def network(self) -> Any:
        """A fresh SegFormer, or the one that is trained further; `prepared` is what it does to pictures."""
        if self.config.start:
            net, prepare = begin_from(self.config.start, self.space.names)
            self.prepared = replace(prepare, size_wh=None)
            return net
        self.prepared = Preparation()
        return fresh(self.space.names, self.config.net)

    @property
    def segmenter(self) -> Segmenter:
        """The network as it is now."""
        return Segmenter(self.net, self.space.names, self.prepared, self.space)

    def logits(self, signal_BCHW: Tensor) -> Tensor:
        """Logits [B,K,h,w], a quarter of the size of the pictures."""
        found: Tensor = self.net(pixel_values=self.prepared(signal_BCHW)).logits
        return found

    def labels(self, images: Sequence[Any]) -> list[Any]:
        """The likeliest output [H,W] in each pixel of each picture."""
        return list(self.segmenter.labels(images))

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only; the decoder with a rate of its own."""
        if self.config.head_lr == 1.0:
            return super().groups()
        body, head = {"net": self.net.segformer}, {"net": self.net.decode_head}
        return [*parameter_groups(body), *parameter_groups(head, lr_scale=self.config.head_lr)]

    def save(self, folder: Path, notes: dict[str, Any], scores: dict[str, float]) -> None:
        """A folder of transformers in half precision."""
        save_segmenter(replace(self.segmenter, about={"notes": notes, "scores": scores}), folder)
