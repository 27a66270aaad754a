"""Changes to one instance of a scene, and what differs between two scenes.

An edit names its instance by id, or by a phrase or category that only one instance has. Moves and sizes go in
whole pixels, so that boxes, masks, points, scribbles, joints and parts stay together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, SceneError, nearest
from scenewright.scene.boxes import Box, pixels
from scenewright.scene.schema import Instance, Scene
from scenewright.scene.transform import Transform


@dataclass(frozen=True, slots=True)
class Move:
    """Shift an instance by dx, dy in fractions of the canvas (right and down)."""

    of: str
    dx: float
    dy: float


@dataclass(frozen=True, slots=True)
class Resize:
    """Stretch an instance about the centre of its place; factors from 1/16 to 16."""

    of: str
    across: float
    down: float


@dataclass(frozen=True, slots=True)
class Remove:
    """Take an instance away."""

    of: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Put another thing, in words, where an instance is."""

    of: str
    phrase: str


@dataclass(frozen=True, slots=True)
class Add:
    """A new instance, after all others."""

    phrase: str
    box: Box


Edit = Move | Resize | Remove | Replace | Add

_FORMS = {
    "move": ("ID:DX,DY in fractions of the canvas", "i2:0.25,0"),
    "resize": ("ID:FACTOR or ID:ACROSS,DOWN", "i2:1.5"),
    "replace": ("ID:PHRASE", "i2:a blue car"),
    "add": ("PHRASE:X0,Y0,X1,Y1 in fractions of the canvas", "a red car:0.1,0.2,0.5,0.6"),
}


def parse(kind: str, text: str) -> Edit:
    """An edit from its words on the command line; `kind` is move, resize, remove, replace or add.

    Raises InputError that shows the form expected.
    """
    if kind == "remove":
        return Remove(text.strip())
    if kind == "replace":
        of, colon, phrase = text.partition(":")
        if not colon or not of.strip() or not phrase.strip():
            raise _unclear(kind, text)
        return Replace(of.strip(), phrase.strip())
    of, _, tail = text.rpartition(":")
    values = _numbers(tail)
    if not of.strip() or len(values) not in {"move": (2,), "resize": (1, 2), "add": (4,)}[kind]:
        raise _unclear(kind, text)
    if kind == "move":
        return Move(of.strip(), *values)
    if kind == "resize":
        return Resize(of.strip(), values[0], values[-1])
    return Add(of.strip(), Box(*values))


def apply(scene: Scene, edits: Sequence[Edit]) -> Scene:
    """The scene after the edits, one after another; ids of the others stay.

    Raises SceneError for an instance that is not there or not told apart by its words, one without a place
    that is to be moved, and one of which nothing would remain on the canvas.
    """
    for edit in edits:
        scene = _applied(scene, edit)
    return scene


def find(scene: Scene, word: str) -> Instance:
    """The instance that `word` names: its id, else the only one of that phrase or category."""
    for name in ("id", "phrase", "category"):
        found = [one for one in scene.instances if getattr(one, name) == word]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(one.id for one in found)
            raise SceneError(f"{len(found)} instances are called {word!r}", f"say which: {ids}", "instances")
    close = nearest(word, [*scene.ids, *(one.phrase for one in scene.instances)])
    listed = ", ".join(f"{one.id} ({one.phrase})" for one in scene.instances[:8]) or "none"
    hint = f"did you mean {close!r}?" if close else f"there are {listed}"
    raise SceneError(f"there is no instance {word!r}", hint, "instances")


def told(edit: Edit) -> str:
    """The edit in a few words, for records and captions."""
    if isinstance(edit, Move):
        return f"move {edit.of} by {edit.dx:g}, {edit.dy:g}"
    if isinstance(edit, Resize):
        return f"resize {edit.of} by {edit.across:g}, {edit.down:g}"
    if isinstance(edit, Remove):
        return f"remove {edit.of}"
    if isinstance(edit, Replace):
        return f"replace {edit.of} by {edit.phrase}"
    return f"add {edit.phrase}"


def differing(before: Scene, after: Scene) -> tuple[tuple[Instance, ...], tuple[Instance, ...]]:
    """Instances that only `before` has, and that only `after` has; ids do not count, everything else does."""
    return _only(before, after), _only(after, before)


