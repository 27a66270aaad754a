"""DGInStyle in miniature: which pictures are made, what is trained on them, what it is scored on, the claim.

The paper: Jia et al., "DGInStyle: Domain-Generalizable Semantic Segmentation with Image Diffusion Models and
Stylized Semantic Control", ECCV 2024 (arXiv 2312.03048). The town's game look plays the part of GTA, the five
other looks those of the real datasets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from scenewright.errors import InputError, ModelError, nearest
from scenewright.evaluate.protocol import HELD_OUT, HeldOut, Metric
from scenewright.flows.dataset.weather import WeatherPolicy
from scenewright.flows.evaluate import MOST_RESAMPLES
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.scene.label_maps import WEATHERS, weather_prompt
from scenewright.scene.label_space import LabelSpace

REPRODUCTION: Final = "dginstyle-1"
"""Identity of this reproduction; whatever would change a figure gets a new number."""

SET: Final[HeldOut] = HELD_OUT["town-1"]
"""The held-out streets; each is drawn in every look."""

SPACE: Final = LabelSpace.of("town")

SOURCE, *_OTHERS = SET.looks
TARGETS: Final = tuple(_OTHERS)
"""The looks that no label of which is ever learnt from, but by the ceiling; `SOURCE` is the labelled one."""

SOURCE_SEED: Final = 11_000_000
"""Seed of the first labelled street; street k has `SOURCE_SEED` + k. ``scenewright world sample --world town
--look game --layout gta --seed 11000000`` draws the same."""

LOOK_OF: Final = dict(zip(("sunny", "foggy", "rainy", "snowy", "night"), TARGETS, strict=True))
"""The look that belongs to a word for the weather."""

TEMPLATE: Final = "a city street scene in {weather} weather with {classes}"
"""The published prompt with the weather first, where a short text encoder does not cut it off."""

SETS: Final = {
    "plain": "without the swap: beside the UNet that knows the source",
    "swap": "with the swap: beside the base",
    "fusion": "with the swap, drawn again larger",
    "renders": "renders of the same maps in the looks asked for: a perfect generator",
}
"""Pictures of the same maps, crops, weathers and seeds, by name."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Segmenters that are compared: whether the colours of their pictures are `changed`, and the set (one of
    `SETS`, or "") that is learnt from beside the source."""

    name: str
    title: str
    changed: bool = True
    set: str = ""


ARMS: Final = {
    one.name: one
    for one in (
        Arm(name="source", title="source only", changed=False),
        Arm(name="colour", title="source, colours changed"),
        Arm(name="plain", title="+ generated, no swap", set="plain"),
        Arm(name="swap", title="+ generated, swap", set="swap"),
        Arm(name="fusion", title="+ generated, swap, fusion", set="fusion"),
        Arm(name="renders", title="+ renders of the looks", set="renders"),
    )
}
"""What is compared, by name; all but the first change colours, the last is the ceiling."""

MIOU: Final = Metric(name="miou", title="mIoU")

JUDGED: Final = {
    one.name: one
    for one in (
        Metric(name="miou", title="mIoU of judge and map"),
        Metric(name="rare", title="the same, rare classes"),
        Metric(name="look", title="in the look asked for"),
        Metric(name="small", title="small things kept"),
    )
}
"""What the judges measure on the pictures of every set."""

MARGIN: Final = 0.03
"""What swap and fusion should add to changed colours, averaged over the target looks; `AIM` is hoped for."""

AIM: Final = 0.06

CONTROL_ENOUGH: Final = 0.6
"""The share of its ceiling that the judge's mIoU with the maps should reach."""

RARE_ENOUGH: Final = 0.4
"""The same of rare classes."""

RARE_SHARE: Final = 0.01
"""Classes are rare that take less than this share of all labelled pixels of the source."""

SMALL_SHARE: Final = 0.01
"""Things are small that take less than this share of a picture."""

KEPT: Final = 0.5
"""A thing is kept if the judge names at least this share of its pixels as its map does."""


