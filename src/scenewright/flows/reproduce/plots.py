"""Plots of a reproduction: conditions, by number, by size, the sweep of the gates, the training.

Colours are those of Okabe and Ito (2008), one per condition everywhere. Matplotlib is imported when something
is drawn, and draws without a window.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

from scenewright.flows.reproduce.curve import CONTROL, Curve
from scenewright.flows.reproduce.figures import Scores, Value
from scenewright.flows.reproduce.plan import CONDITIONS, METRICS, RENDERS, TITLES
from scenewright.flows.reproduce.results import Results

COLOURS = {"text": "#E69F00", "null": "#CC79A7", "layout": "#0072B2", RENDERS: "#999999"}
BARS = (
    "ap",
    "ap50",
    "ap75",
    "ar",
    "iou",
    "class",
    "colour",
    "texture",
    "right",
    "pictures_right",
    "shown_colour",
    "told",
)
NUMBERS = ("ap50", "right", "told", "pictures_right")
SIZES = ("iou", "class", "colour", "texture")
SWEPT = {"ap50": "#0072B2", "iou": "#009E73", "right": "#D55E00", "shown_colour": "#E69F00"}
DPI = 110


def plots(results: Results) -> dict[str, bytes]:
    """File name -> PNG; equal results give equal bytes on one machine."""
    found = {
        "conditions.png": figure(lambda axes: _bars(axes[0], results), 1, (12.5, 5.0)),
        "by-number.png": figure(
            lambda axes: _groups(axes, results, "instances", NUMBERS, "instances in the scene"),
            4,
            (16.0, 4.2),
        ),
        "by-size.png": figure(
            lambda axes: _groups(axes, results, "size", SIZES, "side of the box, in sides of the picture"),
            4,
            (16.0, 4.2),
        ),
    }
    if results.swept:
        found["sweep.png"] = figure(lambda axes: _sweep(axes[0], results), 1, (7.5, 5.0))
    if results.curve:
        curve = results.curve
        losses = any("loss_no_layout" in one.values for one in curve.points)
        panels = 3 if losses else 2
        found["training.png"] = figure(lambda axes: _training(axes, curve), panels, (6.0 * panels, 4.6))
    return found


def figure(draw: Any, panels: int, size: tuple[float, float]) -> bytes:
    """A row of panels, drawn by `draw(axes)`, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    draw(axes)
    for axis in axes:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _bars(axis: Any, results: Results) -> None:
    """All metrics: a bar per condition, the ceiling as a line above them."""
    names = [name for name in BARS if name in results.ceiling.all.values]
    wide = 0.8 / len(CONDITIONS)
    for place, one in enumerate(CONDITIONS):
        scores = results.tables[one.name].all
        offset = (place - (len(CONDITIONS) - 1) / 2) * wide
        _bar(axis, [k + offset for k in range(len(names))], _values(scores, names), wide, one.name)
    for k, value in enumerate(_values(results.ceiling.all, names)):
        label = TITLES[RENDERS] if not k else None
        axis.plot([k - 0.45, k + 0.45], [value.value] * 2, color="#333333", linewidth=2, label=label)
    axis.set_xticks(
        range(len(names)), [_wrapped(METRICS[name].title) for name in names], fontsize=8
    )  # fmt: skip
    axis.set_ylim(0, 1.02)
    it = results.about
    axis.set_title(
        f"{it['model']}: {it['scenes']} scenes, mean of {it['seeds']} seeds, 95 % intervals; {it['judge']}",
        fontsize=10,
    )
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.figure.legend(fontsize=9, frameon=False, ncols=4, loc="outside lower center")


def _bar(axis: Any, places: Sequence[float], values: Sequence[Value], wide: float, name: str) -> None:
    axis.bar(
        places,
        [one.value for one in values],
        width=wide,
        color=COLOURS[name],
        label=TITLES[name],
        yerr=[[reach(one)[side] for one in values] for side in (0, 1)],
        ecolor="#333333",
        capsize=2,
        error_kw={"elinewidth": 1},
    )


