"""Results as text: a Markdown page with everything, and the summary for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.protocol import Metric
from scenewright.evaluate.tables import shown
from scenewright.flows.reproduce.figures import Scores
from scenewright.flows.reproduce.plan import (
    CLAIM,
    CONDITIONS,
    DIFFERS,
    METRICS,
    RENDERS,
    REPRODUCTION,
    SHORT,
    TITLES,
)
from scenewright.flows.reproduce.results import SWEPT, Results, share

BY_NUMBER = {
    "text": ("shown", "shown_colour", "told", "pictures_shown", "ap50"),
    "null": ("shown", "shown_colour", "told", "pictures_shown", "ap50"),
    "layout": ("ap50", "iou", "class", "colour", "texture", "right", "pictures_right"),
}
"""What is shown of each condition by number of instances: of the text alone, what is there at all."""

BY_SIZE = ("iou", "placed", "class", "colour", "texture")
"""What is shown by size of the box, with layout."""

IN_SUMMARY = (
    "ap", "ap50", "ap75", "ar", "iou", "class", "colour", "texture", "right", "shown_colour", "told",
    "pictures_right",
)  # fmt: skip
"""Metrics of the summary."""


@dataclass(frozen=True)
class Grid:
    """A table: its title, the names of its columns, and its rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As Markdown, under a heading."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return f"## {self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def text(self) -> list[str]:
        """In columns: names to the left, figures to the right."""
        lines = [self.head, *self.rows]
        wide = [max(len(line[k]) for line in lines) for k in range(len(self.head))]
        found = [
            "  ".join(
                cell.rjust(width) if k else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, wide, strict=True))
            )
            for line in lines
        ]
        return [self.title, *(line.rstrip() for line in found)]


def summary(results: Results) -> list[str]:
    """What a terminal shows: what was measured, the table, the parts of the claim, what differs."""
    grids = [main_grid(results, IN_SUMMARY), *number_grids(results, brief=True)]
    if results.swept:
        grids.append(sweep_grid(results))
    return [
        *about_lines(results),
        *(line for grid in grids for line in ["", *grid.text()]),
        "",
        f"claim: {CLAIM}",
        *(one.line() for one in results.verdicts),
        *(f"differs: {line}" for line in DIFFERS),
    ]


def markdown(results: Results) -> str:
    """The page ``table.md``."""
    grids = [
        main_grid(results, list(METRICS)),
        seeds_grid(results),
        *number_grids(results),
        size_grid(results),
    ]
    if results.swept:
        grids.append(sweep_grid(results))
    if results.curve:
        grids.append(_curve_grid(results))
    parts = [
        f"# {REPRODUCTION}: boxes are followed\n",
        "".join(f"{line}  \n" for line in about_lines(results)),
        f"{CLAIM}\n",
        "".join(f"- {one.line()}\n" for one in results.verdicts),
        *(grid.markdown() for grid in grids),
        "## What differs from the paper\n\n" + "".join(f"- {line}\n" for line in DIFFERS),
    ]
    return "\n".join(parts)


def about_lines(results: Results) -> list[str]:
    """What the figures are figures of."""
    it = results.about
    how = it["sampling"]
    own = ", ".join(f"{name} {value:.3f}" for name, value in it["judge_ceilings"].items() if "." not in name)
    return [
        f"{REPRODUCTION}: {it['model']}, {how['steps']} steps, guidance {how['guidance']:g}, "
        f"adapter {it['adapter']}",
        f"samples: {it['sample_set'] or 'no frozen set'}, {it['scenes']} scenes x {it['seeds']} seeds, "
        f"protocol {it['protocol']}",
        f"judge: {it['judge']}" + (f"; on held-out renders, by its own file: {own}" if own else ""),
        f"intervals: 95 %, {it['bootstrap']['resamples']} bootstrap resamples of the scenes",
        *(f"note: {note}" for note in it["notes"]),
    ]


def main_grid(results: Results, names: Sequence[str]) -> Grid:
    """Metrics by condition; the ceiling, and what part of it the layout reaches."""
    order = (*(one.name for one in CONDITIONS), RENDERS)
    head = ["", *(TITLES[name] for name in order), "layout, of ceiling"]
    rows = []
    for name in names:
        if not any(name in one.all.values for one in results.tables.values()):
            continue
        metric = METRICS[name]
        rows.append(
            [
                metric.title,
                *(cell(results.tables[one].all, name) for one in order),
                ceiling_cell(results.tables["layout"].all, results.ceiling.all, name),
            ]
        )
    return Grid("All scenes", head, rows)


