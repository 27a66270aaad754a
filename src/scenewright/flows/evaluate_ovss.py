"""Measure open-vocabulary segmentation on a dataset, ours beside other methods: the page to read.

dataset as downloaded -> pictures -> label maps of the model (written), or label maps that are there -> one
confusion matrix -> figures with intervals -> files. Other methods' maps (`--also`) are scored by the same
protocol on the same pictures, and shown in strips: picture, others, ours, truth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenewright.data.label_sets import LabelSet, open_label_set
from scenewright.errors import InputError
from scenewright.evaluate.measures import estimates, values
from scenewright.evaluate.open_protocols import (
    FORMULA,
    RULES,
    OpenProtocol,
    open_protocol,
    open_protocol_of,
    published_names,
)
from scenewright.evaluate.open_vocabulary import OpenScore, open_score
from scenewright.evaluate.protocol import ENOUGH, sample_digest
from scenewright.evaluate.report import Difference, Report, check_comparable, compare
from scenewright.flows.evaluate import EVALUATION, MOST_RESAMPLES, PLOT, RESULTS, Evaluated, Progress
from scenewright.flows.jobs import slug
from scenewright.flows.ovss_maps import Labels, MethodMaps, write_map
from scenewright.flows.produce import ModelChoice
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions, context_names
from scenewright.flows.showing import chosen
from scenewright.flows.write import check_folder
from scenewright.models.adapter import read_header
from scenewright.models.heads import SEGMENTER, head_file
from scenewright.scene import Vocabulary, contact_sheet, write_png
from scenewright.scene.files import atomic_write
from scenewright.segment.winner import Background

STRIPS, LABELS = "strips.png", "labels"
"""The sheet of strips, and the folder of our label maps, beside the results."""

OURS = "ours"
"""The name of our maps among those of other methods."""

CELL_PX = 256

POLICIES = {"names": "names", "context": "names", "plain": "names", "threshold": "threshold"}
"""The segmenter's background policy for a benchmark's rule; the others have none."""

BEHIND: dict[str, Callable[[], tuple[str, ...]]] = {
    "names": context_names,
    "context": lambda: context_names()[1:],
    "plain": lambda: ("background",),
}
"""Names that are asked for as background, by rule."""


@dataclass(frozen=True, kw_only=True)
class OvssOptions:
    """What is measured, and how; checked when made (InputError).

    benchmark   word of a protocol, "voc20"; "": of `vocabulary` with `background`
    vocabulary  classes of a dataset of one's own
    background  rule for pixels of none of them (`open_protocols.RULES`); "": the usual one
    threshold   probability that the rule "threshold" wants
    model, segmenter  what segments; as `flows.segment.PictureSegmenter.load`
    maps        our label maps that are there already; None: pictures are segmented
    split       part of the dataset
    count       the first so many pictures; 0: all
    also        other methods
    seen        names of classes that were trained on; empty: as the segmenter's file says, else COCO-Stuff's
    size, tile, batch   of segmenting
    compare     results.json to compare with, or None
    out         folder for results; None: ``evaluation`` in the dataset's folder
    seed, resamples   of the bootstrap
    """

    benchmark: str = ""
    vocabulary: str = ""
    background: str = ""
    threshold: float = 0.5
    model: ModelChoice = field(default_factory=lambda: ModelChoice(name="nano"))
    segmenter: str = ""
    maps: Path | None = None
    split: str = "val"
    count: int = 0
    also: tuple[MethodMaps, ...] = ()
    seen: tuple[str, ...] = ()
    size: int = 0
    tile: int = 0
    batch: int = 8
    compare: Path | None = None
    out: Path | None = None
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        if bool(self.benchmark) == bool(self.vocabulary):
            raise InputError(
                "expected either a benchmark or a vocabulary",
                "--benchmark a150, or --vocabulary FILE with --background for a dataset of your own",
            )
        for name, low, high in (
            ("count", 0, 10**7), ("batch", 1, 4096), ("seed", 0, 2**32 - 1),
            ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; expected {low} to {high}")
        names = [one.name for one in self.also]
        if len(set(names)) < len(names):
            raise InputError(f"two other methods have one name: {', '.join(names)}")

    def protocol(self) -> OpenProtocol:
        """What is measured. Raises InputError."""
        if self.benchmark and self.background:
            raise InputError(
                f"the benchmark {self.benchmark} has its own background rule", "leave --background out"
            )
        if self.benchmark:
            return open_protocol(self.benchmark)
        return open_protocol_of(self.vocabulary, self.background)


@dataclass(frozen=True, kw_only=True)
class OvssEvaluated(Evaluated):
    """As `Evaluated`, with the figures of other methods and the differences of ours to them."""

    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    against: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        against = {
            name: {key: one.to_json() for key, one in rows.items()} for name, rows in self.against.items()
        }
        others = {
            name: {key: round(value, 6) for key, value in one.items()} for name, one in self.others.items()
        }
        return {**super().to_json(), "others": others, "against": against}


def evaluate_ovss(root: Path, options: OvssOptions, on_progress: Progress | None = None) -> OvssEvaluated:
    """Measure a segmenter on the dataset in `root` and write results, plot and strips.

    Options, truth, folders and other methods' maps are checked before the model is loaded. Raises InputError
    (nothing to measure, results that cannot be compared), ModelError (no segmenter), StorageError.
    """
    told = on_progress or (lambda words, done, total: None)
    rules = options.protocol()
    theirs = Report.read(options.compare) if options.compare else None
    asked = None if options.maps is not None else _asked(rules, options)
    files = _opened(root, rules, options)
    folder = (options.out or root / EVALUATION) / f"ovss-{rules.word}"
    check_folder(folder)
    keys = _checked(files, rules, options, theirs)
    ours, source, trained = _ours(files, asked, options, folder / LABELS, told)
    seen = options.seen or trained or published_names("coco-stuff")
    score = _scored(files, ours, rules, seen, told)
    notes = _notes(files, rules, bool(options.seen or trained))
    report = build_report(files, score, keys, rules, source, notes, options)
    others, against = {}, {}
    for one in options.also:
        other = _scored(files, one, rules, seen, told)
        row = build_report(files, other, keys, rules, one.name, [], options)
        others[one.name] = values(other.measures(), len(files))
        against[one.name] = compare(report, row)
        row.write(folder / f"results.{slug(one.name)}.json")
    from scenewright.evaluate.plots import plot

    results = report.write(folder / RESULTS)
    drawn = atomic_write(folder / PLOT, plot(report, rules))
    return OvssEvaluated(
        report=report,
        differences=compare(report, theirs) if theirs else {},
        results=results,
        plot=drawn,
        sheet=_strips(files, report, ours, options.also, rules, folder / STRIPS),
        others=others,
        against=against,
    )


def _opened(root: Path, rules: OpenProtocol, options: OvssOptions) -> LabelSet:
    """The pictures that are measured. A folder without parts is taken whole."""
    try:
        found = open_label_set(root, rules.vocabulary, options.split)
    except InputError:
        found = open_label_set(root, rules.vocabulary, "")
    return found.first(options.count) if options.count else found


def build_report(
    files: LabelSet,
    score: OpenScore,
    keys: Sequence[str],
    rules: OpenProtocol,
    source: str,
    notes: Sequence[str],
    options: OvssOptions,
) -> Report:
    """All figures of counted pictures."""
    figures, replicates = estimates(score.measures(), len(files), options.resamples, options.seed)
    return Report(
        protocol=rules.id,
        judges=_truth(files),
        source=f"{files.root.resolve().name}, {source}",
        sample_set=f"{rules.word}, all {rules.count}" if rules.count == len(files) else "",
        samples=sample_digest(keys),
        pictures=len(files),
        instances=len(files),
        seed=options.seed,
        resamples=options.resamples,
        figures=figures,
        groups=score.groups(),
        items=[
            {"name": name, "key": key, **item}
            for name, key, item in zip(files.names, keys, score.items(), strict=True)
        ],
        replicates=replicates,
        notes=list(notes),
    )


def _notes(files: LabelSet, rules: OpenProtocol, own: bool) -> list[str]:
    whose = "of what was trained on" if own else "of COCO-Stuff's 171 classes"
    notes = [
        f"background: {RULES[rules.rule]}",
        FORMULA,
        f"seen and unseen: a class is seen if its name is, letter by letter, one {whose}",
    ]
    if rules.count and rules.count != len(files):
        notes.append(f"{len(files)} pictures; the published split has {rules.count}")
    if len(files) < ENOUGH:
        notes.append(f"{len(files)} pictures: intervals are wide; {ENOUGH} or more are usual")
    return notes


def _truth(files: LabelSet) -> dict[str, str]:
    """What stands in a report where others name their judges."""
    return {"truth": f"label files of the dataset, {files.layout}"}


def _checked(files: LabelSet, rules: OpenProtocol, options: OvssOptions, theirs: Report | None) -> list[str]:
    """The pictures' keys, after everything that can be known to be wrong before pictures are segmented.

    Raises InputError (results that cannot be compared, labels that are no class), StorageError (a label map
    of the truth or of another method that is missing).
    """
    if theirs is not None:
        told = {"seed": options.seed, "resamples": options.resamples, "pictures": len(files)}
        check_comparable(theirs, protocol=rules.id, judges=_truth(files), **told)
    own = () if options.maps is None else (MethodMaps(OURS, options.maps),)
    for method in (*own, *options.also):
        for name in files.names:
            method.path(name)
    keys = _keys(files)
    if theirs is not None:
        check_comparable(theirs, samples=sample_digest(keys))
    return keys


def _keys(files: LabelSet) -> list[str]:
    """A key of every picture: its name and its true labels."""
    return [
        hashlib.sha256(name.encode() + files.labels(k).tobytes()).hexdigest()[:16]
        for k, name in enumerate(files.names)
    ]


def _scored(
    files: LabelSet, one: MethodMaps, rules: OpenProtocol, seen: Sequence[str], told: Progress
) -> OpenScore:
    """The counts of a method's maps."""

    def pairs() -> Iterator[tuple[Labels, Labels]]:
        for k, name in enumerate(files.names):
            truth_HW = files.labels(k)
            yield truth_HW, one.read(name, truth_HW.shape, rules.vocabulary)
            told(f"label maps of {one.name} scored", k + 1, len(files))

    return open_score(pairs(), rules, seen)


