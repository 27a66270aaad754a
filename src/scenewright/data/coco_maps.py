"""COCO-Stuff as label maps: things over stuff, in the 171 ids of the vocabulary "coco-stuff".

Caesar et al., "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018. The annotations come in two files
of the same pictures, ``instances_*.json`` and ``stuff_*.json``; the latter marks all things as "other".

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.data import coco
from scenewright.errors import InputError, StorageError
from scenewright.scene import IGNORE, Scene
from scenewright.scene.label_space import load

VOCABULARY = "coco-stuff"


@dataclass(frozen=True)
class MappedPicture:
    """A picture of COCO: its file name, and its scenes of stuff and things, as far as there are any."""

    name: str
    scenes: tuple[Scene, ...]

    def labels(self) -> NDArray[np.uint16]:
        """Ids [H, W]; `IGNORE` where nothing, or no class of the vocabulary, is annotated.

        Later scenes lie above earlier ones, and small masks above large ones of the same scene.
        """
        known = load(VOCABULARY)
        found_HW = np.full(self.scenes[0].size_hw, IGNORE, np.uint16)
        for scene in self.scenes:
            placed = [(one.mask, one.category or "") for one in scene.instances if one.mask is not None]
            for mask, category in sorted(placed, key=lambda pair: -pair[0].area_px):
                found_HW[mask.array()] = known.find(category).id if category in known else IGNORE
        return found_HW


def read_coco_maps(files: Sequence[Path]) -> list[MappedPicture]:
    """The pictures of annotation files of the same pictures, sorted by name; a file of stuff comes first.

    Raises as `coco.read`, and InputError for pictures whose size differs between the files.
    """
    found: dict[str, list[Scene]] = {}
    for path in sorted(files, key=lambda path: (not path.name.startswith("stuff"), path.name)):
        for scene in coco.read(path):
            name = str(scene.picture.path if scene.picture else "")
            scenes = found.setdefault(name, [])
            if scenes and scenes[0].size_wh != scene.size_wh:
                raise InputError(f"{path}: {name} has another size than in the other annotations")
            scenes.append(scene)
    return [MappedPicture(name, tuple(scenes)) for name, scenes in sorted(found.items())]


def annotation_files(root: Path) -> tuple[list[Path], Path]:
    """The annotation files of instances and stuff below a folder of COCO, and the folder of their pictures.

    Raises StorageError if one of them is missing.
    """
    files = sorted(
        path for kind in ("instances", "stuff") for path in (root / "annotations").glob(f"{kind}_*.json")
    )
    if not files:
        raise StorageError(f"{root} has no annotations/instances_*.json or stuff_*.json")
    part = files[0].stem.split("_", 1)[1]
    images = root / part
    if not images.is_dir():
        raise StorageError(f"there is no folder {images} for the pictures of {files[0].name}")
    return [path for path in files if path.stem.split("_", 1)[1] == part], images
