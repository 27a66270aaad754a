"""The grounding head as text, plots and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.protocol import Metric
from scenewright.evaluate.splits import LONG_TAIL, SEEN, UNSEEN
from scenewright.flows.head_scores import CELL_PX, Shown, tinted
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.grounding import HeadsResults
from scenewright.flows.reproduce.grounding_bench import RENDERS, SETS
from scenewright.flows.reproduce.grounding_plan import (
    BASE,
    BY_NAME,
    CLAIM,
    DIFFERS,
    METRICS,
    REPRODUCTION,
    SHORT,
    Variant,
)
from scenewright.flows.reproduce.grounding_scores import HeadScores
from scenewright.flows.reproduce.plots import figure
from scenewright.flows.reproduce.tables import Grid, spanned
from scenewright.scene import contact_sheet

IOU = Metric(name="iou", title="IoU")

COLOURS = {"miou_seen": "#0072B2", "miou_unseen": "#D55E00", "miou_long_tail": "#009E73"}
PART_COLOURS = {SEEN: "#0072B2", UNSEEN: "#D55E00", LONG_TAIL: "#009E73"}


def summary(results: HeadsResults) -> list[str]:
    """What a terminal shows."""
    grids = [main_grid(results, name) for name in results.variants]
    return [
        *about_lines(results),
        *(line for grid in grids for line in ["", *grid.text()]),
        "",
        f"claim: {CLAIM}",
        *(one.line() for one in results.verdicts),
        *(f"differs: {words}" for words in DIFFERS),
    ]


def markdown(results: HeadsResults) -> str:
    """The page ``table.md``."""
    grids = [
        *(main_grid(results, name) for name in results.variants),
        seeds_grid(results),
        classes_grid(results),
        numbers_grid(results),
    ]
    parts = [
        f"# {REPRODUCTION}: masks out of the network that draws\n",
        "".join(f"{words}  \n" for words in about_lines(results)),
        f"{CLAIM}\n",
        "".join(f"- {one.line()}\n" for one in results.verdicts),
        *(grid.markdown() for grid in grids),
        "## What differs from the paper\n\n" + "".join(f"- {words}\n" for words in DIFFERS),
    ]
    return "\n".join(parts)


def about_lines(results: HeadsResults) -> list[str]:
    """What the figures are figures of."""
    it = results.about
    steps = f"{it['steps']} steps" if isinstance(it["steps"], int) else f"steps {it['steps']}"
    return [
        f"{REPRODUCTION}: {it['model']}; heads trained on {it['pictures']} labelled pictures "
        f"({', '.join(it['data'])}), {steps}, {it['seeds']} seeds",
        f"measured on {it['held_out']}, first {it['scenes']}, and on {it['tested']} generated pictures; "
        f"protocol {it['protocol']}",
        f"attention alone: cut at {it['attention_threshold']:g} of a class's strongest",
        f"intervals: 95 %, {it['bootstrap']['resamples']} bootstrap resamples of the pictures",
        *(f"note: {note}" for note in it["notes"]),
    ]


def main_grid(results: HeadsResults, name: str) -> Grid:
    """Figures by variant on one set of pictures, those of the attention alone below."""
    heads, alone = results.variants[name], results.attention[name]
    rows = [[one.title, *_cells(scores)] for one, scores in heads.items()]
    splits = sorted({one.split for one in heads})
    rows += [[f"attention alone, split {split}", *_cells(alone[split])] for split in splits]
    title = SETS[name]
    return Grid(title[0].upper() + title[1:], ["mIoU", *(SHORT[metric] for metric in METRICS)], rows)


def _cells(scores: HeadScores) -> list[str]:
    return [spanned(one, scores.values[name].estimate()) for name, one in METRICS.items()]


def seeds_grid(results: HeadsResults) -> Grid:
    """Seen and unseen mIoU of single trainings on the renders."""
    seeds = range(int(results.about["seeds"]))
    names = ("miou_seen", "miou_unseen")
    rows = [
        [one.title, *(_percent(scores.seeds[name][seed]) for seed in seeds for name in names)]
        for one, scores in results.variants[RENDERS].items()
    ]
    head = [f"{SHORT[name]}, seed {seed + 1}" for seed in seeds for name in names]
    return Grid("Seeds one by one, real renders", ["", *head], rows)


def classes_grid(results: HeadsResults) -> Grid:
    """IoU of every class on the renders: the base variant, and the attention alone."""
    variant, scores = _base(results)
    bare = results.attention[RENDERS][variant.split].classes
    rows = [
        [
            name,
            scores.parts[name],
            str(scores.asked[name]),
            spanned(IOU, one.estimate()),
            spanned(IOU, bare[name].estimate()),
        ]
        for name, one in scores.classes.items()
    ]
    return Grid(
        f"Classes, real renders: {variant.title}", ["", "part", "pictures", "head", "attention alone"], rows
    )


def numbers_grid(results: HeadsResults) -> Grid:
    """mIoU by number of classes in the picture: one column per set of pictures, and the attention alone."""
    columns: dict[str, Mapping[str, Value]] = {}
    for name in results.variants:
        variant, scores = _base(results, name)
        columns[SETS[name].split(",")[0]] = scores.numbers
        columns[f"{SETS[name].split(',')[0]}, attention alone"] = results.attention[name][
            variant.split
        ].numbers
    keys = sorted({key for one in columns.values() for key in one})
    rows = [
        [key, *(spanned(IOU, one[key].estimate()) if key in one else "-" for one in columns.values())]
        for key in keys
    ]
    return Grid("By number of classes in the picture", ["", *columns], rows)


def _base(results: HeadsResults, name: str = RENDERS) -> tuple[Variant, HeadScores]:
    """The base variant, or the first one where it was not trained."""
    heads = results.variants[name]
    chosen = BY_NAME[BASE] if BY_NAME[BASE] in heads else next(iter(heads))
    return chosen, heads[chosen]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if value == value else "-"


def plots(results: HeadsResults) -> dict[str, bytes]:
    """File name -> PNG."""
    count = len(results.variants[RENDERS])
    return {
        "variants.png": figure(lambda axes: _variants(axes[0], results), 1, (max(7.0, 1.5 * count + 3), 5.0)),
        "classes.png": figure(lambda axes: _classes(axes[0], results), 1, (13.0, 4.8)),
    }


def _variants(axis: Any, results: HeadsResults) -> None:
    """A group of bars per variant, the attention alone as a dark line on each."""
    heads = results.variants[RENDERS]
    wide = 0.8 / len(COLOURS)
    for place, (name, colour) in enumerate(COLOURS.items()):
        x = [k + (place - 1) * wide for k in range(len(heads))]
        values = [scores.values[name] for scores in heads.values()]
        _bars(axis, x, values, wide, colour, SHORT[name])
        for k, one in zip(x, heads, strict=True):
            bare = results.attention[RENDERS][one.split].values[name].value
            axis.plot([k - wide / 2, k + wide / 2], [bare, bare], color="#333333", linewidth=2)
    axis.set_xticks(range(len(heads)), [one.title.replace(" ", "\n", 1) for one in heads], fontsize=8)
    axis.set_ylim(0, 1)
    it = results.about
    axis.set_title(
        f"mIoU on {it['scenes']} renders, mean of {it['seeds']} seeds, 95 % intervals; dark lines: attention "
        "alone", fontsize=10,
    )  # fmt: skip
    axis.figure.legend(fontsize=9, frameon=False, ncols=3, loc="outside lower center")


def _classes(axis: Any, results: HeadsResults) -> None:
    """A bar per class of the base variant by part, the attention alone as a dark line."""
    variant, scores = _base(results)
    bare = results.attention[RENDERS][variant.split].classes
    names = list(scores.classes)
    for part, colour in PART_COLOURS.items():
        mine = [k for k, name in enumerate(names) if scores.parts[name] == part]
        _bars(axis, mine, [scores.classes[names[k]] for k in mine], 0.8, colour, part)
    for k, name in enumerate(names):
        axis.plot([k - 0.4, k + 0.4], [bare[name].value] * 2, color="#333333", linewidth=2)
    labels = [f"{name} {scores.asked[name]}" for name in names]
    axis.set_xticks(range(len(names)), labels, fontsize=7, rotation=90)
    axis.set_ylim(0, 1)
    axis.set_title(
        f"IoU by class, {variant.title} (pictures beside the name); dark lines: attention alone", fontsize=10
    )
    axis.figure.legend(fontsize=9, frameon=False, ncols=3, loc="outside lower center")


def _bars(
    axis: Any, places: Sequence[float], values: Sequence[Value], wide: float, colour: str, label: str
) -> None:
    """Bars with intervals; nothing where there is nothing to be measured."""
    there = [(x, one.estimate()) for x, one in zip(places, values, strict=True)]
    drawn = [(x, one) for x, one in there if one.value is not None]
    axis.bar(
        [x for x, _ in drawn],
        [one.value for _, one in drawn],
        width=wide,
        color=colour,
        label=label,
        yerr=[[_reach(one)[side] for _, one in drawn] for side in (0, 1)],
        ecolor="#555555",
        capsize=2,
        error_kw={"elinewidth": 1},
    )


def _reach(one: Estimate) -> tuple[float, float]:
    """How far the interval reaches below and above the value; never negative."""
    if one.value is None or one.low is None or one.high is None:
        return 0.0, 0.0
    return max(0.0, one.value - one.low), max(0.0, one.high - one.value)


def sheet(columns: Mapping[str, Sequence[Shown]]) -> NDArray[np.uint8]:
    """The same pictures side by side: plain, with true masks, and with those of every column."""
    first = next(iter(columns.values()))
    pictures, captions = [], []
    for k, one in enumerate(first):
        pictures.append(one.picture.pixels())
        captions.append(one.picture.prompt)
        for title, shown in columns.items():
            pictures.append(tinted(shown[k].picture, shown[k].found_KHW))
            captions.append(title)
    return contact_sheet(pictures, captions, len(columns) + 1, cell_px=CELL_PX)