def _asked(rules: OpenProtocol, options: OvssOptions) -> SegmentOptions:
    """What pictures are asked for. Raises InputError."""
    return SegmentOptions(
        vocabulary=Vocabulary.load(rules.vocabulary),
        background=Background(POLICIES.get(rules.rule, "none"), options.threshold),
        behind=BEHIND[rules.rule]() if rules.rule in BEHIND else (),
        size=options.size,
        tile=options.tile,
        batch=options.batch,
    )


def _ours(
    files: LabelSet, asked: SegmentOptions | None, options: OvssOptions, folder: Path, told: Progress
) -> tuple[MethodMaps, str, tuple[str, ...]]:
    """Our label maps, what made them, and the names of the classes that it was trained on; without anything
    `asked` those of `options.maps`."""
    if asked is None:
        assert options.maps is not None
        return MethodMaps(OURS, options.maps), f"label maps in {options.maps.resolve().name}", ()
    choice = options.model
    loaded = PictureSegmenter.load(
        choice.name, options.segmenter, device=choice.device, dtype=choice.dtype,
        allow_other=choice.allow_other_backbone,
    )  # fmt: skip
    for first in range(0, len(files), options.batch):
        rows = range(first, min(first + options.batch, len(files)))
        found = loaded.segment([files.image(k) for k in rows], asked)
        for k, one in zip(rows, found, strict=True):
            write_map(folder, files.names[k], one.labels)
        told("pictures segmented", rows[-1] + 1, len(files))
    source = f"segmenter {loaded.name}@{loaded.fingerprint[:8]} on {loaded.backbone.name}"
    file, _ = head_file(options.segmenter, choice.name, SEGMENTER)
    trained = json.loads(read_header(file).notes or "{}").get("seen", ())
    return MethodMaps(OURS, folder), source, tuple(str(name) for name in trained)