@dataclass(frozen=True, kw_only=True)
class StyleOptions:
    """How much is drawn, trained and scored, and with which models; checked when made (InputError).

    streets    labelled streets in the source look, drawn
    pictures   of every generated set
    steps      of every training; 0: the recipe's. All have the same length, whatever their pictures
    seeds      trainings of each arm
    scenes     held-out streets that are scored, each in every look
    only       arms; none: all
    mix        generated : source, in every batch on the average
    weather    shares of the words in prompts
    template   of prompts: {classes}, {weather}
    base       the model that the control is swapped to
    source     folder of the model that knows the source look
    control    file of the control
    fusion     how many times larger the second pass of the fusion is, 2 to 8
    filter     folder of a segmenter that filters the generated sets; "": every picture is kept
    generate   steps, guidance, batch, windows of all generated pictures
    resamples  of the bootstrap over streets and seeds, at least 100
    """

    streets: int = 2000
    pictures: int = 1000
    steps: int = 0
    seeds: int = 3
    scenes: int = 200
    only: tuple[str, ...] = ()
    mix: tuple[float, float] = (1.0, 1.0)
    weather: WeatherPolicy = field(default_factory=lambda: WeatherPolicy.parse(",".join(WEATHERS)))
    template: str = TEMPLATE
    base: str = "nano"
    source: str = "runs/out/nano-source/export/model"
    control: str = "runs/out/nano-dginstyle/export/dginstyle.safetensors"
    fusion: int = 2
    filter: str = ""
    generate: GenerateOptions = field(
        default_factory=lambda: GenerateOptions(guidance=3.0, window_stride=0.5)
    )
    resamples: int = 1000
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("streets", 1, 1_000_000), ("pictures", 1, 1_000_000), ("steps", 0, 10_000_000),
            ("seeds", 1, 100), ("scenes", 1, SET.count), ("fusion", 2, 8),
            ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                hint = f"{SET.id} has {SET.count} streets" if name == "scenes" else ""
                raise InputError(f"{name} is {value}; expected {low} to {high}", hint)
        for name in self.only:
            if name not in ARMS:
                close = nearest(name, ARMS)
                hint = f"did you mean {close}?" if close else f"there are {', '.join(ARMS)}"
                raise InputError(f"there is no arm {name!r}", hint)
        if not min(self.mix) > 0:
            words = f"{self.mix[0]:g}:{self.mix[1]:g}"
            raise InputError(f"the mix is {words}; expected two numbers above 0", "1,1 is half and half")
        weather_prompt("", "night", self.template)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Those that are compared, in order."""
        return tuple(one for one in ARMS.values() if not self.only or one.name in self.only)

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets that are needed; with any of them the renders, which are their ceiling."""
        used = {one.set for one in self.arms} - {""}
        return tuple(name for name in SETS if name in used or (used and name == "renders"))

    @property
    def generated(self) -> tuple[str, ...]:
        """The sets that a model draws."""
        return tuple(name for name in self.sets if name != "renders")

    def model(self, name: str) -> ModelChoice:
        """What draws the set of that name."""
        plain = name == "plain"
        return ModelChoice(
            name=f"{self.source if plain else self.base}+dginstyle:{self.control}",
            device=self.device,
            dtype=self.dtype,
            allow_other_backbone=plain,
        )

    def sampling(self, name: str) -> GenerateOptions:
        """How the set of that name is drawn."""
        return replace(self.generate, fusion=self.fusion if name == "fusion" else 1)

    def check_models(self) -> None:
        """Raises ModelError for a model that is needed and not there, before anything is drawn."""
        from scenewright.models.registry import resolve

        if self.generated and not Path(self.control).is_file():
            raise ModelError(
                f"there is no control of label maps at {self.control}",
                "`scenewright train nano-dginstyle` makes one, after `scenewright train nano-source`; "
                "--control names another",
            )
        for name in self.generated:
            resolve(self.model(name).name)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A set that was made: its folder, a `digest` of what is in it, and how many pictures are "kept", and
    "refused" by the filter."""

    name: str
    folder: Path
    digest: str
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class StyleCell:
    """One training: an arm with a seed, the source in `town`, and the set that is learnt from beside it."""

    arm: Arm
    seed: int
    options: StyleOptions
    town: Path
    pictures: Pictures | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.arm.name}-{self.seed}-{self.digest[:8]}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.arm.title}, seed {self.seed}"

    @property
    def digest(self) -> str:
        """sha256, in hex, of all that the training depends on."""
        it = self.options
        told: list[Any] = [REPRODUCTION, self.arm.changed, self.seed, it.streets, it.steps]
        if self.pictures is not None:
            told += [self.pictures.digest, list(it.mix)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


TrainStyle = Callable[[StyleCell, Path, Path], Path]
"""Trains a cell in a folder, or continues, with a second folder for what trainings share; returns the folder
of the segmenter (`models.segformer.load_segmenter`)."""


def cells(options: StyleOptions, town: Path, sets: Mapping[str, Pictures]) -> tuple[StyleCell, ...]:
    """Every training, all arms with the first seed first."""
    return tuple(
        StyleCell(arm=arm, seed=seed, options=options, town=town, pictures=sets.get(arm.set))
        for seed in range(1, options.seeds + 1)
        for arm in options.arms
    )


CLAIM: Final = (
    'Jia et al., "DGInStyle", ECCV 2024: a control of label maps that was trained beside a UNet tuned on the '
    "source, and is swapped to the untouched one, draws labelled streets in any look; with small things "
    "drawn again larger, such pictures make a segmenter of the source better in looks that were never "
    "labelled. There, from GTA to five real datasets: 4.3 points of mIoU with one segmenter, 2.5 with a "
    "stronger one, most at night and in adverse weather."
)
"""What the paper says."""

DIFFERS: Final = (
    "The source is the drawn town in its game look, the targets are the same town in five other looks at "
    "192x96 px, so that maps and truth are exact; the paper's are GTA and five real datasets.",
    "The base network has seen the target looks without labels, as Stable Diffusion has seen real streets; "
    "the words of the weather name them.",
    "The segmenter is a small SegFormer from scratch with rare-class sampling of the source; the paper's are "
    "pretrained on ImageNet. All trainings have the same number of steps.",
    "All arms but the first change colours: generated pictures come on top of the usual baseline.",
    "The ceiling is trained on renders of the very maps and weathers that the other sets were generated of.",
    "Prompts name the weather first, and every weather as often as the others.",
)
"""What is not as in the paper."""
