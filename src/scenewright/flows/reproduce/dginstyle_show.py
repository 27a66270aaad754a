"""DGInStyle in miniature as text and plot."""

from __future__ import annotations

from typing import Any

import numpy as np

from scenewright.flows.reproduce.dginstyle import OVER, StyleResults
from scenewright.flows.reproduce.dginstyle_plan import (
    ARMS,
    CLAIM,
    DIFFERS,
    JUDGED,
    MIOU,
    REPRODUCTION,
    SETS,
    SOURCE,
    TARGETS,
)
from scenewright.flows.reproduce.dginstyle_scores import MEAN
from scenewright.flows.reproduce.dginstyle_verdicts import points
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.plots import figure, reach
from scenewright.flows.reproduce.results import span
from scenewright.flows.reproduce.tables import Grid, spanned

COLOURS = {
    "source": "#999999", "colour": "#333333", "plain": "#E69F00", "swap": "#56B4E9", "fusion": "#0072B2",
    "renders": "#009E73",
}  # fmt: skip


def summary(results: StyleResults) -> list[str]:
    """What a terminal shows."""
    lines = about_lines(results)
    for one in [main_grid(results), look_grid(results), *judged_grids(results)]:
        lines += ["", *one.text()]
    lines += ["", f"claim: {CLAIM}", *(one.line() for one in results.verdicts)]
    return [*lines, *(f"differs: {words}" for words in DIFFERS)]


def markdown(results: StyleResults) -> str:
    """The page ``table.md``."""
    grids = [main_grid(results), look_grid(results), *judged_grids(results), seeds_grid(results)]
    parts = [
        f"# {REPRODUCTION}: looks that were never labelled\n",
        "".join(f"{words}  \n" for words in about_lines(results)),
        f"{CLAIM}\n",
        "".join(f"- {one.line()}\n" for one in results.verdicts),
        *(one.markdown() for one in [*grids, class_grid(results)]),
        "## What differs from the paper\n\n" + "".join(f"- {words}\n" for words in DIFFERS),
    ]
    return "\n".join(parts)


def about_lines(results: StyleResults) -> list[str]:
    """What the figures are figures of."""
    it = results.about
    how, mix = it["sampling"], ":".join(f"{one:g}" for one in it["mix"])
    return [
        f"{REPRODUCTION}: {it['source']}; every training {it['steps']} steps, {it['seeds']} seeds, "
        f"generated to source {mix}",
        f"scored on the first {it['scenes']} streets of {it['held_out']}, each in every look; intervals: "
        f"95 %, {it['bootstrap']['resamples']} resamples of streets and seeds, paired",
        f"generated: {it['pictures']} maps, {how['steps']} steps, guidance {how['guidance']:g}, fusion "
        f"{how['fusion']}, windows {how['window_stride']:g} apart, filter {it['filter']}",
        *(_set_line(name, one) for name, one in it["sets"].items()),
        f"judges: {', '.join(it['judges'].values()) or 'none'}; rare classes: {', '.join(it['rare']) or '-'}",
    ]


def _set_line(name: str, one: Any) -> str:
    refused = f", {one['refused']} refused" if one.get("refused") else ""
    return f"{name}: {SETS[name]}; {one.get('kept', 0)} pictures{refused}"


def main_grid(results: StyleResults) -> Grid:
    """Arms by the mean over the target looks, and in the source look."""
    rows = []
    for name, scores in results.arms.items():
        above = results.gain(name)
        told = "-" if above is None or name == OVER else points(above)
        mean, own = (spanned(MIOU, scores.values[look].estimate()) for look in (MEAN, SOURCE))
        rows.append([ARMS[name].title, mean, told, own])
    head = ["", "target looks", f"above {ARMS[OVER].title}", f"{SOURCE}, the source"]
    return Grid("mIoU, mean of the target looks", head, rows)


def look_grid(results: StyleResults) -> Grid:
    """Arms by look."""
    rows = [
        [ARMS[name].title, *(spanned(MIOU, scores.values[look].estimate()) for look in TARGETS)]
        for name, scores in results.arms.items()
    ]
    return Grid("mIoU by look", ["", *TARGETS], rows)


