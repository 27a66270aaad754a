"""GLIGEN's arguments as a file: `prompt`, `phrases` and `boxes` (x0, y0, x1, y1 in fractions), one object
or a list.

The names of the diffusers pipeline (`gligen_phrases`, `gligen_boxes`) and of the original script
(`locations`) are read too. Source: Li et al., GLIGEN, CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.foreign import DEFAULT_SIZE_WH, XYXY_1, SizeWH
from scenewright.errors import InputError
from scenewright.scene import Instance, Scene
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

PHRASES = ("phrases", "gligen_phrases")
BOXES = ("boxes", "gligen_boxes", "locations")
KNOWN = (*PHRASES, *BOXES, "prompt", "negative_prompt", "width", "height", "seed")


def read(path: Path, size_wh: SizeWH = DEFAULT_SIZE_WH) -> list[Scene]:
    """The scenes of a file; `size_wh` is the canvas where the file names none.

    Raises StorageError, InputError; warns `ClippedBoxes`.
    """
    return from_json(read_json(path), str(path), size_wh)


def from_json(document: Any, name: str, size_wh: SizeWH = DEFAULT_SIZE_WH) -> list[Scene]:
    """Scenes from a parsed file; `name` is how messages call it."""
    entries = document if isinstance(document, list) else [document]
    wheres = [f"{name}[{k}]" if isinstance(document, list) else name for k in range(len(entries))]
    parsed = [_parsed(entry, where) for entry, where in zip(entries, wheres, strict=True)]
    rows = [row for _, boxes, _ in parsed for row in boxes]
    placed = iter(foreign.place_boxes(rows, [size_wh] * len(rows), XYXY_1, name))
    scenes = []
    for (phrases, boxes, entry), where in zip(parsed, wheres, strict=True):
        with foreign.named(where):
            instances = tuple(
                Instance(phrase, box=next(placed)) for phrase, _ in zip(phrases, boxes, strict=True)
            )
            scenes.append(_scene(entry, instances, size_wh, where))
    return scenes


def to_json(scene: Scene) -> dict[str, Any]:
    """The arguments of one scene. Raises InputError for an instance without a place, which they cannot
    say."""
    for instance in scene.instances:
        if instance.location_box is None:
            raise InputError(
                f"the instance {instance.id!r} ({instance.phrase}) has no place; every phrase needs a box",
                "Give it a box, or leave it out.",
            )
    entry: dict[str, Any] = {
        "prompt": scene.prompt,
        "phrases": [instance.phrase for instance in scene.instances],
        "boxes": [list(instance.location_box.xyxy) for instance in scene.instances if instance.location_box],
        "width": scene.size_wh[0],
        "height": scene.size_wh[1],
    }
    if scene.negative is not None:
        entry["negative_prompt"] = scene.negative
    if scene.seed is not None:
        entry["seed"] = scene.seed
    return entry


def write(scenes: Sequence[Scene], path: Path) -> Path:
    """Write scenes as such a file, whole or not at all: one object for one scene, else a list."""
    entries = [to_json(scene) for scene in scenes]
    return atomic_write(path, to_json_bytes(entries[0] if len(entries) == 1 else entries, indent=1))


def _parsed(entry: Any, where: str) -> tuple[list[str], list[foreign.Four], dict[str, Any]]:
    entry = foreign.object_of(entry, where)
    foreign.refuse_unknown(entry, KNOWN, where)
    phrases, boxes = _one_of(entry, PHRASES, where), _one_of(entry, BOXES, where)
    if len(phrases) != len(boxes):
        raise InputError(
            f"{where}: {len(phrases)} phrases were given for {len(boxes)} boxes; one for each was expected"
        )
    texts = [foreign.text(phrase, f"{where}: phrases[{k}]") for k, phrase in enumerate(phrases)]
    return texts, [foreign.four(box, f"{where}: boxes[{k}]") for k, box in enumerate(boxes)], entry


def _one_of(entry: dict[str, Any], keys: Sequence[str], where: str) -> list[Any]:
    found = [key for key in keys if key in entry]
    if len(found) != 1:
        raise InputError(
            f"{where}: expected one of the keys {', '.join(keys)}, got {', '.join(found) or 'none'}"
        )
    if not isinstance(entry[found[0]], list):
        raise InputError(f"{where}: {found[0]}: expected a list, got {foreign.shown(entry[found[0]])}")
    return entry[found[0]]


def _scene(entry: dict[str, Any], instances: tuple[Instance, ...], size_wh: SizeWH, where: str) -> Scene:
    sized = "width" in entry or "height" in entry
    return Scene(
        prompt=foreign.text(foreign.need(entry, "prompt", where), f"{where}: prompt"),
        size_wh=foreign.size_of(entry, where) if sized else size_wh,
        instances=instances,
        negative=entry.get("negative_prompt"),
        seed=entry.get("seed"),
    )
