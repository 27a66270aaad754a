"""The same scenes side by side: what was asked for, and every condition with what the judge found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scenewright.evaluate.asked import AskedScene
from scenewright.evaluate.attributes import scenes_right
from scenewright.evaluate.benchmarks import confident
from scenewright.evaluate.protocol import MOST_GROUP
from scenewright.flows.reproduce.plan import TITLES
from scenewright.flows.reproduce.runs import Run
from scenewright.flows.showing import CELL_PX, boxes_only, found_scene
from scenewright.scene import contact_sheet, layout_picture, overlay, write_png

ROWS = 6
"""Scenes on a sheet: the first of the set with that number of instances, not the best."""


def write_sheets(runs: Mapping[str, Run], least: float, out: Path) -> list[Path]:
    """``sheet-N.png`` for every number N of instances; `runs` one run per condition, of the same scenes."""
    first = next(iter(runs.values()))
    order = sorted(range(len(first.pairs)), key=lambda k: first.samples[k].name)
    by_number: dict[int, list[int]] = {}
    for k in order:
        by_number.setdefault(min(_number(first.pairs[k].scene), MOST_GROUP), []).append(k)
    written = []
    for number in sorted(by_number):
        places = by_number[number][:ROWS]
        written.append(_sheet(runs, places, least, out / f"sheet-{number}.png"))
    return written


def _number(scene: AskedScene) -> int:
    return scene.number


def _sheet(runs: Mapping[str, Run], places: Sequence[int], least: float, path: Path) -> Path:
    pictures, captions = [], []
    for k in places:
        scene = boxes_only(next(iter(runs.values())).samples[k].scene)
        pictures.append(layout_picture(scene, size_px=CELL_PX, prompt=False))
        captions.append(scene.prompt)
        for name, run in runs.items():
            pair = confident([run.pairs[k]], least)
            row = scenes_right(pair)[0]
            found = found_scene(pair[0].findings)
            pictures.append(overlay(run.samples[k].image(), found, size_px=CELL_PX))
            captions.append(f"{TITLES[name]}: {row.right} of {row.number} right")
    return write_png(path, contact_sheet(pictures, captions, len(runs) + 1, cell_px=CELL_PX))
