"""Pictures of `reproduce dginstyle`: one map in all looks, and streets as the segmenters label them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import ScenewrightError
from scenewright.flows.evaluate import Progress
from scenewright.flows.jobs import Job
from scenewright.flows.reproduce.dginstyle_data import folder_name
from scenewright.flows.reproduce.dginstyle_plan import (
    ARMS,
    LOOK_OF,
    SET,
    SOURCE,
    SPACE,
    TARGETS,
    StyleOptions,
)
from scenewright.flows.reproduce.dginstyle_scores import segmenter_of, target
from scenewright.scene import Scene, SemanticMap, contact_sheet
from scenewright.scene.label_maps import class_caption, weather_prompt

Picture = NDArray[np.uint8]

SEARCHED: Final = 40
"""Held-out streets among which the one with the most classes, and of these the first, is shown."""

SHOWN_SEED: Final = 1

COLUMNS: Final = {"plain": "no swap", "swap": "swap", "fusion": "swap, fusion"}

LABELLED: Final = 2
"""Streets of every target look on the sheet of labels."""


def style_sheet(options: StyleOptions, folder: Path, told: Progress) -> Picture:
    """One held-out map: its render in the source look, and in every target look the render and what every
    generated set would show. Drawn once, kept in `folder`. Raises ScenewrightError when a picture fails."""
    from scenewright.world import town

    seed = _street()
    drawn = {look: town.draw(seed, size_wh=SET.size_wh, look=look) for look in SET.looks}
    scene = _scene(drawn[SOURCE].labels())
    columns = {name: _drawn(name, scene, options, folder, told) for name in options.generated}
    wide, high = SET.size_wh
    blank = np.full((high, wide, 3), 255, np.uint8)
    painted = SPACE.scored().colours(SPACE.outputs(drawn[SOURCE].semantic))
    top = [drawn[SOURCE].image, painted]
    pictures = [*top, *[blank] * (len(columns) - 1)]
    captions = [f"{SOURCE}, the source", "the map", *[""] * (len(columns) - 1)]
    for weather, look in LOOK_OF.items():
        pictures += [drawn[look].image, *(column[weather] for column in columns.values())]
        captions += [f"{look}, drawn", *(f"{weather}, {COLUMNS[name]}" for name in columns)]
    return contact_sheet(pictures, captions, len(columns) + 1)


def _street() -> int:
    """Seed of the street that is shown."""
    from scenewright.world import town

    def classes(seed: int) -> int:
        return len(np.unique(town.draw(seed, size_wh=SET.size_wh, look=SOURCE).semantic))

    return max(SET.seeds(SEARCHED), key=lambda seed: (classes(seed), -seed))


def _scene(found: SemanticMap) -> Scene:
    return Scene(class_caption(found.labels(), SPACE), SET.size_wh, semantic_map=found)


def _drawn(
    name: str, scene: Scene, options: StyleOptions, folder: Path, told: Progress
) -> dict[str, Picture]:
    """The map in every weather, drawn as the set of that name is."""
    from scenewright.flows.model import Model
    from scenewright.flows.write import write
    from scenewright.scene.io import read_image

    choice = options.model(name)
    bundle = Model.load(
        choice.name,
        device=choice.device,
        dtype=choice.dtype,
        allow_other_backbone=choice.allow_other_backbone,
    ).bundle
    jobs = []
    for weather in LOOK_OF:
        prompt = weather_prompt(scene.prompt, weather, options.template)
        jobs.append(Job(weather, scene.replace(prompt=prompt), SHOWN_SEED))
    written = write(
        bundle,
        jobs,
        options.sampling(name),
        folder / folder_name(name, options),
        overlays=False,
        on_progress=lambda done, total: told(f"pictures shown, {name}", done, total),
    )
    if written.failed:
        raise ScenewrightError(f"{written.failed} pictures failed", f"{written.failures} says why")
    return {one.job.name: read_image(one.files.png) for one in written.outcomes}


def label_sheet(trainings: Mapping[str, Path], device: str) -> Picture | None:
    """Held-out streets in every target look, their classes, and what the segmenter in the folder of every arm
    says; None without segmenters."""
    from scenewright.flows.street_segmenter import load_street_segmenter

    there = {name: place for name, folder in trainings.items() if (place := segmenter_of(folder))}
    if not there:
        return None
    items = [(look, target(look, LABELLED).read(k)) for look in TARGETS for k in range(LABELLED)]
    images, painted = [image for _, (image, _) in items], SPACE.scored()
    columns = [
        [(image, look) for look, (image, _) in items],
        [(painted.colours(truth), "truth") for _, (_, truth) in items],
    ]
    for name, place in there.items():
        segmenter, _ = load_street_segmenter(str(place), SPACE.vocabulary, device)
        columns.append([(painted.colours(found), ARMS[name].title) for found in segmenter.labels(images)])
    cells = [column[k] for k in range(len(items)) for column in columns]
    return contact_sheet([one for one, _ in cells], [words for _, words in cells], len(columns))
