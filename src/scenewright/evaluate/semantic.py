"""Mean IoU of label maps, from one confusion matrix of the whole data set.

IoU is taken of the pixel counts of all pictures together, as PASCAL VOC, Cityscapes and ADE20K do, not per
picture: one small object missed in one picture must not weigh as much as the class.

Letters: H W pixels, P pictures, K classes; the last column K of a confusion matrix is "none of them".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Floats, Statistic
from scenewright.scene import IGNORE, Vocabulary

Labels = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SemanticScore:
    """Pixel counts of a set of pictures.

    `names` of the classes; `confusion` [K, K + 1] int64: pixels of the true class (row) by predicted class;
    `shared_PK`, `truth_PK`, `predicted_PK` pixels of each picture that are right, truly of the class, and
    predicted as it. Pixels to be ignored are in none of them.
    """

    names: tuple[str, ...]
    confusion: Counts
    shared_PK: Counts
    truth_PK: Counts
    predicted_PK: Counts

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return len(self.truth_PK)

    def class_iou(self) -> dict[str, float | None]:
        """IoU in [0, 1] of each class; None for one that is neither there nor predicted."""
        iou_1K = self._iou(np.ones((1, self.pictures)))
        return {
            name: float(value) if np.isfinite(value) else None
            for name, value in zip(self.names, iou_1K[0], strict=True)
        }

    def mean_iou(self, weights_BP: Floats) -> Floats:
        """Mean IoU [B] over the classes that are there or predicted: a `Statistic`; NaN if none is."""
        return _mean(self._iou(weights_BP))

    def mean_iou_of(self, names: Collection[str]) -> Statistic:
        """Mean IoU over those of `names` that are there or predicted: a `Statistic`, NaN if none is."""
        chosen = [k for k, name in enumerate(self.names) if name in names]
        return lambda weights_BP: _mean(self._iou(weights_BP)[:, chosen])

    def pixel_accuracy(self, weights_BP: Floats) -> Floats:
        """Share of right pixels, [B]: a `Statistic`; NaN without pixels."""
        right_B = (weights_BP @ self.shared_PK).sum(axis=1)
        return _share(right_B, (weights_BP @ self.truth_PK).sum(axis=1))

    def _iou(self, weights_BP: Floats) -> Floats:
        shared_BK = weights_BP @ self.shared_PK
        union_BK = weights_BP @ self.truth_PK + weights_BP @ self.predicted_PK - shared_BK
        return _share(shared_BK, union_BK)


def semantic_score(
    maps: Iterable[tuple[Labels, Labels]],
    vocabulary: Vocabulary,
    *,
    background: bool = True,
    ignore: Collection[int] = (IGNORE,),
) -> SemanticScore:
    """Counts of pairs (true labels, predicted labels), both [H, W] of the ids of `vocabulary`.

    `background` says whether the vocabulary's background is a class of its own; if not, its true pixels are
    ignored. Ignored, too, are true pixels of the vocabulary's `ignore` (unless a class has that id) and of
    `ignore`; predicted ones count as wrong. Raises InputError for other ids in the truth and unequal sizes.
    """
    entries = list(vocabulary.classes)
    skipped = {*ignore, vocabulary.ignore}
    if vocabulary.background is not None:
        if background:
            entries.insert(0, vocabulary.background)
        else:
            skipped.add(vocabulary.background.id)
    ids = [entry.id for entry in entries]
    total = np.zeros((len(ids), len(ids) + 1), dtype=np.int64)
    rows: list[Counts] = []
    for k, (truth_HW, predicted_HW) in enumerate(maps):
        try:
            one = confusion(truth_HW, predicted_HW, ids, skipped - set(ids))
        except InputError as fault:
            raise InputError(f"picture {k}: {fault.message}", fault.hint) from fault
        total += one
        rows.append(np.stack([one.diagonal(), one.sum(axis=1), one[:, :-1].sum(axis=0)]))
    counts_P3K = np.array(rows, dtype=np.int64).reshape(-1, 3, len(ids))
    names = tuple(entry.name for entry in entries)
    return SemanticScore(names, total, counts_P3K[:, 0], counts_P3K[:, 1], counts_P3K[:, 2])


def confusion(
    truth_HW: Labels, predicted_HW: Labels, ids: Sequence[int], ignore: Collection[int] = ()
) -> Counts:
    """Confusion matrix [K, K + 1], int64, of two label maps [H, W] with class ids `ids` (0..65535).

    Pixels whose true label is in `ignore` do not count. Raises InputError when the sizes differ or a true
    label is neither a class nor ignored.
    """
    if truth_HW.shape != predicted_HW.shape:
        raise InputError(
            f"expected label maps of one size, got {list(truth_HW.shape)} and {list(predicted_HW.shape)}",
            "Label maps are [H, W]; resize them by nearest.",
        )
    number = len(ids)
    table = np.full(IGNORE + 1, number + 1, dtype=np.int64)
    table[list(ignore)] = -1
    table[list(ids)] = np.arange(number)
    truth = table[truth_HW.astype(np.uint16).ravel()]
    if (truth == number + 1).any():
        label = int(truth_HW.ravel()[np.argmax(truth == number + 1)])
        raise InputError(f"the true labels hold {label}, which is no class", "Is this the right vocabulary?")
    counted = truth >= 0
    predicted = table[predicted_HW.astype(np.uint16).ravel()[counted]]
    predicted[(predicted < 0) | (predicted > number)] = number
    joint = truth[counted] * (number + 1) + predicted
    return np.bincount(joint, minlength=number * (number + 1)).reshape(number, number + 1).astype(np.int64)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def _mean(values_BK: Floats) -> Floats:
    """Mean of the finite values of each row; NaN for a row without one."""
    there_BK = np.isfinite(values_BK)
    return _share(np.where(there_BK, values_BK, 0.0).sum(axis=1), there_BK.sum(axis=1).astype(np.float64))
