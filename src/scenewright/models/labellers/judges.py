"""The package's own small networks as labellers and as a second opinion, for pictures of the drawn worlds.

Letters: B pictures, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate.findings import Finding
from scenewright.models.judges.detecting import detect
from scenewright.models.judges.store import Judge
from scenewright.models.judges.verifying import verify
from scenewright.models.labellers.protocol import Pictures
from scenewright.scene import Box, Mask, Vocabulary

SPECK = 0.001
"""Connected parts smaller than this share of the picture are not things."""


@dataclass(frozen=True, eq=False)
class SegmenterLabeller:
    """A network that gives class maps, a labeller or a segmenter: connected parts of a class are its things.

    The score of a part is the mean probability of its class over its pixels; the part with most of it (mean
    times area) comes first.
    """

    judge: Judge

    @property
    def id(self) -> str:
        """The judge's identity."""
        return self.judge.id

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Its classes, with the synonyms of the vocabulary that it was trained in."""
        return _known(str(self.judge.header.config["vocabulary"]), self.judge.net.names)

    def label(self, images: Pictures, classes: Sequence[Sequence[str]]) -> list[tuple[Finding, ...]]:
        """See `Labeller`."""
        return [
            self._things(shares_KHW, wanted)
            for shares_KHW, wanted in zip(_shares(self.judge.net, images), classes, strict=True)
        ]

    def _things(self, shares_KHW: NDArray[np.float32], wanted: Sequence[str]) -> tuple[Finding, ...]:
        labels_HW = shares_KHW.argmax(0)
        least_px = max(1.0, SPECK * labels_HW.size)
        found: list[tuple[float, Finding]] = []
        for name in dict.fromkeys(wanted):
            place = self.judge.net.names.index(name)
            share_HW, whole = shares_KHW[place], Mask.from_array(labels_HW == place)
            for part in whole.components():
                box = part.box()
                if part.area_px >= least_px and box is not None:
                    score = float(share_HW[part.array()].mean(dtype=np.float64))
                    found.append((score * part.area_px, Finding(name, round(min(score, 1.0), 4), box, part)))
        return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))


@dataclass(frozen=True, eq=False)
class DetectorLabeller:
    """A detector whose things have masks."""

    judge: Judge

    @property
    def id(self) -> str:
        """The judge's identity."""
        return self.judge.id

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Its classes, with the synonyms of the drawn world."""
        return _known("toybox", self.judge.net.labels["classes"])

    def label(self, images: Pictures, classes: Sequence[Sequence[str]]) -> list[tuple[Finding, ...]]:
        """See `Labeller`."""
        return [
            tuple(
                replace(one, score=round(one.score, 4), attributes={})
                for one in found
                if one.category in wanted and one.mask is not None
            )
            for found, wanted in zip(detect(self.judge.net, images), classes, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class VerifierChecker:
    """The verifier as a second opinion; it shares nothing with the labellers and never scores."""

    judge: Judge

    @property
    def id(self) -> str:
        """The judge's identity."""
        return self.judge.id

    def agreement(self, image_HW3: NDArray[np.uint8], asked: Sequence[tuple[str, Box]]) -> list[float | None]:
        """See `Checker`."""
        known = [(k, name, box) for k, (name, box) in enumerate(asked) if name in self._names]
        verdicts = verify(self.judge.net, image_HW3, [box for _, _, box in known])
        found: list[float | None] = [None] * len(asked)
        for (k, name, _), verdict in zip(known, verdicts, strict=True):
            found[k] = round(float(verdict.here[name]), 4)
        return found

    @property
    def _names(self) -> Sequence[str]:
        names: Sequence[str] = self.judge.net.labels["classes"]
        return names


def _shares(net: Any, images: Pictures) -> Iterator[NDArray[np.float32]]:
    """Probabilities KHW of a segmenter for each picture, in order."""
    for logits_BKHW in net.logits(images):
        yield from logits_BKHW.float().softmax(1).cpu().numpy()


def _known(name: str, names: Sequence[str]) -> Vocabulary:
    """The part of a vocabulary that a network knows; bare names where the vocabulary has no such class."""
    try:
        shipped = Vocabulary.load(name)
    except InputError:
        return Vocabulary.from_names(name, names)
    background = shipped.background.name if shipped.background else "background"
    kept = [shipped.find(word) for word in names if word != background and word in shipped]
    if len(kept) < len([word for word in names if word != background]):
        return Vocabulary.from_names(name, [word for word in names if word != background])
    return Vocabulary(name=name, classes=tuple(kept), background=shipped.background)
