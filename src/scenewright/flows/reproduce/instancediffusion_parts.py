"""Parts: do part boxes bring parts to their places, and do mirrored ones turn a thing round?

No judge sees parts. The outline of a found thing is compared with that of the drawing and with its mirror
image, both stretched to the found box; the better fit says which way the thing faces, and with it where its
parts lie. Things whose outline is nearly its own mirror image are left out.

Letters: P scenes, S side of a stretched outline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.asked import Pair
from scenewright.evaluate.bootstrap import Floats, ratio
from scenewright.evaluate.findings import Finding
from scenewright.evaluate.matching import LEAST_IOU
from scenewright.evaluate.measures import Measure
from scenewright.scene import Box, Instance, Mask, Part, Scene
from scenewright.scene.boxes import pixels

SIDE = 32
"""Outlines are compared at this size."""

ALIKE = 0.75
"""Outlines that overlap their mirror image by more (IoU) do not tell which way they face."""

MOVED = 0.5
"""Parts whose boxes overlap their mirror images by more (mean IoU) do not tell it either."""

WHOLE = 0.95
"""Visible share of a thing from which its outline is its own."""

LEAST_PARTS = 2

Outline = NDArray[np.bool_]


@dataclass(frozen=True)
class Subject:
    """The thing of a scene whose parts are given: the scene's name, its id, its truth, its outline [S, S]."""

    name: str
    id: str
    truth: Instance
    outline: Outline


def subject_of(name: str, scene: Scene) -> Subject | None:
    """The first thing of a drawing with parts, seen whole, that does not look like its mirror image."""
    for one in scene.instances:
        facts = one.extra.get("toybox", {})
        if len(one.parts) < LEAST_PARTS or one.mask is None or one.box is None:
            continue
        if float(facts.get("visible", 0)) < WHOLE:
            continue
        outline = outline_in(one.mask, one.box)
        subject = Subject(name, one.id, one, outline)
        pairs = zip(one.parts, mirrored(subject), strict=True)
        if (
            overlap(outline, outline[:, ::-1]) < ALIKE
            and np.mean([a.box.iou(b.box) for a, b in pairs]) < MOVED
        ):
            return subject
    return None


def told(scene: Scene, subject: Subject, how: str) -> Scene:
    """The scene by boxes, with the parts of its subject: none ("whole"), its own, or mirrored."""
    parts = {"whole": (), "parts": subject.truth.parts, "mirrored": mirrored(subject)}[how]
    instances = tuple(
        replace(
            one,
            mask=None,
            points=(),
            scribble=None,
            keypoints=None,
            parts=parts if one.id == subject.id else (),
        )
        for one in scene.instances
    )
    return scene.replace(instances=instances)


def mirrored(subject: Subject) -> tuple[Part, ...]:
    """The subject's parts with left and right exchanged within its box."""
    box = subject.truth.box
    assert box is not None
    both = box.x0 + box.x1
    return tuple(
        Part(
            one.name,
            Box(max(both - one.box.x1, 0.0), one.box.y0, min(both - one.box.x0, 1.0), one.box.y1),
        )
        for one in subject.truth.parts
    )


def outline_in(mask: Mask, box: Box) -> Outline:
    """The mask within a box, stretched to [S, S] by the pixels under the middles of the cells."""
    cut_HW = mask.array()[pixels(box, (mask.size_hw[1], mask.size_hw[0]))]
    rows, columns = (((np.arange(SIDE) + 0.5) * side / SIDE).astype(int) for side in cut_HW.shape)
    return cut_HW[np.ix_(rows, columns)]


def overlap(one: Outline, other: Outline) -> float:
    """Intersection over union of two outlines."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


def answer(pair: Pair, subject: Subject) -> Finding | None:
    """The finding that answers the subject: of its class, with the largest IoU from 0.5 with its box."""
    box = subject.truth.box
    assert box is not None
    category = next((one.category for one in pair.scene.asked if one.instance == subject.id), "")
    near = [
        (one.box.iou(box), -k, one)
        for k, one in enumerate(pair.findings.found)
        if one.category == category and one.mask is not None
    ]
    best = max(near, key=lambda row: row[:2], default=None)
    return best[2] if best is not None and best[0] >= LEAST_IOU else None


def turned(found: Finding, subject: Subject) -> bool:
    """Whether a found thing fits the mirror image of the drawing better than the drawing."""
    assert found.mask is not None
    seen = outline_in(found.mask, found.box)
    return overlap(seen, subject.outline[:, ::-1]) > overlap(seen, subject.outline)


def part_iou(found: Finding | None, subject: Subject, how: str) -> float:
    """Mean IoU of the part boxes asked for and those of the found thing; 0 if there is none."""
    if found is None:
        return 0.0
    asked = mirrored(subject) if how == "mirrored" else subject.truth.parts
    shown = mirrored(subject) if turned(found, subject) else subject.truth.parts
    box = subject.truth.box
    assert box is not None
    return float(
        np.mean([_moved(s.box, box, found.box).iou(a.box) for s, a in zip(shown, asked, strict=True)])
    )


def _moved(part: Box, of: Box, to: Box) -> Box:
    """The place within `to` that a part has within `of`."""
    across, down = (to.x1 - to.x0) / (of.x1 - of.x0), (to.y1 - to.y0) / (of.y1 - of.y0)
    x0, x1 = (min(max(to.x0 + (x - of.x0) * across, 0.0), 1.0) for x in (part.x0, part.x1))
    y0, y1 = (min(max(to.y0 + (y - of.y0) * down, 0.0), 1.0) for y in (part.y0, part.y1))
    return Box(x0, y0, x1, y1)


def part_measures(pairs: Sequence[Pair], subjects: Sequence[Subject], how: str) -> dict[str, Measure]:
    """IoU of parts, and whether things face as their parts say, of one arm with one seed."""
    found = [answer(pair, one) for pair, one in zip(pairs, subjects, strict=True)]
    iou_P = np.array([part_iou(one, subject, how) for one, subject in zip(found, subjects, strict=True)])
    facing_P = np.array(
        [
            float(one is not None and turned(one, subject) == (how == "mirrored"))
            for one, subject in zip(found, subjects, strict=True)
        ]
    )
    every_P = np.ones(len(subjects))
    return {"part_iou": Measure(ratio(iou_P, every_P)), "facing": Measure(ratio(facing_P, every_P))}


def turned_round(pairs: Mapping[str, Sequence[Pair]], subjects: Sequence[Subject]) -> tuple[Floats, Floats]:
    """Subjects that face as drawn with their own parts and the other way with mirrored ones, and subjects,
    [P] each."""
    turned_P = np.zeros(len(subjects))
    for p, subject in enumerate(subjects):
        own, other = (answer(pairs[how][p], subject) for how in ("parts", "mirrored"))
        if own is not None and other is not None:
            turned_P[p] = not turned(own, subject) and turned(other, subject)
    return turned_P, np.ones(len(subjects))
