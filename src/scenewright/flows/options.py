"""How pictures are sampled, and which masks come with them: everything a user may choose that is not in the
scene. Needs no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from scenewright.condition.uses import check_use
from scenewright.errors import InputError, ignored, nearest
from scenewright.scene.masks import LARGEST_PX
from scenewright.scene.segments import PUBLISHED_SHARE
from scenewright.scene.vocabulary import fold

Gate = tuple[float, float, float]
Overflow = Literal["error", "largest"]
GroundRule = Literal["argmax", "independent"]
Merge = Literal["mean", "box", "mask"]
Windows = Literal["", "uniform", "tapered"]

OF_LAYOUTS = ("gate", "overflow", "use", "attention", "missing", "scaleu", "control")
"""Fields of `GenerateOptions` that say how a layout is followed."""

MOST_STEPS = 1000
"""Networks are trained on this many noise levels; more steps than that do not exist."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """How pictures are sampled; checked when made (InputError names the field and its value)."""

    steps: int = 20  # sampler steps, 1 to 1000
    guidance: float = 4.0  # classifier-free guidance scale, from 0; 1 switches it off
    negative: str = ""  # negative prompt of scenes that have none of their own
    gate: Gate = (1.0, 0.0, 0.0)  # shares of the steps with gate 1, falling to 0, at 0; their sum is 1
    scheduler: str = ""  # name in `backbone.schedulers.SCHEDULERS`; empty: the model's own
    overflow: Overflow = "error"  # with more instances than slots: refuse, or keep the largest
    layout: bool = True  # False draws from the prompt alone, without the adapter
    null_layout: bool = False  # True gives the adapter its null layout in place of the scenes' own
    mis: float = 0.0  # share of the steps in which every instance has a latent of its own, 0 to 1
    merge: Merge = "mean"  # how they meet: mean of all; or each within its box, or mask, over the whole
    use: str = ""  # kinds of location that count: "box,mask", a published set; empty: what each instance has
    attention: str = ""  # full, masked, masked-all or legacy; empty: as the adapter was trained
    missing: str = ""  # zeros or null for a scribble or mask that is not there; empty: as trained
    scaleu: bool = True  # False leaves InstanceDiffusion's ScaleU out
    control: float = 1.0  # how strongly a label map is followed, from 0; 1 is as trained
    windows: Windows = ""  # overlapping windows of the model's own size, how they are averaged; empty: none
    window_stride: float = 0.25  # from one window to the next, share of a window, above 0 to 1
    fusion: int = 1  # draw once more this many times larger, in windows, large segments kept; 1: do not
    fusion_share: float = PUBLISHED_SHARE  # of the picture, above which a segment is kept, in [0, 1]
    batch: int = 8  # pictures sampled together, at least 1

    def __post_init__(self) -> None:
        _whole(self.steps, "steps", 1, MOST_STEPS, "20 to 50 are usual")
        _whole(self.batch, "batch", 1, 4096, "8 suits most machines")
        if not _finite(self.guidance) or self.guidance < 0:
            raise InputError(
                f"guidance is {self.guidance!r}; expected a finite number from 0",
                "4 to 8 are usual, 1 is off",
            )
        check_gate(self.gate)
        if not _finite(self.mis) or not 0 <= self.mis <= 1:
            raise InputError(
                f"mis is {self.mis!r}; expected a share of the steps from 0 to 1", "0.2 to 0.4 are usual"
            )
        if self.mis and (self.null_layout or not self.layout):
            raise InputError("mis without a layout was asked for", "it samples the instances of a layout")
        if self.merge not in get_args(Merge):
            close = nearest(str(self.merge), get_args(Merge))
            hint = f"did you mean {close}?" if close else "mean is the published rule"
            raise InputError(f"merge is {self.merge!r}; expected mean, box or mask", hint)
        check_use(self.use)
        _check_windows(self)
        _one_of(self.attention, "attention", ("full", "masked", "masked-all", "legacy"))
        _one_of(self.missing, "missing", ("zeros", "null"))
        if self.null_layout and not self.layout:
            raise InputError(
                "null_layout without layout was asked for",
                "the null layout is given to the adapter: keep layout on",
            )
        if self.overflow not in get_args(Overflow):
            close = nearest(str(self.overflow), get_args(Overflow))
            hint = f"did you mean {close}?" if close else "largest keeps the largest instances"
            raise InputError(f"overflow is {self.overflow!r}; expected error or largest", hint)


@dataclass(frozen=True, kw_only=True)
class GroundOptions:
    """Which masks are taken out of the sampling; checked when made (InputError names the field)."""

    classes: tuple[str, ...] = ()  # what to look for in every picture; empty: the phrases of its scene
    head: str = ""  # a grounding head's file, or its name; empty: the one that belongs to the model
    rule: GroundRule = "argmax"  # a pixel has one class or none; independent: classes may overlap
    threshold: float = 0.5  # probability from which a pixel belongs to a class, between 0 and 1
    cutouts: bool = False  # also write every class on transparent ground
    compare_detector: bool = False  # also what the package's detector finds, and the IoU with it

    def __post_init__(self) -> None:
        if isinstance(self.classes, str) or not all(isinstance(word, str) for word in self.classes):
            raise InputError(f"classes is {self.classes!r}; expected a list of names", "write [name]")
        object.__setattr__(self, "classes", _distinct(self.classes))
        if self.rule not in get_args(GroundRule):
            close = nearest(str(self.rule), get_args(GroundRule))
            hint = f"did you mean {close}?" if close else "argmax gives every pixel to one class or to none"
            raise InputError(f"ground rule is {self.rule!r}; expected argmax or independent", hint)
        if not _finite(self.threshold) or not 0 < self.threshold < 1:
            raise InputError(
                f"ground threshold is {self.threshold!r}; expected a number between 0 and 1",
                "0.5 is usual; more gives smaller masks",
            )


def check_given(options: GenerateOptions, given: Collection[str]) -> None:
    """Raises InputError for fields that were `given` by a user and change nothing beside the others."""
    cases: tuple[tuple[tuple[str, ...], bool, str, str], ...] = (
        (("merge",), not options.mis, "without --mis", "--mis 0.36 draws instances apart at first"),
        (
            ("window_stride",), not options.windows and options.fusion == 1,
            "without --windows and --fusion", "--windows uniform draws in windows",
        ),
        (
            ("fusion_share",), options.fusion == 1, "without --fusion",
            "--fusion 2 draws again at twice the size",
        ),
        (("negative",), options.guidance == 1, "with --guidance 1", "--guidance 4 turns away from it"),
        (OF_LAYOUTS, not options.layout, "with --no-layout", ""),
    )  # fmt: skip
    for names, alone, beside, hint in cases:
        if alone and (spare := [_option(name) for name in names if name in given]):
            raise ignored(spare, beside, hint)


def _option(name: str) -> str:
    """How a field is called on the command line."""
    return "--no-scaleu" if name == "scaleu" else f"--{name.replace('_', '-')}"


def parse_classes(texts: Sequence[str], option: str = "--classes", *, hint: str = "") -> tuple[str, ...]:
    """Names from repeated options, each one name or several with commas: ("cat", "dog,horse").

    Raises InputError for an empty name; `hint` says what is taken without the `option`.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    if "" in names:
        given = ", ".join(repr(text) for text in texts)
        raise InputError(
            f"the class number {names.index('') + 1} of {option} {given} is empty",
            f"{option} cat {option} dog, or {option} cat,dog" + (f"; {hint}" if hint else ""),
        )
    return tuple(names)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names without those that differ from an earlier one in case, blanks or hyphens only."""
    first: dict[str, str] = {}
    for name in names:
        key = fold(name)
        if not key:
            raise InputError(f"the class {name!r} has no letter", "a class is a name, such as cat or hot dog")
        first.setdefault(key, " ".join(name.split()))
    return tuple(first.values())


def check_gate(gate: Gate) -> None:
    """Raises InputError unless `gate` is three shares from 0 to 1 with the sum 1."""
    good = isinstance(gate, tuple) and len(gate) == 3 and all(_finite(share) for share in gate)
    if not good or min(gate) < 0 or abs(sum(gate) - 1) > 1e-6:
        raise InputError(
            f"gate is {gate!r}; expected three shares of the steps, each from 0 to 1, with the sum 1",
            "0.3 alone means 0.3,0,0.7: the layout acts in the first 30 % of the steps",
        )


def parse_gate(text: str) -> Gate:
    """Gate shares from "0.3" (that share of the steps at 1, then 0) or "0.3,0.2,0.5".

    Raises InputError for anything else.
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) == 1:
        shares = [shares[0], 0.0, 1.0 - shares[0]]
    if len(shares) != 3:
        raise InputError(
            f"gate {text!r} given; expected one share of the steps or three", "for example 0.3 or 0.3,0.2,0.5"
        )
    gate = (shares[0], shares[1], shares[2])
    check_gate(gate)
    return gate


