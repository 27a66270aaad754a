"""What is drawn to reproduce GLIGEN: the conditions, the sweep of open gates, the options, the claim.

The paper: Li et al., "GLIGEN: Open-Set Grounded Text-to-Image Generation", CVPR 2023 (arXiv 2301.07093),
section 5.1 (boxes are followed: AP of a detector, table 1) and equation 10 (scheduled sampling).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scenewright.errors import InputError
from scenewright.evaluate.protocol import HELD_OUT, LAYOUT, HeldOut, Metric
from scenewright.flows.evaluate import MOST_RESAMPLES
from scenewright.flows.options import Gate, GenerateOptions

REPRODUCTION: Final = "gligen-1"
"""Identity of this reproduction; whatever would change a figure gets a new number."""

SET: Final[HeldOut] = HELD_OUT["toybox-1"]
"""The frozen pictures whose scenes are drawn again."""

RIGHT: Final = Metric(name="right", title="class, colour and place right")
"""Share of instances with all three; beside the metrics of the protocol."""

TOLD: Final = Metric(name="told", title="class and told colour anywhere")
"""As "class and colour anywhere", of colours that the caption tells: it leaves out some, phrases have all."""

_AFTER: Final = {"texture": RIGHT, "shown_colour": TOLD}

METRICS: Final[Mapping[str, Metric]] = {
    one.name: one
    for metric in LAYOUT.metrics
    if metric.name != "clip_local"
    for one in (metric, *([_AFTER[metric.name]] if metric.name in _AFTER else []))
}
"""What is measured, in the order of tables."""

SHORT: Final[Mapping[str, str]] = {
    "iou": "IoU", "class": "class", "colour": "colour", "texture": "texture", "placed": "placed",
    "right": "right", "shown": "class there", "shown_colour": "class, colour there",
    "told": "class, told colour there",
    "pictures_shown": "pictures, all there", "pictures_right": "pictures, all right",
}  # fmt: skip
"""Titles where there is little room; metrics without one keep theirs."""

RENDERS: Final = "renders"
"""The condition that nothing is expected to pass: the held-out pictures themselves."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One way of drawing the same scenes: `name` in files, `title` in tables, and what differs in the
    options."""

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)


CONDITIONS: Final = (
    Condition(name="text", title="text only", changes={"layout": False}),
    Condition(name="null", title="null layout", changes={"null_layout": True}),
    Condition(name="layout", title="with layout"),
)
"""The base network alone; the adapter with its learnt null tokens; the adapter with the scene's boxes."""

TITLES: Final = {**{one.name: one.title for one in CONDITIONS}, RENDERS: "real renders"}


@dataclass(frozen=True)
class Stage:
    """Gates of a sampling: open in the share `on` of the steps, falling to 0 in `falling`, then closed."""

    on: float
    falling: float = 0.0

    @property
    def gate(self) -> Gate:
        """As `GenerateOptions` takes it."""
        return (self.on, self.falling, max(0.0, 1.0 - self.on - self.falling))

    @property
    def name(self) -> str:
        """ "0.3", or "0.3, falling 0.4"."""
        return f"{self.on:g}" + (f", falling {self.falling:g}" if self.falling else "")


SWEEP: Final = tuple(Stage(on) for on in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0))
"""The threshold tau of equation 10: grounded up to that share of the steps, the plain network after it."""

STAGED: Final = (Stage(0.3, 0.4),)
"""The three stages of the paper's released code: open, falling linearly, closed."""

CURVE: Final = Path("docs") / "data" / "nano-gligen-curve.jsonl"
"""Validations of the embedded adapter's training, in a checkout of the project."""


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """How much is drawn, and how it is judged; checked when made (InputError).

    scenes        first scenes of the held-out set, each drawn in every condition
    seeds         pictures of each scene and condition
    sweep_scenes  scenes of the gate sweep; 0 leaves it out, more than `scenes` are as many
    generate      steps, guidance and batch of all pictures
    logs          training logs, in the order of the trainings; none: the curve of the embedded adapter
    judge         name or file of a detector; "" the one of the package
    resamples     of the bootstrap over scenes, at least 100
    device        where the judge runs
    """

    scenes: int = 500
    seeds: int = 3
    sweep_scenes: int = 100
    generate: GenerateOptions = field(default_factory=GenerateOptions)
    logs: tuple[Path, ...] = ()
    judge: str = ""
    resamples: int = 1000
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("scenes", 1, SET.count), ("seeds", 1, 100), ("sweep_scenes", 0, SET.count),
            ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                hint = f"{SET.id} has {SET.count} scenes" if "scenes" in name else ""
                raise InputError(f"{name} is {value}; expected {low} to {high}", hint)

    @property
    def swept(self) -> int:
        """Scenes of the sweep."""
        return min(self.sweep_scenes, self.scenes)


CLAIM: Final = (
    'Li et al., "GLIGEN: Open-Set Grounded Text-to-Image Generation", CVPR 2023, section 5.1 and table 1: '
    "an adapter on a frozen text-to-image network makes it follow boxes with phrases. Measured there on COCO "
    "2014 by a detector's AP / AP50 / AP75 against the boxes asked for: text alone 0.6 / 2.0 / 0.3, with "
    "boxes 21.7 / 39.0 / 21.7. Equation 10: grounding in the first steps decides rough places, so gates may "
    "close after them. Users report that control appears late in training, while the loss shows nothing."
)
"""What the paper says."""

DIFFERS: Final = (
    "Pictures are of a drawn world at 128 px, scenes of 1 to 5 toys with colour and texture, not COCO "
    "photographs; so the figures are compared with their own ceiling, not with the paper's.",
    "The detector is trained on drawings only, and scores the held-out drawings of the very same scenes "
    "first: that is the ceiling. The paper's is YOLOv4, without a ceiling in that table.",
    "The captions name every instance, some with its place, and leave out one colour in ten, which the text "
    "alone cannot know; COCO's captions name some.",
    "Missing instances count as IoU 0 and as wrong; every figure is the mean over seeds, with an interval of "
    "a bootstrap over scenes.",
    "The null layout is measured too: it tells the boxes' effect from that of having trained further layers.",
    "Picture quality (FID) is not measured here; `scenewright evaluate pictures` measures distances of sets.",
)
"""What is not as in the paper."""
