"""Closing the loop as text, plot and sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.splits import LONG_TAIL, SEEN, UNSEEN
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.loop import LoopResults, spanned
from scenewright.flows.reproduce.loop_plan import CLAIM, DIFFERS, METRICS, REPRODUCTION, SET, SPACE, Mixture
from scenewright.flows.reproduce.plots import figure, line
from scenewright.flows.reproduce.tables import Grid
from scenewright.flows.reproduce.tables import spanned as cell

SHORT = {
    "miou": "mIoU", SEEN: "seen", UNSEEN: "unseen", "harmonic": "harmonic", LONG_TAIL: "long tail",
    "pixels": "pixels",
}  # fmt: skip
COLOURS = {"miou": "#333333", SEEN: "#0072B2", UNSEEN: "#D55E00", LONG_TAIL: "#009E73"}
SHEET_ROWS = 6
"""Pictures on the sheet: the first of the held-out set."""


def summary(results: LoopResults) -> list[str]:
    """What a terminal shows."""
    return [
        *about_lines(results),
        "",
        *grid(results).text(),
        "",
        *share_grid(results).text(),
        "",
        f"claim: {CLAIM}",
        *(one.line() for one in results.verdicts),
        *(f"differs: {words}" for words in DIFFERS),
    ]


def markdown(results: LoopResults) -> str:
    """The page ``table.md``."""
    parts = [
        f"# {REPRODUCTION}: the loop closed\n",
        "".join(f"{words}  \n" for words in about_lines(results)),
        f"{CLAIM}\n",
        "".join(f"- {one.line()}\n" for one in results.verdicts),
        grid(results).markdown(),
        share_grid(results).markdown(),
        seeds_grid(results).markdown(),
        "## What differs from the paper\n\n" + "".join(f"- {words}\n" for words in DIFFERS),
    ]
    return "\n".join(parts)


def about_lines(results: LoopResults) -> list[str]:
    """What the figures are figures of."""
    it = results.about
    real = it["real"] if isinstance(it["real"], str) else ", ".join(it["real"])
    return [
        f"{REPRODUCTION}: mixtures synthetic:real, in multiples of {it['pictures']} real pictures ({real}); "
        f"synthetic: {', '.join(it['synthetic'])}",
        f"every training: {it['steps']} steps, {it['seeds']} seeds; seen and unseen classes of split "
        f"{it['split']}",
        f"scored on {it['held_out']}, first {it['scenes']}; intervals: 95 %, {it['bootstrap']['resamples']} "
        "bootstrap resamples of the pictures",
    ]


def grid(results: LoopResults) -> Grid:
    """Figures by mixture."""
    rows = [
        [one.title, *(cell(METRICS[name], scores.values[name].estimate()) for name in METRICS)]
        for one, scores in results.mixtures.items()
    ]
    return Grid("Real renders", ["synthetic:real", *(SHORT[name] for name in METRICS)], rows)


def share_grid(results: LoopResults) -> Grid:
    """Shares of what real pictures alone give."""
    names = [name for name in METRICS if name != "pixels"]
    rows = [[one.title, *(_share(results.share(one, name)) for name in names)] for one in results.mixtures]
    return Grid("As a share of real pictures alone", ["synthetic:real", *(SHORT[n] for n in names)], rows)


def seeds_grid(results: LoopResults) -> Grid:
    """mIoU of single trainings."""
    rows = [
        [one.title, *(f"{100 * value:.1f} %" for value in scores.seeds["miou"])]
        for one, scores in results.mixtures.items()
    ]
    seeds = range(1, int(results.about["seeds"]) + 1)
    return Grid("mIoU by seed", ["synthetic:real", *(f"seed {seed}" for seed in seeds)], rows)


def _share(one: Value) -> str:
    found = one.estimate()
    return "-" if found.value is None else spanned(found.value, found.low, found.high)


def plot(results: LoopResults) -> bytes:
    """mIoU over the ratio, as PNG: all labels, and real labels of the seen classes alone where that was
    trained."""
    panels = 1 + any(one.hidden for one in results.mixtures)
    return figure(lambda axes: _panels(axes, results), panels, (6.2 * panels, 4.8))


def _panels(axes: Any, results: LoopResults) -> None:
    titles = ("real pictures with all labels", "real pictures with labels of seen classes")
    for hidden, (axis, title) in enumerate(zip(axes, titles, strict=False)):
        mixed = {one: scores for one, scores in results.mixtures.items() if one.real and one.hidden == hidden}
        for name, colour in COLOURS.items():
            there = [(one.synthetic, scores.values[name]) for one, scores in mixed.items()]
            there = [(x, value) for x, value in there if value.value == value.value]
            if there:
                line(axis, there, colour, SHORT[name])
        for one, scores in results.mixtures.items():
            if not one.real:
                _alone(axis, one, scores.values["miou"].value)
        axis.set_ylim(0, 1)
        axis.set_xlabel("synthetic pictures per real one; dotted: mIoU of synthetic ones alone", fontsize=9)
        axis.set_title(title, fontsize=10)
    it = results.about
    axes[0].set_ylabel(f"mIoU on {it['held_out']}, {it['scenes']} renders", fontsize=9)
    axes[0].legend(fontsize=8, frameon=False, loc="lower right")


def _alone(axis: Any, mixture: Mixture, value: float) -> None:
    axis.axhline(value, color="#777777", linewidth=1, linestyle=":")
    axis.annotate(f"{mixture.title}", (0, value), fontsize=7, color="#777777", va="bottom")


def sheet(
    folders: Mapping[str, Path], export: Callable[[Path], Path | None], device: str
) -> NDArray[np.uint8] | None:
    """The first held-out pictures, their classes, and what each segmenter says; None without segmenters."""
    from scenewright.models.load import pick_device
    from scenewright.models.segformer import load_segmenter
    from scenewright.scene import contact_sheet

    if not folders:
        return None
    drawn = list(drawings(SET, SHEET_ROWS))
    painted = SPACE.scored()
    columns: list[tuple[str, Sequence[NDArray[np.uint8]]]] = [
        ("", [one.image for one in drawn]),
        ("truth", [painted.colours(SPACE.outputs(one.semantic)) for one in drawn]),
    ]
    for title, folder in folders.items():
        place = export(folder)
        assert place is not None
        segmenter = load_segmenter(place, device=pick_device(device))
        labels = segmenter.labels([one.image for one in drawn])
        columns.append((title, [painted.colours(found) for found in labels]))
    pictures = [column[row] for row in range(len(drawn)) for _, column in columns]
    captions = [title for _ in drawn for title, _ in columns]
    return contact_sheet(pictures, captions, len(columns))
