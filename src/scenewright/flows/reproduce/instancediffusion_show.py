"""InstanceDiffusion's reproduction as text and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scenewright.evaluate.protocol import Metric
from scenewright.flows.reproduce.instancediffusion_plan import (
    ARMS,
    BOX,
    CLAIM,
    DIFFERS,
    EDIT_METRICS,
    METRICS,
    PART_ARMS,
    PART_METRICS,
    RENDERS,
    REPRODUCTION,
    TITLES,
    TURNED,
)
from scenewright.flows.reproduce.instancediffusion_results import InstanceResults
from scenewright.flows.reproduce.instancediffusion_scores import ArmScores
from scenewright.flows.reproduce.plots import figure
from scenewright.flows.reproduce.tables import Grid, spanned

IN_SUMMARY = (
    "ap50", "mask_ap", "mask_iou", "pim_points", "pim_scribbles", "colour", "texture", "right", "leak",
)  # fmt: skip
"""Metrics of the summary."""

SHORT = {
    "ap": "AP", "ap50": "AP50", "iou": "IoU", "mask_ap": "mask AP", "mask_ap50": "mask AP50",
    "mask_iou": "mask IoU", "pim_points": "points", "pim_points_paper": "points, publ.",
    "pim_scribbles": "scribbles", "pim_scribbles_paper": "scribbles, publ.", "class": "class",
    "colour": "colour", "texture": "texture", "right": "right", "leak": "leak",
}  # fmt: skip

SWITCHES = ("mask", "mis", "mis-box", "no-scaleu", "masked", "full", "gligen", "gligen-names")
"""Arms whose differences to boxes are shown."""

BARS = ("ap50", "mask_ap", "pim_points", "pim_scribbles", "colour", "texture", "right")
PLOTTED = ("ap50", "mask_ap", "colour", "texture", "leak")
COLOURS = (
    "#0072B2", "#E69F00", "#F0E442", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#882255", "#999933",
    "#44AA99", "#AA4499",
)  # fmt: skip
"""Of the arms, in their order."""


def summary(results: InstanceResults) -> list[str]:
    """What a terminal shows."""
    grids = [arm_grid(results, IN_SUMMARY), *other_grids(results)]
    return [
        *about_lines(results),
        *(line for grid in grids for line in ["", *grid.text()]),
        "",
        f"claim: {CLAIM}",
        *(one.line() for one in results.verdicts),
        *(f"differs: {words}" for words in DIFFERS),
    ]


def markdown(results: InstanceResults) -> str:
    """The page ``table.md``."""
    grids = [arm_grid(results, list(METRICS)), seeds_grid(results), *other_grids(results)]
    parts = [
        f"# {REPRODUCTION}: boxes, masks, points, scribbles and parts are followed\n",
        "".join(f"{line}  \n" for line in about_lines(results)),
        f"{CLAIM}\n",
        "".join(f"- {one.line()}\n" for one in results.verdicts),
        *(grid.markdown() for grid in grids),
        "## What differs from the paper\n\n" + "".join(f"- {words}\n" for words in DIFFERS),
    ]
    return "\n".join(parts)


def about_lines(results: InstanceResults) -> list[str]:
    """What the figures are figures of."""
    it = results.about
    how = it["sampling"]
    return [
        f"{REPRODUCTION}: {it['model']}, {how['steps']} steps, guidance {how['guidance']:g}, adapter "
        f"{it['adapter']}, {it['attention']} attention; beside it {it['gligen']}",
        f"samples: {it['sample_set'] or 'no frozen set'}, {it['scenes']} scenes x {it['seeds']} seeds; "
        f"{it['part_scenes']} scenes with parts, {it['edit_scenes']} with a change",
        f"judge: {it['judge']}",
        f"intervals: 95 %, {it['bootstrap']['resamples']} bootstrap resamples of the scenes",
        *(f"note: {note}" for note in it["notes"]),
    ]


def arm_grid(results: InstanceResults, names: Sequence[str]) -> Grid:
    """Figures by arm."""
    shown = [name for name in names if any(name in one.values for one in results.arms.values())]
    rows = [[TITLES[arm], *_cells(scores, METRICS, shown)] for arm, scores in results.arms.items()]
    return Grid("What is followed, by what is given", ["", *(SHORT[name] for name in shown)], rows)


def seeds_grid(results: InstanceResults) -> Grid:
    """AP50 of every seed alone."""
    number = int(results.about["seeds"])
    rows = []
    for arm, scores in results.arms.items():
        values = [f"{100 * value:.1f} %" for value in scores.seeds.get("ap50", ())]
        rows.append([TITLES[arm], *values, *["-"] * (number - len(values))])
    return Grid("AP50, seeds one by one", ["", *(f"seed {k + 1}" for k in range(number))], rows)


def other_grids(results: InstanceResults) -> list[Grid]:
    """Differences to boxes, parts, changes: those that there are."""
    grids = []
    names = _switched(results)
    if names:
        rows = [[TITLES[arm], *(_gain(results, arm, metric) for metric in PLOTTED)] for arm in names]
        head = ["", *(SHORT[metric] for metric in PLOTTED)]
        grids.append(Grid("Difference to boxes alone, in points (paired)", head, rows))
    if results.parts:
        metrics = {**PART_METRICS, TURNED.name: TURNED}
        titles = {**PART_ARMS, RENDERS: TITLES[RENDERS]}
        rows = [[titles[arm], *_cells(one, metrics, list(metrics))] for arm, one in results.parts.items()]
        grids.append(Grid("Parts", ["", *(one.title for one in metrics.values())], rows))
    if results.edits is not None:
        values = results.edits.values
        rows = [
            [metric.title, spanned(metric, values[name].estimate())]
            for name, metric in EDIT_METRICS.items()
            if name in values
        ]
        grids.append(Grid("One thing of four moved", ["", "value"], rows))
    return grids


def _switched(results: InstanceResults) -> list[str]:
    """Arms of `SWITCHES` that were drawn, without the one that is boxes itself."""
    return [arm for arm in SWITCHES if arm in results.arms and results.arms[arm] is not results.arms[BOX]]


def _cells(scores: ArmScores, metrics: Mapping[str, Metric], names: Sequence[str]) -> list[str]:
    return [
        spanned(metrics[name], scores.values[name].estimate()) if name in scores.values else "-"
        for name in names
    ]


def _gain(results: InstanceResults, arm: str, metric: str) -> str:
    """ "+2.1 (0.3 to 4.0)" in points; a star where the interval leaves out 0."""
    gain = results.gain(arm, metric)
    one = gain.estimate() if gain is not None else None
    if one is None or one.value is None:
        return "-"
    if one.low is None or one.high is None:
        return f"{100 * one.value:+.1f}"
    mark = " *" if one.low > 0 or one.high < 0 else ""
    return f"{100 * one.value:+.1f} ({100 * one.low:.1f} to {100 * one.high:.1f}){mark}"


def plots(results: InstanceResults) -> dict[str, bytes]:
    """File name -> PNG; equal results give equal bytes on one machine."""
    found = {"formats.png": figure(lambda axes: _bars(axes[0], results), 1, (13.0, 5.4))}
    if _switched(results):
        found["switches.png"] = figure(
            lambda axes: _gains(axes, results), len(PLOTTED), (3.6 * len(PLOTTED), 3.8)
        )
    return found


def _bars(axis: Any, results: InstanceResults) -> None:
    """Metrics side by side: a bar for every arm, the ceiling as a line above them."""
    arms = [one.name for one in ARMS if one.name in results.arms]
    best = results.arms[RENDERS].values
    wide = 0.84 / len(arms)
    for place, arm in enumerate(arms):
        values = results.arms[arm].values
        for k, name in enumerate(BARS):
            if name not in values:
                continue
            one = values[name].estimate()
            if one.value is None:
                continue
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            axis.bar(
                k + (place - (len(arms) - 1) / 2) * wide, one.value, width=wide,
                color=COLOURS[[a.name for a in ARMS].index(arm)], label=TITLES[arm] if not k else None,
                yerr=[[max(0.0, one.value - low)], [max(0.0, high - one.value)]], ecolor="#333333", capsize=1,
                error_kw={"elinewidth": 0.8},
            )  # fmt: skip
    for k, name in enumerate(BARS):
        if name in best and best[name].value == best[name].value:
            label = TITLES[RENDERS] if not k else None
            axis.plot([k - 0.45, k + 0.45], [best[name].value] * 2, color="#333333", linewidth=2, label=label)
    axis.set_xticks(range(len(BARS)), [METRICS[name].title for name in BARS], fontsize=8)
    axis.set_ylim(0, 1.02)
    it = results.about
    axis.set_title(f"{it['model']}: {it['scenes']} scenes, {it['seeds']} seeds, 95 % intervals", fontsize=10)
    axis.figure.legend(fontsize=8, frameon=False, ncols=4, loc="outside lower center")


def _gains(axes: Any, results: InstanceResults) -> None:
    """Differences to boxes, with paired intervals."""
    arms = _switched(results)
    for place, (axis, metric) in enumerate(zip(axes, PLOTTED, strict=True)):
        for k, arm in enumerate(arms):
            gain = results.gain(arm, metric)
            one = gain.estimate() if gain is not None else None
            if one is None or one.value is None:
                continue
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            axis.plot([100 * low, 100 * high], [k, k], color="#333333", linewidth=1.2)
            axis.plot(100 * one.value, k, "o", color=COLOURS[[a.name for a in ARMS].index(arm)])
        axis.axvline(0, color="#999999", linewidth=0.8)
        axis.set_yticks(range(len(arms)), [TITLES[arm] for arm in arms] if not place else [], fontsize=8)
        axis.set_ylim(-0.6, len(arms) - 0.4)
        axis.invert_yaxis()
        axis.set_title(METRICS[metric].title, fontsize=9)
        axis.set_xlabel("points above boxes alone", fontsize=8)
