"""Changes: one of four things is moved, everything else is to stay as it was.

Letters: P scenes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, SceneError
from scenewright.evaluate.asked import AskedScene, Pair
from scenewright.evaluate.bootstrap import Statistic, ratio
from scenewright.evaluate.findings import Findings
from scenewright.evaluate.matching import LEAST_IOU, match
from scenewright.evaluate.measures import Measure
from scenewright.flows.edit import provenance_of
from scenewright.flows.jobs import Job
from scenewright.flows.options import GenerateOptions
from scenewright.flows.provenance import UNCOMPARED, differences
from scenewright.flows.reproduce.runs import PICTURES, Run, Workshop
from scenewright.flows.rounds import Round, Rounds, draw
from scenewright.flows.write import ELSEWHERE, document_in
from scenewright.scene import Box, Record, Scene
from scenewright.scene.boxes import pixels
from scenewright.scene.edits import Move, apply, told

THINGS = 4
"""Instances of the scenes."""

FAR = 0.25
"""How far a thing is moved, in sides of the picture."""

FREE = 0.1
"""Most overlap (IoU) of its new place with what else is there."""

EDGE_PX = 4
"""Pixels around boxes that are not counted as ground."""

BEFORE, AFTER, FRESH = "edit-before", "edit-after", "edit-fresh"
"""Folders of the pictures before and after, and of the changed scene drawn afresh."""


@dataclass(frozen=True)
class Change:
    """A scene before and after one thing was moved; `job` has its name and seed, `id` is what is moved."""

    job: Job
    after: Scene
    id: str
    words: str


@dataclass(frozen=True)
class Pictures:
    """The pictures HW3 of one change: before, after, and afresh."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    fresh: NDArray[np.uint8]


def change_of(job: Job) -> Change | None:
    """A move of the first thing of a scene of four that finds a free place; None if there is none."""
    if len(job.scene.instances) != THINGS:
        return None
    for one in job.scene.instances:
        for dx, dy in ((FAR, 0.0), (-FAR, 0.0), (0.0, -FAR), (0.0, FAR)):
            move = Move(one.id, dx, dy)
            box = one.location_box
            if box is None or not _inside(box, dx, dy):
                continue
            try:
                after = apply(job.scene, (move,))
            except SceneError:
                continue
            place = after.instance(one.id).location_box
            others = [other.location_box for other in after.instances if other.id != one.id]
            if place is not None and all(box is None or place.iou(box) <= FREE for box in others):
                return Change(job, after, one.id, told(move))
    return None


def _inside(box: Box, dx: float, dy: float) -> bool:
    corners = (box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)
    return min(corners) >= 0 and max(corners) <= 1


def changed(workshop: Workshop, changes: Sequence[Change], options: GenerateOptions) -> tuple[Run, Run, Run]:
    """The pictures before and after every change, and afresh, all judged. Raises InputError for pictures that
    were made in another way."""
    before, after = (workshop.out / PICTURES / name for name in (BEFORE, AFTER))
    for done, one in enumerate(changes, start=1):
        first = one.job.scene.replace(seed=None)
        rounds = Rounds((Round(first), Round(one.after.replace(seed=None), 1.0, (one.words,))), one.job.seed)
        name = f"{one.job.name}.png"
        places = (before / name, after / name)
        if not all(_there(path, workshop, options, rounds, k) for k, path in enumerate(places)):
            for record, folder in zip(draw(workshop.bundle, rounds, options), (before, after), strict=True):
                record.save(folder, one.job.name)
        workshop.told("pictures changed", done, len(changes))
    names = [one.job.name for one in changes]
    jobs = [replace(one.job, scene=one.after) for one in changes]
    fresh = workshop.made(FRESH, "changed scenes, afresh", jobs, options)
    return (
        workshop.judged(before, names, "before a change"),
        workshop.judged(after, names, "after it"),
        fresh,
    )


