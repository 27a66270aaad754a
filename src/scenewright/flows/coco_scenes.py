"""COCO's annotations as the scenes that InstanceDiffusion is evaluated on; `evaluate.instance_protocols`
says which parts of it an id fixes.

A picture's scene has its first 30 annotations, crowds included, called by their category, with the attribute
of the protocol before it. Its prompt is the first caption with the names of all annotations after it, without
a blank between, as published. Points are the middles of boxes, scribbles twenty pixels of the mask drawn
for the annotation's id, both unless the file gives others; they are what is asked about, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenewright.data import coco
from scenewright.data.coco_head import NAMESPACE
from scenewright.data.coco_square import is_square, squared, with_marks, write_squared
from scenewright.errors import InputError
from scenewright.evaluate.instance_protocols import MOST_INSTANCES, InstanceProtocol
from scenewright.evaluate.points import SCRIBBLE_POINTS
from scenewright.scene import Instance, Mask, Point, Scene, Scribble

ANNOTATIONS = "annotations.json"
"""The file of squares that is made from the official one."""

JOINT = ", "
"""Between the names in a prompt."""


@dataclass(frozen=True)
class CocoPicture:
    """One picture of the evaluation.

    name      file name without ending
    drawn     the scene that a model draws
    scored    what is expected: all annotations that are no crowds
    crowds    those that are
    seed      of its noise: its id
    val2017   whether it says that it is of COCO's validation pictures of 2017
    captioned whether it came with a caption
    """

    name: str
    drawn: Scene
    scored: Scene
    crowds: tuple[Instance, ...]
    seed: int
    val2017: bool
    captioned: bool


@dataclass(frozen=True)
class CocoSet:
    """The pictures in the order of their ids, and the file of squares: the one given, or the one made."""

    pictures: tuple[CocoPicture, ...]
    annotations: Path


def read_set(
    file: Path, captions: Path | None, rules: InstanceProtocol, side_px: int, out: Path, count: int = 0
) -> CocoSet:
    """The first `count` pictures (0: all) of an annotation file, stretched to squares of `side_px`.

    Without `captions` a file ``captions_…`` beside the annotations is taken, if there is one. The file of
    squares is written to `out` unless `file` is one already. Raises StorageError, InputError.
    """
    said = captions or captions_beside(file)
    scenes = coco.read(file, said)
    if not scenes:
        raise InputError(f"{file} has no pictures", "expected instances_val2017.json of COCO")
    made = file
    if is_square(scenes, side_px):
        scenes = [
            scene.replace(instances=tuple(with_marks(one, scene.size_wh) for one in scene.instances))
            for scene in scenes
        ]
    else:
        made = out / ANNOTATIONS
        if not made.is_file():
            write_squared(scenes, made, coco.read_head(file), side_px)
        scenes = [squared(scene, side_px) for scene in scenes]
    validation = "val2017" in file.name
    ordered = sorted(scenes, key=_order)
    chosen = ordered[:count] if count else ordered
    return CocoSet(tuple(coco_picture(scene, rules, validation) for scene in chosen), made)


def captions_beside(file: Path) -> Path | None:
    """``captions_val2017.json`` beside ``instances_val2017.json``; None if there is none."""
    there = file.with_name(file.name.replace("instances", "captions", 1))
    return there if there != file and there.is_file() else None


def coco_picture(scene: Scene, rules: InstanceProtocol, validation: bool = False) -> CocoPicture:
    """A picture's annotations (on squares) as what is drawn and what is expected. InputError if it names no
    file."""
    if scene.picture is None or not scene.picture.path:
        raise InputError(f"a picture of the annotation file has no name ({scene.prompt[:40]!r})")
    extra = scene.extra.get(NAMESPACE, {})
    said = extra.get("captions") or []
    caption = str(said[0]["caption"]) if said else ""
    whole = [_asked(one, rules) for one in scene.instances if one.location_box is not None]
    words = JOINT.join(one.phrase for one in whole)
    bare = scene.replace(picture=None, prompt=caption + words, instances=tuple(whole[:MOST_INSTANCES]))
    expected = tuple(one for one in whole if not is_crowd(one))
    id = extra.get("id")
    return CocoPicture(
        name=Path(scene.picture.path).stem,
        drawn=bare,
        scored=bare.replace(prompt=caption.strip(), instances=expected),
        crowds=tuple(one for one in whole if is_crowd(one)),
        seed=id if isinstance(id, int) and id >= 0 else bare.auto_seed(),
        val2017=validation or "/val2017/" in str(extra.get("coco_url", "")),
        captioned=bool(said),
    )


def is_crowd(one: Instance) -> bool:
    """Whether an annotation is of a group that nobody counted."""
    return bool(_row(one).get("iscrowd"))


def value_number(one: Instance, rules: InstanceProtocol) -> int:
    """Which of the protocol's attribute values an annotation gets: its id modulo their number."""
    id = _row(one).get("id", 0)
    return int(id) % len(rules.values) if isinstance(id, int) else 0


def _row(one: Instance) -> dict[str, Any]:
    found = one.extra.get(NAMESPACE, {})
    return found if isinstance(found, dict) else {}


def _asked(one: Instance, rules: InstanceProtocol) -> Instance:
    """An annotation with the phrase and the marks of the protocol."""
    name = one.category or one.phrase
    changes: dict[str, Any] = {
        "phrase": f"{rules.values[value_number(one, rules)]} {name}" if rules.values else name
    }
    box = one.location_box
    if rules.form == "point" and not one.points and box is not None:
        changes["points"] = (Point(*box.centre),)
    if rules.form == "scribble" and one.scribble is None and one.mask is not None:
        changes["scribble"] = mask_scribble(one.mask, _row(one).get("id", 0))
    return one.replace(**changes)


def mask_scribble(mask: Mask, id: Any) -> Scribble | None:
    """Twenty pixels of a mask, drawn with the annotation's id as seed, by their distance from the top left
    corner; None for an empty mask."""
    if mask.is_empty:
        return None
    rng = np.random.default_rng([id if isinstance(id, int) and id >= 0 else 0])
    points = mask.points(rng, SCRIBBLE_POINTS)
    return Scribble(tuple(sorted(points, key=lambda point: (point.x**2 + point.y**2, point.xy))))


def _order(scene: Scene) -> tuple[bool, Any]:
    """Pictures by their ids; whole numbers first."""
    id = scene.extra.get(NAMESPACE, {}).get("id", "")
    return (not isinstance(id, int), id if isinstance(id, int) else str(id))


def variations(pictures: Sequence[CocoPicture]) -> list[str]:
    """In what the pictures are not those of the published evaluation."""
    found = []
    if not all(one.val2017 for one in pictures):
        found.append("the pictures are not those of COCO val2017")
    if not all(one.captioned for one in pictures):
        found.append("prompts have no captions: --captions names their file")
    return found
