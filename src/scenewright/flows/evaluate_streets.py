"""Measure a segmenter of streets on labelled datasets that it was not trained on: the page to read.

Datasets in the layouts that they come in, or folders of Records -> labels of sliding windows -> one confusion
matrix for each set -> mIoU with intervals, classes, the mean over the sets. With the results of another
segmenter on the same pictures, differences with paired intervals.

Letters: B resamples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scenewright.data.record_files import record_files
from scenewright.data.street import open_streets
from scenewright.errors import InputError, StorageError
from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.measures import Measure, estimates
from scenewright.evaluate.protocol import ENOUGH, Metric, Protocol, sample_digest
from scenewright.evaluate.report import Difference, Group, Report, compare
from scenewright.evaluate.semantic import Labels, SemanticScore, semantic_score
from scenewright.flows.evaluate import EVALUATION, MOST_RESAMPLES, RESULTS, SHEET, Progress
from scenewright.flows.maps import STREETS as STREET_WORDS
from scenewright.scene import Record, contact_sheet, write_png
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.scene.label_space import LabelSpace, class_map

if TYPE_CHECKING:
    from scenewright.models.segformer import Segmenter

STREETS: Final = Protocol(
    id="streets-1",
    benchmark="streets",
    title="Does a segmenter name the pixels of street pictures as their labels do?",
    judges=(),
    metrics=(
        Metric(name="miou", title="mIoU"),
        Metric(name="pixels", title="pixel accuracy"),
        Metric(name="iou", title="IoU"),
    ),
)
"""One confusion matrix per set, classes that are there or predicted; `iou` of single classes, in groups."""

PUBLISHED_WH: Final = {
    "cityscapes": (1024, 512), "bdd100k": (1024, 512), "mapillary": (1024, 512),
    "acdc": (960, 540), "dark-zurich": (960, 540),
}  # fmt: skip
"""Sizes to which pictures are brought before the published 512 px segmenters read them."""

SHOWN = 3
"""Pictures of each set on the sheet."""

SUMMARY = "streets.json"


@dataclass(frozen=True, kw_only=True)
class StreetOptions:
    """What is measured, and how; checked when made (InputError).

    segmenter  folder or hub id
    vocabulary of its outputs
    window_px, stride_px  of sliding windows; 0: whole pictures, half a window
    size_wh    pictures are brought to this size first; None: left as they are
    published  sizes of `PUBLISHED_WH` in place of it
    split      part of the datasets; "" that to measure on
    count      the first so many pictures of each set; 0: all
    compare    streets.json of another segmenter on the same sets, or None
    out        folder for results; None: ``evaluation`` in the first dataset
    """

    segmenter: str
    vocabulary: str = "cityscapes"
    window_px: int = 0
    stride_px: int = 0
    size_wh: tuple[int, int] | None = None
    published: bool = False
    split: str = ""
    count: int = 0
    compare: Path | None = None
    out: Path | None = None
    device: str = "auto"
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        for name, low, high in (
            ("count", 0, 10**7), ("window_px", 0, 2**16), ("stride_px", 0, self.window_px),
            ("seed", 0, 2**32 - 1), ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; expected {low} to {high}")
        if self.window_px and not self.stride_px:
            object.__setattr__(self, "stride_px", max(1, self.window_px // 2))

    def inference(self, layout: str) -> str:
        """How pictures of a layout are read, in words."""
        size_wh = self.size_for(layout)
        size = f" at {size_wh[0]}x{size_wh[1]}" if size_wh else ""
        return (f"windows {self.window_px}/{self.stride_px}" if self.window_px else "whole") + size

    def size_for(self, layout: str) -> tuple[int, int] | None:
        """The size to which pictures of a layout are brought."""
        return PUBLISHED_WH.get(layout) if self.published else self.size_wh


@dataclass(frozen=True, kw_only=True)
class StreetsEvaluated:
    """A report for each set by name, the mean mIoU over the sets, differences to another segmenter by set and
    of the "mean" (empty if none was named), and the files."""

    reports: Mapping[str, Report]
    mean: Estimate
    differences: Mapping[str, Difference]
    results: Path
    sheet: Path

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            "sets": {name: one.summary() for name, one in self.reports.items()},
            "mean": self.mean.to_json(),
            "differences": {name: one.to_json() for name, one in self.differences.items()},
            "files": [str(self.results), str(self.sheet)],
        }


@dataclass(frozen=True)
class TargetSet:
    """Labelled pictures: `read` gives the picture and the map of outputs of a place in `names`."""

    name: str
    layout: str
    names: tuple[str, ...]
    read: Any

    def __len__(self) -> int:
        return len(self.names)


def evaluate_streets(
    folders: Sequence[Path], options: StreetOptions, on_progress: Progress | None = None
) -> StreetsEvaluated:
    """Measure a segmenter on every set and write reports, a summary and a sheet.

    Raises InputError (nothing to measure, sets of one name, results that cannot be compared), ModelError (no
    segmenter), StorageError.
    """
    from scenewright.flows.street_segmenter import load_street_segmenter

    told = on_progress or (lambda words, done, total: None)
    if not folders:
        raise InputError(
            "no dataset was named", "evaluate semantic data/cityscapes data/acdc --segmenter FOLDER"
        )
    theirs = read_summary(options.compare) if options.compare else {}
    space = LabelSpace.of(options.vocabulary)
    sets = [open_target(folder, space, options) for folder in folders]
    _check_names([one.name for one in sets])
    segmenter, named = load_street_segmenter(options.segmenter, options.vocabulary, options.device)
    out = options.out or folders[0] / EVALUATION
    reports, cells = {}, []
    for one in sets:
        score, keys, shown = score_target(one, segmenter, space, options, told)
        reports[one.name] = build_report(one, score, keys, named, options)
        reports[one.name].write(out / "streets" / one.name / RESULTS)
        cells += shown
    sheet = contact_sheet([one for one, _ in cells], [words for _, words in cells], columns=3)
    compared = {name: compare(one, theirs[name]) for name, one in reports.items() if name in theirs}
    differences = {name: one["miou"] for name, one in compared.items() if "miou" in one}
    evaluated = StreetsEvaluated(
        reports=reports,
        mean=mean_over(list(reports.values())),
        differences=_differences(reports, theirs, differences),
        results=out / SUMMARY,
        sheet=write_png(out / SHEET, sheet),
    )
    sets_of = {name: f"streets/{name}/{RESULTS}" for name in reports}
    atomic_write(out / SUMMARY, to_json_bytes({**evaluated.to_json(), "reports": sets_of}, indent=1))
    return evaluated


def open_target(folder: Path, space: LabelSpace, options: StreetOptions) -> TargetSet:
    """The pictures of a dataset of streets, or of a folder of Records. Raises StorageError, InputError."""
    name = folder.resolve().name
    try:
        streets = open_streets(folder, "auto", options.split)
    except InputError as fault:
        try:
            files = record_files([folder], options.count)
        except InputError:
            raise fault from None

        def record(k: int) -> tuple[Any, Labels]:
            found = Record.load(files[k])
            return found.image, class_map(found, space)

        return TargetSet(name, "records", tuple(path.stem for path in files), record)
    if space.vocabulary not in STREET_WORDS:
        raise InputError(
            f"{folder} holds street classes, the segmenter those of {space.vocabulary!r}",
            "--vocabulary cityscapes",
        )
    streets = streets.first(options.count)

    def street(k: int) -> tuple[Any, Labels]:
        image_HW3, labels_HW = streets.item(k)
        return image_HW3, space.outputs(labels_HW)

    return TargetSet(name, streets.layout.name, tuple(one.stem for one in streets.streets), street)


def score_target(
    target: TargetSet, segmenter: Segmenter, space: LabelSpace, options: StreetOptions, told: Progress
) -> tuple[SemanticScore, list[str], list[tuple[Any, str]]]:
    """Counts of a set, keys of its pictures, and the first ones as cells of the sheet."""
    from scenewright.flows.street_segmenter import named_pixels

    keys: list[str] = []
    cells: list[tuple[Any, str]] = []
    scored = space.scored()

    def pairs() -> Iterator[tuple[Labels, Labels]]:
        for k in range(len(target)):
            image_HW3, truth_HW = target.read(k)
            seen_HW = named_pixels(
                segmenter, image_HW3, truth_HW.shape, size_wh=options.size_for(target.layout),
                window_px=options.window_px, stride_px=options.stride_px,
            )  # fmt: skip
            keys.append(hashlib.sha256(target.names[k].encode() + truth_HW.tobytes()).hexdigest()[:16])
            if k < SHOWN:
                maps = (scored.colours(truth_HW), scored.colours(seen_HW))
                cells.extend(zip((image_HW3, *maps), (target.name, "labels", "segmenter"), strict=True))
            told(f"pictures of {target.name}", k + 1, len(target))
            yield truth_HW, seen_HW

    return semantic_score(pairs(), scored), keys, cells


def build_report(
    target: TargetSet, score: SemanticScore, keys: Sequence[str], named: str, options: StreetOptions
) -> Report:
    """All figures of one set."""
    measures = {"miou": Measure(score.mean_iou), "pixels": Measure(score.pixel_accuracy)}
    number = len(target)
    figures, replicates = estimates(measures, number, options.resamples, options.seed)
    groups = {}
    for k, name in enumerate(score.names):
        if int(score.truth_PK[:, k].sum()):
            one = {"iou": Measure(score.mean_iou_of((name,)))}
            found, _ = estimates(one, number, options.resamples, options.seed)
            groups[name] = Group(pictures=int((score.truth_PK[:, k] > 0).sum()), instances=0, figures=found)
    few = [f"{number} pictures: intervals are wide; {ENOUGH} or more are usual"] if number < ENOUGH else []
    right_P = score.shared_PK.sum(1) / np.maximum(score.truth_PK.sum(1), 1)
    return Report(
        protocol=STREETS.id,
        judges={"truth": f"label files, {target.layout}", "inference": options.inference(target.layout)},
        source=f"{target.name}, {named}",
        sample_set="",
        samples=sample_digest(keys),
        pictures=number,
        instances=number,
        seed=options.seed,
        resamples=options.resamples,
        figures=figures,
        groups={"class": groups},
        items=[
            {"name": name, "key": key, "pixels": round(float(right), 4), "rank": round(float(right), 4)}
            for name, key, right in zip(target.names, keys, right_P, strict=True)
        ],
        replicates=replicates,
        notes=few,
    )


def mean_over(reports: Sequence[Report]) -> Estimate:
    """The mean of the sets' mIoU with its interval; resample b of one set goes with resample b of the others,
    which pairs sets of the same streets."""
    values = [one.figures["miou"].value for one in reports]
    known = [value for value in values if value is not None]
    drawn_B = np.mean([_replicates(one) for one in reports], axis=0)
    drawn_B = drawn_B[np.isfinite(drawn_B)]
    if not known or not len(drawn_B):
        return Estimate(None, None, None)
    low, high = np.quantile(drawn_B, [0.025, 0.975])
    return Estimate(float(np.mean(known)), float(low), float(high))


def _differences(
    ours: Mapping[str, Report], theirs: Mapping[str, Report], found: Mapping[str, Difference]
) -> dict[str, Difference]:
    """Differences by set, and of the mean over the sets that both have."""
    if not found:
        return {}
    one, other = ([reports[name] for name in found] for reports in (ours, theirs))
    drawn_B = np.mean([_replicates(a) - _replicates(b) for a, b in zip(one, other, strict=True)], axis=0)
    low, high = np.quantile(drawn_B[np.isfinite(drawn_B)], [0.025, 0.975])
    means = mean_over(one).value or 0.0, mean_over(other).value or 0.0
    whole = Difference(metric="miou", ours=means[0], theirs=means[1], low=float(low), high=float(high))
    return {**found, "mean": whole}


def read_summary(path: Path) -> dict[str, Report]:
    """The reports that a summary names, by set. Raises StorageError, InputError."""
    try:
        names = json.loads(path.read_bytes())["reports"]
        return {name: Report.read(path.parent / place) for name, place in names.items()}
    except OSError as fault:
        raise StorageError(f"cannot read {path}: {fault.strerror}", "name the streets.json") from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(f"{path} is no summary of `evaluate semantic --segmenter`") from fault


def _replicates(report: Report) -> Any:
    return np.array([np.nan if v is None else v for v in report.replicates["miou"]], np.float64)


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two datasets are called {twice}", "results are kept by the folder's name")


def lines(found: StreetsEvaluated) -> Iterator[str]:
    """As the command line prints it."""
    width = max(len(name) for name in (*found.reports, "mean"))
    for name, one in found.reports.items():
        yield f"{name:{width}}  {one.pictures:5d} pictures  {_told(one.figures['miou'])}"
    yield f"{'mean':{width}}                  {_told(found.mean)}"
    for name, other in found.differences.items():
        yield (
            f"{name:{width}}  {100 * (other.ours - other.theirs):+.1f} points against "
            f"{100 * other.theirs:.1f} ({100 * other.low:+.1f} to {100 * other.high:+.1f})"
        )
    yield from map(str, (found.results, found.sheet))


def _told(one: Estimate) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "nothing to measure"
    return f"{100 * one.value:.1f} mIoU ({100 * one.low:.1f} to {100 * one.high:.1f})"
