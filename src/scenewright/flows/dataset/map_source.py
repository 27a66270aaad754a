"""What is to be drawn from label maps: which map, which part of it, in which weather, with which seed.

Every picture has a seed of its own, a hash of the run's seed and its number, from which its crop and its
noise follow; its class and file come from rare-class sampling (`data.rare_classes`), from a generation list,
or from the maps in turn.

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.rare_classes import (
    LEAST_IN_FILE,
    TEMPERATURE,
    RareClasses,
    class_share,
    generation_window,
    item_seed,
    least_pixels,
    middle_window,
)
from scenewright.data.street import map_stem, open_streets, read_street_labels
from scenewright.data.street_stats import (
    STATS,
    STATS_DICT,
    WITH_CLASS,
    Statistics,
    find_file,
    read_generation_list,
)
from scenewright.errors import InputError, StorageError
from scenewright.flows.dataset.orders import Order
from scenewright.flows.dataset.weather import WeatherPolicy, prefix
from scenewright.flows.jobs import Job, slug
from scenewright.flows.maps import KEY, STREETS, crop_wh, read_map
from scenewright.scene import Scene, SemanticMap, Transform
from scenewright.scene.io import picture_size
from scenewright.scene.label_maps import IN_WEATHER, class_caption, class_pixels, weather_prompt
from scenewright.scene.label_space import LabelSpace, load
from scenewright.scene.masks import LARGEST_PX
from scenewright.scene.schema import LARGEST_SEED

MOST = 10_000_000


@dataclass(frozen=True)
class Picked:
    """A label file, the class (id) that its crop must show (None: the middle of the map), and what the file
    holds where its layout says so (`data.street.StreetLayout.maps`)."""

    file: Path
    id: int | None = None
    ids: str = ""


@dataclass(frozen=True, kw_only=True)
class MapSource:
    """Pictures of label maps; checked when made (InputError).

    places       label files, generation lists (.json), folders of street datasets or of label files
    vocabulary   of the maps
    total        number of pictures; 0: one for each map, or line of a list
    temperature  of rare-class sampling in folders; 0: the maps in turn, their middle
    least        share of a map that its class takes at least, for rare-class sampling
    crop_px      shorter side of what is cut out, in pixels of the map; less where the map is smaller
    weather      shares of the words in prompts
    template     of prompts with weather: {classes}, {weather}
    seed         of the run
    """

    places: tuple[Path, ...]
    vocabulary: str = "cityscapes"
    total: int = 0
    temperature: float = TEMPERATURE
    least: float = LEAST_IN_FILE
    crop_px: int = 512
    weather: WeatherPolicy = field(default_factory=WeatherPolicy)
    template: str = IN_WEATHER
    seed: int = 0

    def __post_init__(self) -> None:
        LabelSpace.of(self.vocabulary)
        weather_prompt("", "night", self.template)
        if not self.places:
            raise InputError("no label maps were named", "a folder, MAP.png, or a generation list")
        for name, low, high in (
            ("total", 0, MOST), ("crop_px", 1, LARGEST_PX), ("seed", 0, LARGEST_SEED), ("least", 0, 1),
            ("temperature", 0, 1e6),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; expected {low} to {high}")

    def picks(self) -> list[Picked]:
        """Class and file of every picture. Raises StorageError, InputError."""
        found = [one for place in self.places for one in self._of_place(place)]
        if not self.total:
            return found
        return [found[k % len(found)] for k in range(self.total)]

    def _of_place(self, place: Path) -> Iterator[Picked]:
        if place.is_dir():
            yield from self._of_folder(place)
        elif place.suffix.lower() == ".json":
            for one in read_generation_list(place, self.vocabulary):
                yield Picked(find_file(one.file, place.parent), one.id)
        elif place.is_file():
            yield Picked(place)
        else:
            raise StorageError(f"there is no label map {place}")

    def _of_folder(self, folder: Path) -> Iterator[Picked]:
        files = label_files(folder, self.vocabulary)
        if not self.temperature:
            yield from files
            return
        held = {str(one.file): one.ids for one in files}
        statistics = self._statistics(folder, files)
        least = least_pixels(self.least, picture_size(files[0].file))
        rare = RareClasses.of(statistics, min_pixels=least, temperature=self.temperature)
        alone = len(self.places) == 1
        for id, name in rare.picks(self.total if alone and self.total else len(files), self.seed):
            yield Picked(find_file(name, folder), id, held.get(name, ""))

    def _statistics(self, folder: Path, files: list[Picked]) -> Statistics:
        """Those that lie in the folder, else of its maps counted now."""
        if any((folder / name).is_file() for name in (STATS, STATS_DICT, WITH_CLASS)):
            return Statistics.read(folder)
        space = LabelSpace.of(self.vocabulary)
        rows = [
            (str(one.file), class_pixels(labels(one, self.vocabulary), space, str(one.file))) for one in files
        ]
        return Statistics(tuple(rows))

    def orders(self, to_wh: tuple[int, int], least_area: float) -> list[Order]:
        """All pictures, on a canvas of `to_wh`; wanted of each are the classes with `least_area` or more.

        Raises InputError, naming the file, for labels that are no class and classes that are not there.
        """
        picks = self.picks()
        words = self.weather.words(len(picks), self.seed)
        width = max(6, len(str(len(picks) - 1)))
        return [
            self._order(k, pick, word, to_wh, least_area, width)
            for k, (pick, word) in enumerate(zip(picks, words, strict=True))
        ]

    def _order(
        self, k: int, pick: Picked, word: str, to_wh: tuple[int, int], least_area: float, width: int
    ) -> Order:
        seed, space = item_seed(self.seed, k), LabelSpace.of(self.vocabulary)
        try:
            labels_HW, window = self._shown(pick, to_wh, np.random.default_rng((seed, 0xC409)))
        except InputError as fault:
            raise InputError(f"{pick.file}: {fault.message}", fault.hint) from fault
        caption = class_caption(labels_HW, space)
        named = {} if pick.id is None else {"class": load(self.vocabulary).by_id(pick.id).name}
        told = {"source": pick.file.name, **named, "crop": list(window), "item": k, "run_seed": self.seed}
        scene = Scene(
            weather_prompt(caption, word, self.template),
            to_wh,
            semantic_map=SemanticMap.from_labels(labels_HW, self.vocabulary),
            extra={KEY: {**told, **({"weather": word} if word else {})}},
        )
        stem = slug(f"{prefix(word)}{map_stem(pick.file)}")[:60]
        job = Job(f"{k:0{width}d}-{stem}".strip("-"), scene, seed)
        counts = class_pixels(labels_HW, space)
        there = [id for id, n in counts.items() if n >= least_area * labels_HW.size or id == pick.id]
        names = [load(self.vocabulary).by_id(id).name for id in there]
        return Order(job, dict(zip(names, names, strict=True)))

    def _shown(
        self, pick: Picked, to_wh: tuple[int, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint16], tuple[int, int, int, int]]:
        """The part of a map that is drawn, at the size of the canvas, and where it lies."""
        whole_HW = labels(pick, self.vocabulary)
        height, width = whole_HW.shape
        size_wh = crop_wh((width, height), self.crop_px, to_wh)
        if pick.id is None:
            window = middle_window((height, width), size_wh)
        else:
            window = generation_window(whole_HW, pick.id, size_wh, rng)
        found_HW = Transform((width, height)).crop(window).resize(to_wh).labels(whole_HW)
        if pick.id is not None and not (found_HW == pick.id).any():
            share = class_share(whole_HW, pick.id, window)
            raise InputError(
                f"nothing is left of the class {pick.id} at {to_wh[0]}x{to_wh[1]} (a share of {share:.1e})",
                "a smaller --crop, a larger --size, or a larger least share",
            )
        return found_HW, window

    def to_json(self) -> dict[str, Any]:
        """What stands in the data set's description."""
        return {
            "kind": "label maps",
            "places": [place.resolve().name for place in self.places],
            "vocabulary": self.vocabulary,
            "temperature": self.temperature,
            "least": self.least,
            "crop_px": self.crop_px,
            "weather": self.weather.to_json(),
            "template": self.template,
            "seed": self.seed,
        }


def label_files(folder: Path, vocabulary: str) -> list[Picked]:
    """The label files of a folder: of a dataset of streets, else all its PNG. InputError if there is none."""
    if vocabulary in STREETS:
        return [Picked(one.label, ids=one.ids) for one in open_streets(folder).streets]
    files = sorted(path for path in folder.glob("*.png") if not path.name.startswith("."))
    if not files:
        raise InputError(f"{folder} has no label maps", "NAME.png, one channel of ids")
    return [Picked(path) for path in files]


@lru_cache(maxsize=4)
def labels(pick: Picked, vocabulary: str) -> NDArray[np.uint16]:
    """The ids in a label file; the last few are kept. Raises as `read_map` and `read_street_labels` do."""
    if pick.ids:
        return read_street_labels(pick.file, pick.ids).astype(np.uint16)
    return read_map(pick.file, vocabulary)
