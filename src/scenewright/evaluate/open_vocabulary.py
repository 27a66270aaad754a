"""Figures of open-vocabulary segmentation from label maps of any method; see `open_protocols`.

Letters: P pictures, K classes, B resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Estimate, Floats, Statistic
from scenewright.evaluate.grounding import harmonic
from scenewright.evaluate.measures import Measure
from scenewright.evaluate.open_protocols import OpenProtocol, seen_by_name
from scenewright.evaluate.report import Group
from scenewright.evaluate.semantic import Labels, SemanticScore, semantic_score
from scenewright.scene.vocabulary import Vocabulary

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OpenScore:
    """Pixel counts of a set of pictures, and which of the counted classes were seen in training.

    The background, where it is a class, is the first one and neither seen nor unseen.
    """

    counts: SemanticScore
    seen_K: Bools
    unseen_K: Bools

    def iou(self, weights_BP: Floats) -> tuple[Floats, Floats, Floats]:
        """IoU [B, K] (NaN where a class is in neither), true pixels [B, K] and right ones [B, K]."""
        shared_BK = weights_BP @ self.counts.shared_PK
        truth_BK = weights_BP @ self.counts.truth_PK
        union_BK = truth_BK + weights_BP @ self.counts.predicted_PK - shared_BK
        return _divided(shared_BK, union_BK), truth_BK, shared_BK

    def mean(self, chosen_K: Bools | None = None) -> Statistic:
        """Mean IoU of the chosen classes (all) that are in the truth; NaN if none is."""

        def statistic(weights_BP: Floats) -> Floats:
            iou_BK, truth_BK, _ = self.iou(weights_BP)
            there_BK = truth_BK > 0
            return _mean(iou_BK, there_BK if chosen_K is None else there_BK & chosen_K)

        return statistic

    def either(self, weights_BP: Floats) -> Floats:
        """Mean IoU of the classes that are in the truth or predicted."""
        iou_BK, _, _ = self.iou(weights_BP)
        return _mean(iou_BK, np.isfinite(iou_BK))

    def weighted(self, weights_BP: Floats) -> Floats:
        """IoU of the classes weighted by their share of the true pixels."""
        iou_BK, truth_BK, _ = self.iou(weights_BP)
        some_BK = np.where(truth_BK > 0, iou_BK, 0.0)
        return _divided((some_BK * truth_BK).sum(axis=1), truth_BK.sum(axis=1))

    def accuracy(self, weights_BP: Floats) -> Floats:
        """Mean over the classes in the truth of the share of their pixels that is right."""
        _, truth_BK, shared_BK = self.iou(weights_BP)
        return _mean(_divided(shared_BK, truth_BK), truth_BK > 0)

    def measures(self) -> dict[str, Measure]:
        """All figures by metric; those of seen and unseen names only where there are both kinds."""
        found: dict[str, Statistic] = {"miou": self.mean()}
        if self.seen_K.any() and self.unseen_K.any():
            seen, unseen = self.mean(self.seen_K), self.mean(self.unseen_K)
            found |= {"miou_seen": seen, "miou_unseen": unseen, "harmonic": harmonic(seen, unseen)}
        found |= {
            "miou_either": self.either,
            "fwiou": self.weighted,
            "macc": self.accuracy,
            "pixels": self.counts.pixel_accuracy,
        }
        return {name: Measure(one) for name, one in found.items()}

    def groups(self) -> dict[str, dict[str, Group]]:
        """IoU of every class in the truth by kind of name, without intervals."""
        iou_1K, truth_1K, _ = self.iou(np.ones((1, self.counts.pictures)))
        titles = self._titles()
        kinds = {"seen class": self.seen_K, "unseen class": self.unseen_K}
        kinds["other class"] = ~(self.seen_K | self.unseen_K)
        found: dict[str, dict[str, Group]] = {}
        for kind, chosen_K in kinds.items():
            for k in np.flatnonzero(chosen_K & (truth_1K[0] > 0)):
                pictures = int((self.counts.truth_PK[:, k] > 0).sum())
                figure = Estimate(float(iou_1K[0, k]), None, None)
                group = Group(pictures=pictures, instances=pictures, figures={"iou": figure})
                found.setdefault(kind, {})[titles[k]] = group
        return found

    def items(self) -> list[dict[str, Any]]:
        """A line per picture: the share of right pixels (its rank), and mIoU of its own classes."""
        found: list[dict[str, Any]] = []
        for shared_K, truth_K, predicted_K in zip(
            self.counts.shared_PK, self.counts.truth_PK, self.counts.predicted_PK, strict=True
        ):
            there_K = truth_K > 0
            if not there_K.any():
                found.append({"pixels": None, "miou": None, "rank": None})
                continue
            iou_K = shared_K[there_K] / (truth_K + predicted_K - shared_K)[there_K]
            right = round(float(shared_K.sum() / truth_K.sum()), 4)
            found.append({"pixels": right, "miou": round(float(iou_K.mean()), 4), "rank": right})
        return found

    def _titles(self) -> list[str]:
        """Names of the classes, with a number where two have one."""
        names = list(self.counts.names)
        return [f"{name} ({k})" if names.count(name) > 1 else name for k, name in enumerate(names)]


def open_score(
    maps: Iterable[tuple[Labels, Labels]], rules: OpenProtocol, seen: Sequence[str] = ()
) -> OpenScore:
    """Counts of pairs (true labels, predicted labels), ids of the protocol's vocabulary.

    `seen` are the names of classes that a method was trained on. Raises as `semantic_score` does, and
    InputError if nothing is labelled in any picture.
    """
    known = Vocabulary.load(rules.vocabulary)
    counts = semantic_score(maps, known, background=rules.background)
    if not counts.truth_PK.any():
        raise InputError("no pixel of the truth has a label that counts", "are these the right label maps?")
    chosen = seen_by_name(rules.vocabulary, seen)
    first = [False] * (len(counts.names) - len(chosen))
    seen_K = np.array([*first, *chosen])
    unseen_K = np.array([*first, *(not one for one in chosen)])
    return OpenScore(counts, seen_K, unseen_K)


def _divided(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def _mean(values_BK: Floats, chosen_BK: Bools) -> Floats:
    """Mean of the chosen values of each row; NaN for a row without one."""
    number_B = chosen_BK.sum(axis=1).astype(np.float64)
    return _divided(np.where(chosen_BK, values_BK, 0.0).sum(axis=1), number_B)
