"""What is measured, and on what: frozen protocols and frozen held-out sets, by id.

A `Protocol` fixes a benchmark: the kinds of judges, the metrics and their order, the thresholds. A `HeldOut`
set fixes pictures: which world draws them from which seeds in which looks. Both have an id that ends in a
number; whatever would change a figure gets a new number, and the old one stays as it is. What every metric
means, with formulas and sources, is in docs/reference/protocol.md.

Seeds of the held-out sets are used by nothing else: no network, judge or threshold ever saw their pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, Literal, TypeVar

from scenewright.errors import InputError, nearest
from scenewright.scene import Instance, Scene

LEAST_SCORE: Final = 0.3
"""Findings below this score count for AP only, not for matching; a judge's file may name another score, the
one at which its F1 on its own validation pictures is highest."""

ENOUGH: Final = 500
"""With fewer pictures a report says that its intervals are wide."""

MOST_GROUP: Final = 6
"""Pictures with this many instances or more form one group."""

Unit = Literal["share", "score", "distance"]
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of a protocol.

    name     key in results.json
    title    words in tables and plots
    unit     "share" (0..1, printed in percent), "score" (0..1 or a cosine) or "distance" (from 0)
    higher   whether more is better
    judge    key of the same figure in the files of judges, measured on held-out renders; "" if they have none
    """

    name: str
    title: str
    unit: Unit = "share"
    higher: bool = True
    judge: str = ""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A frozen benchmark.

    id        "layout-1"
    benchmark the word on the command line
    title     what it measures, in a sentence
    judges    kinds of judges that it needs
    optional  kinds that it uses where one is at hand; their metrics are left out otherwise
    metrics   in the order of tables
    """

    id: str
    benchmark: str
    title: str
    judges: tuple[str, ...]
    optional: tuple[str, ...] = ()
    metrics: tuple[Metric, ...]

    def metric(self, name: str) -> Metric:
        """The metric called `name`; InputError with the nearest name if there is none."""
        for one in self.metrics:
            if one.name == name:
                return one
        close = nearest(name, [one.name for one in self.metrics])
        hint = f"did you mean {close!r}?" if close else ""
        raise InputError(f"the protocol {self.id} has no metric {name!r}", hint)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A frozen set of drawn pictures.

    id          "toybox-1"
    title       what is in it, in a sentence
    world       "toybox" or "town"
    first_seed  seed of the first picture; picture k has first_seed + k
    count       number of pictures
    size_wh     pixels
    looks       looks taken in turn; empty: the seed decides
    """

    id: str
    title: str
    world: str
    first_seed: int
    count: int
    size_wh: tuple[int, int]
    looks: tuple[str, ...] = ()

    def seeds(self, count: int = 0) -> range:
        """Seeds of the first `count` pictures, of all if 0. InputError for more than there are."""
        if not 0 <= count <= self.count:
            raise InputError(f"{count} pictures of {self.id} asked for; it has {self.count}", "0 means all")
        return range(self.first_seed, self.first_seed + (count or self.count))

    def look(self, seed: int) -> str | None:
        """The look that belongs to a seed; None where the seed itself decides."""
        return self.looks[(seed - self.first_seed) % len(self.looks)] if self.looks else None


def _average_precision(kind: str) -> tuple[Metric, ...]:
    return (
        Metric(name="ap", title="AP, IoU 0.50 to 0.95", judge=f"{kind}_AP"),
        Metric(name="ap50", title="AP50", judge=f"{kind}_AP50"),
        Metric(name="ap75", title="AP75"),
        Metric(name="ap_small", title="AP, small"),
        Metric(name="ap_medium", title="AP, medium"),
        Metric(name="ap_large", title="AP, large"),
        Metric(name="ar", title="AR, 100 findings"),
    )


LAYOUT: Final = Protocol(
    id="layout-1",
    benchmark="layout",
    title="Are the instances where their boxes are, with the class, colour and texture asked for?",
    judges=("detector",),
    optional=("clip",),
    metrics=(
        *_average_precision("box"),
        Metric(name="iou", title="mean IoU, missing 0", unit="score"),
        Metric(name="placed", title="found at IoU 0.5"),
        Metric(name="class", title="class in its own box"),
        Metric(name="colour", title="colour in its own box"),
        Metric(name="texture", title="texture in its own box"),
        Metric(name="shown", title="class anywhere"),
        Metric(name="shown_colour", title="class and colour anywhere"),
        Metric(name="pictures_shown", title="pictures, all anywhere"),
        Metric(name="pictures_right", title="pictures, all in place"),
        Metric(name="clip_local", title="CLIP-local", unit="score"),
    ),
)

INSTANCES: Final = Protocol(
    id="instances-1",
    benchmark="instances",
    title="Do the instances fill the masks, points and scribbles asked for?",
    judges=("detector",),
    metrics=(
        *_average_precision("mask"),
        Metric(name="iou", title="mean mask IoU, missing 0", unit="score"),
        Metric(name="placed", title="found at mask IoU 0.5"),
        Metric(name="class", title="class in its own mask"),
        Metric(name="pim_points", title="points in mask"),
        Metric(name="pim_points_paper", title="points in mask, as published"),
        Metric(name="pim_scribbles", title="scribbles in mask"),
        Metric(name="pim_scribbles_paper", title="scribbles in mask, as published"),
    ),
)

