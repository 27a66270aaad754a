"""What is trained to close the loop: mixtures of real and synthetic pictures, the options, the claim.

The paper: Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv
2301.05221): pictures and masks that come out of a diffusion model train an ordinary segmenter, which is
scored on real pictures, on classes that were seen and on classes that were not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from scenewright.data.record_files import record_files
from scenewright.errors import InputError
from scenewright.evaluate.protocol import HELD_OUT, HeldOut, Metric
from scenewright.evaluate.splits import LONG_TAIL, SEEN, UNSEEN, ClassSplit, class_split
from scenewright.flows.evaluate import MOST_RESAMPLES
from scenewright.scene.label_space import LabelSpace

REPRODUCTION: Final = "loop-1"
"""Identity of this reproduction; whatever would change a figure gets a new number."""

SET: Final[HeldOut] = HELD_OUT["toybox-1"]
"""The frozen pictures that segmenters are scored on."""

SPACE: Final = LabelSpace.of("toybox", things=True)
"""What they tell apart: the toys, and background."""

METRICS: Final = {
    one.name: one
    for one in (
        Metric(name="miou", title="mIoU"),
        Metric(name=SEEN, title="mIoU, seen"),
        Metric(name=UNSEEN, title="mIoU, unseen"),
        Metric(name="harmonic", title="harmonic mean of seen and unseen"),
        Metric(name=LONG_TAIL, title="mIoU, long tail"),
        Metric(name="pixels", title="pixel accuracy"),
    )
}
"""What is measured: mIoU of the data set over all toys without the background, and over parts of them."""

ENOUGH: Final = 0.8
"""The share of the real pictures' mIoU that synthetic ones alone should reach."""


@dataclass(frozen=True, order=True)
class Mixture:
    """`synthetic` pictures to `real` ones, in multiples of the number of real pictures.

    With `hidden`, real pictures are labelled with the seen classes alone, and the pixels of all other toys
    count for nothing in them.
    """

    synthetic: float
    real: float
    hidden: bool = False

    @property
    def title(self) -> str:
        """ "4:1", or "4:1, seen labels"."""
        return f"{self.synthetic:g}:{self.real:g}" + (", seen labels" if self.hidden else "")

    @property
    def name(self) -> str:
        """As part of a file's name."""
        return f"{self.synthetic:g}to{self.real:g}" + ("-seen" if self.hidden else "")