def changed(before: Scene, after: Scene) -> tuple[str, ...]:
    """What differs between two rounds, in words: for scenes that were written by hand."""
    gone, come = differing(before, after)
    words = [f"without {one.phrase}" for one in gone if one.phrase not in {new.phrase for new in come}]
    words += [
        f"{'moved' if one.phrase in {old.phrase for old in gone} else 'with'} {one.phrase}" for one in come
    ]
    if before.prompt != after.prompt:
        words.append("another prompt")
    return tuple(words)


def region(before: Scene, after: Scene) -> NDArray[np.bool_]:
    """Pixels [H, W] of the canvas where two scenes differ: old and new places of what is not in both.

    Everything, if the prompts or maps differ but no instance does, or a changed instance has no place.
    """
    if before.size_wh != after.size_wh:
        raise SceneError(f"scenes of {before.size_wh} and {after.size_wh} are not rounds of one picture")
    area_HW = np.zeros(before.size_hw, dtype=bool)
    instances = [one for part in differing(before, after) for one in part]
    boxes = [box for one in instances for box in places(one)]
    same_words = (before.prompt, before.semantic_map) == (after.prompt, after.semantic_map)
    if any(not places(one) for one in instances) or (not instances and not same_words):
        return ~area_HW
    for box in boxes:
        area_HW[pixels(box, before.size_wh)] = True
    return area_HW


def places(instance: Instance) -> tuple[Box, ...]:
    """Boxes of everything that says where an instance is."""
    bare = replace(instance, box=None)
    marks = replace(bare, mask=None)
    found = (instance.box, bare.location_box, marks.location_box, *(part.box for part in instance.parts))
    return tuple(dict.fromkeys(box for box in found if box is not None))


def _only(of: Scene, other: Scene) -> tuple[Instance, ...]:
    """Instances of the first scene that the other has not, or not as often."""
    spare = [replace(one, id="x") for one in other.instances]
    found = []
    for one in of.instances:
        plain = replace(one, id="x")
        if plain in spare:
            spare.remove(plain)
        else:
            found.append(one)
    return tuple(found)


def _applied(scene: Scene, edit: Edit) -> Scene:
    if isinstance(edit, Add):
        return scene.replace(instances=(*scene.instances, Instance(edit.phrase, box=edit.box)))
    old = find(scene, edit.of)
    if isinstance(edit, Remove):
        return scene.replace(instances=tuple(one for one in scene.instances if one is not old))
    if isinstance(edit, Replace):
        new = replace(old, phrase=edit.phrase, category=None, reference=None)
    else:
        new = _carried(old, edit, scene.size_wh)
    return scene.replace(instances=tuple(new if one is old else one for one in scene.instances))


def _carried(one: Instance, edit: Move | Resize, size_wh: tuple[int, int]) -> Instance:
    """The instance moved or stretched, by one transform of everything that it has."""
    box = one.location_box
    if box is None:
        raise SceneError(f"{one.id} ({one.phrase}) has no place", "a box, mask, points or a scribble is one")
    if isinstance(edit, Move):
        window = _shifted(edit, size_wh)
    else:
        window = _about(box.centre, edit, size_wh)
    moved = Transform(size_wh).crop(window).resize(size_wh).instance(one)
    if moved is None or moved.location_box is None:
        raise SceneError(f"{told(edit)}: nothing of it remains on the canvas", "remove takes it away")
    return moved


def _shifted(edit: Move, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    for value in (edit.dx, edit.dy):
        if not (math.isfinite(value) and -1 < value < 1):
            raise SceneError(f"{told(edit)}: expected fractions of the canvas between -1 and 1")
    dx, dy = round(edit.dx * size_wh[0]), round(edit.dy * size_wh[1])
    return -dx, -dy, size_wh[0] - dx, size_wh[1] - dy


def _about(centre: tuple[float, float], edit: Resize, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    edges = []
    for middle, factor, side in zip(centre, (edit.across, edit.down), size_wh, strict=True):
        if not 1 / 16 <= factor <= 16:
            raise SceneError(f"{told(edit)}: expected factors from 1/16 to 16")
        low = round((middle - middle / factor) * side)
        edges.append((low, low + max(1, round(side / factor))))
    (x0, x1), (y0, y1) = edges
    return x0, y0, x1, y1


def _numbers(text: str) -> tuple[float, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e-?\d+)?", part) for part in parts):
        return ()
    return tuple(float(part) for part in parts)


def _unclear(kind: str, text: str) -> InputError:
    form, example = _FORMS[kind]
    return InputError(f"--{kind} {text!r} given; expected {form}", f'for example --{kind} "{example}"')
