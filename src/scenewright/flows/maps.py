"""Label maps as what is to be drawn: ``generate MAP.png … --vocabulary cityscapes``, and generation lists.

A map becomes a scene whose prompt names the classes that its canvas shows; a list (DGInStyle's JSON of class
and file) asks for a crop of a map around one of its classes. Crops, prompts and what they came from stand in
the scene's ``extra["dginstyle"]``.

Letters: H W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.rare_classes import generation_window, item_seed
from scenewright.data.street import TRAIN_END, map_stem, read_street_labels
from scenewright.data.street_stats import find_file, is_generation_list, read_generation_list
from scenewright.errors import InputError
from scenewright.flows.jobs import Named, slug, unique
from scenewright.scene import ImageRef, Scene, SemanticMap, Transform
from scenewright.scene.files import read_json
from scenewright.scene.io import is_picture, read_bytes, read_image, read_labels
from scenewright.scene.label_maps import check_weather, class_caption, from_colours, outputs, weather_prompt
from scenewright.scene.label_space import LabelSpace, load

if TYPE_CHECKING:
    from scenewright.flows.jobs import Request

KEY = "dginstyle"
"""Where a scene's `extra` says what it was made from."""

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "town"
"""Four maps of the drawn town, and ``streets.json``, a list of them."""

STREETS = ("cityscapes", "town")
"""Vocabularies whose files may be named and numbered as street datasets do."""

MOST_UNKNOWN = 64
"""Colours of no class that a map may have where they take most of it."""


def read_maps(request: Request) -> list[Named]:
    """The maps of a request as scenes of their own size, uncropped and without a prompt yet.

    Raises InputError (no vocabulary of that name, a file that is no map, labels that are no class, an unknown
    weather) and StorageError.
    """
    space = LabelSpace.of(request.vocabulary)
    if request.weather:
        check_weather(request.weather)
    found = [one for path in request.files for one in _scenes(path, space)]
    if len(request.prompts) not in (0, 1, len(found)):
        raise InputError(
            f"{len(request.prompts)} prompts for {len(found)} maps",
            "none names the classes of each, one is for all, or one for each map",
        )
    return list(unique(found))


def fitted_maps(scenes: Sequence[Named], request: Request, to_wh: tuple[int, int]) -> list[Named]:
    """The maps on a canvas of `to_wh`, with their prompts, in which {classes} stands for what a map shows.

    Raises InputError for a class that is not there.
    """
    prompts = request.prompts * len(scenes) if len(request.prompts) == 1 else request.prompts
    found = []
    for k, one in enumerate(scenes):
        scene = _fitted(one.scene, request, to_wh, np.random.default_rng(item_seed(request.seed or 0, k)))
        assert scene.semantic_map is not None
        space = LabelSpace.of(scene.semantic_map.vocabulary)
        classes = class_caption(scene.semantic_map.labels(), space, one.name)
        words = prompts[k].replace("{classes}", classes) if prompts else classes
        prompt = weather_prompt(words, request.weather)
        told = {**scene.extra[KEY], **({"weather": request.weather} if request.weather else {})}
        found.append(Named(one.name, scene.replace(prompt=prompt, extra={**scene.extra, KEY: told})))
    return found


def read_map(path: Path, vocabulary: str) -> NDArray[np.uint16]:
    """The ids [H, W] in a label file: numbers of the vocabulary, grey or palette, or its colours.

    Files of street datasets are read by their names: ``_labelIds`` holds the ids of Cityscapes, 19 in files
    of the published generator is not labelled. Raises InputError for other numbers, StorageError.
    """
    known = load(vocabulary)
    if _is_coloured(path):
        image_HW3 = read_image(path)
        labels_HW = from_colours(image_HW3, known)
        check_colours(image_HW3, labels_HW == known.ignore, path, vocabulary)
        return labels_HW
    if vocabulary in STREETS:
        kind = "city" if re.search(r"_labelIds\.png$", path.name) else "generated"
        return read_street_labels(path, kind).astype(np.uint16)
    labels_HW = read_labels(path)
    outputs(labels_HW, LabelSpace.of(vocabulary), str(path))
    return labels_HW


