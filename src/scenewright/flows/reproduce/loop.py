"""Closing the loop in miniature: does a segmenter learn from generated pictures what real ones teach it?

Real pictures (renders, or Records), synthetic ones (Records that a model drew, with masks) -> a segmenter for
every mixture of them -> scores on held-out renders, all, seen and unseen classes, shares of what real
pictures give -> table, plot, sheet.

Every training and every score is kept: the same command continues where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.evaluate.bootstrap import weights
from scenewright.evaluate.semantic import SemanticScore
from scenewright.evaluate.splits import UNSEEN
from scenewright.flows.evaluate import RESULTS, Progress
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.loop_plan import (
    CLAIM,
    DIFFERS,
    ENOUGH,
    METRICS,
    REAL,
    REPRODUCTION,
    SET,
    Cell,
    LoopOptions,
    Mixture,
    Train,
)
from scenewright.flows.reproduce.loop_scores import (
    MixtureScores,
    count_pixels,
    mixture_scores,
    read_counts,
    write_counts,
)
from scenewright.flows.reproduce.results import Reproduced, Verdict, percent, plain
from scenewright.flows.write import check_folder
from scenewright.scene.files import atomic_write, to_json_bytes

CELLS, SHARED, COUNTS, EXPORT = "trainings", "cache", "scores.json", "segmenter.json"
"""Folder of the trainings and of what they share; files in a training's folder: pixel counts, and where the
segmenter is."""

TABLE, PLOT, SHEET = "table.md", "ratios.png", "sheet.png"


@dataclass(frozen=True, kw_only=True)
class LoopResults:
    """What was found: figures by mixture, the parts of the claim, what the figures are figures of."""

    mixtures: Mapping[Mixture, MixtureScores]
    verdicts: Sequence[Verdict]
    about: Mapping[str, Any]

    def share(self, mixture: Mixture, metric: str) -> Value:
        """A figure as a share of what real pictures alone give."""
        return self.mixtures[mixture].values[metric].share_of(self.mixtures[REAL].values[metric])

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "reproduction": REPRODUCTION,
            "claim": CLAIM,
            "differs": list(DIFFERS),
            **self.about,
            "mixtures": {one.title: self._figures(one) for one in self.mixtures},
            "verdicts": [one.to_json() for one in self.verdicts],
        }

    def _figures(self, mixture: Mixture) -> dict[str, Any]:
        scores = self.mixtures[mixture]
        return {
            name: {
                **plain(scores.values[name].estimate()),
                "seeds": [round(value, 6) if value == value else None for value in scores.seeds[name]],
                "of_real": plain(self.share(mixture, name).estimate()),
            }
            for name in METRICS
        }


def reproduce_loop(
    options: LoopOptions,
    train: Train,
    out: Path,
    *,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Reproduced[LoopResults]:
    """Train, score, measure and show everything in `out`; what is there already is used.

    `train` trains one cell. Raises InputError (too few pictures, pictures without masks, a training in `out`
    with another recipe), StorageError, ModelError, and whatever a training raises.
    """
    from scenewright.flows.reproduce.loop_show import summary

    told = on_progress or (lambda words, done, total: None)
    cells = options.cells()
    check_folder(out)
    counts: dict[Mixture, list[SemanticScore]] = {}
    for done, cell in enumerate(cells):
        told("trainings", done, len(cells))
        counts.setdefault(cell.mixture, []).append(cell_counts(cell, train, out, device, told))
    told("trainings", len(cells), len(cells))
    weights_BP = weights(options.scenes, options.resamples)
    mixtures = {one: mixture_scores(counts[one], options.classes, weights_BP) for one in counts}
    results = LoopResults(mixtures=mixtures, verdicts=verdicts(mixtures, options), about=about(options))
    return Reproduced(results, tuple(write_results(results, cells, out, device)), tuple(summary(results)))


def cell_counts(cell: Cell, train: Train, out: Path, device: str, told: Progress) -> SemanticScore:
    """Pixel counts of a cell: kept ones, or of the segmenter that is trained first."""
    from scenewright.models.load import pick_device
    from scenewright.models.segformer import load_segmenter

    folder = out / CELLS / cell.name
    key = f"{cell.digest} {SET.id} {cell.options.scenes}"
    if (kept := read_counts(key, folder / COUNTS)) is not None:
        return kept
    trained = train(cell, folder, out / SHARED)
    segmenter = load_segmenter(trained, device=pick_device(device))
    words = f"held-out pictures, {cell.title}"
    score = count_pixels(segmenter, cell.options.scenes, lambda done, total: told(words, done, total))
    where = trained.relative_to(folder).as_posix()
    atomic_write(folder / EXPORT, to_json_bytes({"segmenter": where}))
    write_counts(score, key, folder / COUNTS)
    return score


def verdicts(mixtures: Mapping[Mixture, MixtureScores], options: LoopOptions) -> list[Verdict]:
    """The parts of the claim, decided by figures with their intervals."""
    real, most = mixtures[REAL].values["miou"], options.most
    found = []
    for number in sorted({1.0, most}):
        share = mixtures[Mixture(number, 0)].values["miou"].share_of(real).estimate()
        many = "as many synthetic pictures" if number == 1 else f"{number:g} times as many synthetic pictures"
        found.append(
            Verdict(
                f"{many} alone give at least {100 * ENOUGH:.0f} % of the mIoU of real ones",
                None if share.value is None else share.value >= ENOUGH,
                spanned(share.value, share.low, share.high),
            )
        )
    mixed = Mixture(most, 1)
    if mixed in mixtures:
        gain = (mixtures[mixed].values["miou"] - real).estimate()
        found.append(
            Verdict(
                f"synthetic pictures beside the real ones ({mixed.title}) raise the mIoU",
                None if gain.low is None else gain.low > 0,
                f"by {spanned(gain.value, gain.low, gain.high)}",
            )
        )
    if options.hide:
        bare, more = (mixtures[Mixture(part, 1, hidden=True)].values for part in (0, most))
        gain = (more[UNSEEN] - bare[UNSEEN]).estimate()
        found.append(
            Verdict(
                "classes that no real picture labels are learnt from synthetic ones",
                None if gain.low is None else gain.low > 0,
                f"unseen: {percent(more[UNSEEN])} against {percent(bare[UNSEEN])}",
            )
        )
    return found


def spanned(value: float | None, low: float | None, high: float | None) -> str:
    """ "84 %, 80 to 88"; "nothing to be compared" where there is none."""
    if value is None:
        return "nothing to be compared"
    if low is None or high is None:
        return f"{100 * value:.0f} %"
    return f"{100 * value:.0f} %, {100 * low:.0f} to {100 * high:.0f}"


def about(options: LoopOptions) -> dict[str, Any]:
    """What the figures are figures of; no clock and no folder."""
    from scenewright.models.version import version

    split = options.classes
    return {
        "version": version(),
        "held_out": SET.id,
        "scenes": options.scenes,
        "pictures": options.pictures,
        "synthetic": [folder.name for folder in options.synthetic],
        "real": [folder.name for folder in options.real] or "renders of the toybox",
        "steps": options.steps,
        "seeds": options.seeds,
        "split": options.split,
        "seen": list(split.seen),
        "unseen": list(split.unseen),
        "bootstrap": {"over": "pictures", "resamples": options.resamples, "seed": 0},
    }


def write_results(results: LoopResults, cells: Sequence[Cell], out: Path, device: str) -> list[Path]:
    """``results.json``, ``table.md``, the plot of ratios, and the first pictures as all segmenters label
    them."""
    from scenewright.flows.reproduce.loop_show import markdown, plot, sheet
    from scenewright.scene import write_png

    files = [
        atomic_write(out / RESULTS, to_json_bytes(results.to_json(), indent=1)),
        atomic_write(out / TABLE, markdown(results).encode("utf-8")),
        atomic_write(out / PLOT, plot(results)),
    ]
    first = {cell.mixture.title: out / CELLS / cell.name for cell in cells if cell.seed == 1}
    shown = sheet({title: folder for title, folder in first.items() if _export(folder)}, _export, device)
    return [*files, write_png(out / SHEET, shown)] if shown is not None else files


def _export(folder: Path) -> Path | None:
    """Where the segmenter of a training's folder is, if it is still there."""
    from scenewright.scene.files import read_json

    if not (folder / EXPORT).is_file():
        return None
    place = folder / str(read_json(folder / EXPORT).get("segmenter", ""))
    return place if (place / "config.json").is_file() else None