def parse_size(text: str) -> tuple[int, int]:
    """Width, height in pixels from "192x96" or "128". Raises InputError for anything else."""
    found = re.fullmatch(r"\s*(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?\s*", text)
    if not found:
        raise InputError(f"size {text!r} given, expected WIDTHxHEIGHT or one number", "for example 192x96")
    wide, high = int(found[1]), int(found[2] or found[1])
    if min(wide, high) < 1 or max(wide, high) > LARGEST_PX:
        raise InputError(
            f"size {text!r} given, expected sides from 1 to {LARGEST_PX} pixels", "for example 192x96"
        )
    return wide, high


def _check_windows(options: GenerateOptions) -> None:
    """Raises InputError for windows, fusion or strength of control outside of what they may be."""
    if not _finite(options.control) or options.control < 0:
        raise InputError(f"control is {options.control!r}; expected a number from 0", "1 is as trained")
    _one_of(options.windows, "windows", ("uniform", "tapered"))
    if not _finite(options.window_stride) or not 0 < options.window_stride <= 1:
        raise InputError(
            f"window_stride is {options.window_stride!r}; expected a share of the window above 0, at most 1",
            "0.25 and 0.125 are published",
        )
    _whole(options.fusion, "fusion", 1, 8, "2 draws once more at twice the size")
    if not _finite(options.fusion_share) or not 0 <= options.fusion_share <= 1:
        raise InputError(
            f"fusion_share is {options.fusion_share!r}; expected a share of the picture from 0 to 1",
            "0.1144 (30 000 of 512x512 pixels) and 0.0763 are published",
        )


def _whole(value: object, name: str, low: int, high: int, advice: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; expected a whole number from {low} to {high}", advice)


def _one_of(value: str, name: str, words: tuple[str, ...]) -> None:
    """Raises InputError unless `value` is empty or one of `words`."""
    if value and value not in words:
        close = nearest(str(value), words)
        hint = f"did you mean {close}?" if close else "leave it out for the usual way"
        raise InputError(f"{name} is {value!r}; expected one of {', '.join(words)}", hint)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
