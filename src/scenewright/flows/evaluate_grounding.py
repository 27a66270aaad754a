"""Measure a grounding head on the Records of a folder: the page to read.

Pictures with true masks (exact ones of drawings, or those that a labeller found in generated pictures) ->
features of the model -> the head's masks -> figures with intervals -> files. What is trusted are the masks in
the records; everything else is measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.errors import InputError
from scenewright.evaluate.grounding import PictureCounts, grounding
from scenewright.evaluate.measures import estimates
from scenewright.evaluate.protocol import ENOUGH, GROUNDING, recognised, sample_digest
from scenewright.evaluate.report import Group, Report, check_comparable, compare
from scenewright.evaluate.splits import ClassSplit, class_split
from scenewright.flows.evaluate import EVALUATION, MOST_RESAMPLES, PLOT, RESULTS, SHEET, Evaluated, Progress
from scenewright.flows.head_inputs import STEPS, HeadReader
from scenewright.flows.head_scores import score_head, sheet
from scenewright.flows.masked import MaskedPicture, read_masked
from scenewright.flows.produce import ModelChoice
from scenewright.flows.showing import chosen
from scenewright.scene.files import atomic_write

if TYPE_CHECKING:
    from scenewright.models.heads import Head

TRUTH = "masks of the records"
"""What stands in a report where other benchmarks name their judges."""


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What is measured, and how; checked when made (InputError).

    head       name or file of the head; "" the one that belongs to the model
    model      the model whose features it reads
    split      published split that says which classes were seen; 0: what the head's file says of its training
    count      pictures, the first ones by name; 0: all
    named      prompts of pictures without latents: the names of their classes in place of their captions
    steps      sampler steps that say which noise level an encoded picture has
    batch      pictures read together
    compare    results.json of another head on the same pictures, or None
    out        folder for results; None: ``evaluation`` in the folder
    seed, resamples   of the bootstrap
    """

    head: str = ""
    model: ModelChoice = field(default_factory=lambda: ModelChoice(name="nano"))
    split: int = 0
    count: int = 0
    named: bool = False
    steps: int = STEPS
    batch: int = 8
    compare: Path | None = None
    out: Path | None = None
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        for name, low, high in (
            ("count", 0, 10**7), ("steps", 1, 1000), ("batch", 1, 4096), ("seed", 0, 2**32 - 1),
            ("resamples", 100, MOST_RESAMPLES),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; expected {low} to {high}")
        if self.split:
            class_split(self.split)


def evaluate_grounding(source: Path, options: HeadOptions, on_progress: Progress | None = None) -> Evaluated:
    """Measure a head on the Records in `source` and write results, plot and sheet.

    Raises InputError (nothing to measure, results that cannot be compared), ModelError (no head, or one of
    another model), StorageError.
    """
    from scenewright.evaluate.plots import plot
    from scenewright.flows.model import Model
    from scenewright.models.heads import load_head

    told = on_progress or (lambda words, done, total: None)
    theirs = Report.read(options.compare) if options.compare else None
    if theirs:
        check_comparable(theirs, protocol=GROUNDING.id, seed=options.seed, resamples=options.resamples)
    pictures = _pictures(source, options, told)
    choice = options.model
    bundle = Model.load(choice.name, device=choice.device, dtype=choice.dtype).bundle
    head = load_head(options.head, bundle.name, bundle.backbone)
    head.net.float()  # spectral norms and batch statistics need it
    reader = HeadReader(bundle.backbone, head.net.config, options.steps)
    words = "pictures read by the head"
    scored = score_head(
        head.net, reader, pictures, batch=options.batch,
        on_progress=lambda done, total: told(words, done, total),
    )  # fmt: skip
    report = build_report(source, pictures, scored.counts, head, options)
    differences = compare(report, theirs) if theirs else {}
    folder = (options.out or source / EVALUATION) / GROUNDING.benchmark
    results = report.write(folder / RESULTS)
    drawn = atomic_write(folder / PLOT, plot(report, GROUNDING))
    picked = [pictures[k] for k in _picked(report)]
    shown = sheet(score_head(head.net, reader, picked, batch=options.batch, keep=len(picked)), folder / SHEET)
    return Evaluated(report=report, differences=differences, results=results, plot=drawn, sheet=shown)


def _pictures(source: Path, options: HeadOptions, told: Progress) -> list[MaskedPicture]:
    """The pictures in the order of their keys, with the prompts that the options say."""
    found = read_masked([source], lambda done, total: told("records read", done, total))
    if options.count:
        found = found[: options.count]
    prompted = [one.named() if options.named and one.latent is None else one for one in found]
    return sorted(prompted, key=lambda one: (one.key, one.name))


def split_of(head: Head, number: int) -> tuple[ClassSplit, str]:
    """Which classes count as seen: those of the published split `number`, or for 0 what the head's file says.

    With a sentence about it; split 1 where the file does not say.
    """
    if number:
        return class_split(number), f"classes are seen and unseen by the published split {number}"
    notes = json.loads(head.header.notes or "{}")
    if notes.get("seen"):
        split = ClassSplit(0, tuple(notes["seen"]), tuple(notes.get("unseen", ())))
        return split, "classes are seen and unseen as the head's file says"
    return class_split(
        1
    ), "the head's file does not say what it was trained on: the published split 1 is taken"


def build_report(
    source: Path,
    pictures: Sequence[MaskedPicture],
    counts: Sequence[PictureCounts],
    head: Head,
    options: HeadOptions,
) -> Report:
    """All figures of counted pictures, which are sorted by key. Raises InputError if there are none."""
    split, sentence = split_of(head, options.split)
    measured = grounding(counts, split)
    figures, replicates = estimates(measured.measures, len(counts), options.resamples, options.seed)
    keys = [one.key for one in pictures]
    return Report(
        protocol=GROUNDING.id,
        judges={"truth": TRUTH},
        source=f"{source.resolve().name}, head {head.name}@{head.fingerprint[:8]}",
        sample_set=recognised(keys),
        samples=sample_digest(keys),
        pictures=len(counts),
        instances=measured.instances,
        seed=options.seed,
        resamples=options.resamples,
        figures=figures,
        groups={
            what: {
                key: Group(
                    pictures=part.pictures,
                    instances=part.instances,
                    figures=estimates(part.measures, len(counts), options.resamples, options.seed)[0],
                )
                for key, part in parts.items()
            }
            for what, parts in measured.groups.items()
        },
        items=[
            {"name": one.name, "key": one.key, **item}
            for one, item in zip(pictures, measured.items, strict=True)
        ],
        replicates=replicates,
        notes=[sentence, *_notes(pictures, options)],
    )


def _notes(pictures: Sequence[MaskedPicture], options: HeadOptions) -> list[str]:
    stored = sum(one.latent is not None for one in pictures)
    notes = []
    if stored:
        notes.append(f"{stored} pictures are read from the latents of their making, with their prompts")
    if stored < len(pictures):
        prompts = "prompts name their classes" if options.named else "prompts are their captions"
        number = len(pictures) - stored
        notes.append(f"{number} pictures are encoded and noised to the head's tap step; {prompts}")
    if len(pictures) < ENOUGH:
        notes.append(f"{len(pictures)} pictures: intervals are wide; {ENOUGH} or more are usual")
    return notes


def _picked(report: Report) -> list[int]:
    """Places of the best and the worst pictures."""
    ranked: list[Any] = [k for k, item in enumerate(report.items) if item.get("rank") is not None]
    ranked.sort(key=lambda k: (-report.items[k]["rank"], report.items[k]["name"]))
    best, worst = chosen(ranked)
    return [*best, *worst]
