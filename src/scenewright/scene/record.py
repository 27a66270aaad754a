"""The record: one finished item, and the only thing that stages pass to each other.

On disk a record is ``NAME.png``, a picture that carries everything else inside (see `scenewright.scene.io`),
and ``NAME.scene.json``, its scene alone, for reading and editing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError, SceneError, StorageError, nearest
from scenewright.scene import checks, io
from scenewright.scene.masks import Mask
from scenewright.scene.reading import scene_text
from scenewright.scene.schema import Scene
from scenewright.scene.semantic import SemanticMap

RECORD_VERSION = 1
"""The version of the document inside the pictures that this package writes."""

SCENE_SUFFIX = ".scene.json"


@dataclass(frozen=True, eq=False)
class Record:
    """A picture, the scene it shows, and what is known about both.

    image       HW3 uint8
    scene       what was asked for, or what a photograph shows; its masks have the scene's own size
    masks       what was found: instance id -> mask, each of the picture's size
    labels      semantic map of the picture's size, or None
    scores      measured values by name; plain JSON
    provenance  how the picture was made: model, adapter, seed, versions, licence; plain JSON without clock,
                paths or secrets

    Raises InputError when sizes disagree, a mask belongs to no instance, or a value is not plain JSON.
    Records are equal when pixels and everything else are equal.
    """

    image: npt.NDArray[np.uint8]
    scene: Scene
    masks: Mapping[str, Mask] = field(default_factory=dict)
    labels: SemanticMap | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        io.check_image(self.image)
        checks.made_of(self.scene, Scene, "scene")
        object.__setattr__(self, "masks", dict(self.masks))
        for name, mask in self.masks.items():
            self._check_mask(name, mask)
        if self.labels is not None and self.labels.size_hw != self.size_hw:
            raise _other_size("labels", self.labels.size_hw, self.size_hw)
        for name in ("scores", "provenance"):
            object.__setattr__(self, name, checks.plain(dict(getattr(self, name)), name))

    def _check_mask(self, name: str, mask: Mask) -> None:
        checks.made_of(mask, Mask, f"masks[{name!r}]")
        if name not in self.scene.ids:
            close = nearest(name, self.scene.ids)
            hint = f"Did you mean {close!r}?" if close else "Masks are kept by instance id."
            raise SceneError(f"the scene has no instance {name!r}", hint, "masks")
        if mask.size_hw != self.size_hw:
            raise _other_size(f"masks[{name!r}]", mask.size_hw, self.size_hw)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height, width of the picture in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def replace(self, **changes: Any) -> Record:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.document() == other.document() and np.array_equal(self.image, other.image)

    def __hash__(self) -> int:
        return hash(self.digest())

    def document(self) -> dict[str, Any]:
        """Everything but the pixels, as JSON; fields that are empty are left out."""
        found: dict[str, Any] = {"record_version": RECORD_VERSION, "scene": self.scene.to_json()}
        if self.masks:
            found["masks"] = {name: _mask_json(mask) for name, mask in self.masks.items()}
        if self.labels is not None:
            labels = self.labels
            found["labels"] = {
                "vocabulary": labels.vocabulary, "size_hw": list(labels.size_hw), "data": labels.data
            }  # fmt: skip
        for name in ("scores", "provenance"):
            if getattr(self, name):
                found[name] = getattr(self, name)
        return found

    def digest(self) -> str:
        """sha256, in hex, of the pixels and everything else."""
        found = hashlib.sha256(io.to_json_bytes(self.document()))
        found.update(str(self.size_hw).encode() + self.image.tobytes())
        return found.hexdigest()

    def default_name(self) -> str:
        """A file name of its own: the start of the prompt and of the digest, "a-red-car-1f0c9a52"."""
        plain = unicodedata.normalize("NFKD", self.scene.prompt).encode("ascii", "ignore").decode().lower()
        words = re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-")
        return f"{words or 'record'}-{self.digest()[:8]}"

    def files(self, folder: Path, name: str | None = None) -> dict[Path, bytes]:
        """The files that `save` writes, by path. Raises InputError for a name that is no plain file name."""
        name = self.default_name() if name is None else name
        if not name or name in (".", "..") or re.search(r'[/\\\0:*?"<>|]', name) or len(name) > 200:
            raise InputError(
                f"{name!r} is no file name", "Use letters, digits, '-' and '_', without a folder."
            )
        scene = scene_text(self.scene).encode()
        return {
            folder / f"{name}.png": io.png_bytes(self.image, self.document()),
            folder / f"{name}{SCENE_SUFFIX}": scene,
        }

    def save(self, folder: Path | str, name: str | None = None) -> Path:
        """Write the record into `folder` (made if needed) and return the path of its PNG.

        `name` is the file name without ending; by default `default_name`. Files appear whole or not at all,
        and saving the same record twice gives the same bytes. Raises StorageError (full disk, no permission).
        """
        return io.atomic_write_all(self.files(Path(folder), name))[0]

    @classmethod
    def load(cls, path: Path | str) -> Record:
        """A saved record, from its PNG or its scene file.

        Raises StorageError (missing, cut off), InputError (no record in it, or the scene file was changed
        since the picture was made).
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            return _load_beside(path)
        content = io.read_bytes(path)
        document = io.png_document(content, str(path))
        if document is None:
            raise InputError(
                f"{path} holds no scene",
                "Only pictures saved by Scenewright and not re-saved by another program do.",
            )
        return cls.from_document(document, io.decode_image(content, str(path)), str(path))

    @classmethod
    def from_document(cls, document: Any, image_HW3: npt.NDArray[np.uint8], name: str) -> Record:
        """From what `document` returned and the pixels; `name` is how messages call the source."""
        if not isinstance(document, dict) or "scene" not in document:
            raise InputError(f"{name}: expected a record with a scene, got {checks.shown(document)}")
        version = document.get("record_version")
        if version != RECORD_VERSION:
            raise InputError(
                f"{name} is a record of version {version!r}; this program reads {RECORD_VERSION}",
                "Update Scenewright.",
            )
        known = {"record_version", "scene", "masks", "labels", "scores", "provenance"}
        if unknown := sorted(set(document) - known):
            raise InputError(f"{name}: unknown key {unknown[0]!r} in the record")
        for name_of in ("masks", "scores", "provenance"):
            if not isinstance(found := document.get(name_of, {}), dict):
                raise InputError(f"{name}: {name_of}: expected an object, got {checks.shown(found)}")
        try:
            labels = document.get("labels")
            return cls(
                image=image_HW3,
                scene=Scene.from_json(document["scene"]),
                masks={key: _mask(value) for key, value in document.get("masks", {}).items()},
                labels=None
                if labels is None
                else SemanticMap(**{**labels, "size_hw": tuple(labels["size_hw"])}),
                scores=document.get("scores", {}),
                provenance=document.get("provenance", {}),
            )
        except SceneError as fault:
            raise SceneError(f"{name}: {fault.message}", fault.hint) from fault
        except (TypeError, KeyError, AttributeError) as fault:
            raise InputError(f"{name}: the record inside is malformed: {fault}") from fault


def _load_beside(path: Path) -> Record:
    """From a scene file: the record is in the PNG beside it."""
    scene = Scene.read(path)
    picture = path.with_name(path.name.removesuffix(SCENE_SUFFIX).removesuffix(".json") + ".png")
    if not picture.is_file():
        raise StorageError(
            f"{path} is a scene without a picture: there is no {picture.name} beside it",
            "Scene.read reads scenes; `scenewright generate` makes the picture.",
        )
    record = Record.load(picture)
    if record.scene != scene:
        raise InputError(
            f"{path} and the scene inside {picture.name} differ",
            f"The file was changed after the picture was made: load {picture.name}, or generate again.",
        )
    return record


def _mask_json(mask: Mask) -> dict[str, Any]:
    return {"size_hw": list(mask.size_hw), "counts": mask.counts}


def _mask(value: Mapping[str, Any]) -> Mask:
    return Mask(size_hw=tuple(value["size_hw"]), counts=value["counts"])


def _other_size(what: str, given_hw: tuple[int, int], expected_hw: tuple[int, int]) -> SceneError:
    return SceneError(
        f"expected size_hw {list(expected_hw)} as the picture's, got {list(given_hw)}",
        "size_hw is height, width",
        what,
    )
