"""Sheets of InstanceDiffusion's reproduction: the same scenes in all arms, parts and their mirror image,
changes before and after. The first scenes of the set, not the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.flows.reproduce.instancediffusion_edits import Change
from scenewright.flows.reproduce.instancediffusion_parts import Subject, mirrored
from scenewright.flows.reproduce.instancediffusion_plan import PART_ARMS, TITLES
from scenewright.flows.reproduce.runs import Run
from scenewright.flows.showing import CELL_PX, boxes_only, found_scene
from scenewright.scene import Instance, Scene, contact_sheet, layout_picture, overlay, write_png

ROWS = 6
"""Scenes on a sheet."""

SEVERAL = 2
"""Least number of things in the scenes of the sheet of arms."""

Picture = NDArray[np.uint8]


def arm_sheet(scenes: Mapping[str, Scene], runs: Mapping[str, Run], least: float, out: Path) -> Path:
    """``sheet.png``: what was asked for, and every arm with what the judge found in it."""
    chosen = [name for name, scene in scenes.items() if len(scene.instances) >= SEVERAL][:ROWS]
    chosen = chosen or list(scenes)[:ROWS]
    pictures, captions = [], []
    for name in chosen:
        pictures.append(layout_picture(boxes_only(scenes[name]), size_px=CELL_PX, prompt=False))
        captions.append(scenes[name].prompt)
        for arm, run in runs.items():
            k = _place(run, name)
            found = found_scene(run.pairs[k].findings.confident(least))
            pictures.append(overlay(run.samples[k].image(), found, size_px=CELL_PX))
            captions.append(TITLES[arm])
    return write_png(out / "sheet.png", contact_sheet(pictures, captions, len(runs) + 1, cell_px=CELL_PX))


def part_sheet(
    scenes: Mapping[str, Scene], runs: Mapping[str, Run], subjects: Sequence[Subject], out: Path
) -> Path:
    """``sheet-parts.png``: parts, the picture without them, with them, mirrored parts, and with these."""
    pictures, captions = [], []
    for one in subjects[:ROWS]:
        own = _parts_scene(scenes[one.name], one, mirror=False)
        other = _parts_scene(scenes[one.name], one, mirror=True)
        for picture, caption in (
            (layout_picture(own, size_px=CELL_PX, prompt=False), scenes[one.name].prompt),
            (_image(runs["whole"], one.name), PART_ARMS["whole"]),
            (_image(runs["parts"], one.name), PART_ARMS["parts"]),
            (layout_picture(other, size_px=CELL_PX, prompt=False), "the same, mirrored"),
            (_image(runs["mirrored"], one.name), PART_ARMS["mirrored"]),
        ):
            pictures.append(picture)
            captions.append(caption)
    return write_png(out / "sheet-parts.png", contact_sheet(pictures, captions, 5, cell_px=CELL_PX))


def edit_sheet(runs: tuple[Run, Run, Run], changes: Sequence[Change], out: Path) -> Path:
    """``sheet-edits.png``: before, the new layout, after, and afresh."""
    pictures, captions = [], []
    for one in changes[:ROWS]:
        before, after, fresh = (_image(run, one.job.name) for run in runs)
        layout = layout_picture(boxes_only(one.after), size_px=CELL_PX, prompt=False)
        pictures += [before, layout, after, fresh]
        captions += ["before", one.words, "after", "afresh"]
    return write_png(out / "sheet-edits.png", contact_sheet(pictures, captions, 4, cell_px=CELL_PX))


def _parts_scene(scene: Scene, subject: Subject, *, mirror: bool) -> Scene:
    """The subject's box and those of its parts, for drawing."""
    parts = mirrored(subject) if mirror else subject.truth.parts
    shown = [replace(subject.truth, mask=None, points=(), scribble=None, keypoints=None, parts=())]
    shown += [Instance(phrase=part.name, box=part.box) for part in parts]
    return scene.replace(instances=tuple(replace(one, id="") for one in shown))


def _image(run: Run, name: str) -> Picture:
    return run.samples[_place(run, name)].image()


def _place(run: Run, name: str) -> int:
    return next(k for k, one in enumerate(run.samples) if one.name == name)
