"""A report as a picture: bars with intervals and ceilings, for all pictures and in groups.

Colours are those of Okabe and Ito (2008). Matplotlib is imported when something is drawn, and draws without a
window.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.protocol import Metric, Protocol
from scenewright.evaluate.report import Group, Report
from scenewright.evaluate.tables import group_metrics, shown

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
"""Of the bars of a panel."""

CEILING_COLOUR = "#333333"
GROUP_TITLES = {
    "instances": "by instances in the scene", "size": "by side of the box, in sides of the picture",
    "class": "by class", "look": "by look asked for",
}  # fmt: skip
DPI = 110


def plot(report: Report, rules: Protocol) -> bytes:
    """The report as PNG bytes: equal reports give equal bytes on one machine."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(name, parts) for name, parts in report.groups.items() if group_metrics(parts)]
    widths = [1.0, *(_width(parts) for _, parts in panels)]
    figure = Figure(figsize=(max(7.0, 5.2 * sum(widths)), 5.4), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    _overall(axes[0], report, rules)
    for place, (name, parts) in zip(axes[1:], panels, strict=True):
        _groups(place, name, parts, rules, report.group_ceilings.get(name, {}))
    number = f"{report.pictures} pictures"
    where = report.sample_set or "no frozen set"
    figure.suptitle(
        f"{rules.id}, {report.source}: {number}, {where}; {', '.join(report.judges.values())}", fontsize=10
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _width(parts: Mapping[str, Group]) -> float:
    return min(2.4, max(0.6, 0.14 * len(parts) * len(group_metrics(parts))))


def _overall(axis: Any, report: Report, rules: Protocol) -> None:
    """Horizontal bars of all metrics in [0, 1]; distances as text below."""
    bars = [
        (rules.metric(name), one)
        for name, one in report.figures.items()
        if one.value is not None and rules.metric(name).unit != "distance"
    ]
    for place, (metric, one) in enumerate(bars):
        best = report.ceiling(metric.name)
        axis.barh(place, one.value, height=0.66, color=COLOURS[0], xerr=_errors(one), **_ERRORS)
        if best is not None:
            axis.plot([best, best], [place - 0.4, place + 0.4], color=CEILING_COLOUR, linewidth=2)
        axis.text(1.02, place, shown(metric, one.value), va="center", fontsize=8, transform=_right(axis))
    axis.set_yticks(range(len(bars)), [metric.title for metric, _ in bars], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_title("all pictures (dark line: ceiling)", fontsize=9, pad=24)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    distances = [
        f"{rules.metric(name).title} {one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
        for name, one in report.figures.items()
        if one.value is not None and rules.metric(name).unit == "distance"
    ]
    if distances:
        axis.set_xlabel("\n".join(distances), fontsize=9)


def _right(axis: Any) -> Any:
    """Places at the right edge of a panel: x in parts of the panel, y in data."""
    return axis.get_yaxis_transform()


def _groups(
    axis: Any,
    name: str,
    parts: Mapping[str, Group],
    rules: Protocol,
    best: Mapping[str, Mapping[str, float]],
) -> None:
    """Upright bars side by side for every group, dark lines at their ceilings."""
    names = group_metrics(parts)
    wide = 0.8 / len(names)
    for place, (metric, colour) in enumerate(zip(names, COLOURS, strict=False)):
        there = [(k, part.figures.get(metric)) for k, part in enumerate(parts.values())]
        drawn: Sequence[tuple[int, Estimate]] = [
            (k, one) for k, one in there if one and one.value is not None
        ]
        axis.bar(
            [k + (place - (len(names) - 1) / 2) * wide for k, _ in drawn],
            [one.value for _, one in drawn],
            width=wide,
            color=colour,
            label=_short(rules.metric(metric)),
            yerr=[[_errors(one)[side][0] for _, one in drawn] for side in (0, 1)],
            **_ERRORS,
        )
        for k, key in enumerate(parts):
            if (value := best.get(key, {}).get(metric)) is not None:
                middle = k + (place - (len(names) - 1) / 2) * wide
                axis.plot(
                    [middle - wide / 2, middle + wide / 2], [value] * 2, color=CEILING_COLOUR, linewidth=2
                )
    labels = [f"{key}\n{part.instances or part.pictures}" for key, part in parts.items()]
    crowded = len(parts) > 8
    axis.set_xticks(range(len(parts)), labels, fontsize=7 if crowded else 8, rotation=90 if crowded else 0)
    axis.set_ylim(0, 1)
    axis.set_title(GROUP_TITLES.get(name, f"by {name}") + " (number below)", fontsize=9, pad=24)
    axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(names))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _short(metric: Metric) -> str:
    return metric.title.split(",")[0]


def _errors(one: Estimate) -> list[list[float]]:
    """How far the interval reaches below and above the value; never negative."""
    value, low, high = one.value or 0.0, one.low or 0.0, one.high or 0.0
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


_ERRORS: dict[str, Any] = {"ecolor": "#555555", "capsize": 2, "error_kw": {"elinewidth": 1}}
