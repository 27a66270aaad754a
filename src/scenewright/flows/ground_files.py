"""Masks as files: ``NAME.CLASS.mask.png``, ``NAME.CLASS.cutout.png``, and the overlay that shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.flows.ground_masks import class_masks
from scenewright.flows.map_pictures import grid, has_map
from scenewright.scene import ImageRef, Instance, Mask, Record, Scene, contact_sheet, overlay
from scenewright.scene import io as picture_files
from scenewright.scene.draw import colours

MASK_END, CUTOUT_END = ".mask.png", ".cutout.png"
"""How the names of these files end."""

MASK_TINT = 0.55
"""How strongly masks that were found are drawn on a picture."""

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
    """The picture with its layout and masks; with a comparison the masks by class, and beside them those that
    the detector found, in the same colours. Of a label map: the map, the picture, and both."""
    told = record.scores.get("detector")
    if has_map(record):
        return grid(record, size_px)
    if not told:
        return overlay(record.image, drawable(record), record.masks, size_px=size_px, tint=tint_of(record))
    ours = class_masks(record)
    theirs = {
        label: Mask(record.size_hw, entry["mask"]["counts"])
        for label, entry in told["classes"].items()
        if entry["found"]
    }
    panels = [_panel(record, masks, tuple(ours), size_px) for masks in (ours, theirs)]
    captions = ["out of the sampling", f"{told['judge']}: {summary(told['classes'])}"]
    return contact_sheet(panels, captions, 2, cell_px=max(panels[0].shape[:2]))


def tint_of(record: Record) -> float:
    """How strongly masks are drawn: those that are a result more than those that were asked for."""
    return MASK_TINT if record.masks else 0.22


def drawable(record: Record) -> Scene:
    """The scene without instances that have neither a place nor anything found: there is nothing to draw."""
    kept = tuple(
        one
        for one in record.scene.instances
        if one.location_box is not None or one.id not in record.masks or not record.masks[one.id].is_empty
    )
    return record.scene.replace(instances=kept)


def _panel(
    record: Record, masks: Mapping[str, Mask], labels: Sequence[str], size_px: int
) -> NDArray[np.uint8]:
    """The picture with masks of classes; every label keeps its colour, also where another has no mask."""
    seen = [label for label in labels if label in masks and not masks[label].is_empty]
    paint = dict(zip(labels, colours(len(labels)), strict=True))
    instances = tuple(Instance(label, mask=masks[label]) for label in seen)
    scene = Scene("", record.size_hw[::-1], instances, picture=ImageRef(path="picture"))
    return overlay(
        record.image, scene, size_px=size_px, paint=[paint[label] for label in seen], tint=MASK_TINT
    )


def summary(classes: Mapping[str, Any]) -> str:
    """The comparison in a line: "cat IoU 0.83, dog not found, zebra unknown to it"."""
    return ", ".join(f"{label} {_told(entry)}" for label, entry in classes.items()) or "nothing to compare"


def _told(entry: Mapping[str, Any]) -> str:
    if entry["class"] is None:
        return "unknown to it"
    if entry["iou"] is None:
        return "in neither"
    return f"IoU {entry['iou']:.2f}" if entry["found"] else "not found"
