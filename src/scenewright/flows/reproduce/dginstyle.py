"""DGInStyle in miniature: make pictures, train segmenters on them, score them in looks never labelled.

Labelled streets in the source look -> generated sets of their maps, without the style swap, with it, with the
fusion, and renders of them -> a segmenter for every arm and seed -> mIoU in every look of held-out streets,
and what the judges see in the sets -> table, plot, sheets.

Every picture, training and count is kept: the same command continues where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scenewright.evaluate.semantic import SemanticScore
from scenewright.flows.evaluate import RESULTS, Progress
from scenewright.flows.provenance import without_folders
from scenewright.flows.reproduce.dginstyle_data import draw_source, make_sets, rare_classes
from scenewright.flows.reproduce.dginstyle_judged import judged
from scenewright.flows.reproduce.dginstyle_plan import (
    ARMS,
    CLAIM,
    DIFFERS,
    JUDGED,
    REPRODUCTION,
    SET,
    SETS,
    SOURCE,
    SOURCE_SEED,
    TARGETS,
    Pictures,
    StyleOptions,
    TrainStyle,
    cells,
)
from scenewright.flows.reproduce.dginstyle_scores import ArmScores, arm_scores, cell_counts
from scenewright.flows.reproduce.dginstyle_verdicts import gain, verdicts
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.results import Reproduced, Verdict, plain
from scenewright.flows.write import check_folder
from scenewright.scene.files import atomic_write, to_json_bytes

CELLS, PICTURES, SHARED, SHOWN = "trainings", "pictures", "cache", "shown"
"""Folders: of the trainings, of source and sets, of what trainings share, of the pictures on the sheet."""

TABLE, PLOT, SHEET, LABELS = "table.md", "looks.png", "sheet.png", "labels.png"

OVER: Final = "colour"
"""The arm that all others are compared with."""


@dataclass(frozen=True, kw_only=True)
class StyleResults:
    """What was found: figures by arm, what the judges saw by set, the parts of the claim, what the figures
    are figures of."""

    arms: Mapping[str, ArmScores]
    judged: Mapping[str, Mapping[str, Value]]
    verdicts: Sequence[Verdict]
    about: Mapping[str, Any]

    def gain(self, arm: str) -> Value | None:
        """How much an arm is above changed colours, averaged over the target looks."""
        return gain(self.arms, arm, OVER)

    def of_ceiling(self, name: str, metric: str) -> Value | None:
        """A figure of a set as a share of that of the renders; None where there are none."""
        if "renders" not in self.judged:
            return None
        return self.judged[name][metric].share_of(self.judged["renders"][metric])

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "reproduction": REPRODUCTION,
            "claim": CLAIM,
            "differs": list(DIFFERS),
            **self.about,
            "arms": {name: self._arm(name) for name in self.arms},
            "judged": {
                name: {
                    metric: {**plain(figures[metric].estimate()), "of_ceiling": self._share(name, metric)}
                    for metric in JUDGED
                }
                for name, figures in self.judged.items()
            },
            "verdicts": [one.to_json() for one in self.verdicts],
        }

    def _arm(self, name: str) -> dict[str, Any]:
        scores, above = self.arms[name], self.gain(name)
        looks = {
            look: {**plain(value.estimate()), "seeds": [round(one, 6) for one in scores.seeds[look]]}
            for look, value in scores.values.items()
        }
        classes = {key: None if v is None else round(v, 4) for key, v in scores.classes.items()}
        return {
            "title": ARMS[name].title,
            "miou": looks,
            "above_colour": None if above is None else plain(above.estimate()),
            "classes": classes,
        }

    def _share(self, name: str, metric: str) -> dict[str, float | None] | None:
        found = self.of_ceiling(name, metric)
        return None if found is None else plain(found.estimate())


def reproduce_dginstyle(
    options: StyleOptions, train: TrainStyle, out: Path, on_progress: Progress | None = None
) -> Reproduced[StyleResults]:
    """Draw, train, score, judge and show everything in `out`; what is there already is used.

    `train` trains one cell. Raises InputError (a set in `out` that was built in another way), ModelError (a
    model that is not there), StorageError, ScenewrightError (pictures that failed), and whatever a training
    raises.
    """
    from scenewright.flows.reproduce.dginstyle_show import summary
    from scenewright.models.load import pick_device

    told = on_progress or (lambda words, done, total: None)
    pick_device(options.device)
    options.check_models()
    check_folder(out)
    town = draw_source(options.streets, out / PICTURES, told)
    sets = make_sets(options, town, out / PICTURES, told)
    wanted = cells(options, town, sets)
    counts: dict[str, list[Mapping[str, SemanticScore]]] = {}
    for done, cell in enumerate(wanted):
        told("trainings", done, len(wanted))
        found = cell_counts(cell, train, out / CELLS / cell.name, out / SHARED, told)
        counts.setdefault(cell.arm.name, []).append(found)
    told("trainings", len(wanted), len(wanted))
    arms = {arm.name: arm_scores(counts[arm.name], options.resamples) for arm in options.arms}
    rare = rare_classes(town)
    seen, cards = judged(sets, rare, options.resamples, options.device, told)
    judges = {kind: card.id for kind, card in cards.items()}
    results = StyleResults(
        arms=arms,
        judged=seen,
        verdicts=verdicts(arms, seen),
        about={**about(options, sets), "rare": list(rare), "judges": judges},
    )
    first = {cell.arm.name: out / CELLS / cell.name for cell in wanted if cell.seed == 1}
    files = write_results(results, options, first, out, told)
    return Reproduced(results, tuple(files), tuple(summary(results)))


def about(options: StyleOptions, sets: Mapping[str, Pictures]) -> dict[str, Any]:
    """What the figures are figures of; no clock and no folder."""
    from scenewright.models.version import version

    how = options.generate
    return {
        "version": version(),
        "held_out": SET.id,
        "scenes": options.scenes,
        "source": f"{options.streets} streets of the town, look {SOURCE}, seeds from {SOURCE_SEED}",
        "streets": options.streets,
        "targets": list(TARGETS),
        "pictures": options.pictures,
        "steps": options.steps or "the recipe's",
        "seeds": options.seeds,
        "mix": list(options.mix),
        "weather": options.weather.to_json(),
        "template": options.template,
        "sampling": {
            "steps": how.steps,
            "guidance": how.guidance,
            "fusion": options.fusion,
            "window_stride": how.window_stride,
            "fusion_share": how.fusion_share,
        },
        "filter": without_folders(options.filter) if options.filter else "none",
        "sets": {
            name: {
                "title": SETS[name],
                "model": without_folders(options.model(name).name) if name != "renders" else "none",
                **one.counts,
            }
            for name, one in sets.items()
        },
        "bootstrap": {"over": "streets and seeds", "resamples": options.resamples, "seed": 0},
    }


def write_results(
    results: StyleResults, options: StyleOptions, trainings: Mapping[str, Path], out: Path, told: Progress
) -> list[Path]:
    """``results.json``, ``table.md``, the plot, the sheet of one map in all looks, and held-out streets as
    the first segmenter of every arm labels them; `trainings` are its folders."""
    from scenewright.flows.reproduce.dginstyle_sheets import label_sheet, style_sheet
    from scenewright.flows.reproduce.dginstyle_show import markdown, plot
    from scenewright.scene import write_png

    files = [
        atomic_write(out / RESULTS, to_json_bytes(results.to_json(), indent=1)),
        atomic_write(out / TABLE, markdown(results).encode("utf-8")),
        atomic_write(out / PLOT, plot(results)),
    ]
    if options.generated:
        files.append(write_png(out / SHEET, style_sheet(options, out / SHOWN, told)))
    if (labels := label_sheet(trainings, options.device)) is not None:
        files.append(write_png(out / LABELS, labels))
    return files
