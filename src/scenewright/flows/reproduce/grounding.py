"""The grounding head in miniature: the page to read first.

Generated pictures of the classes of VOC, labelled by a labeller -> heads of several variants, each trained on
the seen classes of its split -> masks on held-out renders with exact truth, and on generated pictures of
seen classes, unseen ones and the long tail -> figures beside those of the cross-attention alone -> table,
plots, sheet.

Pictures, trainings and scores are kept: the same command continues where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.evaluate.bootstrap import weights
from scenewright.evaluate.grounding import PictureCounts
from scenewright.evaluate.protocol import ENOUGH, GROUNDING
from scenewright.evaluate.splits import class_split, class_splits
from scenewright.flows.evaluate import RESULTS, Progress
from scenewright.flows.model import Model
from scenewright.flows.reproduce.grounding_bench import (
    RENDERS,
    Bench,
    attention_counts,
    cell_counts,
    sheet_columns,
)
from scenewright.flows.reproduce.grounding_data import kept, test_folders, training_folders
from scenewright.flows.reproduce.grounding_plan import (
    ATTENTION,
    BASE,
    CLAIM,
    DIFFERS,
    REPRODUCTION,
    SET,
    HeadCell,
    HeadsOptions,
    TrainHead,
    Variant,
)
from scenewright.flows.reproduce.grounding_scores import HeadScores, head_scores
from scenewright.flows.reproduce.results import Reproduced, Verdict, plain
from scenewright.flows.write import check_folder
from scenewright.scene.files import atomic_write, to_json_bytes

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle

TABLE, SHEET = "table.md", "sheet.png"


@dataclass(frozen=True, kw_only=True)
class HeadsResults:
    """What was found: per set of pictures the figures of every variant, and of the attention alone by number
    of the split; the parts of the claim; what the figures are figures of."""

    variants: Mapping[str, Mapping[Variant, HeadScores]]
    attention: Mapping[str, Mapping[int, HeadScores]]
    verdicts: Sequence[Verdict]
    about: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "reproduction": REPRODUCTION,
            "claim": CLAIM,
            "differs": list(DIFFERS),
            **self.about,
            "sets": {
                name: {
                    "variants": {one.name: _scores_json(scores) for one, scores in variants.items()},
                    ATTENTION: {
                        str(split): _scores_json(scores) for split, scores in self.attention[name].items()
                    },
                }
                for name, variants in self.variants.items()
            },
            "verdicts": [one.to_json() for one in self.verdicts],
        }


def _scores_json(scores: HeadScores) -> dict[str, Any]:
    return {
        "figures": {
            name: {
                **plain(one.estimate()),
                "seeds": [round(value, 6) if value == value else None for value in scores.seeds[name]],
            }
            for name, one in scores.values.items()
        },
        "classes": {
            name: {"part": scores.parts[name], "pictures": scores.asked[name], **plain(one.estimate())}
            for name, one in scores.classes.items()
        },
        "numbers": {name: plain(one.estimate()) for name, one in scores.numbers.items()},
    }


def reproduce_grounding(
    options: HeadsOptions, train: TrainHead, out: Path, on_progress: Progress | None = None
) -> Reproduced[HeadsResults]:
    """Draw, train, measure and show everything in `out`; what is there already is used.

    `train` trains one cell. Raises InputError (nothing to train on, pictures or a training in `out` that were
    made in another way), ModelError (no labeller, a model without attention), StorageError, and whatever a
    training raises.
    """
    from scenewright.flows.reproduce.grounding_show import summary
    from scenewright.flows.reproduce.grounding_verdicts import verdicts

    told = on_progress or (lambda words, done, total: None)
    check_folder(out)
    choice = options.model
    bundle = Model.load(choice.name, device=choice.device, dtype=choice.dtype).bundle
    layouts = bundle.adapter is not None
    folders = options.data or training_folders(options, layouts, out, told)
    tested = test_folders(options, layouts, out, told)
    cells = options.cells(folders, bundle.backbone.fingerprint)
    bench = Bench.of(bundle, options, tested)
    counts: dict[Variant, list[dict[str, list[PictureCounts]]]] = {}
    for done, cell in enumerate(cells):
        told("heads", done, len(cells))
        counts.setdefault(cell.variant, []).append(cell_counts(cell, train, out, bench, told))
    told("heads", len(cells), len(cells))
    alone, threshold = attention_counts(out, bench, told)
    scored = _figures(counts, alone, options)
    results = HeadsResults(
        variants=scored[0],
        attention=scored[1],
        verdicts=verdicts(scored[0][RENDERS], scored[1][RENDERS]),
        about=about(options, bundle, folders, tested, threshold),
    )
    files = write_results(results, cells, bench, threshold, out)
    return Reproduced(results, tuple(files), tuple(summary(results)))


def _figures(
    counts: Mapping[Variant, Sequence[Mapping[str, list[PictureCounts]]]],
    alone: Mapping[str, list[PictureCounts]],
    options: HeadsOptions,
) -> tuple[dict[str, dict[Variant, HeadScores]], dict[str, dict[int, HeadScores]]]:
    """Figures of the variants, and of the attention alone for every split, on each set."""
    variants: dict[str, dict[Variant, HeadScores]] = {}
    attention: dict[str, dict[int, HeadScores]] = {}
    for name, baseline in alone.items():
        weights_BP = weights(len(baseline), options.resamples)
        variants[name] = {
            one: head_scores([seed[name] for seed in seeds], class_split(one.split), weights_BP)
            for one, seeds in counts.items()
        }
        attention[name] = {
            number: head_scores([baseline], split, weights_BP) for number, split in class_splits().items()
        }
    return variants, attention


def about(
    options: HeadsOptions,
    bundle: Bundle,
    folders: Sequence[Path],
    tested: Sequence[Path],
    threshold: float,
) -> dict[str, Any]:
    """What the figures are figures of; no clock and no folder."""
    from scenewright.flows.provenance import without_folders
    from scenewright.models.version import version

    how = options.generate
    notes = []
    if options.scenes < ENOUGH:
        notes.append(f"{options.scenes} renders: intervals are wide; {ENOUGH} or more are usual")
    return {
        "version": version(),
        "protocol": GROUNDING.id,
        "model": without_folders(bundle.name),
        "backbone": bundle.backbone.fingerprint,
        "sampling": {"steps": how.steps, "guidance": how.guidance, "batch": how.batch},
        "data": [folder.name for folder in folders],
        "pictures": kept(folders),
        "held_out": SET.id,
        "scenes": options.scenes,
        "tested": kept(tested),
        "prompts": "names of the classes" if options.named else "captions",
        "steps": options.steps or "as the recipe says",
        "seeds": options.seeds,
        "attention_threshold": threshold,
        "bootstrap": {"over": "pictures", "resamples": options.resamples, "seed": 0},
        "notes": notes,
    }


def write_results(
    results: HeadsResults, cells: Sequence[HeadCell], bench: Bench, threshold: float, out: Path
) -> list[Path]:
    """``results.json``, ``table.md``, the plots, and the sheet of pictures."""
    from scenewright.flows.reproduce.grounding_show import markdown, plots, sheet
    from scenewright.scene import write_png

    files = [
        atomic_write(out / RESULTS, to_json_bytes(results.to_json(), indent=1)),
        atomic_write(out / TABLE, markdown(results).encode("utf-8")),
        *(atomic_write(out / name, content) for name, content in plots(results).items()),
    ]
    chosen = [cell for cell in cells if cell.seed == 1 and cell.variant.name == BASE] or list(cells[:1])
    shown = sheet(sheet_columns(chosen[0], bench, threshold, out))
    return [*files, write_png(out / SHEET, shown)]