def _strips(
    files: LabelSet,
    report: Report,
    ours: MethodMaps,
    others: Sequence[MethodMaps],
    rules: OpenProtocol,
    path: Path,
) -> Path | None:
    """Picture, other methods, ours and the truth, of the best and the worst pictures."""
    ranked: list[Any] = [k for k, item in enumerate(report.items) if item.get("rank") is not None]
    ranked.sort(key=lambda k: (-report.items[k]["rank"], report.items[k]["name"]))
    known, cells, captions = Vocabulary.load(rules.vocabulary), [], []
    for title, places in zip(("best", "worst"), chosen(ranked), strict=True):
        for k in places:
            truth_HW, name = files.labels(k), files.names[k]
            maps = [one.read(name, truth_HW.shape, rules.vocabulary) for one in (*others, ours)]
            cells += [files.image(k), *(known.colours(labels_HW) for labels_HW in (*maps, truth_HW))]
            right = f"{title}: ours {report.items[k]['rank']:.0%} of the pixels"
            captions += [name, *(one.name for one in others), right, "truth"]
    if not cells:
        return None
    sheet = contact_sheet(cells, captions, columns=3 + len(others), cell_px=CELL_PX)
    return write_png(path, sheet)


def lines(evaluated: OvssEvaluated) -> list[str]:
    """The evaluation as text for a terminal: the report, then a row for every other method."""
    from scenewright.flows.evaluate import lines as report_lines

    found = list(report_lines(evaluated))
    for name, figures in evaluated.others.items():
        row = ", ".join(f"{key} {value:.1%}" for key, value in figures.items())
        gap = evaluated.against[name].get("miou")
        words = "" if gap is None else f"; ours {gap.value:+.1%} mIoU ({gap.low:+.1%} to {gap.high:+.1%})"
        found.append(f"also {name}: {row}{words}")
    return found
