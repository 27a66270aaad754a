"""What is in a data set: counts, yields, class balance, areas, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scenewright.flows.dataset.filters import REASONS
from scenewright.flows.dataset.folder import Dataset
from scenewright.scene import Mask

Progress = Callable[[float, int], None]


@dataclass(frozen=True, kw_only=True)
class ClassStats:
    """One class: pictures that wanted it, those that were kept, what it was refused for, and of the kept ones
    the share of the picture (`areas`) and the `scores` of its labels."""

    name: str
    wanted: int = 0
    kept: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    areas: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Counts, and quartiles in place of the lists."""
        return {
            "wanted": self.wanted,
            "kept": self.kept,
            "refused": self.refused,
            "area": quartiles(self.areas),
            "score": quartiles(self.scores),
        }


@dataclass(frozen=True, kw_only=True)
class Stats:
    """A whole data set. `per_picture` counts kept pictures by number of classes, `reasons` refusals."""

    name: str
    total: int
    kept: int
    refused: int
    failed: int
    bytes: int
    classes: tuple[ClassStats, ...]
    per_picture: dict[int, int]
    reasons: dict[str, int]
    prompts: int
    latents: int
    labeller: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            "dataset": self.name,
            "pictures": {
                "all": self.total,
                "kept": self.kept,
                "refused": self.refused,
                "failed": self.failed,
                "missing": self.total - self.kept - self.refused - self.failed,
            },
            "bytes": self.bytes,
            "latents": self.latents,
            "different_prompts": self.prompts,
            "labeller": self.labeller,
            "classes_per_picture": {str(key): value for key, value in self.per_picture.items()},
            "refused_for": self.reasons,
            "classes": {one.name: one.to_json() for one in self.classes},
        }


def stats(data: Dataset, on_progress: Progress | None = None) -> Stats:
    """Read the journal and what the records say; no pixel is decoded. Raises as `Dataset.document` does."""
    wanted, kept, refused, reasons = Counter[str](), Counter[str](), dict[str, Counter[str]](), Counter[str]()
    areas: dict[str, list[float]] = {}
    scores: dict[str, list[float]] = {}
    per_picture, prompts = Counter[int](), set[str]()
    for one in data.journal:
        wanted.update(one.classes)
        for reason in one.reasons:
            refused.setdefault(reason.name, Counter())[reason.what] += 1
        reasons.update({reason.what for reason in one.reasons})
    for done, name in enumerate(data.kept, 1):
        document = data.document(name)
        found = labels_of(document)
        kept.update(list(found))
        per_picture[len(found)] += 1
        prompts.add(str(document["scene"].get("prompt", "")))
        for label, (area, score) in found.items():
            areas.setdefault(label, []).append(area)
            if score is not None:
                scores.setdefault(label, []).append(score)
        if on_progress:
            on_progress(done, len(data.kept))
    if not data.described:  # without a journal what was wanted is what is there
        wanted = kept
    names = sorted({*wanted, *kept}, key=lambda name: (-kept[name], name))
    states = Counter(one.state for one in data.journal)
    return Stats(
        name=data.folder.name,
        total=data.total,
        kept=states["kept"],
        refused=states["refused"],
        failed=states["failed"],
        bytes=sum(path.stat().st_size for path in data.folder.iterdir() if path.is_file()),
        classes=tuple(
            ClassStats(
                name=name,
                wanted=wanted[name],
                kept=kept[name],
                refused={key: refused[name][key] for key in REASONS if refused.get(name, Counter())[key]},
                areas=tuple(areas.get(name, ())),
                scores=tuple(scores.get(name, ())),
            )
            for name in names
        ),
        per_picture=dict(sorted(per_picture.items())),
        reasons={key: reasons[key] for key in REASONS if reasons[key]},
        prompts=len(prompts),
        latents=sum(data.latent_path(name).is_file() for name in data.kept),
        labeller=str(data.description.get("labels", {}).get("labeller", "")),
    )


def labels_of(document: dict[str, Any]) -> dict[str, tuple[float, float | None]]:
    """Class -> share of the picture and best score, of what a record's document says.

    The class is the labeller's; of records without labels it is the instance's category, else its phrase.
    Of pictures of label maps it is every class of the map, its score the agreement of the filter.
    """
    told = document.get("scores", {}).get("labels", {})
    instances = {
        one.get("id", f"i{k}"): one for k, one in enumerate(document["scene"].get("instances", ()), 1)
    }
    masks: dict[str, Mask] = {}
    scores: dict[str, float | None] = {}
    for id, value in document.get("masks", {}).items():
        one = instances.get(id, {})
        name = str(told.get(id, {}).get("class") or one.get("category") or one.get("phrase") or id)
        mask = Mask(size_hw=tuple(value["size_hw"]), counts=value["counts"])
        masks[name] = masks[name].union(mask) if name in masks else mask
        score = told.get(id, {}).get("score")
        scores[name] = max((v for v in (score, scores.get(name)) if v is not None), default=None)
    mapped = document.get("scores", {}).get("map", {})
    return {
        **{name: (one["area"], one.get("agreement")) for name, one in mapped.items()},
        **{
            name: (round(mask.area_px / (mask.size_hw[0] * mask.size_hw[1]), 6), scores[name])
            for name, mask in masks.items()
        },
    }


def quartiles(values: Sequence[float]) -> list[float] | None:
    """Smallest, lower quartile, median, upper quartile, largest; None for no values."""
    if not values:
        return None
    import numpy as np

    return [round(float(v), 4) for v in np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])]


def lines(found: Stats) -> list[str]:
    """As the command line prints it."""
    from scenewright.flows.dataset.estimate import size

    told = [
        f"{found.kept} of {found.total} pictures kept, {found.refused} refused, {found.failed} failed; "
        f"{size(found.bytes)}" + (f" ({size(found.bytes / found.kept)} each)" if found.kept else ""),
    ]
    if found.reasons:
        told.append("refused: " + ", ".join(f"{number} {key}" for key, number in found.reasons.items()))
    wide = max((len(one.name) for one in found.classes), default=5)
    told.append(f"{'class':{wide}}  wanted  kept  area      score")
    for one in found.classes:
        area, score = quartiles(one.areas), quartiles(one.scores)
        told.append(
            f"{one.name:{wide}}  {one.wanted:6d}  {one.kept:4d}  "
            f"{f'{100 * area[2]:.1f} %' if area else '':8}  {f'{score[2]:.2f}' if score else ''}".rstrip()
        )
    return told
