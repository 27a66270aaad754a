"""What is drawn to reproduce InstanceDiffusion: kinds of location, switches, parts, changes, and the claim.

The paper: Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv
2402.03290), tables 1 to 4 (boxes, masks, points, scribbles, attributes), its ablations, and its figures of
parts and iterative generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scenewright.errors import InputError, nearest
from scenewright.evaluate.protocol import HELD_OUT, HeldOut, Metric
from scenewright.flows.evaluate import MOST_RESAMPLES
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice

REPRODUCTION: Final = "instancediffusion-1"
"""Identity of this reproduction; whatever would change a figure gets a new number."""

SET: Final[HeldOut] = HELD_OUT["toybox-1"]
"""The frozen pictures whose scenes are drawn again."""

RENDERS: Final = "renders"
"""The held-out pictures themselves: the ceiling."""

MIS: Final = 0.36
"""Share of the steps with a latent for every instance, as in the paper's evaluation."""

NEAR: Final = 0.1
"""Instances are neighbours when their boxes are nearer than this, in sides of the picture."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of drawing the same scenes: `name` in folders, `title` in tables, what differs in the options;
    `gligen` draws with GLIGEN's adapter, `names` calls things by their class alone."""

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    gligen: bool = False
    names: bool = False


BOX: Final = "box"
_BOXES: Final = {"use": "box,point"}

ARMS: Final = (
    Arm(name=BOX, title="boxes", changes=_BOXES),
    Arm(name="gligen", title="GLIGEN, same phrases", gligen=True),
    Arm(name="gligen-names", title="GLIGEN, class names", gligen=True, names=True),
    Arm(name="mask", title="masks", changes={"use": "box,point,mask"}),
    Arm(name="point", title="points", changes={"use": "point"}),
    Arm(name="scribble", title="scribbles", changes={"use": "point,scribble"}),
    Arm(name="mis", title="boxes, MIS", changes={**_BOXES, "mis": MIS}),
    Arm(name="mis-box", title="boxes, MIS within boxes", changes={**_BOXES, "mis": MIS, "merge": "box"}),
    Arm(name="no-scaleu", title="boxes, no ScaleU", changes={**_BOXES, "scaleu": False}),
    Arm(name="masked", title="boxes, masked attention", changes={**_BOXES, "attention": "masked"}),
    Arm(name="full", title="boxes, full attention", changes={**_BOXES, "attention": "full"}),
)
"""Boxes come with their middle as a point, as in training. Of masked and full attention the one that the
adapter was trained with is that of all other arms, and not drawn twice."""

BY_NAME: Final = {one.name: one for one in ARMS}
TITLES: Final = {**{one.name: one.title for one in ARMS}, RENDERS: "real renders"}

METRICS: Final = {
    one.name: one
    for one in (
        Metric(name="ap", title="box AP"),
        Metric(name="ap50", title="box AP50"),
        Metric(name="iou", title="box IoU, missing 0", unit="score"),
        Metric(name="mask_ap", title="mask AP"),
        Metric(name="mask_ap50", title="mask AP50"),
        Metric(name="mask_iou", title="mask IoU, missing 0", unit="score"),
        Metric(name="pim_points", title="points in mask"),
        Metric(name="pim_points_paper", title="points in mask, as published"),
        Metric(name="pim_scribbles", title="scribbles in mask"),
        Metric(name="pim_scribbles_paper", title="scribbles in mask, as published"),
        Metric(name="class", title="class in its own box"),
        Metric(name="colour", title="colour in its own box"),
        Metric(name="texture", title="texture in its own box"),
        Metric(name="right", title="class, colour and place right"),
        Metric(name="leak", title="shows a neighbour's colour", higher=False),
    )
}
"""What is measured of every arm, in the order of tables."""

PART_METRICS: Final = {
    one.name: one
    for one in (
        Metric(name="part_iou", title="IoU of part boxes, missing 0", unit="score"),
        Metric(name="facing", title="faces as its parts say"),
    )
}
PART_ARMS: Final = {
    "whole": "box alone",
    "parts": "with part boxes",
    "mirrored": "with mirrored part boxes",
}
TURNED: Final = Metric(name="turned", title="turned round by mirrored parts")

