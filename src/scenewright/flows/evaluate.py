"""Measure a folder of pictures with a frozen protocol: judge, score, compare, and show.

`evaluate` is the page to read: pictures -> findings -> figures with intervals -> ceilings -> files. Networks
run only for pictures whose findings are not stored yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.evaluate.findings import Findings
from scenewright.evaluate.measures import Measured, estimates, values
from scenewright.evaluate.protocol import ENOUGH, Protocol, protocol, recognised, sample_digest
from scenewright.evaluate.report import Difference, Group, Report, check_comparable, compare, protocol_of
from scenewright.flows.judging import JudgeCard, Places, choose_judges, judge_samples
from scenewright.flows.samples import Samples, read_samples
from scenewright.flows.scoring import SCORERS, Evidence, truth_of
from scenewright.flows.showing import sheet_picture
from scenewright.scene import write_png
from scenewright.scene.files import atomic_write

RESULTS, PLOT, SHEET = "results.json", "results.png", "sheet.png"

FINDINGS = "findings"
"""Folder of the findings, beside the folders of the benchmarks."""

EVALUATION = "evaluation"
"""Folder of everything, inside the judged folder, if no other is named."""

MOST_RESAMPLES = 100_000

Progress = Callable[[str, float, int], None]
"""Told what is being done, (steps done, steps in all)."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How to evaluate; checked when made (InputError).

    judges     names or files; the package's own for kinds that are not named
    reference  folder of pictures that show what was asked for, or None
    compare    results.json of another evaluation, or None
    out        folder for results; None: ``evaluation`` in the judged folder
    seed       of the bootstrap, from 0
    resamples  of the bootstrap, at least 100
    device     where judges run
    """

    judges: tuple[str, ...] = ()
    reference: Path | None = None
    compare: Path | None = None
    out: Path | None = None
    seed: int = 0
    resamples: int = 1000
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 100 <= self.resamples <= MOST_RESAMPLES:
            raise InputError(
                f"resamples is {self.resamples}; expected 100 to {MOST_RESAMPLES}",
                "1000 give intervals that are stable to a tenth of their width",
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}; expected a whole number from 0 to 4294967295")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The report, the differences to another one by metric (empty if none was named), and the files."""

    report: Report
    differences: Mapping[str, Difference]
    results: Path
    plot: Path
    sheet: Path | None

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            **self.report.summary(),
            "differences": {name: one.to_json() for name, one in self.differences.items()},
            "files": [str(path) for path in (self.results, self.plot, self.sheet) if path],
        }


def evaluate(
    benchmark: str, source: Path, options: EvaluateOptions, on_progress: Progress | None = None
) -> Evaluated:
    """Measure the pictures of `source` (see `samples.read_samples`) and write results, plot and sheet.

    Raises InputError (unknown benchmark, nothing to measure, results that cannot be compared), ModelError (no
    judge), StorageError (nothing there, cannot be written).
    """
    told = on_progress or (lambda words, done, total: None)
    rules = protocol(benchmark)
    if benchmark not in SCORERS:
        raise InputError(
            f"the benchmark {benchmark!r} measures a grounding head, no judge reads the pictures for it",
            "flows.evaluate_grounding does it",
        )
    theirs = Report.read(options.compare) if options.compare else None
    if theirs:
        check_comparable(theirs, protocol=rules.id, seed=options.seed, resamples=options.resamples)
    pictures = read_samples(source, lambda done, total: told("pictures read", done, total))
    out = options.out or pictures.home / EVALUATION
    places = Places(out / FINDINGS, (pictures.home / EVALUATION / FINDINGS,))
    cards = choose_judges(options.judges, rules, places)
    if not any(truth_of(one) for one in pictures.samples):
        cards.pop("segmenter", None)  # nothing to compare its maps with
    reference = None
    if options.reference is not None:
        reference = read_samples(options.reference, lambda done, total: told("pictures read", done, total))
    evidence = _evidence(pictures, cards, places, options.device, told)
    beside = _reference_evidence(reference, cards, out, options.device, told)
    report = build_report(rules, evidence, beside, options)
    differences = compare(report, theirs) if theirs else {}
    folder = out / rules.benchmark
    results = report.write(folder / RESULTS)
    from scenewright.evaluate.plots import plot

    drawn = atomic_write(folder / PLOT, plot(report, rules))
    shown = sheet_picture(evidence, report, rules)
    sheet = write_png(folder / SHEET, shown) if shown is not None else None
    return Evaluated(report=report, differences=differences, results=results, plot=drawn, sheet=sheet)


