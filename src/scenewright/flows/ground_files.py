"""Masks as files: ``NAME.CLASS.mask.png``, ``NAME.CLASS.cutout.png``, and the overlay that shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.flows.ground_masks import class_masks
from scenewright.scene import ImageRef, Instance, Mask, Record, Scene, contact_sheet, overlay
from scenewright.scene import io as picture_files

MASK_END, CUTOUT_END = ".mask.png", ".cutout.png"
"""How the names of these files end."""

Paths = Mapping[str, Path]
"""A file for every class."""


def class_files(out: Path, name: str, labels: Sequence[str], ending: str) -> dict[str, Path]:
    """The file of every class of the picture `name`; names of classes become plain and stay distinct."""
    found: dict[str, Path] = {}
    taken: set[str] = set()
    for number, label in enumerate(labels, start=1):
        base = re.sub(r"[^\w]+", "-", label.lower(), flags=re.ASCII).strip("-")[:60] or f"class-{number}"
        word, k = base, 2
        while word in taken:
            word, k = f"{base}-{k}", k + 1
        taken.add(word)
        found[label] = out / f"{name}.{word}{ending}"
    return found


def contents(record: Record, masks: Paths, cutouts: Paths) -> dict[Path, bytes]:
    """What stands in the files of a record's classes. A class without a mask has an empty one."""
    found = class_masks(record)
    nothing = Mask.empty(record.size_hw)
    bits = {label: found.get(label, nothing).array() for label in {**masks, **cutouts}}
    return {
        **{path: picture_files.mask_png_bytes(bits[label]) for label, path in masks.items()},
        **{
            path: picture_files.cutout_png_bytes(record.image, bits[label]) for label, path in cutouts.items()
        },
    }


def overlay_picture(record: Record, size_px: int = 640) -> NDArray[np.uint8]:
    """The picture with its layout and masks; beside it what the detector found, if it was asked."""
    drawn = overlay(record.image, record.scene, record.masks, size_px=size_px)
    told = record.scores.get("detector")
    if not told:
        return drawn
    theirs = overlay(record.image, _detected(record, told["classes"]), size_px=size_px)
    captions = ["out of the sampling", f"{told['judge']}: {summary(told['classes'])}"]
    return contact_sheet([drawn, theirs], captions, 2, cell_px=max(drawn.shape[:2]))


def summary(classes: Mapping[str, Any]) -> str:
    """The comparison in a line: "cat IoU 0.83, dog not found, zebra unknown to it"."""
    return ", ".join(f"{label} {_told(entry)}" for label, entry in classes.items()) or "nothing to compare"


def _told(entry: Mapping[str, Any]) -> str:
    if entry["class"] is None:
        return "unknown to it"
    if entry["iou"] is None:
        return "in neither"
    return f"IoU {entry['iou']:.2f}" if entry["found"] else "not found"


def _detected(record: Record, classes: Mapping[str, Any]) -> Scene:
    """What the detector found, as a scene, for drawing; every class keeps its place, and so its colour."""
    instances = tuple(
        Instance(
            f"{label} {_told(entry)}", mask=Mask(tuple(entry["mask"]["size_hw"]), entry["mask"]["counts"])
        )
        for label, entry in classes.items()
        if entry["found"]
    )
    return Scene("", record.size_hw[::-1], instances, picture=ImageRef(path="picture"))
