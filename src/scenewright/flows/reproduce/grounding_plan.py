"""What is trained to reproduce the grounding head: variants, options, the parts of the claim.

The paper: Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv
2301.05221): a small head on the features of a frozen text-to-image network, trained on generated pictures of
15 classes that a detector labelled, segments these and classes that it never saw. Losses and figures of its
re-implementation on diffusers stand beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from scenewright.data.record_files import record_files
from scenewright.errors import InputError, nearest
from scenewright.evaluate.protocol import GROUNDING, HELD_OUT, HeldOut, Metric
from scenewright.evaluate.splits import LONG_TAIL, PARTS, SEEN, UNSEEN, ClassSplit, class_split, class_splits
from scenewright.flows.evaluate import MOST_RESAMPLES
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.scene import Vocabulary

REPRODUCTION: Final = "grounding-1"
"""Identity of this reproduction; whatever would change a figure gets a new number."""

SET: Final[HeldOut] = HELD_OUT["toybox-1"]
"""The frozen pictures that heads are measured on, with exact masks."""

METRICS: Final[dict[str, Metric]] = {one.name: one for one in GROUNDING.metrics if one.name != "iou"}
"""What is measured, in the order of tables."""

SHORT: Final = {
    "miou": "all", "miou_seen": SEEN, "miou_unseen": UNSEEN, "harmonic": "harmonic",
    "miou_long_tail": LONG_TAIL, "background": "background", "published": "published, all",
    "published_seen": "published, seen", "published_unseen": "published, unseen",
}  # fmt: skip
"""Titles where there is little room."""

Loss = Literal["bce", "dice", "bce_dice", "log_cosh", "log_cosh_published"]
LOSS: Final[Loss] = "bce_dice"
"""The loss of all variants that do not compare losses."""

BASE: Final = "split-1"
"""The variant that the others are compared with."""

ATTENTION: Final = "attention"
"""The baseline without a head: where the words of the classes acted in the network."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way of training a head: `name` in files, `title` in tables, and what differs from the others.

    split      whose seen classes are trained on
    loss       of the masks
    attention  whether the head also reads the cross-attention maps of the classes' words
    renders    trained on drawings with exact masks in place of generated, labelled pictures
    """

    name: str
    title: str
    split: int = 1
    loss: Loss = LOSS
    attention: bool = True
    renders: bool = False


VARIANTS: Final = (
    Variant(name=BASE, title="split 1"),
    Variant(name="split-2", title="split 2", split=2),
    Variant(name="split-3", title="split 3", split=3),
    Variant(name="no-attention", title="without attention input", attention=False),
    *(Variant(name=loss, title=f"loss {loss}", loss=loss) for loss in get_args(Loss) if loss != LOSS),
    Variant(name="renders", title="trained on drawings, exact masks", renders=True),
)
"""All of them, the base first."""

BY_NAME: Final = {one.name: one for one in VARIANTS}

QUICK: Final = (BASE, "no-attention")
"""Variants of a quick look."""


@dataclass(frozen=True, kw_only=True)
class HeadsOptions:
    """How much is drawn, trained and measured; checked when made (InputError).

    pictures    generated pictures that are tried for training, half with one class and half with two, of all
                20 names of VOC: every split takes those that show its seen classes alone
    data        folders of Records to train on in place of them
    tested      generated pictures that heads are measured on beside the renders: a sixth each with one and
                two classes of the seen, the unseen part of split 1 and the long tail; 0: none
    seeds       trainings of each variant
    steps       of every training; 0: as the recipe says
    scenes      first renders of the held-out set
    only        names of variants; none: all
    model       whose features are read; it also draws: from the names alone, or, with a layout adapter, from
                layouts of drawings of these classes, which is where small models need help
    generate    how pictures are drawn
    named       prompts of renders: the names of their classes, not their captions
    labeller    name or file; "" the one of the package
    resamples   of the bootstrap over pictures, at least 100
    """

    pictures: int = 4000
    data: tuple[Path, ...] = ()
    tested: int = 240
    seeds: int = 3
    steps: int = 0
    scenes: int = 500
    only: tuple[str, ...] = ()
    model: ModelChoice = field(default_factory=lambda: ModelChoice(name="nano"))
    generate: GenerateOptions = field(default_factory=GenerateOptions)
    named: bool = False
    labeller: str = ""
    resamples: int = 1000

    def __post_init__(self) -> None:
        for name, low, high in (
            ("pictures", 2, 1_000_000), ("tested", 0, 100_000), ("seeds", 1, 100), ("steps", 0, 10_000_000),
            ("scenes", 1, SET.count), ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                hint = f"{SET.id} has {SET.count} pictures" if name == "scenes" else ""
                raise InputError(f"{name} is {value}; expected {low} to {high}", hint)
        known = [one.name for one in VARIANTS]
        for name in self.only:
            if name not in known:
                close = nearest(name, known)
                hint = f"did you mean {close}?" if close else f"there are {', '.join(known)}"
                raise InputError(f"there is no variant {name!r}", hint)

    def quick(self) -> HeadsOptions:
        """The same with few pictures, short trainings and two variants: to see that everything works."""
        return replace(
            self,
            pictures=min(self.pictures, 96),
            tested=min(self.tested, 12),
            seeds=1,
            steps=min(self.steps or 60, 60),
            scenes=min(self.scenes, 24),
            only=self.only or QUICK,
            resamples=min(self.resamples, 200),
        )

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Those that are trained, in the order of `VARIANTS`."""
        return tuple(one for one in VARIANTS if not self.only or one.name in self.only)

    def cells(self, folders: tuple[Path, ...], fingerprint: str) -> tuple[HeadCell, ...]:
        """Every training on the Records in `folders`, with features of the backbone `fingerprint`."""
        files = [(path.name, path.stat().st_size) for path in record_files(folders)]
        mark = hashlib.sha256(json.dumps([files, fingerprint]).encode()).hexdigest()
        return tuple(
            HeadCell(
                variant=one,
                seed=seed,
                steps=self.steps,
                model=self.model,
                folders=() if one.renders else folders,
                renders=len(files) if one.renders else 0,
                named=self.named,
                digest=_digest(one, seed, self.steps, f"{mark}{' named' * self.named}"),
            )
            for seed in range(1, self.seeds + 1)
            for one in self.variants
        )


