"""The probe of layout control: a fixed set of held-out scenes, drawn with and without their layout.

Control of an adapter appears suddenly and late while the loss shows nothing, so this is what is watched in
training: in how many boxes the asked colour is found, and the IoU of its region with the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewright.evaluate.colour import ColourFinding, check_colours
from scenewright.train.renders import Item

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.scene import Scene

PROBE_SEED = 50_000
"""First toybox seed of the probe; below the seeds of training, apart from those of evaluation."""


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How many toybox scenes, and how they are sampled; 0 scenes switch the probe off."""

    scenes: int = 48
    steps: int = 15
    guidance: float = 3.0
    shown: int = 16  # pictures on the sheet
    size: int = 128  # pixels along each side of the pictures
    batch: int = 24  # pictures sampled together


def probe_scenes(count: int, size_px: int = 128) -> list[Scene]:
    """`count` held-out toybox scenes: captions, phrases and boxes, for pictures of any size."""
    from scenewright.world import toybox

    drawn = [toybox.draw(PROBE_SEED + i).scene for i in range(count)]
    return [Item.of(scene).scene((size_px, size_px)) for scene in drawn]


def probe(
    backbone: Backbone, adapter: Any, config: ProbeConfig, out: Path, step: int, handle: Any = None
) -> dict[str, float]:
    """Numbers with and without the layout, and a sheet with the layout drawn over the pictures."""
    from scenewright.flows.generate import GenerateOptions, pictures
    from scenewright.scene.draw import contact_sheet, overlay
    from scenewright.scene.io import write_png
    from scenewright.world.palette import COLOURS

    if config.scenes == 0:
        return {}
    options = GenerateOptions(
        steps=config.steps, guidance=config.guidance, batch=config.batch, overflow="largest"
    )
    scenes = probe_scenes(config.scenes, config.size)
    seeds = [scene.auto_seed() for scene in scenes]
    found: dict[str, float] = {}
    for name, used in (("layout", adapter), ("text", None)):
        if name == "layout" and adapter is None:
            continue
        images = pictures(backbone, used, scenes, seeds, options, attached=handle is not None)
        findings = [check_colours(i, s, COLOURS) for i, s in zip(images, scenes, strict=True)]
        found |= summary(findings, name)
        shown = [overlay(i, s) for i, s in zip(images[: config.shown], scenes, strict=False)]
        rows = [*images[: config.shown], *shown] if used is not None else list(images[: config.shown])
        captions = [scene.prompt for scene in scenes[: config.shown]]
        sheet = contact_sheet(rows, (captions * 2)[: len(rows)], columns=8)
        write_png(out / f"{name}-{step:07d}.png", sheet)
    return found


def summary(findings: list[list[ColourFinding]], name: str) -> dict[str, float]:
    """Share of boxes with the asked colour, and mean region IoU, over all instances."""
    flat = [one for scene in findings for one in scene]
    return {
        f"{name}_found": float(np.mean([one.found for one in flat])) if flat else 0.0,
        f"{name}_iou": float(np.mean([one.iou for one in flat])) if flat else 0.0,
    }