def build_report(
    rules: Protocol, evidence: Evidence, reference: Evidence | None, options: EvaluateOptions
) -> Report:
    """All figures of stored findings; no network is needed. Raises InputError if nothing can be measured."""
    samples = evidence.pictures.samples
    measured = SCORERS[rules.benchmark](evidence, reference)
    order = {one.name: place for place, one in enumerate(rules.metrics)}
    measures = {name: measured.measures[name] for name in sorted(measured.measures, key=order.__getitem__)}
    figures, replicates = estimates(measures, len(samples), options.resamples, options.seed)
    best = _ceilings(rules, evidence, reference)
    keys = [one.key for one in samples]
    marks = [one.marks_key for one in samples] if rules.benchmark == "instances" else keys
    return Report(
        protocol=rules.id,
        judges={kind: card.id for kind, card in evidence.cards.items()},
        source=evidence.pictures.source.resolve().name,
        sample_set=recognised(keys),
        samples=sample_digest(marks),
        pictures=len(samples),
        instances=measured.instances,
        unnamed=measured.unnamed,
        seed=options.seed,
        resamples=options.resamples,
        figures=figures,
        ceilings=best.overall,
        reference=_named(reference),
        groups=_groups(measured, len(samples), options),
        group_ceilings=best.groups,
        items=[
            {"name": one.name, "key": one.key, **item}
            for one, item in zip(samples, measured.items, strict=True)
        ],
        replicates=replicates,
        notes=_notes(rules, evidence, reference, measured),
    )


def _evidence(
    pictures: Samples, cards: Mapping[str, JudgeCard], places: Places, device: str, told: Progress
) -> Evidence:
    """The pictures with everything that the judges found in them."""
    found: dict[str, list[Findings]] = {}
    for kind, card in cards.items():
        words = f"pictures judged by {card.id}"
        found[kind] = judge_samples(
            card,
            pictures.samples,
            places,
            device=device,
            on_progress=lambda done, total, words=words: told(words, done, total),  # type: ignore[misc]
        )
    return Evidence(pictures, cards, found)


def _reference_evidence(
    reference: Samples | None, cards: Mapping[str, JudgeCard], out: Path, device: str, told: Progress
) -> Evidence | None:
    if reference is None:
        return None
    places = Places(out / "reference" / FINDINGS, (reference.home / EVALUATION / FINDINGS,))
    return _evidence(reference, cards, places, device, told)


@dataclass(frozen=True)
class _Best:
    """Ceilings of a report, of all pictures and of groups."""

    overall: dict[str, dict[str, float]]
    groups: dict[str, dict[str, dict[str, float]]]


def _ceilings(rules: Protocol, evidence: Evidence, reference: Evidence | None) -> _Best:
    """What the judges' files say of themselves, and the reference's figures."""
    every = {kind: card.ceilings for kind, card in evidence.cards.items()}
    own = {f"{kind} {key}": value for kind, found in every.items() for key, value in found.items()}
    known = {key: value for found in every.values() for key, value in found.items()}
    same = {one.name: known[one.judge] for one in rules.metrics if one.judge in known}
    found = {"judge": same, "judge_file": own}
    if reference is None or rules.benchmark == "pictures":
        return _Best(found, {})
    measured, number = SCORERS[rules.benchmark](reference, None), len(reference.pictures.samples)
    groups = {
        name: {key: values(part.measures, number) for key, part in parts.items()}
        for name, parts in measured.groups.items()
    }
    return _Best({**found, "reference": values(measured.measures, number)}, groups)


def _groups(measured: Measured, pictures: int, options: EvaluateOptions) -> dict[str, dict[str, Group]]:
    return {
        name: {
            key: Group(
                pictures=part.pictures,
                instances=part.instances,
                figures=estimates(part.measures, pictures, options.resamples, options.seed)[0],
            )
            for key, part in parts.items()
        }
        for name, parts in measured.groups.items()
    }


def _named(reference: Evidence | None) -> str:
    if reference is None:
        return ""
    return f"{reference.pictures.source.resolve().name}, {len(reference.pictures.samples)} pictures"


def _notes(rules: Protocol, evidence: Evidence, reference: Evidence | None, measured: Measured) -> list[str]:
    """Sentences that a reader of the figures must know."""
    number = len(evidence.pictures.samples)
    notes = []
    if number < ENOUGH:
        notes.append(f"{number} pictures: intervals are wide; {ENOUGH} or more are usual")
    if left := evidence.pictures.left_out:
        notes.append(f"{len(left)} pictures without a scene are left out, the first is {left[0]}")
    if measured.unnamed:
        total = sum(measured.unnamed.values())
        some = ", ".join(f"{phrase!r}" for phrase in list(measured.unnamed)[:3])
        notes.append(f"{total} instances have no name among the judge's classes and are not scored: {some}")
    if reference is not None and rules.benchmark == "layout":
        ours = sample_digest([one.key for one in evidence.pictures.samples])
        if ours != sample_digest([one.key for one in reference.pictures.samples]):
            notes.append("the reference shows other scenes: its figures are a ceiling on the average only")
    return notes


def lines(evaluated: Evaluated) -> Sequence[str]:
    """The evaluation as text for a terminal."""
    from scenewright.evaluate.tables import difference_lines, report_lines

    rules = protocol_of(evaluated.report)
    found = report_lines(evaluated.report, rules)
    if evaluated.differences:
        found += ["", *difference_lines(evaluated.differences, rules)]
    return [*found, *(str(path) for path in (evaluated.results, evaluated.plot, evaluated.sheet) if path)]