EDIT_METRICS: Final = {
    one.name: one
    for one in (
        Metric(name="kept_iou", title="mask IoU of the others, before and after", unit="score"),
        Metric(name="moved", title="moved thing found in its new box"),
        Metric(name="ground_kept", title="change of the ground, 0 to 255", unit="distance", higher=False),
        Metric(name="ground_fresh", title="the same in a fresh picture", unit="distance", higher=False),
        Metric(name="factor", title="fresh / kept", unit="distance"),
    )
}

PIM_ENOUGH: Final = 0.80
COLOUR_ENOUGH: Final = 0.80
TEXTURE_ENOUGH: Final = 0.60
PART_MARGIN: Final = 0.1
TURNED_ENOUGH: Final = 0.80
KEPT_ENOUGH: Final = 0.8
FACTOR_ENOUGH: Final = 2.0
"""What the claim asks for: PiM; colour and texture as shares of the ceiling; gain of part IoU; shares turned
round; mask IoU of what is kept; how many times less the ground changes."""


@dataclass(frozen=True, kw_only=True)
class InstanceReproduceOptions:
    """How much is drawn, and how it is judged; checked when made (InputError).

    scenes       first scenes of the held-out set, each drawn in every arm
    seeds        pictures of each scene and arm
    part_scenes  scenes with a thing whose parts are given; 0 leaves them out
    edit_scenes  scenes of four things, one of which is moved; 0 leaves them out
    only         names of arms; none: all; "box" is always drawn
    gligen       the model that boxes are compared with
    generate     steps, guidance and batch of all pictures
    judge        name or file of a detector; "" the one of the package
    resamples    of the bootstrap over scenes, at least 100
    device       where the judge runs
    """

    scenes: int = 500
    seeds: int = 3
    part_scenes: int = 100
    edit_scenes: int = 40
    only: tuple[str, ...] = ()
    gligen: ModelChoice = field(default_factory=lambda: ModelChoice(name="nano+gligen"))
    generate: GenerateOptions = field(default_factory=GenerateOptions)
    judge: str = ""
    resamples: int = 1000
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("scenes", 1, SET.count), ("seeds", 1, 100), ("part_scenes", 0, SET.count),
            ("edit_scenes", 0, SET.count), ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                hint = f"{SET.id} has {SET.count} scenes" if "scenes" in name else ""
                raise InputError(f"{name} is {value}; expected {low} to {high}", hint)
        for name in self.only:
            if name not in BY_NAME:
                close = nearest(name, BY_NAME)
                hint = f"did you mean {close}?" if close else f"there are {', '.join(BY_NAME)}"
                raise InputError(f"there is no arm {name!r}", hint)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that are drawn."""
        return tuple(one for one in ARMS if not self.only or one.name in (*self.only, BOX))


CLAIM: Final = (
    'Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024: one adapter '
    "places things by boxes, masks, points and scribbles, with words for each, better than adapters of boxes "
    "alone; parts steer poses; scaled skip connections (ScaleU), masked attention and a latent for every "
    "instance (MIS) help. On COCO: box AP / AP50 38.8 / 55.4, mask AP / AP50 27.1 / 50.0, points and "
    "scribbles in masks 81.1 % and 72.4 %, colours 54.4 %, textures 26.8 %."
)

DIFFERS: Final = (
    "A drawn world with exact masks in place of COCO, judged by a detector of that world: figures are to be "
    "compared with their ceiling, not with the paper's; `scenewright evaluate instances --protocol` is the "
    "paper's own evaluation.",
    "Missing instances count as 0 in every figure, also in PiM; the published PiM, which leaves them out, "
    "stands beside it.",
    "Kinds of location are given alone (points without boxes, scribbles with their middle point); the "
    "paper's evaluation gives boxes and masks with its scribbles.",
    "No judge sees parts: a found thing is told to face as the drawing or its mirror image by which of the "
    "two outlines it fits better, and its parts are taken to lie where they lie in that outline.",
    "A change keeps what is elsewhere, which the paper's iterative generation does not; the fresh picture is "
    "of the same changed scene and noise.",
)
"""What is not as in the paper."""
