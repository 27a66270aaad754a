"""Open-vocabulary segmentation in miniature as text, plot and sheet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.splits import LONG_TAIL, SEEN, UNSEEN
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.plots import figure
from scenewright.flows.reproduce.segdiffusion import SegResults
from scenewright.flows.reproduce.segdiffusion_plan import (
    CLAIM,
    DIFFERS,
    METRICS,
    REPRODUCTION,
    SETS,
    SHORT,
    TOYS,
    VARIANTS,
)
from scenewright.flows.reproduce.segdiffusion_readers import Maps
from scenewright.flows.reproduce.tables import Grid, spanned

COLOURS = {
    "one-pass": "#0072B2", "two-styles": "#56B4E9", "mask-denoiser": "#009E73", "closed-set": "#999999",
    "attention": "#D55E00",
}  # fmt: skip
SHEET_ROWS = 6
"""Pictures on the sheet: the first of the held-out toys."""


def summary(results: SegResults) -> list[str]:
    """What a terminal shows."""
    lines = about_lines(results)
    for one in grids(results):
        lines += ["", *one.text()]
    lines += ["", f"claim: {CLAIM}", *(one.line() for one in results.verdicts)]
    return [*lines, *(f"differs: {words}" for words in DIFFERS)]


def markdown(results: SegResults) -> str:
    """The page ``table.md``."""
    parts = [
        f"# {REPRODUCTION}: any class, in one pass\n",
        "".join(f"{words}  \n" for words in about_lines(results)),
        f"{CLAIM}\n",
        "".join(f"- {one.line()}\n" for one in results.verdicts),
        *(one.markdown() for one in grids(results)),
        seeds_grid(results).markdown(),
        "## What differs from the paper\n\n" + "".join(f"- {words}\n" for words in DIFFERS),
    ]
    return "\n".join(parts)


def about_lines(results: SegResults) -> list[str]:
    """What the figures are figures of."""
    it, drawn = results.about, results.about["mask_denoiser"]
    return [
        f"{REPRODUCTION}: {it['model']}, {it['pictures']} drawings of seen toys, {it['steps']} steps, "
        f"{it['seeds']} seeds of one-pass; split {it['split']}",
        f"scored on the first {it['scenes']} of each frozen set, every class of its vocabulary asked for; "
        f"intervals: 95 %, {it['bootstrap']['resamples']} resamples of the pictures",
        *(f"{name}: {VARIANTS[name]}{_size(it['parameters'].get(name))}" for name in results.figures),
        f"mask denoising: {drawn['members']} x {drawn['steps']} (members x steps)",
    ]


def _size(parameters: Mapping[str, int] | None) -> str:
    """The size of a variant; nothing where it is no longer there."""
    if parameters is None:
        return ""
    trained, read = (f"{parameters[key] / 1e6:.2f} M" for key in ("trained", "read"))
    return f" ({trained} of {read} parameters trained)" if parameters["trained"] else f" ({read} parameters)"


def grids(results: SegResults) -> list[Grid]:
    """A table for every set, a row for every variant."""
    found = []
    for name, one in SETS.items():
        rows, metrics = [], []
        for variant, sets in results.figures.items():
            if name in sets:
                metrics = list(sets[name])
                rows.append([variant, *(spanned(METRICS[m], sets[name][m].estimate()) for m in metrics)])
        if rows:
            title = f"{name} ({one.held_out})"
            found.append(Grid(title, ["", *(SHORT[metric] for metric in metrics)], rows))
    return found


def seeds_grid(results: SegResults) -> Grid:
    """Figures of single trainings on the toys."""
    rows = [
        [f"{variant}, {SHORT[metric]}", ", ".join(f"{100 * value:.1f} %" for value in found)]
        for variant, values in results.seeds.items()
        for metric, found in values.items()
    ]
    return Grid("Toys, by seed", ["", "seeds"], rows)


def plot(results: SegResults) -> bytes:
    """mIoU of every variant on every set, as PNG."""
    return figure(lambda axes: _panels(axes, results), 2, (12.4, 4.8))


def _panels(axes: Any, results: SegResults) -> None:
    parts: list[str] = [SEEN, UNSEEN, LONG_TAIL]
    toys = {variant: sets["toys"] for variant, sets in results.figures.items() if "toys" in sets}
    _bars(axes[0], {v: [values[m].value for m in parts] for v, values in toys.items()}, parts)
    axes[0].set_title("toys, by part of the vocabulary", fontsize=10)
    wide = {
        variant: [sets[name]["miou"].value if name in sets else float("nan") for name in SETS]
        for variant, sets in results.figures.items()
    }
    _bars(axes[1], wide, list(SETS))
    axes[1].set_title("mIoU over all classes, by set", fontsize=10)
    axes[0].set_ylabel("mIoU", fontsize=9)
    axes[0].legend(fontsize=8, frameon=False)


def _bars(axis: Any, values: Mapping[str, list[float]], names: list[str]) -> None:
    wide = 0.8 / max(1, len(values))
    for k, (variant, heights) in enumerate(values.items()):
        places = np.arange(len(names)) + (k - (len(values) - 1) / 2) * wide
        axis.bar(places, np.nan_to_num(heights), wide, label=variant, color=COLOURS[variant])
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(0, 1)


def sheet(readers: Mapping[str, Maps]) -> NDArray[np.uint8]:
    """The first held-out toys, their classes, and what each variant says."""
    from scenewright.scene import contact_sheet

    drawn = list(drawings(SETS["toys"].set, SHEET_ROWS))
    painted, images = TOYS.scored(), [one.image for one in drawn]
    columns = [("", images), ("truth", [painted.colours(TOYS.outputs(one.semantic)) for one in drawn])]
    for variant, maps in readers.items():
        columns.append((variant, [painted.colours(labels) for labels in maps(images)]))
    pictures = [column[row] for row in range(len(drawn)) for _, column in columns]
    captions = [title for _ in drawn for title, _ in columns]
    return contact_sheet(pictures, captions, len(columns))
