"""Open-vocabulary segmentation in miniature: train, score on held-out drawings, compare, show.

Every training and every count of pixels is kept: the same command continues where it was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.evaluate.bootstrap import weights
from scenewright.evaluate.measures import Measure
from scenewright.evaluate.semantic import SemanticScore, semantic_score
from scenewright.evaluate.splits import SEEN, UNSEEN
from scenewright.flows.evaluate import RESULTS, Progress
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.figures import Value, mean
from scenewright.flows.reproduce.loop_scores import read_counts, write_counts
from scenewright.flows.reproduce.results import Reproduced, Verdict, percent, plain
from scenewright.flows.reproduce.segdiffusion_plan import (
    CLAIM,
    DIFFERS,
    NAMED,
    ON,
    REPRODUCTION,
    SETS,
    Scored,
    SegCell,
    SegOptions,
    TrainCell,
)
from scenewright.flows.reproduce.segdiffusion_readers import Reader, exported, fingerprint, reader
from scenewright.flows.segment_options import spoken
from scenewright.flows.write import check_folder
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.scene.label_space import LabelSpace, load
from scenewright.world.drawn import Drawn

CELLS, SHARED = "trainings", "cache"
TABLE, PLOT, SHEET = "table.md", "sets.png", "sheet.png"

BATCH = 8
"""Pictures that are segmented together."""

Figures = Mapping[str, Mapping[str, Value]]
"""By what was scored, then by metric: the mean over seeds."""


@dataclass(frozen=True, kw_only=True)
class SegResults:
    """What was found: figures by variant, those of each seed, verdicts, what the figures are figures of."""

    figures: Mapping[str, Figures]
    seeds: Mapping[str, Mapping[str, Sequence[float]]]
    verdicts: Sequence[Verdict]
    about: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "reproduction": REPRODUCTION,
            "claim": CLAIM,
            "differs": list(DIFFERS),
            **self.about,
            "figures": {
                variant: {
                    name: {metric: plain(value.estimate()) for metric, value in values.items()}
                    for name, values in sets.items()
                }
                for variant, sets in self.figures.items()
            },
            "seeds": {variant: dict(values) for variant, values in self.seeds.items()},
            "verdicts": [one.to_json() for one in self.verdicts],
        }


def reproduce_segdiffusion(
    options: SegOptions, train: TrainCell, out: Path, on_progress: Progress | None = None
) -> Reproduced[SegResults]:
    """Train, score, measure and show everything in `out`; what is there already is used.

    `train` trains one cell. Raises InputError, StorageError, ModelError, and whatever a training raises.
    """
    from scenewright.flows.reproduce.segdiffusion_show import summary

    told = on_progress or (lambda words, done, total: None)
    cells = options.cells(fingerprint(options.model))
    check_folder(out)
    counts: dict[str, dict[str, list[SemanticScore]]] = {}
    for done, cell in enumerate(cells):
        told("trainings", done, len(cells))
        for name, score in cell_counts(cell, train, out, told).items():
            counts.setdefault(cell.variant, {}).setdefault(name, []).append(score)
    told("trainings", len(cells), len(cells))
    found = {
        variant: {name: values(name, scores, options) for name, scores in sets.items()}
        for variant, sets in counts.items()
    }
    seeds = {
        variant: {
            metric: [values("toys", [one], options)[metric].value for one in sets["toys"]]
            for metric in found[variant]["toys"]
        }
        for variant, sets in counts.items()
    }
    readers = {
        cell.variant: reader(cell, place, SETS["toys"])
        for cell in cells
        if cell.seed == 1 and ((place := exported(cell, out / CELLS / cell.name)) or not cell.learns)
    }
    told_about = about(options, cells[0].backbone, readers)
    results = SegResults(figures=found, seeds=seeds, verdicts=verdicts(found), about=told_about)
    return Reproduced(results, tuple(_write(results, readers, out)), tuple(summary(results)))


def cell_counts(cell: SegCell, train: TrainCell, out: Path, told: Progress) -> dict[str, SemanticScore]:
    """Pixel counts of a cell on everything that it is scored on: kept ones, or new ones, after training."""
    folder, found = out / CELLS / cell.name, {}
    missing = []
    for name in ON[cell.variant]:
        key = f"{cell.digest} {name}"
        kept = read_counts(key, _counts(folder, name))
        if kept is None:
            missing.append(name)
        else:
            found[name] = kept
    if missing:
        trained = train(cell, folder, out / SHARED) if cell.learns else None
        for name in missing:
            found[name] = _scored(cell, trained, name, told)
            write_counts(found[name], f"{cell.digest} {name}", _counts(folder, name))
    return {name: found[name] for name in ON[cell.variant]}


def _counts(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.scores.json"


def _scored(cell: SegCell, trained: Path | None, name: str, told: Progress) -> SemanticScore:
    one, options = SETS[name], cell.options
    maps, pairs, batch = reader(cell, trained, one).maps, list[Any](), list[Drawn]()
    chosen = list(_drawings(one, options.scenes))
    for done, drawn in enumerate(chosen, start=1):
        batch.append(drawn)
        if len(batch) == BATCH or done == len(chosen):
            labels = maps([each.image for each in batch])
            truth = [one.space.outputs(each.semantic) for each in batch]
            pairs += zip(truth, labels, strict=True)
            batch = []
            told(f"{name}, {cell.title}", done, len(chosen))
    return semantic_score(pairs, one.space.scored(), background=False)


def _drawings(one: Scored, count: int) -> Iterator[Drawn]:
    for drawn in drawings(one.set, count):
        if not one.style or drawn.scene.style == one.style:
            yield drawn


def values(name: str, scores: Sequence[SemanticScore], options: SegOptions) -> dict[str, Value]:
    """Figures on one set: the mean over seeds."""
    one = SETS[name]
    weights_BP = weights(scores[0].pictures, options.resamples)
    parts = dict(options.parts()) if one.space.vocabulary == "toybox" else {"miou": scores[0].names}
    if name in ("first names", "synonyms"):
        parts = {"miou": parts["miou"], NAMED: named(one.space)}
    found = {
        metric: mean([Value.of(Measure(score.mean_iou_of(names)), weights_BP) for score in scores])
        for metric, names in parts.items()
    }
    pixels = mean([Value.of(Measure(score.pixel_accuracy), weights_BP) for score in scores])
    return {**found, "pixels": pixels}


def named(space: LabelSpace) -> tuple[str, ...]:
    """Classes with a second name."""
    return tuple(one.name for one in load(space.vocabulary) if len(spoken(one)) > 1)


def verdicts(found: Mapping[str, Figures]) -> list[Verdict]:
    """The parts of the claim, decided by figures with their intervals."""
    made: list[Verdict] = []
    toys = {variant: sets["toys"] for variant, sets in found.items() if "toys" in sets}
    for variant, metric, least in (
        ("one-pass", SEEN, 0.70), ("one-pass", UNSEEN, 0.30), ("mask-denoiser", SEEN, 0.50),
    ):  # fmt: skip
        if variant in toys:
            value = toys[variant][metric].estimate()
            holds = None if value.value is None else value.value >= least
            words = f"{metric} mIoU of {variant} is at least {least:.0%}"
            made.append(Verdict(words, holds, percent(toys[variant][metric])))
    if "one-pass" in toys and "attention" in toys:
        made.append(_above(toys["one-pass"], toys["attention"], UNSEEN, "that of the attention alone"))
    if "one-pass" in toys and "mask-denoiser" in toys:
        made.append(_above(toys["one-pass"], toys["mask-denoiser"], "miou", "that of mask denoising"))
    sets = found.get("one-pass", {})
    if "synonyms" in sets and "first names" in sets:
        first, other = sets["first names"][NAMED], sets["synonyms"][NAMED]
        kept = other.share_of(first).estimate()
        holds = None if kept.value is None else kept.value > 0.9
        words = f"{percent(other)} against {percent(first)}"
        made.append(Verdict("synonyms cost less than a tenth of the mIoU", holds, words))
    return made


def _above(ours: Mapping[str, Value], other: Mapping[str, Value], metric: str, what: str) -> Verdict:
    """Whether the interval of our gain lies above 0."""
    gain = (ours[metric] - other[metric]).estimate()
    holds = None if gain.low is None else gain.low > 0
    title = "mIoU" if metric == "miou" else f"{metric} mIoU"
    return Verdict(
        f"{title} of one pass is above {what}",
        holds,
        f"{percent(ours[metric])} against {percent(other[metric])}",
    )


def about(options: SegOptions, backbone: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """What the figures are figures of; no clock and no folder."""
    from scenewright.models.version import version

    return {
        "version": version(),
        "model": options.model.name,
        "backbone": backbone,
        "parameters": {name: {"trained": one.trained, "read": one.read} for name, one in readers.items()},
        "pictures": options.pictures,
        "steps": options.steps or "the recipes'",
        "seeds": options.seeds,
        "mask_denoiser": {"members": options.members, "steps": options.sampler_steps},
        "scenes": options.scenes,
        "split": options.split,
        "seen": list(options.classes.seen),
        "unseen": list(options.classes.unseen),
        "sets": {name: vars(SETS[name]) for name in SETS},
        "formula": "mIoU of one confusion matrix over classes that are there or predicted",
        "bootstrap": {"over": "pictures", "resamples": options.resamples, "seed": 0},
    }


def _write(results: SegResults, readers: Mapping[str, Reader], out: Path) -> list[Path]:
    """``results.json``, ``table.md``, the plot and the sheet."""
    from scenewright.flows.reproduce.segdiffusion_show import markdown, plot, sheet
    from scenewright.scene import write_png

    return [
        atomic_write(out / RESULTS, to_json_bytes(results.to_json(), indent=1)),
        atomic_write(out / TABLE, markdown(results).encode("utf-8")),
        atomic_write(out / PLOT, plot(results)),
        write_png(out / SHEET, sheet({name: one.maps for name, one in readers.items()})),
    ]