def _there(path: Path, workshop: Workshop, options: GenerateOptions, rounds: Rounds, k: int) -> bool:
    """Whether the picture of a round is there, made in just this way."""
    document = document_in(path) if path.is_file() else None
    if document is None:
        return False
    asked = provenance_of(workshop.bundle, options, rounds, k, None)
    if other := differences(document.get("provenance") or {}, asked, UNCOMPARED):
        raise InputError(f"{path} is there already, made in another way: {other[0]}", ELSEWHERE)
    return True


def edit_measures(
    changes: Sequence[Change], before: Sequence[Pair], after: Sequence[Pair], pictures: Sequence[Pictures]
) -> dict[str, Measure]:
    """What became of what was to stay, of what was moved, and of the ground. `before` and `after` are what
    was found (confident findings) against the scenes before and after."""
    kept, moved = (np.zeros((2, len(changes))) for _ in range(2))
    ground = np.zeros((2, len(changes)))
    for p, one in enumerate(changes):
        for value in kept_ious(one.id, before[p], after[p].findings):
            kept[:, p] += (value, 1)
        moved[:, p] = (float(found_at(one.id, after[p])), 1)
        ground[:, p] = ground_changes(one, pictures[p])
    every_P = np.ones(len(changes))
    return {
        "kept_iou": Measure(ratio(*kept)),
        "moved": Measure(ratio(*moved)),
        "ground_kept": Measure(ratio(ground[0], every_P)),
        "ground_fresh": Measure(ratio(ground[1], every_P)),
        "factor": Measure(_quotient(ratio(ground[1], every_P), ratio(ground[0], every_P))),
    }


def _quotient(one: Statistic, other: Statistic) -> Statistic:
    def values(weights_BP: NDArray[np.float64]) -> NDArray[np.float64]:
        below_B = other(weights_BP)
        none_B = np.full(len(weights_BP), np.nan)
        return np.asarray(np.divide(one(weights_BP), below_B, out=none_B, where=below_B > 0))

    return values


def kept_ious(id: str, before: Pair, after: Findings) -> list[float]:
    """Mask IoU, before and after, of every thing but the moved one that was found before; 0 if it is gone."""
    rest = AskedScene(
        before.scene.picture,
        before.scene.size_wh,
        tuple(one for one in before.scene.asked if one.instance != id),
    )
    first = match(rest.asked, before.findings.found, "box")
    second = match(rest.asked, after.found, "box")
    found = []
    for old, new in zip(first, second, strict=True):
        if old.found is None or old.iou < LEAST_IOU or old.found.mask is None:
            continue
        mask = new.found.mask if new.found is not None else None
        found.append(0.0 if mask is None else old.found.mask.iou(mask))
    return found


def found_at(id: str, after: Pair) -> bool:
    """Whether the moved thing is found in its new box."""
    matches = match(after.scene.asked, after.findings.found, "box")
    return any(one.asked.instance == id and one.iou >= LEAST_IOU for one in matches)


def pictures_of(runs: tuple[Run, Run, Run], names: Sequence[str]) -> list[Pictures]:
    """The pictures of all changes, in the order of `names`."""
    paths = [{one.name: one.path for one in run.samples} for run in runs]
    return [Pictures(*(Record.load(of[name]).image for of in paths)) for name in names]


def ground_changes(change: Change, pictures: Pictures) -> tuple[float, float]:
    """Mean difference (0 to 255) from the picture before, outside of all boxes before and after: of the
    changed picture, and of the fresh one."""
    high, wide = pictures.before.shape[0], pictures.before.shape[1]
    ground_HW = np.ones((high, wide), dtype=bool)
    for scene in (change.job.scene, change.after):
        for one in scene.instances:
            if (box := one.location_box) is not None:
                rows, columns = pixels(box, (wide, high))
                ground_HW[
                    max(0, rows.start - EDGE_PX) : rows.stop + EDGE_PX,
                    max(0, columns.start - EDGE_PX) : columns.stop + EDGE_PX,
                ] = False
    if not ground_HW.any():
        ground_HW[:] = True
    first = pictures.before.astype(np.int16)
    gaps = [np.abs(first - other.astype(np.int16))[ground_HW] for other in (pictures.after, pictures.fresh)]
    return float(gaps[0].mean()), float(gaps[1].mean())
