"""What is in the drawn worlds: how often each label, how large the boxes, how long the captions.

    python runs/world_statistics.py --toybox 2000 --town 250 --out runs/out/worlds

Draws from the seeds that networks are trained on (1 000 000 and up) and counts; every look of the town has
the same seeds. Writes ``statistics.json`` and the two plots of docs/cards/worlds.md, prints its tables.

Letters: N pictures, K classes.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scenewright.evaluate.plots import COLOURS as INKS
from scenewright.scene import Scene
from scenewright.train.renders import FIRST_SEED
from scenewright.world import town, toybox
from scenewright.world.classes import SETTINGS
from scenewright.world.palette import COLOURS, TEXTURES
from scenewright.world.surface import STYLES
from scenewright.world.town_classes import IGNORE, NAMES

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
OTHERS = "unlabelled"


def main() -> None:
    """Draw, count, print, write."""
    chosen = _arguments()
    toys = toybox_statistics(range(FIRST_SEED, FIRST_SEED + chosen.toybox))
    streets = town_statistics(range(FIRST_SEED, FIRST_SEED + chosen.town))
    chosen.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"toybox": toys, "town": streets}, indent=1)
    (chosen.out / "statistics.json").write_text(text + "\n", encoding="utf-8")
    plot_toybox(toys, chosen.out / "worlds-toybox.png")
    plot_town(streets, chosen.out / "worlds-town.png")
    print(toybox_tables(toys))
    print(town_tables(streets))
    print(f"written to {chosen.out}")


def toybox_statistics(seeds: Sequence[int]) -> dict[str, Any]:
    """Shares of toys (class, colour, texture) and of pictures (setting, style, number of toys), and sizes."""
    scenes = [toybox.draw(seed).scene for seed in seeds]
    toys = [one for scene in scenes for one in scene.instances]
    facts = [one.extra["toybox"] for one in toys]
    return {
        "pictures": len(scenes),
        "toys": len(toys),
        "number": _shares(Counter(len(scene.instances) for scene in scenes), range(1, 6)),
        "setting": _shares(Counter(scene.extra["toybox"]["setting"] for scene in scenes), SETTINGS),
        "style": _shares(Counter(scene.style for scene in scenes), STYLES),
        "class": _shares(Counter(one.category for one in toys), toybox.CLASSES),
        "colour": _shares(Counter(fact["colour"] for fact in facts), COLOURS),
        "texture": _shares(Counter(fact["texture"] for fact in facts), (*TEXTURES, None)),
        **_sizes(scenes),
        "hidden": float(np.mean([fact["visible"] < 0.95 for fact in facts])),
    }


def town_statistics(seeds: Sequence[int]) -> dict[str, Any]:
    """Shares of pixels and of streets by class; sizes and captions over all looks."""
    scenes, maps = [], {}
    for look in town.LOOKS:
        drawn = [town.draw(seed, look=look) for seed in seeds]
        scenes += [one.scene for one in drawn]
        maps[look] = np.stack([one.semantic for one in drawn])
    first_NHW = maps[town.LOOKS[0]]
    shares_K = np.bincount(first_NHW.ravel(), minlength=256) / first_NHW.size
    numbers = {**{name: number for number, name in enumerate(NAMES)}, OTHERS: IGNORE}
    kinds = Counter(one.category for scene in scenes for one in scene.instances)
    return {
        "streets": len(seeds),
        "looks": list(maps),
        "labels are the same in every look": all(np.array_equal(first_NHW, one) for one in maps.values()),
        "pixels": {name: float(shares_K[number]) for name, number in numbers.items()},
        "streets with it": {
            name: float((first_NHW == number).any(axis=(1, 2)).mean()) for name, number in numbers.items()
        },
        "class": _shares(kinds, sorted(kinds, key=lambda name: -kinds[name])),
        **_sizes(scenes),
    }


def _sizes(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Quantiles of instances per picture, of boxes (shares of the picture), of captions (words)."""
    boxes = [one.box for scene in scenes for one in scene.instances if one.box is not None]
    words = [len(scene.prompt.replace(",", " ").split()) for scene in scenes]
    return {
        "instances": _quantiles([len(scene.instances) for scene in scenes]),
        "box width": _quantiles([box.x1 - box.x0 for box in boxes]),
        "box height": _quantiles([box.y1 - box.y0 for box in boxes]),
        "box area": _quantiles([box.area for box in boxes]),
        "caption": _quantiles(words),
        "longest caption": max(words),
        "different captions": len({scene.prompt for scene in scenes}),
    }