SEMANTIC: Final = Protocol(
    id="semantic-1",
    benchmark="semantic",
    title="Does a picture show the classes of its semantic map at their places, in the look asked for?",
    judges=(),
    optional=("segmenter", "looks"),
    metrics=(
        Metric(name="miou", title="mIoU", judge="miou"),
        Metric(name="pixels", title="pixel accuracy", judge="pixels"),
        Metric(name="look", title="look", judge="look"),
    ),
)

PICTURES: Final = Protocol(
    id="pictures-1",
    benchmark="pictures",
    title="Are the pictures distributed like the reference's, and do they fit their captions?",
    judges=("clip",),
    metrics=(
        Metric(name="fd_judge", title="FD-judge", unit="distance", higher=False),
        Metric(name="kd_judge", title="KD-judge x 1000", unit="distance", higher=False),
        Metric(name="clip_score", title="CLIP score of the caption", unit="score"),
    ),
)

GROUNDING: Final = Protocol(
    id="grounding-1",
    benchmark="grounding",
    title="Are the named classes of a picture where the masks say, also classes never trained on?",
    judges=(),
    metrics=(
        Metric(name="miou", title="mIoU, all classes"),
        Metric(name="miou_seen", title="mIoU, seen classes"),
        Metric(name="miou_unseen", title="mIoU, unseen classes"),
        Metric(name="harmonic", title="harmonic mean, seen and unseen"),
        Metric(name="miou_long_tail", title="mIoU, long tail"),
        Metric(name="background", title="IoU of the background"),
        Metric(name="published", title="as published, all classes"),
        Metric(name="published_seen", title="as published, seen classes"),
        Metric(name="published_unseen", title="as published, unseen classes"),
        Metric(name="iou", title="IoU"),
    ),
)
"""`iou` is that of single classes, in groups only."""

PROTOCOLS: Final = {one.benchmark: one for one in (LAYOUT, INSTANCES, SEMANTIC, PICTURES, GROUNDING)}
"""The current protocol of every benchmark."""

_TOWN_LOOKS = ("game", "clear", "fog", "rain", "snow", "night")

HELD_OUT: Final = {
    one.id: one
    for one in (
        HeldOut(
            id="toybox-1",
            title="1000 toybox scenes of 1 to 5 instances, all styles",
            world="toybox",
            first_seed=200_000,
            count=1000,
            size_wh=(128, 128),
        ),
        HeldOut(
            id="town-1",
            title="1000 streets of the town, six looks in turn",
            world="town",
            first_seed=210_000,
            count=1000,
            size_wh=(192, 96),
            looks=_TOWN_LOOKS,
        ),
    )
}
"""The frozen sets by id."""


def protocol(benchmark: str) -> Protocol:
    """The protocol of a benchmark; InputError with the nearest name if there is none."""
    return _one(benchmark, PROTOCOLS, "benchmark")


def held_out(id: str) -> HeldOut:
    """The frozen set of that id; InputError with the nearest id if there is none."""
    return _one(id, HELD_OUT, "held-out set")


def sample_key(scene: Scene, *, masks: bool = False) -> str:
    """Which sample a scene is, as 16 hex digits: what it asks for, whoever draws it with whatever seed.

    Prompt, size, phrase, category and place (box to a millionth) of every instance and the semantic map
    count, and with `masks` masks, points and scribbles too; ids, seeds and styles do not.
    """
    asked = [
        [one.phrase, one.category, None if box is None else [round(side, 6) for side in box.xyxy]]
        for one in scene.instances
        for box in [one.location_box]
    ]
    labels = scene.semantic_map.digest() if scene.semantic_map else None
    parts: list[object] = [scene.prompt, list(scene.size_wh), asked, labels]
    if masks:
        parts.append([_marks(one) for one in scene.instances])
    text = json.dumps(parts, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _marks(one: Instance) -> list[object]:
    """What places an instance besides its box."""
    line = one.scribble.points if one.scribble else ()
    return [one.mask.counts if one.mask else None, [p.xy for p in one.points], [p.xy for p in line]]


def sample_digest(keys: Sequence[str]) -> str:
    """sha256, in hex, of a set of samples: their keys, sorted, repetitions included."""
    return hashlib.sha256("\n".join(sorted(keys)).encode("ascii")).hexdigest()


def drawn_keys(one: HeldOut) -> tuple[str, ...]:
    """The sample keys of a held-out set, in the order of its seeds, as they were frozen."""
    text = (resources.files("scenewright.evaluate") / "sets" / f"{one.id}.txt").read_text(encoding="ascii")
    return tuple(text.split())


def recognised(keys: Sequence[str]) -> str:
    """Which frozen set the samples are of: "toybox-1", "toybox-1, first 500", "toybox-1, 500 of 1000", or
    "" if some are of none. Samples may repeat (several pictures of one scene)."""
    distinct = set(keys)
    for one in HELD_OUT.values():
        drawn = drawn_keys(one)
        if not distinct or not distinct <= set(drawn):
            continue
        if len(distinct) == len(set(drawn)):
            return one.id
        first = distinct == set(drawn[: len(distinct)])
        part = f"first {len(distinct)}" if first else f"{len(distinct)} of {len(drawn)}"
        return f"{one.id}, {part}"
    return ""


def _one(name: str, known: dict[str, Kind], what: str) -> Kind:
    if name not in known:
        close = nearest(name, known)
        hint = f"did you mean {close!r}?" if close else f"there are {', '.join(known)}"
        raise InputError(f"there is no {what} {name!r}", hint)
    return known[name]
