"""Training a convolutional segmenter on pictures as `scenewright.train.closed_set` has them.

The network is that of the town segmenter (`scenewright.models.judges.segmenter`), a U-Net of residual
convolutions, at any size: what is learnt of a fixed list of classes without a network that draws and without
names. Its file is a judge's.

Letters: B pictures, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from scenewright.errors import InputError
from scenewright.models.judges.segmenter import SegmenterConfig, SegmenterNet
from scenewright.models.judges.store import save_judge
from scenewright.train.closed_set import ClosedSetTask, ClosedSetTraining

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

FILE = "segmenter.safetensors"
"""What is exported."""


@dataclass(frozen=True, kw_only=True)
class ConvolutionalTraining(ClosedSetTraining):
    """The network, its classes, and the pictures; sides of these are multiples of ``net.multiple``."""

    net: SegmenterConfig = field(default_factory=SegmenterConfig)  # its vocabulary is the training's

    def build(self, loop: LoopConfig) -> ConvolutionalTask:
        """The task of this configuration. Raises InputError for values out of range."""
        self.check_pictures()
        return ConvolutionalTask(self, loop)


class ConvolutionalTask(ClosedSetTask):
    """See `ConvolutionalTraining`; exports ``segmenter.safetensors``."""

    def network(self) -> SegmenterNet:
        """A fresh network, with an output for each class. Raises InputError for more than its maps hold."""
        if len(self.space) > 256:
            raise InputError(
                f"{len(self.space)} classes of {self.space.vocabulary!r}; this network's maps hold 256",
                "a SegFormer (nano-segformer) has as many as are asked for",
            )
        return SegmenterNet(replace(self.config.net, vocabulary=self.config.vocabulary), self.space.names)

    def logits(self, signal_BCHW: Tensor) -> Tensor:
        """Logits [B,K,H,W], at the size of the pictures."""
        found: Tensor = self.net(signal_BCHW)
        return found

    def labels(self, images: Sequence[Any]) -> list[Any]:
        """The likeliest output [H,W] in each pixel of each picture."""
        return list(self.net.labels(images))

    def save(self, folder: Path, notes: dict[str, Any], scores: dict[str, float]) -> None:
        """``segmenter.safetensors``, its outputs named."""
        save_judge(
            folder / FILE,
            self.net,
            kind="segmenter",
            config=self.net.config,
            labels={"classes": self.space.names},
            notes=notes,
            ceilings=scores,
        )
