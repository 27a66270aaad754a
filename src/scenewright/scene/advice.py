"""What looks unwise in a scene though it is allowed: said once, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scenewright.scene.boxes import pixels
from scenewright.scene.schema import Instance, Scene

MOST = 5
"""Sentences about a scene; of more than that their number is told."""

OUTSIDE = 0.5
"""Share of a mask that may lie outside its instance's box."""


def advice(scene: Scene, name: str = "") -> tuple[str, ...]:
    """Sentences about instances that take the same place, with their overlap (intersection over union), and
    masks that lie outside their own box. `name` is put in front of each; `MOST` of them at most."""
    found = [*scene.overlap_warnings(), *(words for one in scene.instances for words in _mask(scene, one))]
    shown = _few(found)
    return tuple(f"{name}: {words}" if name else words for words in shown)


def _mask(scene: Scene, one: Instance) -> list[str]:
    if one.mask is None or one.box is None or one.mask.is_empty:
        return []
    bits_HW = one.mask.array()
    inside = int(np.count_nonzero(bits_HW[pixels(one.box, scene.size_wh)]))
    share = 1 - inside / int(np.count_nonzero(bits_HW))
    return (
        [f"{share:.0%} of the mask of {one.id} ({one.phrase}) lies outside its box"]
        if share > OUTSIDE
        else []
    )


def _few(found: Sequence[str]) -> list[str]:
    if len(found) <= MOST:
        return list(found)
    return [*found[:MOST], f"{len(found) - MOST} more of this kind"]
