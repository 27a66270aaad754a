"""The scene: what should be in a picture, and where.

Frozen dataclasses; the constructors check everything and raise `SceneError` naming the field. Places are
fractions of the canvas (`Box`, `Point`), masks and maps are pixels of `Scene.size_wh`. JSON is read and
written by `scenewright.scene.reading`; `Scene.read`, `Scene.write`, `Scene.from_json` and `Scene.to_json`
call it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from scenewright.errors import SceneError, nearest
from scenewright.scene import checks
from scenewright.scene.boxes import Box, iou_matrix
from scenewright.scene.marks import Keypoints, Point, Scribble
from scenewright.scene.masks import LARGEST_PX, Mask
from scenewright.scene.semantic import SemanticMap

SCHEMA_VERSION = 1
"""The version of the scene format that this package writes."""

SIZE_STEP = 8
"""Sides of a scene are multiples of this many pixels, unless it describes an existing picture."""

LARGEST_SEED = 2**53 - 1
"""Seeds stay whole in every JSON reader, those with only 64-bit floats included."""

ID_PATTERN = r"^(?!.*\n)[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}$"
EXTRA_PATTERN = r"^(?!.*\n)[a-z][a-z0-9_\-]*(\.[a-z0-9_\-]+)*$"
HASH_PATTERN = r"^(?!.*\n)[0-9a-f]{64}$"
AROUND_POINTS = 0.1
"""Side, in fractions of the canvas, of the smallest box put around points and scribbles."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture elsewhere: a path (relative to the scene's file, or absolute), its sha256 in hex, or both."""

    path: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.path is None and self.sha256 is None:
            raise SceneError("expected a path or a sha256, got neither")
        if self.path is not None:
            checks.text(self.path, "path")
        if self.sha256 is not None and not _matches(HASH_PATTERN, self.sha256):
            raise SceneError(f"expected 64 hex digits, got {checks.shown(self.sha256)}", path="sha256")