REAL: Final = Mixture(0, 1)
"""Real pictures alone: what all others are shares of."""


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How much is trained and scored; checked when made (InputError).

    synthetic   folders of Records that a model drew, with masks or label maps
    real        folders of Records that count as real; none: renders of the toybox
    pictures    real pictures, all different; a mixture of r:1 has r times as many synthetic ones
    ratios      the synthetic parts of the mixtures, beside one part of real pictures
    hide        whether to train with real labels of the seen classes alone, too
    split       which of the three splits says what is seen
    seeds       trainings of each mixture
    steps       of every training; each is as long, whatever its pictures
    scenes      held-out renders that segmenters are scored on
    resamples   of the bootstrap over these, at least 100
    """

    synthetic: tuple[Path, ...]
    real: tuple[Path, ...] = ()
    pictures: int = 500
    ratios: tuple[float, ...] = (0, 1, 2, 4)
    hide: bool = True
    split: int = 1
    seeds: int = 1
    steps: int = 800
    scenes: int = 500
    resamples: int = 1000

    def __post_init__(self) -> None:
        for name, low, high in (
            ("pictures", 1, 1_000_000), ("seeds", 1, 100), ("steps", 1, 10_000_000),
            ("scenes", 1, SET.count), ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                hint = f"{SET.id} has {SET.count} scenes" if name == "scenes" else ""
                raise InputError(f"{name} is {value}; expected {low} to {high}", hint)
        if not self.synthetic:
            raise InputError(
                "no folder of synthetic pictures was named", "`scenewright dataset build` makes one"
            )
        if any(not 0 <= one < 1000 for one in self.ratios) or len(set(self.ratios)) != len(self.ratios):
            raise InputError(f"ratios are {list(self.ratios)}; expected different numbers from 0 on")
        class_split(self.split)

    @property
    def classes(self) -> ClassSplit:
        """The seen and the unseen classes."""
        return class_split(self.split)

    @property
    def most(self) -> float:
        """The largest ratio, 1 at least."""
        return max((1.0, *self.ratios))

    def mixtures(self) -> tuple[Mixture, ...]:
        """Real alone, mixtures in the order of their ratios, synthetic alone (as many as real ones, and as
        many as there are), then real alone and the largest mixture with seen labels."""
        swept = sorted({0.0, *map(float, self.ratios)})
        alone = sorted({1.0, self.most})
        found = [*(Mixture(one, 1) for one in swept), *(Mixture(one, 0) for one in alone)]
        if self.hide:
            found += [Mixture(0, 1, hidden=True), Mixture(self.most, 1, hidden=True)]
        return tuple(found)

    def cells(self) -> tuple[Cell, ...]:
        """Every training. Raises InputError when a folder has too few pictures, StorageError when one is not
        there."""
        files = self._files(self.synthetic, round(self.most * self.pictures))
        real = self._files(self.real, self.pictures) if self.real else ()
        return tuple(
            Cell(
                mixture=mixture,
                seed=seed,
                options=self,
                digest=_digest(mixture, seed, self, files, real),
            )
            for seed in range(1, self.seeds + 1)
            for mixture in self.mixtures()
        )

    def _files(self, folders: tuple[Path, ...], count: int) -> tuple[Path, ...]:
        there = record_files(folders)
        if len(there) < count:
            fitting = int(len(there) / (self.most if folders is self.synthetic else 1))
            words = ", ".join(str(folder) for folder in folders)
            raise InputError(
                f"{count} pictures are needed, {words} has {len(there)}",
                f"--pictures {fitting} fits, or smaller --ratios" if fitting else "more pictures are needed",
            )
        return there[:count]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training: a mixture with a seed. `digest` names all that it depends on."""

    mixture: Mixture
    seed: int
    options: LoopOptions
    digest: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.mixture.name}-{self.seed}-{self.digest[:8]}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.mixture.title}, seed {self.seed}"

    @property
    def counts(self) -> tuple[int, int]:
        """How many synthetic and real pictures it is trained on."""
        pictures = self.options.pictures
        return round(self.mixture.synthetic * pictures), round(self.mixture.real * pictures)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Classes that count for nothing in its real pictures."""
        if not self.mixture.hidden:
            return ()
        return tuple(one for one in SPACE.classes if self.options.classes.part(one) != SEEN)


Train = Callable[[Cell, Path, Path], Path]
"""Trains a cell in a folder, or continues, with a second folder for what trainings share; returns the folder
of the segmenter (`models.segformer.load_segmenter`)."""


def _digest(
    mixture: Mixture, seed: int, options: LoopOptions, synthetic: tuple[Path, ...], real: tuple[Path, ...]
) -> str:
    """sha256, in hex, of what a training depends on: numbers, and names and sizes of its pictures."""
    used = synthetic[: round(mixture.synthetic * options.pictures)], real if mixture.real else ()
    told: dict[str, Any] = {
        "reproduction": REPRODUCTION,
        "mixture": asdict(mixture),
        "seed": seed,
        "pictures": options.pictures,
        "steps": options.steps,
        "split": options.split if mixture.hidden else 0,
        "files": [[(path.name, path.stat().st_size) for path in part] for part in used],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


CLAIM: Final = (
    'Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023: a segmenter trained '
    "on generated pictures with masks out of the same model comes close to one trained on real pictures, "
    "and the two kinds together are better than real ones alone, above all on classes that no real picture "
    "labels."
)
"""What the paper says."""

DIFFERS: Final = (
    "Renders of a drawn world at 128 px take the part of real pictures, with exact masks; the paper's are "
    "PASCAL VOC and COCO. Figures are compared with those of real pictures here, not with the paper's.",
    "The segmenter is a small SegFormer from scratch; the paper's is a MaskFormer with a pretrained ResNet.",
    "All trainings have the same number of steps and of pictures per step, in the ratio of the mixture; so "
    "more pictures are seen less often each.",
    "Class names of unseen classes are used to generate pictures: the setting is transductive, as there.",
)
"""What is not as in the paper."""
