"""Label maps refined by mask denoising: the one-pass maps are the start, a mask denoiser draws their edges.

The largest classes of a picture are taken as maps of their probability, noised by `strength` and denoised
(`segment.denoise`), each under its own name. The mean of both maps decides among them; pixels of the other
classes, and of none, stay as they are.

Letters: K classes that are refined, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, ModelError
from scenewright.flows.segment import FULL, Picture, Segmented
from scenewright.flows.segment_options import SegmentOptions, spoken
from scenewright.models.mask_denoiser import MaskDenoiser, load_mask_denoiser
from scenewright.segment.denoise import DenoiseOptions, denoised


@dataclass(frozen=True, kw_only=True)
class RefineOptions:
    """How maps are refined; checked when made (InputError).

    steps     of the sampler, of which only those below the strength are taken
    strength  how much noise the maps get, above 0 to 1
    classes   the largest so many classes of a picture are refined
    members   maps drawn of each class, whose mean counts
    seed      of the noise
    """

    steps: int = 10
    strength: float = 0.5
    classes: int = 8
    members: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise InputError(f"strength is {self.strength}; expected above 0, at most 1", "0.5 suits")
        if not 1 <= self.classes <= 1000:
            raise InputError(f"{self.classes} classes to refine; expected 1 to 1000")
        DenoiseOptions(steps=self.steps, members=self.members, seed=self.seed)


class Refiner:
    """A mask denoiser that refines maps."""

    def __init__(self, denoiser: MaskDenoiser, options: RefineOptions, name: str = "") -> None:
        if denoiser.rules.text != "class":
            raise ModelError(
                f"{name or denoiser.backbone.name} draws one map for all classes: it cannot refine a class",
                "`scenewright train mask-denoiser --set task.text=class` makes one that is told a class",
            )
        self.denoiser, self.options, self.name = denoiser, options, name

    @classmethod
    def load(
        cls, folder: Path, options: RefineOptions, *, device: str = "auto", dtype: str = "auto"
    ) -> Refiner:
        """The mask denoiser in a folder; see `models.mask_denoiser.load_mask_denoiser`. Raises ModelError."""
        return cls(load_mask_denoiser(folder, device=device, dtype=dtype), options, folder.name)

    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "refined_by": self.name,
            "refiner": self.denoiser.backbone.fingerprint,
            "refined": vars(self.options),
        }

    def refined(self, image_HW3: Picture, found: Segmented, options: SegmentOptions) -> Segmented:
        """The maps of a picture after refinement; entropies stay those of the one pass."""
        names = {one.id: spoken(one)[0] for one in options.vocabulary}
        ids = [id for id in found.areas() if id in names][: self.options.classes]
        if not ids:
            return found
        begin_KHW = np.stack([np.where(found.labels == id, found.scores / FULL, 0) for id in ids])
        drawn = denoised(
            self.denoiser.backbone, self.denoiser.rules, image_HW3, [names[id] for id in ids],
            DenoiseOptions(steps=self.options.steps, members=self.options.members, seed=self.options.seed),
            begin_KHW=begin_KHW.astype(np.float32), strength=self.options.strength,
        )  # fmt: skip
        return decided(found, (begin_KHW + drawn.maps_KHW) / 2, ids)


def decided(found: Segmented, maps_KHW: NDArray[np.floating], ids: list[int]) -> Segmented:
    """`found` with the highest of the maps deciding wherever one of `ids` was; its value is the score."""
    own_HW = np.isin(found.labels, ids)
    best_HW = maps_KHW.argmax(0)
    labels_HW = np.where(own_HW, np.asarray(ids, np.uint16)[best_HW], found.labels)
    top_HW = np.rint(np.clip(maps_KHW.max(0), 0, 1) * FULL).astype(np.uint16)
    return replace(found, labels=labels_HW, scores=np.where(own_HW, top_HW, found.scores))