def _groups(axes: Any, results: Results, what: str, names: Sequence[str], words: str) -> None:
    """One panel per metric: a line per condition over the groups, the ceiling in grey."""
    keys = list(results.ceiling.groups[what])
    for axis, name in zip(axes, names, strict=True):
        for condition in (*(one.name for one in CONDITIONS), RENDERS):
            parts = results.tables[condition].groups[what]
            there = [(k, parts[key].values[name]) for k, key in enumerate(keys) if key in parts]
            line(axis, there, COLOURS[condition], TITLES[condition])
        counts = [results.ceiling.groups[what][key].instances for key in keys]
        axis.set_xticks(
            range(len(keys)), [f"{key}\n{count}" for key, count in zip(keys, counts, strict=True)], fontsize=8
        )
        axis.set_ylim(0, 1.02)
        axis.set_title(METRICS[name].title, fontsize=10)
        axis.set_xlabel(f"{words} (instances below)", fontsize=8)
    lines, labels = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(lines, labels, fontsize=9, frameon=False, ncols=4, loc="outside lower center")


def line(axis: Any, there: Sequence[tuple[float, Value]], colour: str, label: str, **style: Any) -> None:
    """Points with intervals, joined."""
    axis.errorbar(
        [x for x, _ in there],
        [one.value for _, one in there],
        yerr=[[reach(one)[side] for _, one in there] for side in (0, 1)],
        color=colour,
        label=label,
        capsize=2,
        elinewidth=1,
        **{"marker": "o", "markersize": 4, **style},
    )


def _sweep(axis: Any, results: Results) -> None:
    """Metrics over the share of steps with open gates; settings with falling gates as crosses."""
    for name, colour in SWEPT.items():
        plain = [(one.stage.on, one.scores.values[name]) for one in results.swept if not one.stage.falling]
        line(axis, plain, colour, METRICS[name].title)
        staged = [(one.open_steps, one.scores.values[name]) for one in results.swept if one.stage.falling]
        line(axis, staged, colour, "_", marker="x", markersize=8, linestyle="none")
        if results.swept_ceiling is not None:
            best = results.swept_ceiling.values[name].value
            axis.axhline(best, color=colour, linewidth=0.8, linestyle=":")
    axis.set_xlabel(
        "share of the steps with open gates (tau of equation 10); x: falling in between, mean gate"
    )
    axis.set_ylim(0, 1)
    axis.set_xlim(-0.03, 1.03)
    axis.set_title(f"gates, {results.about['sweep_scenes']} scenes; dotted: ceilings", fontsize=10)
    axis.legend(fontsize=8, frameon=False)


def _training(axes: Any, curve: Curve) -> None:
    """IoU with and without layout; the losses with right, no and wrong layout; the mean gate."""
    panels: list[tuple[str, dict[str, tuple[str, str]]]] = [
        (
            "probe: IoU of the asked colour's region and the box",
            {"layout_iou": ("with layout", "#0072B2"), "text_iou": ("text only", "#E69F00")},
        ),
        ("mean gate", {"gate_mean": ("", "#009E73")}),
    ]
    if len(axes) == 3:
        losses = {
            "loss_right_layout": ("right layout", "#0072B2"),
            "loss_no_layout": ("no layout", "#E69F00"),
            "loss_wrong_layout": ("wrong layout", "#D55E00"),
        }
        panels.insert(1, ("loss on held-out scenes", losses))
    for axis, (title, lines) in zip(axes, panels, strict=True):
        for name, (label, colour) in lines.items():
            steps, values = curve.series(name)
            axis.plot(steps, values, color=colour, label=label or None, marker=".", linewidth=1.5)
        for end in curve.ends[:-1]:
            axis.axvline(end, color="#BBBBBB", linewidth=1)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training step" + ("; grey: a new stage" if len(curve.ends) > 1 else ""), fontsize=9)
        if any(label for label, _ in lines.values()):
            axis.legend(fontsize=8, frameon=False)
    if (control := curve.control) is not None:
        axes[0].axvline(control.total, color="#333333", linestyle="--", linewidth=1.2)
        axes[0].set_xlabel(
            f"training step; dashed: from {control.total} on above {CONTROL:g} x text only", fontsize=9
        )
    axes[0].set_ylim(bottom=0)


def _values(scores: Scores, names: Sequence[str]) -> list[Value]:
    return [scores.values[name] for name in names]


def reach(one: Value) -> tuple[float, float]:
    """How far the interval reaches below and above the value; never negative."""
    found = one.estimate()
    if found.value is None or found.low is None or found.high is None:
        return 0.0, 0.0
    return max(0.0, found.value - found.low), max(0.0, found.high - found.value)


def _wrapped(title: str) -> str:
    """A title on lines of about 14 letters."""
    return "\n".join(textwrap.wrap(title, 14))
