"""A labeller for tests without weights, and a small data set that the tests share.

`Halves` is a real labeller in all but skill: what it finds is a function of the pixels alone. Class k of a
picture is the pixels whose brightness lies in the k-th of as many equal shares as classes are wanted.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from scenewright.evaluate.findings import Finding
from scenewright.flows.dataset.orders import orders
from scenewright.flows.dataset.rules import LabelRules
from scenewright.flows.dataset.sources import ClassSource
from scenewright.flows.dataset.work import Tools
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.scene import Mask, Vocabulary
from scenewright.testing import tiny_backbone

NAMES = ("cat", "dog", "car", "sky")
OPTIONS = GenerateOptions(steps=2, guidance=2.0, batch=3)
SOURCE = ClassSource(classes=NAMES, per_picture=2, total=10, seed=50)
RULES = LabelRules(score=0.39, area=0.01, agreement=0.0)


class Halves:
    """See the module. The score of a class is the mean of red below it, so that filters have work to do."""

    id = "halves@00000001"
    vocabulary = Vocabulary.from_names("halves", NAMES)

    def label(self, images, classes):
        return [self._one(image, wanted) for image, wanted in zip(images, classes, strict=True)]

    def _one(self, image_HW3, wanted):
        bright_HW = image_HW3.astype(np.int64).sum(2)
        cuts = np.quantile(bright_HW, np.linspace(0, 1, len(wanted) + 1)[1:-1])
        rank_HW = np.digitize(bright_HW, cuts)
        found = []
        for k, name in enumerate(wanted):
            mask = Mask.from_array(rank_HW == k)
            score = round(float(image_HW3[..., 0][rank_HW == k].mean() / 255), 4) if mask.area_px else 0.0
            if (box := mask.box()) is not None:
                found.append(Finding(name, score, box, mask))
        return tuple(sorted(found, key=lambda one: -one.score))


def tools(options: GenerateOptions = OPTIONS, rules: LabelRules = RULES) -> Tools:
    """The tiny model in nano's layout, and `Halves`."""
    return Tools(Bundle(tiny_backbone(3), None, "tiny"), Halves(), None, options, rules)


def wanted(total: int = 10, source: ClassSource = SOURCE):
    """The orders of the shared data set."""
    return orders(replace(source, total=total).jobs((32, 32)), Halves.vocabulary)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main(out: str, total: str) -> None:
    """Build the shared data set in a process of its own."""
    from scenewright.flows.dataset.build import build

    build(tools(), wanted(int(total)), Path(out), SOURCE.to_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