def seeds_grid(results: Results) -> Grid:
    """The values of every seed alone."""
    number = results.about["seeds"]
    head = ["", *(f"{one.title}, seed {k + 1}" for one in CONDITIONS for k in range(number))]
    rows = []
    for name in ("ap50", "iou", "colour", "right", "shown_colour", "told"):
        values = [
            results.tables[one.name].all.seeds.get(name, [None] * number)[k]
            for one in CONDITIONS
            for k in range(number)
        ]
        rows.append([METRICS[name].title, *(shown(METRICS[name], value) for value in values)])
    return Grid("Seeds one by one", head, rows)


def number_grids(results: Results, *, brief: bool = False) -> list[Grid]:
    """By number of instances, one table per condition; every figure with its share of the ceiling."""
    chosen = [one for one in CONDITIONS if not (brief and one.name == "null")]
    return [
        _group_grid(f"By instances in the scene: {one.title}", results, one.name, "instances", names)
        for one in chosen
        for names in [BY_NUMBER[one.name]]
    ]


def size_grid(results: Results) -> Grid:
    """With layout, by side of the box as a share of the picture's."""
    return _group_grid("By side of the box: with layout", results, "layout", "size", BY_SIZE)


def sweep_grid(results: Results) -> Grid:
    """By gates."""
    rows = [
        [
            one.stage.name,
            f"{one.open_steps:.2f}",
            *(_both(one.scores, results.swept_ceiling, n) for n in SWEPT),
        ]
        for one in results.swept
    ]
    head = ["gates open", "mean gate", *(short(name) for name in SWEPT)]
    return Grid(f"Share of the steps with open gates, {results.about['sweep_scenes']} scenes", head, rows)


def _curve_grid(results: Results) -> Grid:
    assert results.curve is not None
    names = ("layout_iou", "text_iou", "layout_found", "text_found", "gate_mean")
    rows = [
        [str(one.stage + 1), str(one.step), *(_number(one.values.get(name)) for name in names)]
        for one in results.curve.points
    ]
    return Grid("Training: the probe of colours", ["stage", "step", *names], rows)


def _group_grid(title: str, results: Results, condition: str, what: str, names: Sequence[str]) -> Grid:
    parts, best = results.tables[condition].groups[what], results.ceiling.groups[what]
    rows = [
        [key, str(scores.pictures), str(scores.instances), *(_both(scores, best.get(key), n) for n in names)]
        for key, scores in parts.items()
    ]
    return Grid(title, ["", "scenes", "instances", *(short(name) for name in names)], rows)


def short(name: str) -> str:
    """The title of a metric where there is little room."""
    return SHORT.get(name, METRICS[name].title)


def cell(scores: Scores, name: str) -> str:
    """ "55.1 % (52.0-58.3)"; "-" where there is none."""
    if name not in scores.values:
        return "-"
    return spanned(METRICS[name], scores.values[name].estimate())


def spanned(metric: Metric, one: Estimate) -> str:
    """A value with its interval, in the metric's unit."""
    if one.value is None or one.low is None:
        return shown(metric, one.value)
    low, high = (shown(metric, value).removesuffix(" %") for value in (one.low, one.high))
    return f"{shown(metric, one.value)} ({low}-{high})"


def ceiling_cell(scores: Scores, ceiling: Scores | None, name: str) -> str:
    """ "61 % (57-65)": the share of the ceiling."""
    found = share(scores, ceiling, name)
    one = found.estimate() if found else None
    if one is None or one.value is None:
        return "-"
    if one.low is None or one.high is None:
        return f"{100 * one.value:.0f} %"
    return f"{100 * one.value:.0f} % ({100 * one.low:.0f}-{100 * one.high:.0f})"


def _both(scores: Scores, ceiling: Scores | None, name: str) -> str:
    """A value and, after a slash, its share of the ceiling."""
    if name not in scores.values:
        return "-"
    found = share(scores, ceiling, name)
    of = f" / {100 * found.value:.0f} %" if found is not None and found.value == found.value else ""
    return f"{shown(METRICS[name], scores.values[name].estimate().value)}{of}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