@dataclass(frozen=True, kw_only=True)
class HeadCell:
    """One training: a variant with a seed, on the Records in `folders` or on so many `renders`.

    `digest` names all that it depends on.
    """

    variant: Variant
    seed: int
    steps: int
    model: ModelChoice
    folders: tuple[Path, ...]
    renders: int
    named: bool
    digest: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.variant.name}-{self.seed}-{self.digest[:8]}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.variant.title}, seed {self.seed}"

    @property
    def split(self) -> ClassSplit:
        """The seen and the unseen classes."""
        return class_split(self.variant.split)


TrainHead = Callable[[HeadCell, Path], Path]
"""Trains a cell in a folder, or continues; returns the head's file."""


def _digest(variant: Variant, seed: int, steps: int, mark: str) -> str:
    """sha256, in hex, of what a training depends on."""
    plain = {key: value for key, value in asdict(variant).items() if key not in ("name", "title")}
    told = [REPRODUCTION, plain, seed, steps, mark]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def voc_names() -> tuple[str, ...]:
    """The names that training pictures are drawn of: all twenty, in the order of split 1."""
    return class_splits()[1].classes


def part_names() -> dict[str, tuple[str, ...]]:
    """The toys by part of split 1: what the generated test pictures show."""
    vocabulary = Vocabulary.load("toybox")
    things = tuple(one.name for one in vocabulary if one.thing)
    return {part: class_split(1).only(things, part) for part in PARTS}


SEEN_ENOUGH: Final = 0.70
UNSEEN_ENOUGH: Final = 0.40
GAIN: Final = 0.10
"""What is asked of the base variant on real renders: mIoU of seen classes, of unseen ones, and how far these
are above the attention alone."""

CLAIM: Final = (
    'Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv 2301.05221): a '
    "head on frozen features of a text-to-image network, trained on generated pictures of 15 classes with "
    "labels of a detector, segments these classes and others that it never saw, better than the network's "
    "cross-attention alone. In the re-implementation (10 epochs, sample-averaged IoU with the detector's "
    "masks): seen 68, seen and unseen 51.6, unseen 41.9; of four losses Dice is best on seen classes (70.3), "
    "BCE on unseen ones (48.7)."
)
"""What is said."""

DIFFERS: Final = (
    "Measured on real renders with exact masks, not on generated pictures with the labels of a detector; "
    "those are measured, too, and the published figure (IoU of each mask alone, averaged over pictures) "
    "stands beside the mIoU of the data set.",
    "The network draws a toy world at 128 px; the labeller is a segmenter trained on drawings of it.",
    "The head is smaller and, but for one variant, reads the cross-attention of the classes' own words too; "
    "batches have several pictures, losses are means over masks.",
    "Classes beyond the split (the long tail of toys) are drawn by the network, but no head saw them.",
    "The attention alone is cut at the threshold that is best on drawings of its own, over all classes: it "
    "knows the unseen ones there.",
)
"""What is not as there."""
