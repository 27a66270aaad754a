"""The pictures of `reproduce dginstyle`: the labelled source, the generated sets, renders of the same maps.

All sets are of the same orders (`flows.dataset.map_source`): maps of the source by rare-class sampling,
crops, weathers and seeds. What is there is used; what a kill left is continued.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from scenewright.data.street import map_stem
from scenewright.data.street_stats import DATASET_FILE, Statistics
from scenewright.errors import InputError, ScenewrightError
from scenewright.flows.dataset.map_request import MapRequest
from scenewright.flows.dataset.map_source import MapSource
from scenewright.flows.dataset.map_work import MapRules
from scenewright.flows.dataset.orders import Order, digest
from scenewright.flows.dataset.streets import import_streets
from scenewright.flows.evaluate import Progress
from scenewright.flows.maps import KEY
from scenewright.flows.reproduce.dginstyle_plan import (
    LOOK_OF,
    RARE_SHARE,
    REPRODUCTION,
    SET,
    SOURCE,
    SOURCE_SEED,
    SPACE,
    TARGETS,
    Pictures,
    StyleOptions,
)
from scenewright.scene import Record, Transform
from scenewright.scene.files import atomic_write_all, read_bytes, to_json_bytes

RUN_SEED: Final = 1
"""From which crops, weathers and noise of the sets follow."""


def draw_source(count: int, out: Path, told: Progress) -> Path:
    """The first `count` labelled streets in the layout of GTA, with train ids and statistics."""
    from scenewright.world import folders, town

    folder = out / f"town-{count}"
    for k in range(count):
        names = (folder / "images" / f"{k + 1:05d}.png", folder / "labels" / f"{k + 1:05d}.png")
        if not all(path.is_file() for path in names):
            drawn = town.draw(SOURCE_SEED + k, size_wh=SET.size_wh, look=SOURCE)
            folders.write_gta([drawn], folder, first=k + 1)
        told("labelled streets", k + 1, count)
    if not (folder / DATASET_FILE).is_file():  # the last of its files
        import_streets(folder, "gta")
    return folder


def rare_classes(town: Path) -> tuple[str, ...]:
    """The classes that take less than `RARE_SHARE` of the labelled pixels of the source, the rarest first."""
    totals = Statistics.read(town).totals()
    whole = sum(totals.values())
    found = sorted(
        (n, SPACE.names[SPACE.ids.index(id)]) for id, n in totals.items() if n < RARE_SHARE * whole
    )
    return tuple(name for _, name in found)


def make_sets(options: StyleOptions, town: Path, out: Path, told: Progress) -> dict[str, Pictures]:
    """Every set that the options need, by name. Raises as `build_set`."""
    if not options.sets:
        return {}
    source = map_source(options, town)
    orders = source.orders(SET.size_wh, MapRules().area)
    return {
        name: draw_renders(orders, options, out, told)
        if name == "renders"
        else build_set(name, options, source, out, told)
        for name in options.sets
    }


def map_source(options: StyleOptions, town: Path) -> MapSource:
    """What all sets are drawn from: whole maps of the source, rare classes more often."""
    return MapSource(
        places=(town,),
        vocabulary=SPACE.vocabulary,
        total=options.pictures,
        crop_px=min(SET.size_wh),
        weather=options.weather,
        template=options.template,
        seed=RUN_SEED,
    )


def build_set(name: str, options: StyleOptions, source: MapSource, out: Path, told: Progress) -> Pictures:
    """A generated set, as ``scenewright dataset build`` makes it.

    Raises ModelError, InputError (a folder that was built in another way, a filter that refuses everything),
    ScenewrightError when pictures failed: the same call tries them again.
    """
    from scenewright.flows.dataset.request import build_dataset

    request = MapRequest(
        source=source,
        size_wh=SET.size_wh,
        model=options.model(name),
        options=options.sampling(name),
        segmenter=options.filter,
    )
    folder = out / folder_name(name, options)
    built = build_dataset(
        request,
        folder,
        retry_failed=True,
        on_progress=lambda done, total: told(f"pictures, {name}", done, total),
    )
    if failed := [one for one in built.entries if one.state == "failed"]:
        raise ScenewrightError(
            f"{len(failed)} of {len(built.entries)} pictures of the set {name} failed: {failed[0].error}",
            failed[0].hint or "the same command tries them again; the others are kept",
        )
    if not built.count("kept"):
        raise InputError(
            f"the filter refused all {len(built.entries)} pictures of the set {name}",
            f"`scenewright dataset stats {folder}` says why; without --filter every picture is kept",
        )
    lines = sorted(to_json_bytes(one.to_json()) for one in built.entries)
    counts = Counter(str(one.state) for one in built.entries)
    return Pictures(
        name=name, folder=folder, digest=hashlib.sha256(b"\n".join(lines)).hexdigest(), counts=dict(counts)
    )


def draw_renders(orders: Sequence[Order], options: StyleOptions, out: Path, told: Progress) -> Pictures:
    """The same orders as a perfect generator would draw them."""
    folder = out / folder_name("renders", options)
    for done, order in enumerate(orders, start=1):
        if not (folder / f"{order.name}.png").is_file():
            files = rendered(order).files(folder, order.name)
            atomic_write_all(dict(reversed(files.items())))  # the picture last: it stands for both
        told("pictures, renders", done, len(orders))
    return Pictures(name="renders", folder=folder, digest=digest(orders), counts={"kept": len(orders)})


def rendered(order: Order) -> Record:
    """The street of an order's map in the look of its weather, cropped as the map is."""
    from scenewright.world import town

    scene, told = order.job.scene, order.job.scene.extra[KEY]
    seed = SOURCE_SEED + int(map_stem(Path(told["source"]))) - 1
    drawn = town.draw(seed, size_wh=SET.size_wh, look=look_of(told))
    part = Transform(SET.size_wh).crop(tuple(told["crop"])).resize(scene.size_wh)
    return Record(
        part.image(drawn.image),
        scene.replace(seed=order.job.seed),
        labels=scene.semantic_map,
        provenance={"world": "town", "seed": seed},
    )


def look_of(told: dict[str, Any]) -> str:
    """The look that an order asks for; those without weather have the target looks in turn."""
    return LOOK_OF[told["weather"]] if told.get("weather") else TARGETS[int(told["item"]) % len(TARGETS)]


def folder_name(name: str, options: StyleOptions) -> str:
    """Of a set: its name, and 8 hex digits of what it is asked to be; that the base is the same, the builder
    checks. Raises StorageError for a control that cannot be read."""
    asked: list[Any] = [
        REPRODUCTION, options.streets, options.pictures, options.weather.to_json(), options.template,
    ]  # fmt: skip
    if name != "renders":
        control = hashlib.sha256(read_bytes(options.control)).hexdigest()
        asked += [name, asdict(options.sampling(name)), options.filter, control, options.dtype]
    return f"{name}-{hashlib.sha256(to_json_bytes(asked)).hexdigest()[:8]}"