def check_colours(image_HW3: NDArray[np.uint8], unknown_HW: NDArray[np.bool_], path: Path, name: str) -> None:
    """Raises InputError for a photograph: most of it is of colours of no class, and these are many."""
    colours = np.unique(image_HW3[unknown_HW], axis=0)
    if unknown_HW.mean() > 0.5 and len(colours) > MOST_UNKNOWN:
        raise InputError(
            f"{path} has {len(colours)} colours that are no class of {name!r}",
            "a label map is expected: numbers of the classes, or their colours",
        )


def _scenes(path: Path, space: LabelSpace) -> Iterator[Named]:
    """The map in a file, or those that a list names; shipped ones are found by their name."""
    if not path.exists() and (EXAMPLES / path.name).is_file():
        path = EXAMPLES / path.name
    content = read_bytes(path)
    if is_picture(content):
        yield _scene(path, space, {})
        return
    if path.suffix.lower() != ".json" or not is_generation_list(read_json(path)):
        raise InputError(
            f"{path} is neither a label map nor a generation list",
            f"with --vocabulary maps are expected, such as NAME{TRAIN_END}; scenes go without it",
        )
    for wanted in read_generation_list(path, space.vocabulary):
        name = load(space.vocabulary).by_id(wanted.id).name
        yield _scene(find_file(wanted.file, path.parent), space, {"class": name})


def _scene(path: Path, space: LabelSpace, told: dict[str, Any]) -> Named:
    labels_HW = read_map(path, space.vocabulary)
    height, width = labels_HW.shape
    scene = Scene(
        "",
        (width, height),
        semantic_map=SemanticMap.from_labels(labels_HW, space.vocabulary),
        picture=ImageRef(path=path.name),
        extra={KEY: {"source": path.name, **told}},
    )
    return Named(slug(map_stem(path)) or "map", scene)


def _fitted(scene: Scene, request: Request, to_wh: tuple[int, int], rng: np.random.Generator) -> Scene:
    """A map cropped around its class, or to the shape of the canvas, and brought to its size."""
    assert scene.semantic_map is not None
    told = scene.extra[KEY]
    window = _middle(scene.size_wh, to_wh)
    if "class" in told:
        id = load(scene.semantic_map.vocabulary).find(told["class"]).id
        size_wh = crop_wh(scene.size_wh, request.crop_px, to_wh)
        window = generation_window(scene.semantic_map.labels(), id, size_wh, rng)
    moved = Transform(scene.size_wh).crop(window).resize(to_wh).scene(scene)
    return replace(moved, picture=None, extra={**moved.extra, KEY: {**told, "crop": list(window)}})


def crop_wh(size_wh: tuple[int, int], side_px: int, to_wh: tuple[int, int]) -> tuple[int, int]:
    """A window of the shape of `to_wh`, its shorter side `side_px` pixels, or as many as the map has."""
    scale = side_px / min(to_wh)
    scale = min(scale, *(whole / side for whole, side in zip(size_wh, to_wh, strict=True)))
    width, height = (max(1, round(side * scale)) for side in to_wh)
    return min(width, size_wh[0]), min(height, size_wh[1])


def _middle(size_wh: tuple[int, int], to_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest window of the shape of `to_wh`, in the middle."""
    width, height = crop_wh(size_wh, max(size_wh) * max(to_wh), to_wh)
    x0, y0 = (size_wh[0] - width) // 2, (size_wh[1] - height) // 2
    return x0, y0, x0 + width, y0 + height


def _is_coloured(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.mode in ("RGB", "RGBA")
    except (UnidentifiedImageError, OSError):
        return False  # whoever reads it says what is wrong
