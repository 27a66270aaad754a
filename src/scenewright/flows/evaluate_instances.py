"""InstanceDiffusion's evaluations on COCO: the page to read.

Annotations -> scenes of the protocol -> pictures of a model, or those of a folder -> what a detector and a
CLIP see in them -> figures with intervals, the paper's beside them. Pictures and findings that are there are
used, so that the same command continues an interrupted run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, ScenewrightError
from scenewright.evaluate.instance_protocols import (
    GUIDANCE,
    MIS,
    NEGATIVE,
    STEPS,
    Beside,
    InstanceProtocol,
    beside_lines,
    beside_paper,
    instance_protocol,
)
from scenewright.evaluate.instances import instances_of_coco
from scenewright.evaluate.measures import Measured, estimates, values
from scenewright.evaluate.protocol import ENOUGH, recognised, sample_digest
from scenewright.evaluate.report import Report, check_comparable, compare
from scenewright.flows.coco_scenes import CocoPicture, CocoSet, read_set, variations
from scenewright.flows.evaluate import EVALUATION, MOST_RESAMPLES, PLOT, RESULTS, SHEET, Evaluated, Progress
from scenewright.flows.evaluate import lines as report_of
from scenewright.flows.jobs import Job
from scenewright.flows.judged_instances import Judged, choose, judged
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.flows.showing import sheet_picture
from scenewright.flows.write import check_folder, document_in, write
from scenewright.scene import write_png
from scenewright.scene.files import atomic_write

PICTURES = "pictures"
"""Folder of the pictures that are drawn, inside that of the results."""

SIDE_PX = 512

PAPER = "paper"
"""What figures can be printed beside."""


@dataclass(frozen=True, kw_only=True)
class InstanceOptions:
    """What is evaluated, and how; checked when made (InputError).

    protocol   "box", "mask", "pim-point", "pim-scribble", "colour" or "texture"
    captions   captions of the same pictures; None: those beside the annotations
    pictures   a folder of pictures to be scored, named as in the annotations; None: they are drawn
    reference  a folder of the photographs themselves, for ceilings
    model      what draws
    steps, size_px   0: as published; others make the evaluation a varied one
    count      the first so many pictures by id; 0: all
    batch      pictures drawn together
    judges     names, folders, hub ids, ``yolo:FILE``; the usual ones for kinds that are not named
    compare    results.json of another evaluation, or None
    beside     "paper": print the published figures beside ours; or ""
    out        folder for pictures and results
    seed, resamples   of the bootstrap
    device     where judges run
    """

    protocol: str
    captions: Path | None = None
    pictures: Path | None = None
    reference: Path | None = None
    model: ModelChoice = field(default_factory=lambda: ModelChoice(name="sd15+instancediffusion"))
    steps: int = 0
    size_px: int = 0
    count: int = 0
    batch: int = 8
    judges: tuple[str, ...] = ()
    compare: Path | None = None
    beside: str = ""
    out: Path | None = None
    seed: int = 0
    resamples: int = 1000
    device: str = "auto"

    def __post_init__(self) -> None:
        rules = instance_protocol(self.protocol)
        if self.beside not in ("", PAPER):
            raise InputError(f"beside is {self.beside!r}; expected {PAPER}", f"--beside {PAPER}")
        for name, low, high in (
            ("steps", 0, 1000), ("size_px", 0, 4096), ("count", 0, 10**7), ("batch", 1, 4096),
            ("seed", 0, 2**32 - 1), ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; expected {low} to {high}")
        if self.size_px % 8:
            raise InputError(f"size_px is {self.size_px}; expected a multiple of 8", "0 is as published, 512")
        if self.beside and self._departs:
            raise InputError(
                f"the paper's figures are of {rules.id}; {self._departs} makes it {rules.varied.id}",
                "leave it out, or leave --beside paper out",
            )

    @property
    def _departs(self) -> str:
        """The option that departs from the published way, or nothing."""
        changed = {"--steps": self.steps not in (0, STEPS), "--size": self.size_px not in (0, SIDE_PX)}
        return next((name for name, is_so in changed.items() if is_so), "")

    @property
    def rules(self) -> InstanceProtocol:
        """The protocol."""
        return instance_protocol(self.protocol)

    @property
    def side_px(self) -> int:
        """Side of the squares."""
        return self.size_px or SIDE_PX

    @property
    def sampling(self) -> GenerateOptions:
        """How the protocol samples, for an adapter that reads all kinds of location."""
        return GenerateOptions(
            steps=self.steps or STEPS, guidance=GUIDANCE, negative=NEGATIVE, mis=MIS, use=self.rules.use,
            attention="full", batch=self.batch,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InstancesEvaluated(Evaluated):
    """The report with its files, and the paper's figures beside ours, if they were asked for."""

    beside: tuple[Beside, ...] = ()
    rules: InstanceProtocol

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        found = super().to_json()
        return (
            {**found, "beside": {one.metric: one.to_json() for one in self.beside}} if self.beside else found
        )

    def lines(self) -> list[str]:
        """The evaluation as text for a terminal."""
        found = list(report_of(self))
        if self.beside:
            found += ["", *beside_lines(self.report, self.beside, self.rules)]
        return found


