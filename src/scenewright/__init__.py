"""Scenewright: images that know where everything is.

    import scenewright as sw

    scene = sw.Scene.read("two-cats.scene.json")
    model = sw.load("nano+gligen")
    record = model.generate([scene], seeds=[7])[0]
    record.save("out/")

Every name is imported when it is first used, so importing the package costs nothing and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenewright.data.detect import read_scenes
    from scenewright.errors import (
        InputError,
        ModelError,
        SceneError,
        ScenewrightError,
        StorageError,
    )
    from scenewright.flows.model import Model, load
    from scenewright.flows.options import GenerateOptions, GroundOptions
    from scenewright.scene import (
        Box,
        ImageRef,
        Instance,
        Keypoints,
        Mask,
        Part,
        Point,
        Record,
        Scene,
        Scribble,
        SemanticMap,
        Transform,
        Vocabulary,
        contact_sheet,
        layout_picture,
        overlay,
    )

_PLACES = {
    "scenewright.data.detect": ("read_scenes",),
    "scenewright.errors": ("InputError", "ModelError", "SceneError", "ScenewrightError", "StorageError"),
    "scenewright.flows.model": ("Model", "load"),
    "scenewright.flows.options": ("GenerateOptions", "GroundOptions"),
    "scenewright.scene": (
        "Box", "ImageRef", "Instance", "Keypoints", "Mask", "Part", "Point", "Record", "Scene", "Scribble",
        "SemanticMap", "Transform", "Vocabulary", "contact_sheet", "layout_picture", "overlay",
    ),
}  # fmt: skip
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "Box", "GenerateOptions", "GroundOptions", "ImageRef", "InputError", "Instance", "Keypoints", "Mask",
    "Model", "ModelError", "Part", "Point", "Record", "Scene", "SceneError", "ScenewrightError", "Scribble",
    "SemanticMap", "StorageError", "Transform", "Vocabulary", "contact_sheet", "layout_picture", "load",
    "overlay", "read_scenes",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from scenewright.models.version import version

        return version()
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
