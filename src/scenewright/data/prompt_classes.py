"""Lists of prompts with the classes to look for: ``[{"prompt": …, "classes": ["cat", "dog"]}]``.

`classes` is a list or one text with commas, as Grounded Diffusion's scripts take it. The instances have
phrases and no place: the prompt says where they are. Source: Li et al., Open-vocabulary Object Segmentation
with Diffusion Models, ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.foreign import DEFAULT_SIZE_WH, SizeWH
from scenewright.errors import InputError
from scenewright.scene import Instance, Scene
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

_KNOWN = ("prompt", "classes", "seed")


def read(path: Path, size_wh: SizeWH = DEFAULT_SIZE_WH) -> list[Scene]:
    """The scenes of a file, on a canvas of `size_wh`. Raises StorageError, InputError."""
    return from_json(read_json(path), str(path), size_wh)


def from_json(document: Any, name: str, size_wh: SizeWH = DEFAULT_SIZE_WH) -> list[Scene]:
    """Scenes from a parsed file (a list, or one object); `name` is how messages call it."""
    entries = foreign.rows_of(document if isinstance(document, list) else [document], name)
    scenes = []
    for k, entry in enumerate(entries):
        where = f"{name}[{k}]"
        foreign.refuse_unknown(entry, _KNOWN, where)
        classes = _classes(foreign.need(entry, "classes", where), f"{where}: classes")
        with foreign.named(where):
            scenes.append(
                Scene(
                    prompt=foreign.text(foreign.need(entry, "prompt", where), "prompt"),
                    size_wh=size_wh,
                    instances=tuple(Instance(word, category=word) for word in classes),
                    seed=entry.get("seed"),
                )
            )
    return scenes


def to_json(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    """The list of scenes: prompts, and the category (else the phrase) of every instance."""
    entries = []
    for scene in scenes:
        words = [instance.category or instance.phrase for instance in scene.instances]
        entry: dict[str, Any] = {"prompt": scene.prompt, "classes": words}
        entries.append(entry if scene.seed is None else {**entry, "seed": scene.seed})
    return entries


def write(scenes: Sequence[Scene], path: Path) -> Path:
    """Write scenes as such a file, whole or not at all. Raises StorageError."""
    return atomic_write(path, to_json_bytes(to_json(scenes), indent=1))


def _classes(value: Any, where: str) -> list[str]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list):
        raise InputError(
            f"{where}: expected a list of names, or names with commas, got {foreign.shown(value)}"
        )
    found = [foreign.text(word, f"{where}[{k}]").strip() for k, word in enumerate(words)]
    if found == [""]:
        return []
    if "" in found:
        raise InputError(f"{where}: the class number {found.index('') + 1} is empty")
    return found