def evaluate_instances(
    source: Path, options: InstanceOptions, on_progress: Progress | None = None
) -> InstancesEvaluated:
    """Evaluate on the COCO annotations `source`: draw or take pictures, judge, measure, write.

    Raises InputError (annotations that cannot be read, pictures that are missing or of another shape, results
    that cannot be compared), ModelError (no model, no judge), StorageError, ScenewrightError (pictures that
    fail).
    """
    told = on_progress or (lambda words, done, total: None)
    theirs = Report.read(options.compare) if options.compare else None
    if theirs:
        check_comparable(theirs, seed=options.seed, resamples=options.resamples)
    out = options.out or Path(f"{EVALUATION}-coco-{options.protocol}")
    check_folder(out)
    found = read_set(source, options.captions, options.rules, options.side_px, out, options.count)
    cards = choose(options.rules, options.judges, out)
    folder = options.pictures
    if folder is None:
        folder = draw(found.pictures, options, out, told)
    departs = [*variations(found.pictures), *made_otherwise(folder, found.pictures, options)]
    rules = options.rules.varied if departs else options.rules
    evidence = judged(rules, found.pictures, folder, cards, out, options.device, told)
    best = None
    if options.reference is not None:
        best = judged(
            rules,
            found.pictures,
            options.reference,
            cards,
            out / "reference",
            options.device,
            told,
            any_shape=True,
        )
    report = build_report(source, rules, found, evidence, best, departs, options)
    beside = beside_paper(report) if options.beside else ()
    differences = compare(report, theirs) if theirs else {}
    return InstancesEvaluated(
        report=report,
        differences=differences,
        beside=beside,
        rules=rules,
        **_files(evidence, report, rules, out),
    )


def draw(pictures: Sequence[CocoPicture], options: InstanceOptions, out: Path, told: Progress) -> Path:
    """Draw all pictures that are not there yet; returns their folder. ScenewrightError if some fail."""
    from scenewright.backbone.text import PromptCut
    from scenewright.flows.model import Model

    choice = options.model
    bundle = Model.load(choice.name, device=choice.device, dtype=choice.dtype).bundle
    how = sampling_for(bundle.adapter, options)
    jobs = [Job(one.name, one.drawn, one.seed) for one in pictures]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PromptCut)  # prompts of many things are cut, as published
        written = write(
            bundle, jobs, how, out / PICTURES, overlays=False,
            on_progress=lambda done, total: told("pictures drawn", done, total),
        )  # fmt: skip
    if written.failed:
        raise ScenewrightError(
            f"{written.failed} pictures failed", f"{written.failures} says why; the others are kept"
        )
    return out / PICTURES


def sampling_for(adapter: Any, options: InstanceOptions) -> GenerateOptions:
    """The protocol's sampling for an adapter. One that reads boxes alone can be evaluated from boxes alone:
    raises InputError for other protocols, and for a model without adapter."""
    from scenewright.condition.gligen import Gligen

    if adapter is None:
        raise InputError(
            f"{options.model.name} has no adapter that places things", "--model sd15+instancediffusion"
        )
    if not isinstance(adapter, Gligen):
        return options.sampling
    if options.rules.use != "published-box":
        raise InputError(
            f"{options.model.name} reads boxes, the protocol {options.protocol} gives something else",
            "--protocol box, colour or texture",
        )
    return replace(options.sampling, use="", attention="", overflow="largest")


