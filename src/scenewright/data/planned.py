"""Layouts planned by a language model: InstanceDiffusion's keys, but `bbox` holds corners x0, y0, x1, y1 in
pixels.

Read as x, y, width, height, 505 of the 700 boxes of one published set leave the canvas; `read` of the other
format refuses them, and this one reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenewright.data import instancediffusion
from scenewright.data.foreign import XYXY_PX
from scenewright.scene import Scene


def read(path: Path) -> list[Scene]:
    """The scene of a file. Raises StorageError, InputError; warns `ClippedBoxes`."""
    return instancediffusion.read(path, XYXY_PX)


def from_json(document: Any, name: str) -> Scene:
    """A scene from a parsed file; `name` is how messages call it."""
    return instancediffusion.from_json(document, name, XYXY_PX)


def to_json(scene: Scene) -> dict[str, Any]:
    """The file's object, boxes as corners in pixels."""
    return instancediffusion.to_json(scene, "xyxy")


def write(scene: Scene, path: Path) -> Path:
    """Write a scene as such a file, whole or not at all. Raises StorageError."""
    return instancediffusion.write(scene, path, "xyxy")
