"""Open-vocabulary segmentation in miniature: what is trained, what it is scored on, the claim.

The paper: "Seg-diffusion: Text-to-Image Diffusion Model for Open-Vocabulary Semantic Segmentation". Its files
hold no figure; the claim here is what its description promises, measured where the truth is exact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scenewright.errors import InputError, nearest
from scenewright.evaluate.protocol import HELD_OUT, HeldOut, Metric
from scenewright.evaluate.splits import LONG_TAIL, SEEN, UNSEEN, ClassSplit, class_split
from scenewright.flows.evaluate import MOST_RESAMPLES
from scenewright.flows.produce import ModelChoice
from scenewright.scene.label_space import LabelSpace, load

REPRODUCTION: Final = "segdiffusion-1"
"""Identity of this reproduction; whatever would change a figure gets a new number."""

CLAIM: Final = (
    "a network that draws, seen through the attention of class names, labels pictures with any names in one "
    "pass: names it was never trained to segment too, told by other words, in other styles and worlds"
)

DIFFERS: Final = (
    "drawn toys at 128 px and a drawing network of a few million parameters in place of photographs and SD 2",
    "the published code decides no classes; the one-pass segmenter is this package's own design",
    "the closed-set segmenter learns the same pictures, and cannot know a class that they do not show",
    "the mask denoiser is asked for one named class at a time; the published code draws one grey map for a "
    "whole list and decides no class",
)

TOYS: Final = LabelSpace.of("toybox")
TOWN: Final = LabelSpace.of("town")

HELD_STYLE: Final = "shaded"
"""The drawing style that the variant `two-styles` never sees."""

NAMED: Final = "named"

METRICS: Final = {
    one.name: one
    for one in (
        Metric(name="miou", title="mIoU, all classes"),
        Metric(name=SEEN, title="mIoU, seen toys and stuff"),
        Metric(name=UNSEEN, title="mIoU, unseen toys"),
        Metric(name=LONG_TAIL, title="mIoU, other toys never seen"),
        Metric(name=NAMED, title="mIoU, classes with synonyms"),
        Metric(name="pixels", title="pixel accuracy"),
    )
}
"""What is measured, of one confusion matrix of all pictures; every class of the vocabulary is asked for."""

SHORT: Final = {
    "miou": "mIoU", SEEN: "seen", UNSEEN: "unseen", LONG_TAIL: "long tail", NAMED: "with synonyms",
    "pixels": "pixels",
}  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """Pictures that are scored: the frozen set, the words that classes are told by ("all": their names are
    averaged, "first", "synonym"), and the one style that counts ("": every style)."""

    held_out: str
    words: str = "all"
    style: str = ""

    @property
    def set(self) -> HeldOut:
        """The frozen set."""
        return HELD_OUT[self.held_out]

    @property
    def space(self) -> LabelSpace:
        """Its classes."""
        return TOYS if self.held_out.startswith("toybox") else TOWN


SETS: Final = {
    "toys": Scored("toybox-1"),
    "first names": Scored("toybox-1", words="first"),
    "synonyms": Scored("toybox-1", words="synonym"),
    "held style": Scored("toybox-1", style=HELD_STYLE),
    "town": Scored("town-1"),
}
"""What is scored, by name."""

VARIANTS: Final = {
    "one-pass": "the segmenter: seen toys and stuff, all styles",
    "two-styles": f"the same without pictures in the style {HELD_STYLE!r}",
    "mask-denoiser": "the network that draws, all of it trained to denoise the mask of a named class",
    "closed-set": "a convolutional segmenter of equal size, trained on the pictures of one-pass",
    "attention": "the network's own text attention, nothing trained",
}
"""What is compared, by name."""

ON: Final = {
    "one-pass": tuple(SETS),
    "two-styles": ("toys", "held style"),
    "mask-denoiser": ("toys",),
    "closed-set": ("toys", "held style"),
    "attention": ("toys", "held style", "town"),
}
"""What each is scored on."""


@dataclass(frozen=True, kw_only=True)
class SegOptions:
    """How much is trained and scored; checked when made (InputError).

    pictures   drawings that are trained on
    steps      of every training; 0: the recipe's
    seeds      trainings of the variant one-pass; the others have one
    scenes     held-out pictures of each world
    split      which of the three splits says what is seen
    only       variants; none: all
    resamples  of the bootstrap over pictures, at least 100
    members, sampler_steps  of mask denoising, for every class of every picture
    model      the model that is read
    """

    pictures: int = 4000
    steps: int = 0
    seeds: int = 3
    scenes: int = 500
    split: int = 1
    only: tuple[str, ...] = ()
    resamples: int = 1000
    members: int = 1
    sampler_steps: int = 4
    model: ModelChoice = field(default_factory=lambda: ModelChoice(name="nano", dtype="float32"))

    def __post_init__(self) -> None:
        for name, low, high in (
            ("pictures", 1, 1_000_000), ("steps", 0, 10_000_000), ("seeds", 1, 100), ("scenes", 1, 1000),
            ("resamples", 100, MOST_RESAMPLES), ("members", 1, 1000), ("sampler_steps", 1, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; expected {low} to {high}")
        for name in self.only:
            if name not in VARIANTS:
                close = nearest(name, VARIANTS)
                hint = f"did you mean {close}?" if close else f"there are {', '.join(VARIANTS)}"
                raise InputError(f"there is no variant {name!r}", hint)
        class_split(self.split)

    @property
    def classes(self) -> ClassSplit:
        """The seen and the unseen toys."""
        return class_split(self.split)

    @property
    def variants(self) -> tuple[str, ...]:
        """Those that are compared, in order."""
        return tuple(name for name in VARIANTS if not self.only or name in self.only)

    def cells(self, backbone: str) -> tuple[SegCell, ...]:
        """Everything that is scored, with the network whose fingerprint is `backbone`; those of one variant
        differ in their seed."""
        return tuple(
            SegCell(variant=name, seed=seed, options=self, backbone=backbone)
            for name in self.variants
            for seed in range(1, (self.seeds if name == "one-pass" else 1) + 1)
        )

    def parts(self) -> dict[str, tuple[str, ...]]:
        """The classes that every metric of the toys is the mean of."""
        known, split = load("toybox"), self.classes
        stuff = tuple(one.name for one in known if not one.thing)
        toys = tuple(one.name for one in known if one.thing)
        return {
            "miou": known.names,
            SEEN: (*split.only(toys, SEEN), *stuff),
            UNSEEN: split.only(toys, UNSEEN),
            LONG_TAIL: split.only(toys, LONG_TAIL),
        }


@dataclass(frozen=True, kw_only=True)
class SegCell:
    """One thing that is scored."""

    variant: str
    seed: int
    options: SegOptions
    backbone: str

    @property
    def name(self) -> str:
        """As a folder's name: with 8 hex digits of all that the training depends on."""
        return f"{self.variant}-{self.seed}-{self.trained[:8]}"

    @property
    def title(self) -> str:
        """For progress."""
        return f"{self.variant}, seed {self.seed}"

    @property
    def learns(self) -> bool:
        """Whether something is trained."""
        return self.variant != "attention"

    @property
    def trained(self) -> str:
        """16 hex digits of all that the training depends on."""
        it = self.options
        told = [it.pictures, it.steps, it.split, it.model.dtype]
        read = [] if self.variant == "closed-set" else [it.model.name, self.backbone]
        return _digest([self.variant, self.seed, *told, *read])

    @property
    def digest(self) -> str:
        """16 hex digits of all that its scores depend on."""
        it = self.options
        drawn = [it.members, it.sampler_steps] if self.variant == "mask-denoiser" else []
        return _digest([REPRODUCTION, self.trained, it.scenes, *drawn])


def _digest(told: list[object]) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


TrainCell = Callable[[SegCell, Path, Path], Path]
"""Trains a cell in a folder (the second folder is shared by all); returns the segmenter's file or folder."""