def made_otherwise(folder: Path, pictures: Sequence[CocoPicture], options: InstanceOptions) -> list[str]:
    """In what pictures were made otherwise than published, as far as they say it themselves."""
    wanted = {
        "steps": STEPS, "guidance": GUIDANCE, "mis": MIS, "negative": NEGATIVE, "gate": [1.0, 0.0, 0.0],
        "use": options.rules.use, "attention": "full", "scaleu": True,
    }  # fmt: skip
    found: dict[str, None] = {}
    if options.side_px != SIDE_PX:
        found[f"pictures have {options.side_px} pixels a side, not {SIDE_PX}"] = None
    for one in pictures:
        path = folder / f"{one.name}.png"
        document = document_in(path) if path.is_file() else None
        made = document.get("provenance") if document else None
        if not isinstance(made, dict) or "steps" not in made:
            continue
        for key, value in wanted.items():
            if made.get(key, value) != value or (key == "mis" and "mis" not in made):
                found[f"{key} of the pictures is {made.get(key, 0)!r}, not {value!r}"] = None
    return list(found)


def build_report(
    source: Path,
    rules: InstanceProtocol,
    found: CocoSet,
    evidence: Judged,
    best: Judged | None,
    departs: Sequence[str],
    options: InstanceOptions,
) -> Report:
    """All figures; no network is needed. Raises InputError if nothing can be measured."""
    measured = _measured(rules, evidence)
    order = {one.name: place for place, one in enumerate(rules.metrics)}
    measures = {name: measured.measures[name] for name in sorted(measured.measures, key=order.__getitem__)}
    number = len(found.pictures)
    figures, replicates = estimates(measures, number, options.resamples, options.seed)
    samples = evidence.evidence.pictures.samples
    cards = evidence.evidence.cards
    ceilings: dict[str, Mapping[str, float]] = {}
    if best is not None:
        ceilings["reference"] = values(_measured(rules, best).measures, number)
    return Report(
        protocol=rules.id,
        judges={kind: card.id for kind, card in cards.items()},
        source=(options.pictures or Path(options.model.name)).name or source.name,
        sample_set=recognised([one.key for one in samples]),
        samples=sample_digest([one.marks_key for one in samples]),
        pictures=number,
        instances=measured.instances,
        unnamed=measured.unnamed,
        seed=options.seed,
        resamples=options.resamples,
        figures=figures,
        ceilings=ceilings,
        reference=f"{options.reference.name}, {number} pictures" if options.reference else "",
        items=[
            {"name": one.name, "key": one.key, **item}
            for one, item in zip(samples, measured.items, strict=True)
        ],
        replicates=replicates,
        notes=[*departs, *_notes(found, measured, options)],
    )


def _measured(rules: InstanceProtocol, evidence: Judged) -> Measured:
    pairs = evidence.pairs
    if not any(pair.scene.asked for pair in pairs):
        raise InputError(
            "none of the annotations has a class that the detector knows",
            "--judge names a detector of COCO's classes",
        )
    return instances_of_coco(rules, pairs, evidence.least, evidence.looks)


def _notes(found: CocoSet, measured: Measured, options: InstanceOptions) -> list[str]:
    """Sentences that a reader of the figures must know."""
    notes = []
    if options.pictures is not None:
        notes.append(
            f"the pictures of {options.pictures.name} are scored as they are, however they were made"
        )
    if len(found.pictures) < ENOUGH:
        notes.append(f"{len(found.pictures)} pictures: intervals are wide; {ENOUGH} or more are usual")
    if number := sum(len(one.crowds) for one in found.pictures):
        notes.append(f"{number} crowds are drawn, and neither right nor wrong")
    if measured.unnamed:
        total = sum(measured.unnamed.values())
        notes.append(f"{total} instances have no name among the judge's classes and are not scored")
    return notes


def _files(evidence: Judged, report: Report, rules: InstanceProtocol, out: Path) -> dict[str, Any]:
    from scenewright.evaluate.plots import plot

    folder = out / f"coco-{rules.word}"
    shown = sheet_picture(evidence.evidence, report, rules)
    return {
        "results": report.write(folder / RESULTS),
        "plot": atomic_write(folder / PLOT, plot(report, rules)),
        "sheet": write_png(folder / SHEET, shown) if shown is not None else None,
    }
