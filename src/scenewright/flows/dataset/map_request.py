"""From label maps to a labelled data set: load, check, draw, filter; then a manifest and a quality report.

``manifest.jsonl`` has a line for every picture, kept or not: source, crop, class, weather, prompt, seeds.
``quality.json`` says how far the pictures agree with their maps, by class and by weather.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.errors import InputError
from scenewright.flows.dataset.folder import MANIFEST, QUALITY, Dataset
from scenewright.flows.dataset.map_source import MapSource
from scenewright.flows.dataset.map_work import MAP, MapRules, MapTools, load_filter
from scenewright.flows.dataset.stats import quartiles
from scenewright.flows.maps import KEY
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice, check_maps
from scenewright.flows.write import check_folder, check_jobs
from scenewright.scene.files import atomic_write, to_json_bytes

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.flows.dataset.orders import Order
    from scenewright.flows.dataset.request import Prepared


@dataclass(frozen=True, kw_only=True)
class MapRequest:
    """A data set of label maps as it is asked for.

    source     which maps, crops, weathers
    size_wh    canvas in pixels; None takes the model's own
    segmenter  folder or hub id of the filter, "" for none; see `map_work.load_filter`
    """

    source: MapSource
    size_wh: tuple[int, int] | None = None
    model: ModelChoice = field(default_factory=lambda: ModelChoice(name="nano+dginstyle"))
    options: GenerateOptions = field(default_factory=GenerateOptions)
    segmenter: str = ""
    rules: MapRules = field(default_factory=MapRules)


def prepare_maps(request: MapRequest, out: Path) -> Prepared:
    """Load and check: folder `out`, segmenter, model, maps, their fit. Nothing is written.

    Raises InputError, ModelError or StorageError.
    """
    from scenewright.flows.dataset.build import check_place, describe
    from scenewright.flows.dataset.request import Prepared
    from scenewright.flows.windows import trained_wh

    check_folder(out)
    choice, source = request.model, request.source
    check_maps(choice.name, source.vocabulary, request.options)
    segmenter, named = load_filter(request.segmenter, source.vocabulary, choice.device)
    bundle = Model.load(
        choice.name,
        device=choice.device,
        dtype=choice.dtype,
        allow_other_backbone=choice.allow_other_backbone,
    ).bundle
    size_wh = request.size_wh or trained_wh(bundle.backbone, bundle.adapter)
    orders = source.orders(size_wh, request.rules.area)
    check_jobs(bundle, [one.job for one in orders], request.options)
    tools = MapTools(bundle, request.options, request.rules, segmenter, named)
    check_place(out, describe(tools, orders, source.to_json()))
    unfiltered = "no segmenter filters the pictures: --labeller names a folder with one"
    notes = (*(() if segmenter else (unfiltered,)), *too_long(orders, bundle.backbone))
    return Prepared(tools, tuple(orders), source.to_json(), notes)


def too_long(orders: Sequence[Order], backbone: Backbone) -> tuple[str, ...]:
    """A note where prompts do not fit into the text encoder: what they end with, the weather, is lost."""
    prompts = list(dict.fromkeys(one.job.scene.prompt for one in orders))
    ids = backbone.tokenizer(prompts, truncation=False, verbose=False)["input_ids"]
    long = sum(len(one) > backbone.window for one in ids)
    if not long:
        return ()
    return (
        f"{long} of {len(prompts)} different prompts are longer than the {backbone.window - 2} tokens that "
        f"{backbone.name} reads, and are cut: --template "
        "'A street in {weather} weather with {classes}' names the weather first",
    )


def finish_maps(orders: Sequence[Order], out: Path) -> None:
    """Write manifest and quality report of a data set that was built. Raises StorageError."""
    data = Dataset.open(out)
    atomic_write(out / MANIFEST, manifest_bytes(orders, data))
    atomic_write(out / QUALITY, to_json_bytes(quality(data, orders), indent=1))


def manifest_bytes(orders: Sequence[Order], data: Dataset) -> bytes:
    """A JSON line for each picture: what became of it, and everything that it was made from."""
    states = {one.name: one for one in data.journal}
    rows = []
    for one in orders:
        entry, scene = states.get(one.name), one.job.scene
        told = {"name": one.name, "state": entry.state if entry else "missing", **scene.extra[KEY]}
        reasons = {"reasons": [str(reason) for reason in entry.reasons]} if entry and entry.reasons else {}
        rows.append({**told, "prompt": scene.prompt, "seed": one.job.seed, **reasons})
    return b"".join(to_json_bytes(row) + b"\n" for row in rows)


def quality(data: Dataset, orders: Sequence[Order]) -> dict[str, Any]:
    """What ``quality.json`` says: pictures, weathers, and classes with quartiles of area and agreement.

    Raises InputError for a data set that was not built from label maps.
    """
    states = {one.name: one.state for one in data.journal}
    weather: dict[str, Counter[str]] = {}
    classes: dict[str, dict[str, Any]] = {}
    for one in orders:
        if KEY not in one.job.scene.extra:
            raise InputError(f"{data.folder} was not built from label maps")
        told = weather.setdefault(one.job.scene.extra[KEY].get("weather", "none"), Counter())
        told.update(("asked", states.get(one.name, "missing")))
        for name in one.classes:
            counts = classes.setdefault(
                name, {"maps": 0, "kept": 0, "ignored": 0, "area": [], "agreement": []}
            )
            counts["maps"] += 1
            counts["kept"] += states.get(one.name) == "kept"
    pixels = []
    for name in data.kept:
        scores = data.document(name).get("scores", {})
        pixels += [scores["pixels"]] if "pixels" in scores else []
        for label, found in scores.get(MAP, {}).items():
            if label in classes:
                classes[label]["ignored"] += label in scores.get("ignored", ())
                for key in ("area", "agreement"):
                    classes[label][key] += [found[key]] if key in found else []
    for counts in classes.values():
        counts |= {key: quartiles(counts[key]) for key in ("area", "agreement")}
    return {
        "pictures": {"asked": len(orders), **Counter(states.values())},
        "weather": {word: dict(counts) for word, counts in sorted(weather.items())},
        "pixels": quartiles(pixels),
        "classes": classes,
    }