def judged_grids(results: StyleResults) -> list[Grid]:
    """What the judges see in the sets, if there are any: figures, and shares of those of the renders."""
    if not results.judged:
        return []
    head = ["", *(one.title for one in JUDGED.values())]
    rows = [
        [name, *(spanned(JUDGED[key], figures[key].estimate()) for key in JUDGED)]
        for name, figures in results.judged.items()
    ]
    found = [Grid("The generated pictures, judged", head, rows)]
    shares = [
        [name, *(_share(results.of_ceiling(name, key)) for key in JUDGED)]
        for name in results.judged
        if name != "renders"
    ]
    if "renders" in results.judged and shares:
        found.append(Grid("The same as a share of renders of the same maps", head, shares))
    return found


def _share(one: Value | None) -> str:
    return "-" if one is None or one.estimate().value is None else span(one.estimate())


def seeds_grid(results: StyleResults) -> Grid:
    """Single trainings, the mean over the target looks."""
    rows = [
        [ARMS[name].title, *(f"{100 * value:.1f} %" for value in scores.seeds[MEAN])]
        for name, scores in results.arms.items()
    ]
    seeds = range(1, int(results.about["seeds"]) + 1)
    return Grid("mIoU of the target looks by seed", ["", *(f"seed {seed}" for seed in seeds)], rows)


def class_grid(results: StyleResults) -> Grid:
    """IoU by class over all target looks; rare classes with a star."""
    names = next(iter(results.arms.values())).classes
    rows = [
        [
            f"{name} *" if name in results.about["rare"] else name,
            *(_percent(scores.classes[name]) for scores in results.arms.values()),
        ]
        for name in names
    ]
    head = ["", *(ARMS[name].title for name in results.arms)]
    return Grid("IoU by class, mean of target looks and seeds; * rare", head, rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def plot(results: StyleResults) -> bytes:
    """mIoU by look, gains over changed colours, and what the judges see, as PNG."""
    panels = 3 if results.judged else 2
    return figure(lambda axes: _panels(axes, results), panels, (5.6 * panels + 2.0, 4.8))


def _panels(axes: Any, results: StyleResults) -> None:
    looks = [MEAN, *TARGETS, SOURCE]
    by_arm = {name: [scores.values[look] for look in looks] for name, scores in results.arms.items()}
    _bars(axes[0], by_arm, {name: ARMS[name].title for name in by_arm}, looks)
    axes[0].set_title("mIoU on held-out streets", fontsize=10)
    axes[0].set_ylim(0, 1)
    gains = {
        name: [Value(100 * found.value, 100 * found.drawn_B)]
        for name in results.arms
        if name != OVER and (found := results.gain(name))
    }
    _bars(axes[1], gains, {}, [MEAN])
    axes[1].axhline(0, color="#333333", linewidth=0.8)
    axes[1].set_title(f"points of mIoU above {ARMS[OVER].title!r}, mean of the target looks", fontsize=10)
    if results.judged:
        sets = {name: [figures[key] for key in JUDGED] for name, figures in results.judged.items()}
        _bars(axes[2], sets, {}, ["mIoU", "rare classes", "look", "small things"])
        axes[2].set_title("generated pictures, as the judges see them", fontsize=10)
        axes[2].set_ylim(0, 1)
    axes[0].figure.legend(fontsize=8, frameon=False, ncols=6, loc="outside lower center")


def _bars(axis: Any, values: dict[str, list[Value]], labels: dict[str, str], names: list[str]) -> None:
    wide = 0.8 / max(1, len(values))
    for k, (name, found) in enumerate(values.items()):
        places = np.arange(len(names)) + (k - (len(values) - 1) / 2) * wide
        heights = np.nan_to_num([one.value for one in found])
        style = {"ecolor": "#333333", "capsize": 2, "error_kw": {"elinewidth": 1}}
        errors = np.array([reach(one) for one in found]).T
        axis.bar(places, heights, wide, yerr=errors, label=labels.get(name), color=COLOURS[name], **style)
    axis.set_xticks(range(len(names)), names, fontsize=8)
