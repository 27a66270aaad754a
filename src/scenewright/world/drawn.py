"""What a world hands out: a picture and everything that is true about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenewright.scene import Scene, SemanticMap

if TYPE_CHECKING:
    from scenewright.scene.record import Record


@dataclass(frozen=True, eq=False)
class Drawn:
    """One drawn picture with exact ground truth.

    image         HW3 uint8 sRGB.
    scene         the Scene: caption, instances (visible masks, boxes, points, ...), style, seed.
    instance_map  HW uint8; 0 where no instance is visible, k where `scene.instances[k - 1]` is.
    semantic      HW uint8; class ids of the vocabulary named by `vocabulary`.
    vocabulary    "toybox" or "town".
    """

    image: NDArray[np.uint8]
    scene: Scene
    instance_map: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    vocabulary: str = "toybox"

    def labels(self) -> SemanticMap:
        """The semantic map as a `SemanticMap` of this world's vocabulary."""
        return SemanticMap.from_labels(self.semantic.astype(np.uint16), self.vocabulary)

    def record(self) -> Record:
        """The picture as a `Record`: scene, visible masks by instance id, labels, where it comes from."""
        from scenewright.scene.record import Record

        masks = {i.id: i.mask for i in self.scene.instances if i.mask is not None}
        return Record(
            image=self.image,
            scene=self.scene,
            masks=masks,
            labels=self.labels(),
            scores={},
            provenance={"world": self.vocabulary, "seed": self.scene.seed},
        )
