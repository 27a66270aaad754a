"""Training the labeller of toys: the class of every pixel, or background, in pictures of the toybox.

As the town segmenter is trained (`scenewright.train.segmenter`): pictures are disturbed as an autoencoder
disturbs them, no more, so that what is learnt holds for generated pictures too. Stuff (sky, road) is
background. mIoU is the mean over the toys, without the background.

Letters: N pictures, H W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenewright.models.judges.labeller import Labeller
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.train.annotated import LABELLER_SEED, Annotated, AnnotatedSource
from scenewright.train.augment import Disturbance
from scenewright.train.segmenter import SegmenterTask
from scenewright.world.classes import BY_NAME, label_colour
from scenewright.world.toybox import CLASSES

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig
    from scenewright.world.drawn import Drawn

NET = SegmenterConfig(vocabulary="toybox", channels=(24, 48, 96, 128))


@dataclass(frozen=True, kw_only=True)
class LabellerTaskConfig:
    """The network's sizes and what it sees: few toys as in the pictures that it will label, and many."""

    net: SegmenterConfig = NET
    sources: tuple[AnnotatedSource, ...] = (
        AnnotatedSource(count=9000, first_seed=LABELLER_SEED),
        AnnotatedSource(count=9000, first_seed=LABELLER_SEED, things=(2, 8)),
    )
    cache: Path = Path("runs/out/judge-cache")
    start: Path | None = None  # an earlier export to continue from; None: random weights
    disturbance: Disturbance = field(default_factory=Disturbance)
    jaccard_weight: float = 0.5  # of the soft Jaccard term beside the cross-entropy
    probe: int = 240  # pictures of the validation
    held_out: int = 1000  # pictures of the frozen set toybox-1 for the ceilings

    def build(self, loop: LoopConfig) -> LabellerTask:
        """The task of this configuration."""
        return LabellerTask(self, loop)


class LabellerTask(SegmenterTask):
    """See `LabellerTaskConfig`; exports ``labeller.safetensors``."""

    kind = "labeller"
    held_out_id = "toybox-1"
    names = ("background", *CLASSES)
    colours = ((0, 0, 0), *(label_colour(k) for k in range(len(BY_NAME))))
    unscored = 1

    def network(self) -> Labeller:
        """A fresh network of the configured sizes."""
        return Labeller(self.config.net, self.names)

    def sources(self) -> tuple[AnnotatedSource, ...]:
        """The pictures to train on; those of the validation are drawn like the first ones."""
        found: tuple[AnnotatedSource, ...] = self.config.sources
        return found

    def maps(self, pictures: Annotated, index_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The true class maps [N,H,W] of pictures: 0 background, k + 1 where a toy of class k is seen."""
        numbers_NHW = pictures.instances(index_N)
        kinds = [np.array(pictures.items[i].classes, np.int64) for i in index_N]
        rows = zip(numbers_NHW, kinds, strict=True)
        return np.stack([class_map(numbers_HW, kind_G) for numbers_HW, kind_G in rows])

    def map_of(self, drawn: Drawn) -> NDArray[np.uint8]:
        """The true class map [H,W] of a held-out drawing."""
        kind_G = np.array([CLASSES.index(one.category or "") for one in drawn.scene.instances], np.int64)
        return class_map(drawn.instance_map, kind_G)


def class_map(numbers_HW: NDArray[np.uint8], kind_G: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Class + 1 where instance map says g + 1 and instance g is of class `kind_G[g]`, 0 where it says 0."""
    return np.concatenate([[0], kind_G + 1]).astype(np.uint8)[numbers_HW]
