"""Reports as text: ceilings first, then figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

from scenewright.evaluate.protocol import Metric, Protocol
from scenewright.evaluate.report import Difference, Group, Report

LEVEL = "95 %"
WIDE, CELL = 34, 27
"""Columns of the first column, and of a figure with its interval."""
MOST_GROUPS = 24
"""Rows of one group that are printed at most."""

IN_GROUPS = ("ap50", "iou", "colour", "shown_colour", "miou", "pixels", "look")
"""Metrics that tables and plots of groups show, the first four that there are."""


def report_lines(report: Report, rules: Protocol) -> list[str]:
    """The whole report."""
    number = f"{report.pictures} pictures" + (
        f", {report.instances} instances" if report.instances != report.pictures else ""
    )
    found = [
        f"{rules.id}: {rules.title}",
        f"{report.source}: {number}",
        f"samples: {report.sample_set or 'no frozen set'} ({report.samples[:12]})",
        f"judges: {', '.join(report.judges.values())}",
        f"intervals: {LEVEL}, {report.resamples} bootstrap resamples of the pictures, seed {report.seed}",
    ]
    found += [f"note: {note}" for note in report.notes]
    return [*found, "", *ceiling_lines(report), *figure_lines(report, rules), *group_lines(report, rules)]


def ceiling_lines(report: Report) -> list[str]:
    """What the judges reach themselves, from their files."""
    own = report.ceilings.get("judge_file", {})
    if not own:
        return ["ceiling: the judges' files name none"] if not report.ceilings.get("reference") else []
    figures = [f"{name} {value:.3f}" for name, value in own.items() if "." not in name]
    return [f"ceiling, the judges on held-out renders by their own files: {', '.join(figures)}"]


def figure_lines(report: Report, rules: Protocol) -> list[str]:
    """One line per metric: ceiling, value, interval, share of the ceiling."""
    head = f"{'':{WIDE}}{'ceiling':>9}{'value':>9}  {LEVEL:20}{'of ceiling':>10}"
    found = [head if not report.reference else f"{head}   (ceiling: {report.reference})"]
    for name, one in report.figures.items():
        metric = rules.metric(name)
        best = report.ceiling(name)
        share = ""
        if best and metric.higher and one.value is not None and metric.unit != "distance":
            share = f"{one.value / best:.0%}"
        span = "" if one.low is None else f"{shown(metric, one.low)} to {shown(metric, one.high)}"
        found.append(
            f"{metric.title:{WIDE}}{shown(metric, best):>9}{shown(metric, one.value):>9}"
            f"  {span:20}{share:>10}"
        )
    return found


def group_lines(report: Report, rules: Protocol) -> list[str]:
    """A small table for every grouping."""
    found = []
    for what, parts in report.groups.items():
        names = group_metrics(parts)
        if not names:
            continue
        titles = [rules.metric(name).title.split(",")[0] for name in names]
        found += [
            "",
            f"{'by ' + what:20}{'pictures':>9}{'things':>8}  " + "".join(f"{t:>{CELL}}" for t in titles),
        ]
        for key, part in list(parts.items())[:MOST_GROUPS]:
            cells = "".join(f"{_cell(part, name, rules.metric(name)):>{CELL}}" for name in names)
            found.append(f"{key:20}{part.pictures:9d}{part.instances:8d}  {cells}")
    return found


def group_metrics(parts: Mapping[str, Group], most: int = 4) -> list[str]:
    """Names of the metrics that are shown of a grouping."""
    there = {
        name for part in parts.values() for name, one in part.figures.items() if one.value is not None
    }  # fmt: skip
    return [name for name in IN_GROUPS if name in there][:most]


def difference_lines(differences: Mapping[str, Difference], rules: Protocol) -> list[str]:
    """One line per metric of two reports; a star where the interval leaves out 0."""
    found = [f"{'difference':{WIDE}}{'other':>9}{'this':>9}{'gain':>9}  {LEVEL} (paired)"]
    for name, one in differences.items():
        metric = rules.metric(name)
        mark = " *" if one.low > 0 or one.high < 0 else ""
        found.append(
            f"{metric.title:{WIDE}}{shown(metric, one.theirs):>9}{shown(metric, one.ours):>9}"
            f"{shown(metric, one.value):>9}  {shown(metric, one.low)} to {shown(metric, one.high)}{mark}"
        )
    return found


def shown(metric: Metric, value: float | None) -> str:
    """A value in the metric's unit; "-" where there is none."""
    if value is None or value != value:
        return "-"
    if metric.unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _cell(part: Group, name: str, metric: Metric) -> str:
    one = part.figures.get(name)
    if one is None or one.value is None:
        return "-"
    return (
        f"{shown(metric, one.value)} ({shown(metric, one.low).removesuffix(' %')}-{shown(metric, one.high)})"
    )
