"""The masks out of the sampling beside those of a detector that looks at the finished picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from scenewright.evaluate.asked import named_class
from scenewright.evaluate.findings import Finding
from scenewright.flows.ground_masks import class_masks
from scenewright.flows.judging import JudgeCard, card_of
from scenewright.flows.readings import detector
from scenewright.flows.scoring import vocabulary_of
from scenewright.scene import Mask, Record

if TYPE_CHECKING:
    from scenewright.models.judges.store import Judge


@dataclass(frozen=True, eq=False)
class Comparer:
    """The detector that is asked, ready to run."""

    judge: Judge
    card: JudgeCard

    @classmethod
    def load(cls, device: torch.device | str = "cpu", name: str = "detector") -> Comparer:
        """The detector called `name`: one of the package's, or a file. Raises ModelError if there is none."""
        from scenewright.models.judges.store import judge_path, load_judge

        file = judge_path(name)
        return cls(load_judge(file, kind="detector", device=device), card_of(file))

    def compared(self, records: Sequence[Record]) -> list[Record]:
        """The records with ``scores["detector"]``: which judge, and for every class that was looked for the
        judge's name of it (None if it has none), how many it found, the best score, their masks together and
        the IoU with ours (None where neither shows anything)."""
        scenes = [one.scene for one in records]
        readings = detector(self.judge, [one.image for one in records], scenes)
        return [
            one.replace(scores={**one.scores, "detector": self._told(one, reading.found)})
            for one, reading in zip(records, readings, strict=True)
        ]

    def _told(self, record: Record, found: Sequence[Finding]) -> dict[str, Any]:
        sure = [one for one in found if one.score >= self.card.least]
        masks = class_masks(record)
        return {
            "judge": self.card.id,
            "classes": {label: self._entry(label, mask, sure) for label, mask in masks.items()},
        }

    def _entry(self, label: str, ours: Mask, found: Sequence[Finding]) -> dict[str, Any]:
        vocabulary, known = vocabulary_of(self.card), self.card.labels.get("classes", ())
        name = named_class(label, vocabulary)
        if name is None or name not in known:
            return {"class": None, "found": 0, "score": 0.0, "iou": None}
        own = [one for one in found if one.category == name and one.mask is not None]
        theirs = Mask.empty(ours.size_hw)
        for one in own:
            theirs = theirs.union(one.mask) if one.mask is not None else theirs
        neither = ours.is_empty and theirs.is_empty
        return {
            "class": name,
            "found": len(own),
            "score": round(max((one.score for one in own), default=0.0), 4),
            "iou": None if neither else round(ours.iou(theirs), 4),
            "mask": {"size_hw": list(theirs.size_hw), "counts": theirs.counts},
        }
