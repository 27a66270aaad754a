"""Whole scenes to train on, beside the pictures of a source, and which of their locations a sample shows.

Wang et al., "InstanceDiffusion", CVPR 2024 (arXiv 2402.03290), section 3.2: kinds of location are left out at
random. The released code draws once per call; here every sample draws for itself. Points, scribbles and
polygons are taken from masks after cropping and mirroring, so they are sorted in the picture that is seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from scenewright.condition.locations import Spot, part_phrase, spots
from scenewright.condition.uses import KINDS
from scenewright.data.labels import read_label
from scenewright.errors import InputError
from scenewright.scene import Mask, Scene, Transform
from scenewright.train.renders import (
    PART,
    Source,
    alone_in,
    drawer,
    record_files,
    scene_file,
    write_text,
)

Choice = Literal["published", "even"]

MODES = (
    ("box", "point"),
    ("point",),
    ("point", "scribble"),
    ("box", "point", "mask"),
    ("box", "point", "scribble", "mask"),
)
"""What "even" chooses from: what people give."""


@dataclass(frozen=True, kw_only=True)
class ShownConfig:
    """What of a scene a sample shows."""

    kinds: Choice = "published"  # how kinds are chosen: with the published rates, or evenly among `MODES`
    mixed: float = 0.0  # share of the samples whose instances choose each for itself ("even" only)
    inside: float = 0.0  # share of the points anywhere inside the mask; else the middle of the box
    drawn: float = 0.0  # share of the scribbles taken as they were drawn, where there is one; else from masks
    parts: float = 0.0  # share of the samples that show parts
    category: float = 0.5  # share of the instances called by their class alone, where they have one
    smallest: float = 0.01  # boxes of less than this share of the picture are left out
    by_area: bool = True  # slots from the largest box to the smallest, as published; else at random

    def __post_init__(self) -> None:
        for name in ("mixed", "inside", "drawn", "parts", "category", "smallest"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"task.shown.{name} must be in [0, 1], not {getattr(self, name)}")


def shown(scene: Scene, config: ShownConfig, slots: int, rng: np.random.Generator) -> list[Spot]:
    """The spots of one sample, each with the kinds it shows, at most `slots` (the largest)."""
    common = _kinds(config, rng)
    each = rng.random() < config.mixed
    parts = rng.random() < config.parts
    found = []
    phrases = {one.id: one.category for one in scene.instances}
    for spot in spots(scene):
        own, _, part = spot.id.partition("/")
        if (part and not parts) or spot.area < config.smallest:
            continue
        if not part and phrases[own] and rng.random() < config.category:
            spot = replace(spot, phrase=str(phrases[own]))
        seen = _seen(spot, _kinds(config, rng) if each else common, config, rng)
        if seen.kinds and (not part or "box" in seen.kinds):
            found.append(seen)
    largest = sorted(found, key=lambda one: -one.area)[:slots]
    return largest if config.by_area else [largest[k] for k in rng.permutation(len(largest))]


def phrases_of(scene: Scene) -> set[str]:
    """Every phrase that a sample of the scene may show."""
    found = set()
    for one in scene.instances:
        found |= {one.phrase, *(part_phrase(part.name, one.phrase) for part in one.parts)}
        if one.category:
            found.add(one.category)
    return found


def _kinds(config: ShownConfig, rng: np.random.Generator) -> tuple[str, ...]:
    """The kinds that a sample shows."""
    if config.kinds == "even":
        return MODES[int(rng.integers(len(MODES)))]
    box, point, scribble, mask = rng.random(4) >= 0.1
    box, point = box or mask, point or box or mask
    if rng.random() < 0.1:
        box, point, scribble, mask = False, True, False, False
    if mask and rng.random() < 0.1:
        box, point, scribble = True, True, False
    if not (box or point or scribble or mask):
        box = True
    return tuple(kind for kind, on in zip(KINDS, (box, point, scribble, mask), strict=True) if on)


def _seen(spot: Spot, wanted: Sequence[str], config: ShownConfig, rng: np.random.Generator) -> Spot:
    """A spot with the kinds among `wanted` that it has or its mask gives, and marks of this sample."""
    masked, drawn = spot.mask is not None, spot.scribble is not None
    has = {"box": spot.box is not None, "point": True, "scribble": masked or drawn, "mask": masked}
    point, scribble = spot.point, spot.scribble
    if spot.box is not None:
        point = ((spot.box.x0 + spot.box.x1) / 2, (spot.box.y0 + spot.box.y1) / 2)
    if spot.mask is not None and rng.random() < config.inside:
        point = spot.mask.points(rng, 1)[0].xy
    if masked and rng.random() >= config.drawn:
        scribble = None
    kinds = tuple(kind for kind in KINDS if kind in wanted and has[kind])
    return replace(spot, point=point, scribble=scribble, kinds=kinds)


class Scenes:
    """Scenes of a source, one JSON line each, parsed when asked for."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Scene:
        return Scene.from_json(json.loads(self._lines[index]))

    def phrases(self) -> set[str]:
        """Every phrase that a sample may show."""
        found: set[str] = set()
        for line in self._lines:
            for one in json.loads(line).get("instances", ()):
                found |= {one["phrase"], *([one["category"]] if one.get("category") else [])}
                found |= {part_phrase(part["name"], one["phrase"]) for part in one.get("parts", ())}
        return found


def open_scenes(source: Source, cache: Path, progress: Callable[[str], None] | None = None) -> Scenes:
    """The scenes of a source with their masks and parts, in the order of `renders.open_pictures`.

    Scenes of drawn worlds are kept in `cache`, those of Records are read anew. Raises InputError as
    `open_pictures` does.
    """
    if source.name not in ("toybox", "town"):
        return Scenes([_line(_of_record(path, source.size_wh)) for path in record_files(source)])
    draw, lines = drawer(source), []
    width, height = source.size_wh
    for first in range(0, source.count, PART):
        number = min(PART, source.count - first)
        path = cache / f"scenes-{source.name}-{width}x{height}-{first:07d}-{number}.jsonl"
        with alone_in(cache, path.stem):
            if not path.exists():
                made = [_line(draw(index)[1]).decode() for index in range(first, first + number)]
                write_text(path, "".join(f"{line}\n" for line in made))
                if progress is not None:
                    progress(f"{source.name}: {first + number} of {source.count} scenes")
        lines += path.read_bytes().splitlines()
    return Scenes(lines)


def _line(scene: Scene) -> bytes:
    """A scene without what training does not read."""
    slim = [replace(one, extra={}, keypoints=None, reference=None) for one in scene.instances]
    plain = scene.replace(instances=tuple(slim), extra={}, semantic_map=None)
    return json.dumps(plain.to_json(), separators=(",", ":")).encode()


def _of_record(picture: Path, size_wh: tuple[int, int]) -> Scene:
    """The scene of a Record with the masks that were found, or of a label file, cropped as its picture is."""
    from scenewright.scene.io import read_png_document

    if picture.suffix == ".json":
        scene = read_label(picture)[1]
        return Transform.fit(scene.size_wh, size_wh).scene(scene)
    scene = Scene.read(scene_file(picture))
    document = read_png_document(picture) if picture.suffix == ".png" else None
    found = document.get("masks", {}) if isinstance(document, dict) else {}
    masks = {id: Mask(size_hw=tuple(one["size_hw"]), counts=one["counts"]) for id, one in found.items()}
    whole = [
        one if one.mask is not None or one.id not in masks else replace(one, mask=masks[one.id])
        for one in scene.instances
    ]
    return Transform.fit(scene.size_wh, size_wh).scene(scene.replace(instances=tuple(whole)))
