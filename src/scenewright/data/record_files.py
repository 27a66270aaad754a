"""The Records in folders, whoever wrote them: `generate`, `dataset build`, `world sample`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scenewright.errors import InputError, StorageError
from scenewright.scene.record import SCENE_SUFFIX


def record_files(folders: Sequence[Path], count: int = 0) -> tuple[Path, ...]:
    """The pictures of the Records in folders and the folders in them, sorted by path within each; the first
    `count`, all if 0.

    A picture is a Record if its scene lies beside it. Raises StorageError for a folder that is not there,
    InputError for fewer than `count` Records, or none at all.
    """
    paths: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise StorageError(
                f"there is no folder {folder}", "it should hold Records: NAME.png with a scene"
            )
        paths += [file for file in sorted(folder.rglob("*.png")) if _is_record(file)]
    words = ", ".join(str(folder) for folder in folders)
    if not paths:
        raise InputError(
            f"no Record (NAME.png with NAME{SCENE_SUFFIX}) in {words}",
            "`scenewright dataset build` and `scenewright generate --ground` write some",
        )
    if count > len(paths):
        raise InputError(
            f"{count} pictures were asked for, {words} has {len(paths)}", "ask for fewer, or make more"
        )
    return tuple(paths[: count or len(paths)])


def _is_record(picture: Path) -> bool:
    return not picture.name.startswith(".") and picture.with_suffix(SCENE_SUFFIX).is_file()