@dataclass(frozen=True, slots=True)
class Part:
    """A named part of an instance ("left wheel") with its box and, if known, its mask."""

    name: str
    box: Box
    mask: Mask | None = None

    def __post_init__(self) -> None:
        checks.text(self.name, "name")
        checks.made_of(self.box, Box, "box")
        if self.mask is not None:
            checks.made_of(self.mask, Mask, "mask")


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing: a phrase ("a red metallic car"), and any of the ways to say where it is.

    `id` is unique in its scene and stable (given by the scene if empty); `category` is the class name;
    `negative` is what this instance must not be; `z` orders overlaps, higher is nearer; `reference` shows
    how it looks; `extra` holds other programs' data under namespaced keys ("coco", "org.example") and is
    kept as it is.
    """

    phrase: str
    id: str = ""
    box: Box | None = None
    mask: Mask | None = None
    points: tuple[Point, ...] = ()
    scribble: Scribble | None = None
    keypoints: Keypoints | None = None
    parts: tuple[Part, ...] = ()
    reference: ImageRef | None = None
    negative: str | None = None
    z: int = 0
    category: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        checks.text(self.phrase, "phrase")
        if self.id != "" and not _matches(ID_PATTERN, self.id):
            raise SceneError(
                f"expected 1 to 64 letters, digits, '_', '.' or '-', got {checks.shown(self.id)}", path="id"
            )
        for name, kind in _INSTANCE_KINDS.items():
            if getattr(self, name) is not None:
                checks.made_of(getattr(self, name), kind, name)
        for name in ("negative", "category"):
            checks.optional_text(getattr(self, name), name)
        object.__setattr__(self, "points", checks.tuple_of(self.points, Point, "points"))
        object.__setattr__(self, "parts", checks.tuple_of(self.parts, Part, "parts"))
        object.__setattr__(self, "z", checks.whole(self.z, "z", -LARGEST_SEED, LARGEST_SEED))
        object.__setattr__(self, "extra", _extra(self.extra))

    @property
    def location_box(self) -> Box | None:
        """Where it is, as a box: its box, else the box of its mask, else one around scribble and points.

        None if it has no place.
        """
        if self.box is not None:
            return self.box
        if self.mask is not None and (found := self.mask.box()) is not None:
            return found
        marks = (*self.points, *(self.scribble.points if self.scribble else ()))
        return _around(marks) if marks else None

    def replace(self, **changes: Any) -> Instance:
        """A copy with some fields changed."""
        return replace(self, **changes)


_INSTANCE_KINDS: dict[str, type] = {
    "box": Box, "mask": Mask, "scribble": Scribble, "keypoints": Keypoints, "reference": ImageRef,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """What should be in the picture.

    `size_wh` is width, height in pixels: multiples of 8, unless `picture` names an existing picture that the
    scene describes (a photograph may have any size). Masks and `semantic_map` have exactly this size.
    `negative` is what the picture must not show, `style` how it should look, `seed` a whole number from 0
    (None: `auto_seed`). Instances without an id get "i1", "i2", ... . `extra` as in `Instance`.
    """

    prompt: str
    size_wh: tuple[int, int]
    instances: tuple[Instance, ...] = ()
    negative: str | None = None
    semantic_map: SemanticMap | None = None
    style: str | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    schema_version: int = SCHEMA_VERSION
    picture: ImageRef | None = None

    def __post_init__(self) -> None:
        checks.text(self.prompt, "prompt", blank=True)
        if self.picture is not None:
            checks.made_of(self.picture, ImageRef, "picture")
        object.__setattr__(self, "size_wh", _size(self.size_wh, self.picture))
        for name in ("negative", "style"):
            checks.optional_text(getattr(self, name), name)
        if self.seed is not None:
            object.__setattr__(self, "seed", checks.whole(self.seed, "seed", 0, LARGEST_SEED))
        if self.semantic_map is not None:
            checks.made_of(self.semantic_map, SemanticMap, "semantic_map")
        checks.whole(self.schema_version, "schema_version", SCHEMA_VERSION, SCHEMA_VERSION)
        object.__setattr__(self, "extra", _extra(self.extra))
        instances = checks.tuple_of(self.instances, Instance, "instances")
        object.__setattr__(self, "instances", _with_ids(instances))
        _check_sizes(self)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height, width in pixels."""
        return self.size_wh[1], self.size_wh[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the instances, in order."""
        return tuple(instance.id for instance in self.instances)

    def instance(self, id: str) -> Instance:
        """The instance of this id; `SceneError` with the nearest id if there is none."""
        for instance in self.instances:
            if instance.id == id:
                return instance
        close = nearest(id, self.ids)
        raise SceneError(f"no instance {id!r}", f"did you mean {close!r}?" if close else "", "instances")

    def replace(self, **changes: Any) -> Scene:
        """A copy with some fields changed."""
        return replace(self, **changes)

    @classmethod
    def from_json(cls, document: Any) -> Scene:
        """From a parsed JSON document; errors name the field (`instances[2].box`)."""
        from scenewright.scene import reading

        return reading.scene_from_json(document)

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; fields that hold their default are left out."""
        from scenewright.scene import reading

        return reading.scene_to_json(self)

    @classmethod
    def read(cls, path: Path | str) -> Scene:
        """From a JSON file. Raises `StorageError` if it cannot be read, `SceneError` if it is no scene."""
        from scenewright.scene import reading

        return reading.read_scene(path)

    def write(self, path: Path | str) -> None:
        """To a JSON file, in one step: readers see the old file or the new one. May raise `StorageError`."""
        from scenewright.scene import reading

        reading.write_scene(self, path)

    def overlap_warnings(self, iou: float = 0.9) -> tuple[str, ...]:
        """One sentence for each pair of instances whose boxes nearly coincide (advice, not an error)."""
        placed = [(item, box) for item in self.instances if (box := item.location_box) is not None]
        boxes_N4 = np.array([box.xyxy for _, box in placed], dtype=np.float64).reshape(-1, 4)
        scores_NN = iou_matrix(boxes_N4, boxes_N4)
        pairs = np.argwhere(np.triu(scores_NN >= iou, k=1))
        return tuple(
            f"{placed[a][0].id} ({placed[a][0].phrase}) and {placed[b][0].id} ({placed[b][0].phrase}) "
            f"take nearly the same place (overlap {scores_NN[a, b]:.2f})"
            for a, b in pairs.tolist()
        )

    def digest(self) -> str:
        """sha256, in hex, of the scene: equal scenes have equal digests, on every machine."""
        document = self.to_json()
        if self.semantic_map is not None:
            document["semantic_map"] = self.semantic_map.digest()
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def auto_seed(self) -> int:
        """A seed in 0..2^32-1 taken from the digest, for scenes that ask for none."""
        return int(self.digest()[:8], 16)


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.search(pattern, value) is not None


def _size(value: object, picture: ImageRef | None) -> tuple[int, int]:
    """A canvas size; multiples of `SIZE_STEP` unless there is a picture."""
    low = 1 if picture else SIZE_STEP
    size_wh = checks.pair(value, "size_wh", low, LARGEST_PX)
    for k, side in enumerate(size_wh):
        if picture is None and side % SIZE_STEP:
            down, up = side // SIZE_STEP * SIZE_STEP, (side // SIZE_STEP + 1) * SIZE_STEP
            raise SceneError(
                f"expected a multiple of {SIZE_STEP}, got {side}",
                f"use {max(down, SIZE_STEP)} or {up}; a scene of an existing picture names it in `picture`",
                f"size_wh[{k}]",
            )
    return size_wh


def _extra(value: object) -> dict[str, Any]:
    """A deep copy of namespaced JSON data."""
    if not isinstance(value, Mapping):
        raise SceneError(f"expected an object, got {checks.shown(value)}", path="extra")
    for key in value:
        if not _matches(EXTRA_PATTERN, key):
            raise SceneError(
                f"expected namespaced keys such as 'coco' or 'org.example', got {checks.shown(key)}",
                path="extra",
            )
    copied: dict[str, Any] = checks.plain(dict(value), "extra")
    return copied


def _with_ids(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Instances with unique ids: given ones stay, missing ones become "i1", "i2", ..."""
    taken: dict[str, int] = {}
    for k, instance in enumerate(instances):
        if instance.id and instance.id in taken:
            raise SceneError(
                f"expected unique ids, got {instance.id!r} again (first in instances[{taken[instance.id]}])",
                "leave ids out to have them given",
                f"instances[{k}].id",
            )
        if instance.id:
            taken[instance.id] = k
    named = []
    for k, instance in enumerate(instances):
        if not instance.id:
            number = k + 1
            while f"i{number}" in taken:
                number += 1
            taken[f"i{number}"] = k
            instance = replace(instance, id=f"i{number}")
        named.append(instance)
    return tuple(named)


def _check_sizes(scene: Scene) -> None:
    """Masks and maps must be of the scene's size."""
    found = [("semantic_map", scene.semantic_map)] if scene.semantic_map else []
    masks: list[tuple[str, Mask | SemanticMap]] = list(found)
    for k, instance in enumerate(scene.instances):
        if instance.mask:
            masks.append((f"instances[{k}].mask", instance.mask))
        masks += [(f"instances[{k}].parts[{j}].mask", p.mask) for j, p in enumerate(instance.parts) if p.mask]
    for path, mask in masks:
        if mask.size_hw != scene.size_hw:
            raise SceneError(
                f"expected size_hw {list(scene.size_hw)} as the scene's, got {list(mask.size_hw)}",
                "size_hw is height, width; Transform.fit brings a scene to another size",
                path,
            )


def _around(points: tuple[Point, ...]) -> Box:
    """A box around points, at least `AROUND_POINTS` wide and high, pushed inside the canvas."""
    edges = []
    for values in ([p.x for p in points], [p.y for p in points]):
        low, high = min(values), max(values)
        grow = max(0.0, AROUND_POINTS - (high - low)) / 2
        low, high = low - grow, high + grow
        shift = max(0.0, -low) - max(0.0, high - 1.0)
        edges.append((max(0.0, low + shift), min(1.0, high + shift)))
    (x0, x1), (y0, y1) = edges
    return Box(x0, y0, x1, y1)