def _shares(counts: Mapping[Any, int], names: Any) -> dict[str, float]:
    total = sum(counts.values())
    return {str(name or "none"): counts.get(name, 0) / total for name in names}


def _quantiles(values: Sequence[float]) -> list[float]:
    return [round(float(value), 4) for value in np.quantile(values, QUANTILES)]


def toybox_tables(found: Mapping[str, Any]) -> str:
    """The card's tables of the toybox, in Markdown."""
    rows = [
        f"toybox: {found['pictures']} pictures, {found['toys']} toys",
        "",
        "| | shares in % |",
        "| --- | --- |",
    ]
    for key in ("number", "setting", "style", "colour", "texture", "class"):
        shares = ", ".join(f"{name} {100 * share:.1f}" for name, share in found[key].items())
        rows.append(f"| {key} | {shares} |")
    return "\n".join([*rows, "", *_size_rows(found), f"partly hidden: {100 * found['hidden']:.1f} %", ""])


def town_tables(found: Mapping[str, Any]) -> str:
    """The card's tables of the town, in Markdown: pixels and streets by class."""
    rows = [f"town: {found['streets']} streets in {len(found['looks'])} looks"]
    rows += [f"labels are the same in every look: {found['labels are the same in every look']}", ""]
    rows += ["| class | % of pixels | % of streets |", "| --- | --- | --- |"]
    for name, share in found["pixels"].items():
        rows.append(f"| {name} | {100 * share:.2f} | {100 * found['streets with it'][name]:.1f} |")
    instances = ", ".join(f"{name} {100 * share:.1f}" for name, share in found["class"].items())
    return "\n".join([*rows, "", *_size_rows(found), f"instances in %: {instances}", ""])


def _size_rows(found: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| | {' | '.join(f'{100 * q:.0f} %' for q in QUANTILES)} |",
        f"| --- |{' --- |' * len(QUANTILES)}",
    ]
    for key in ("instances", "box width", "box height", "box area", "caption"):
        rows.append(f"| {key} | {' | '.join(f'{value:g}' for value in found[key])} |")
    longest, different = found["longest caption"], found["different captions"]
    return [*rows, "", f"longest caption: {longest} words; {different} different captions", ""]


def plot_toybox(found: Mapping[str, Any], path: Path) -> None:
    """Bars of classes, colours, textures, settings and numbers of toys."""
    figure = _figure(11, 6.4)
    upper, lower = figure.subplots(2, 1, height_ratios=[1, 1])
    _bars(upper, found["class"], "class", INKS[0])
    groups = [(key, found[key]) for key in ("colour", "texture", "setting", "number")]
    start = 0
    ticks: list[tuple[int, str]] = []
    for (key, shares), ink in zip(groups, INKS, strict=True):
        places = range(start, start + len(shares))
        lower.bar(places, [100 * share for share in shares.values()], color=ink, label=key)
        ticks += zip(places, shares, strict=True)
        start += len(shares) + 1
    lower.set_xticks([place for place, _ in ticks], [name for _, name in ticks], rotation=60, fontsize=8)
    lower.set_ylabel("% of toys (pictures)", fontsize=8)
    lower.legend(fontsize=8)
    figure.suptitle(f"toybox: {found['pictures']} pictures, {found['toys']} toys", fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def plot_town(found: Mapping[str, Any], path: Path) -> None:
    """Shares of pixels by class on a logarithmic axis."""
    figure = _figure(11, 4.2)
    axis = figure.subplots()
    shares = {name: share for name, share in found["pixels"].items() if share}
    names = sorted(shares, key=lambda name: -shares[name])
    axis.bar(range(len(names)), [100 * shares[name] for name in names], color=INKS[0])
    axis.set_yscale("log")
    axis.set_xticks(range(len(names)), names, rotation=60, fontsize=8)
    axis.set_ylabel("% of pixels", fontsize=8)
    figure.suptitle(f"town: {found['streets']} streets, the same in every look", fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def _bars(axis: Any, shares: Mapping[str, float], title: str, ink: str) -> None:
    axis.bar(range(len(shares)), [100 * share for share in shares.values()], color=ink, label=title)
    axis.set_xticks(range(len(shares)), list(shares), rotation=60, fontsize=8)
    axis.set_ylabel("% of toys", fontsize=8)
    axis.legend(fontsize=8)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toybox", type=int, default=2000, help="pictures of the toybox")
    parser.add_argument("--town", type=int, default=250, help="streets of the town, each in every look")
    parser.add_argument("--out", type=Path, default=Path("runs/out/worlds"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
