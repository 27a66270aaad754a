"""The contact sheet of an evaluation: the best and the worst pictures with what the judge found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.findings import Findings
from scenewright.evaluate.protocol import Protocol
from scenewright.evaluate.report import Report
from scenewright.flows.scoring import Evidence, seen_map, truth_of
from scenewright.scene import ImageRef, Instance, Scene, Vocabulary, contact_sheet, overlay
from scenewright.scene.draw import semantic_picture

BEST, WORST = 6, 12
"""Pictures on the sheet."""

COLUMNS = 6
CELL_PX = 256

Picture = NDArray[np.uint8]


def sheet_picture(evidence: Evidence, report: Report, rules: Protocol) -> Picture | None:
    """Two cells for each picture, what was asked for and what was found; None if no picture has a rank."""
    ranked = [k for k, item in enumerate(report.items) if item.get("rank") is not None]
    ranked.sort(key=lambda k: (-report.items[k]["rank"], report.items[k]["name"]))
    best, worst = chosen(ranked)
    pictures: list[Picture] = []
    captions: list[str] = []
    for title, places in (("best", best), ("worst", worst)):
        for k in places:
            asked, found = _cells(evidence, k, rules.benchmark)
            pictures += [asked, found]
            captions += [evidence.pictures.samples[k].scene.prompt, f"{title}: {_told(report.items[k])}"]
    if not pictures:
        return None
    return contact_sheet(pictures, captions, COLUMNS, cell_px=CELL_PX)


def chosen(ranked: Sequence[int]) -> tuple[list[int], list[int]]:
    """The first and the last of a ranking, without repetition; the worst begin with the very worst."""
    best = list(ranked[: min(BEST, (len(ranked) + 2) // 3)])
    return best, list(reversed(ranked[len(best) :]))[:WORST]


def _cells(evidence: Evidence, k: int, benchmark: str) -> tuple[Picture, Picture]:
    sample = evidence.pictures.samples[k]
    image_HW3 = sample.image()
    if benchmark in ("layout", "instances"):
        found = evidence.found["detector"][k].confident(evidence.cards["detector"].least)
        masks = benchmark == "instances"
        asked = sample.scene if masks else boxes_only(sample.scene)
        return (
            overlay(image_HW3, asked, size_px=CELL_PX, marks=masks),
            overlay(image_HW3, found_scene(found, masks=masks), size_px=CELL_PX),
        )
    truth = truth_of(sample)
    if benchmark == "semantic" and truth is not None and "segmenter" in evidence.found:
        seen = seen_map(evidence.found["segmenter"][k])
        return image_HW3, semantic_picture(seen.labels(), Vocabulary.load(seen.vocabulary))
    return image_HW3, overlay(image_HW3, sample.scene, size_px=CELL_PX)


def boxes_only(scene: Scene) -> Scene:
    """The scene with boxes in place of masks, whose tint would hide the colours."""
    return scene.replace(
        instances=tuple(one.replace(box=one.location_box, mask=None) for one in scene.instances)
    )


def found_scene(found: Findings, *, masks: bool = False) -> Scene:
    """What a judge found, as a scene, for drawing."""
    instances = tuple(
        Instance(
            phrase=f"{' '.join([*one.attributes.values(), one.category])} {one.score:.2f}",
            box=one.box,
            mask=one.mask if masks else None,
        )
        for one in found.found
    )
    return Scene("", found.size_wh, instances, picture=ImageRef(path=found.picture))


def _told(item: Mapping[str, Any]) -> str:
    """A line about one picture."""
    if "right" in item:
        return f"{item['right']} of {item['asked']} right, IoU {item['iou']:.2f}"
    parts = []
    if "pixels" in item:
        parts.append(f"{item['pixels']:.0%} of the pixels")
    if "look" in item:
        parts.append(f"{item['look']} (asked: {item['asked_look']})")
    if "clip_score" in item:
        parts.append(f"CLIP score {item['clip_score']:.3f}")
    return ", ".join(parts)
