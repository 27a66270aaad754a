"""The pictures of a folder with what they were asked to show: ours, or other people's.

A folder holds pictures that are Records (`Record.save`), or pictures with a scene beside them: ``NAME.png``
(or .jpg, .jpeg, .webp) and ``NAME.scene.json``. A scene file of any known format that names its pictures
(COCO annotations, for example) is taken in place of a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.detect import read_scenes
from scenewright.errors import InputError, SceneError, StorageError, nearest
from scenewright.evaluate.protocol import sample_key
from scenewright.scene import ImageRef, Record, Scene, SemanticMap, Transform
from scenewright.scene import io as picture_files
from scenewright.scene.record import SCENE_SUFFIX

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
"""Files that are taken as pictures."""

PHOTOGRAPHS = (*ENDINGS, ".tif", ".tiff", ".bmp")
"""Files that are taken as pictures where nothing needs to be known about them."""

OWN_SHEETS = ("sheet.png",)
"""Pictures of pictures that our own commands leave in a folder."""

OWN_ENDS = (".labels", ".score", ".entropy", ".overlay", ".mask", ".cutout", ".strip")
"""How the names of pictures end, before ".png", that our own commands put beside a picture."""

Progress = Callable[[float, int], None]
"""Told (pictures done, pictures in all)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture, and what it should show.

    name     file name without ending
    path     the picture's file
    scene    what was asked for, on the picture's own canvas
    key      which sample it is, see `protocol.sample_key`; of the scene as it was written
    marks_key  the same with masks, points and scribbles
    pixels   sha256, in hex, of the picture's size and pixels
    labels   the record's semantic map, of the picture's size, or None
    """

    name: str
    path: Path
    scene: Scene
    key: str
    marks_key: str
    pixels: str
    labels: SemanticMap | None = None

    def image(self) -> NDArray[np.uint8]:
        """The picture, HW3."""
        return picture_files.read_image(self.path)


@dataclass(frozen=True, eq=False)
class Samples:
    """The pictures of `source`, sorted by what they were asked to show, then by name; `left_out` are names
    of pictures without a scene."""

    source: Path
    samples: tuple[Sample, ...]
    left_out: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """The folder that the pictures lie in."""
        return self.source if self.source.is_dir() else self.source.parent


def read_samples(source: Path, on_progress: Progress | None = None) -> Samples:
    """All pictures of a folder, or of a scene file that names its pictures.

    Raises StorageError (nothing there, a picture that is cut off), InputError (no picture has a scene).
    """
    if not source.exists():
        raise StorageError(f"there is no folder {source}", _near(source))
    found = _of_folder(source) if source.is_dir() else _of_file(source)
    samples, left_out = [], []
    for done, (path, scene) in enumerate(found, start=1):
        sample = _sample(path, scene)
        if sample is None:
            left_out.append(path.name)
        else:
            samples.append(sample)
        if on_progress:
            on_progress(done, len(found))
    if not samples:
        raise InputError(f"no picture with a scene in {source}", _advice(source, len(left_out)))
    _check_names(samples, source)
    ordered = sorted(samples, key=lambda one: (one.key, one.name))
    return Samples(source, tuple(ordered), tuple(left_out))


def _of_folder(folder: Path) -> list[tuple[Path, Scene | None]]:
    return [(path, None) for path in pictures_in(folder)]


def pictures_in(folder: Path, endings: Sequence[str] = ENDINGS) -> list[Path]:
    """Pictures in a folder by name, except overlays, masks and sheets of our own. Raises StorageError."""
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    except OSError as fault:
        raise picture_files.cannot("read", folder, fault) from fault
    return [path for path in names if not path.name.startswith(".") and not _is_ours(path)]


def picture_paths(given: Sequence[Path], endings: Sequence[str] = ENDINGS) -> list[Path]:
    """The picture files among files, which are taken as they are, and folders.

    Raises StorageError, InputError for none and for a folder without any.
    """
    if not given:
        raise InputError("no picture was given", "name picture files, or folders of them")
    found: list[Path] = []
    for path in given:
        inside = pictures_in(path, endings) if path.is_dir() else [path]
        if not inside:
            raise InputError(
                f"there is no picture in {path}", f"files ending in {', '.join(endings)} are taken"
            )
        found += inside
    return found


def _is_ours(path: Path) -> bool:
    return path.name in OWN_SHEETS or path.stem.endswith(OWN_ENDS)


def _of_file(file: Path) -> list[tuple[Path, Scene | None]]:
    """Scenes of a file with the pictures that they name, which lie beside it or in ``images`` beside it."""
    scenes = read_scenes(file)
    found: list[tuple[Path, Scene | None]] = []
    for scene in scenes:
        name = scene.picture.path if scene.picture else None
        if name is None:
            raise InputError(
                f"{file} does not name the pictures of its scenes",
                "evaluate the folder that the pictures lie in, each with NAME.scene.json beside it",
            )
        places = [file.parent / name, file.parent / "images" / name]
        place = next((path for path in places if path.is_file()), None)
        if place is None:
            raise StorageError(
                f"{file} names the picture {name}, which is neither beside it nor in {file.parent / 'images'}"
            )
        found.append((place, scene))
    return found


def _sample(path: Path, scene: Scene | None) -> Sample | None:
    """A picture with its scene: given, inside it, or beside it; None where there is none."""
    content = picture_files.read_bytes(path)
    labels = None
    image_HW3 = picture_files.decode_image(content, str(path))
    if scene is None and content.startswith(picture_files.SIGNATURE):
        document = picture_files.png_document(content, str(path))
        if document is not None:
            record = Record.from_document(document, image_HW3, str(path))
            scene, labels = record.scene, record.labels
    if scene is None:
        beside = path.with_name(path.stem + SCENE_SUFFIX)
        if not beside.is_file():
            return None
        scene = Scene.read(beside)
    return Sample(
        name=path.stem,
        path=path,
        scene=_on_canvas(scene, image_HW3, path),
        key=sample_key(scene),
        marks_key=sample_key(scene, masks=True),
        pixels=pixels_digest(image_HW3),
        labels=labels,
    )


def pixels_digest(image_HW3: NDArray[np.uint8]) -> str:
    """sha256, in hex, of the size and the pixels of a picture."""
    found = hashlib.sha256(f"{image_HW3.shape[0]}x{image_HW3.shape[1]}\0".encode())
    found.update(np.ascontiguousarray(image_HW3).tobytes())
    return found.hexdigest()


def _on_canvas(scene: Scene, image_HW3: NDArray[np.uint8], path: Path) -> Scene:
    """The scene on the picture's size; pictures of another shape than their scene are refused."""
    height, width = image_HW3.shape[:2]
    if scene.size_wh == (width, height):
        return scene
    wide, high = scene.size_wh
    if abs(width * high - height * wide) > 0.02 * height * wide:
        raise InputError(
            f"{path} has {width} x {height} pixels, its scene {wide} x {high}: another shape",
            "boxes are fractions of the canvas; pad or crop both in the same way",
        )
    try:
        named = scene.replace(picture=scene.picture or ImageRef(path=path.name))
        return Transform.fit(scene.size_wh, (width, height), mode="stretch").scene(named)
    except SceneError as fault:
        raise SceneError(f"{path}: {fault.message}", fault.hint) from fault


def _check_names(samples: Sequence[Sample], source: Path) -> None:
    """Findings are kept by name."""
    seen: dict[str, Path] = {}
    for one in samples:
        if one.name in seen:
            raise InputError(
                f"{source} has two pictures called {one.name}: {seen[one.name].name} and {one.path.name}",
                "findings are kept by name: rename one of them",
            )
        seen[one.name] = one.path


def _near(source: Path) -> str:
    folder = source.parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    close = nearest(source.name, names)
    return f"did you mean {folder / close}?" if close else "name the folder that `generate --out` wrote"


def _advice(source: Path, without: int) -> str:
    """What may have been meant by a folder without samples."""
    if without:
        return (
            f"{without} pictures are there, but no scene is inside them or beside them (NAME.scene.json); "
            "a COCO file that names its pictures is given in place of the folder"
        )
    if source.is_dir():
        for folder in sorted(path for path in source.iterdir() if path.is_dir()):
            if any(path.suffix.lower() in ENDINGS for path in _listed(folder)):
                return f"there are pictures in {folder}: name that folder"
    return "`scenewright generate --out FOLDER` and `scenewright world sample` write such folders"


def _listed(folder: Path) -> Iterator[Any]:
    try:
        yield from folder.iterdir()
    except OSError:
        return
