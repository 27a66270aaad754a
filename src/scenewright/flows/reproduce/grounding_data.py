"""Generated, labelled pictures to train heads on and to measure them with: built once, then continued.

A model with a layout adapter draws layouts: those of drawings of the same classes, with their captions,
phrases and boxes. A model without one draws "a photograph of a A and a B".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scenewright.data.record_files import record_files
from scenewright.errors import InputError
from scenewright.flows.dataset.request import BuildRequest, build_dataset
from scenewright.flows.dataset.sources import ClassSource
from scenewright.flows.evaluate import Progress
from scenewright.flows.jobs import Request
from scenewright.flows.reproduce.grounding_plan import HeadsOptions, part_names, voc_names
from scenewright.flows.reproduce.runs import asked_scene
from scenewright.scene.record import SCENE_SUFFIX

DATA: Final = "data"
"""Folder of the generated pictures."""

LAYOUTS: Final = "layouts"
"""Folder of the scenes that are drawn."""

SEEDS_APART: Final = 100_000
"""Between the first seeds of two folders."""

LAYOUT_SEED: Final = 7_000_000
"""First world seed of layouts."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A folder of pictures: its name, the classes that they are drawn of, how many in each picture, how many
    pictures are tried, and its place among all folders."""

    name: str
    classes: Sequence[str]
    per_picture: int
    total: int
    place: int


def training_folders(options: HeadsOptions, layouts: bool, out: Path, told: Progress) -> tuple[Path, ...]:
    """Pictures with one class, and with two, of all names of VOC. InputError if none was kept."""
    half = options.pictures // 2
    folders = tuple(
        _built(
            Wanted(
                name=f"train-{number}", classes=voc_names(), per_picture=number, total=total, place=number
            ),
            options,
            layouts,
            out,
            told,
        )
        for number, total in ((1, half), (2, options.pictures - half))
    )
    if not any(any(folder.glob("*.png")) for folder in folders):
        raise InputError(
            f"the labeller found what was asked for in none of {options.pictures} generated pictures",
            "a model with a layout adapter (--model nano+gligen), more pictures, or Records of your own "
            "(--data)",
        )
    return tuple(folder for folder in folders if any(folder.glob("*.png")))


def test_folders(options: HeadsOptions, layouts: bool, out: Path, told: Progress) -> tuple[Path, ...]:
    """Pictures with one and with two classes of each part of split 1; nothing is trained on them. Folders of
    which none was kept are left out."""
    total = options.tested // 6
    wanted = [
        Wanted(
            name=f"test-{part.replace(' ', '-')}-{number}",
            classes=names,
            per_picture=number,
            total=total,
            place=10 + 2 * place + number,
        )
        for place, (part, names) in enumerate(part_names().items())
        for number in (1, 2)
    ]
    folders = [_built(one, options, layouts, out, told) for one in wanted if total]
    return tuple(folder for folder in folders if any(folder.glob("*.png")))


def kept(folders: Sequence[Path]) -> int:
    """How many pictures the folders hold."""
    return len(record_files(folders)) if folders else 0


def _built(one: Wanted, options: HeadsOptions, layouts: bool, out: Path, told: Progress) -> Path:
    folder = out / DATA / one.name
    request = BuildRequest(
        source=_layouts(one, out) if layouts else _names(one),
        model=options.model,
        options=options.generate,
        labeller=options.labeller,
    )
    words = f"pictures, {one.name}"
    build_dataset(request, folder, on_progress=lambda done, total: told(words, done, total))
    return folder


def _names(one: Wanted) -> ClassSource:
    return ClassSource(
        classes=tuple(one.classes),
        per_picture=one.per_picture,
        total=one.total,
        seed=one.place * SEEDS_APART,
    )


def _layouts(one: Wanted, out: Path) -> Request:
    """Layouts of drawings with that many toys, as scene files."""
    from scenewright.world import toybox

    folder = out / LAYOUTS / one.name
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(one.total):
        path = folder / f"{k:06d}{SCENE_SUFFIX}"
        if not path.is_file():
            seed = LAYOUT_SEED + one.place * SEEDS_APART + k
            count = (one.per_picture, one.per_picture)
            asked_scene(toybox.draw(seed, classes=one.classes, count=count).scene).write(path)
        files.append(path)
    return Request(files=tuple(files))
