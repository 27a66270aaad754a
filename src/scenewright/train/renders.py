"""Pictures to train on: the drawn worlds, kept on disk once drawn, or a folder of Records, read on demand.

Drawn pictures are kept in parts of two files, ``NAME-<first>.npy`` (pictures, uint8 NHW3) and
``NAME-<first>.jsonl`` (what is in them), written under a hidden name and renamed, so that a killed run
continues with the next part. Several processes may open the same cache: one writes, the others wait. Training
seeds start at `FIRST_SEED`; smaller seeds are held out for evaluation and never drawn here.

Letters: N pictures, H W pixels, 4 box corners (xyxy in [0,1]).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.scene import Box, Instance, Scene

FIRST_SEED = 1_000_000
PART = 500


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of pictures: ``toybox``, ``town`` or the path of a folder of Records.

    `count` pictures (0: all of a folder's), `size_wh` in pixels, `share` of the batches that come from it.
    """

    name: str
    count: int = 0
    size_wh: tuple[int, int] = (128, 128)
    share: float = 1.0


@dataclass(frozen=True)
class Item:
    """What is in one picture: its caption and, per located instance, a phrase and a box."""

    caption: str
    phrases: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]

    @classmethod
    def of(cls, scene: Scene) -> Item:
        """The part of a scene that training reads."""
        found = [(one.phrase, one.location_box) for one in scene.instances]
        kept = [(phrase, box.xyxy) for phrase, box in found if box is not None]
        return cls(scene.prompt, tuple(p for p, _ in kept), tuple(b for _, b in kept))

    def scene(self, size_wh: tuple[int, int]) -> Scene:
        """A scene with this caption, phrases and boxes."""
        instances = tuple(
            Instance(phrase=phrase, box=Box(*box))
            for phrase, box in zip(self.phrases, self.boxes, strict=True)
        )
        return Scene(prompt=self.caption, size_wh=size_wh, instances=instances)

    def mirrored(self) -> Item:
        """The same with left and right of the boxes swapped; texts stay as they are."""
        return replace(self, boxes=tuple((1.0 - x1, y0, 1.0 - x0, y1) for x0, y0, x1, y1 in self.boxes))


class Pictures(Protocol):
    """Pictures of one size with what is in them; `name` tells two sources of a cache apart."""

    name: str
    items: list[Item]

    def __len__(self) -> int:
        """How many pictures there are."""

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures [N,H,W,3] at `indices`."""


class Renders:
    """Pictures of a drawn world, memory-mapped from the parts of the cache."""

    def __init__(self, name: str, parts: Sequence[NDArray[np.uint8]], items: list[Item]) -> None:
        self.name = name
        self.items = items
        self._parts = parts
        self._starts = np.cumsum([0, *[len(part) for part in parts]])

    def __len__(self) -> int:
        return len(self.items)

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures [N,H,W,3] at `indices`."""
        part_N = np.searchsorted(self._starts, indices, side="right") - 1
        return np.stack([self._parts[p][i - self._starts[p]] for p, i in zip(part_N, indices, strict=True)])


class Folder:
    """Pictures of a folder of Records, cropped to `size_wh`; files are opened when they are asked for."""

    def __init__(self, name: str, files: Sequence[Path], size_wh: tuple[int, int], items: list[Item]) -> None:
        self.name = name
        self.items = items
        self._files, self._size_wh = files, size_wh

    def __len__(self) -> int:
        return len(self.items)

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures [N,H,W,3] at `indices`."""
        return np.stack([self._read(self._files[int(i)]) for i in indices])

    def _read(self, path: Path) -> NDArray[np.uint8]:
        from scenewright.data.labels import read_label
        from scenewright.scene import Transform, read_image

        image_HW3 = read_label(path)[0] if path.suffix == ".json" else read_image(path)
        return Transform.fit((image_HW3.shape[1], image_HW3.shape[0]), self._size_wh).image(image_HW3)


def open_pictures(source: Source, cache: Path, progress: Callable[[str], None] | None = None) -> Pictures:
    """The pictures of a source, of whatever kind; see `open_renders` for the drawn worlds.

    Raises InputError for an unknown source and for a folder without Records.
    """
    if source.name in ("toybox", "town"):
        return open_renders(source, cache, progress)
    return _open_folder(source, cache, progress)


def open_renders(source: Source, cache: Path, progress: Callable[[str], None] | None = None) -> Renders:
    """Draws what is missing of ``toybox`` or ``town`` and maps it all. `progress` is told what was drawn.

    Raises InputError for another name, a count below 1, or a size that the world does not draw.
    """
    draw = drawer(source)
    if source.count < 1:
        raise InputError(f"source {source.name!r} needs a count of at least 1, not {source.count}")
    parts, items = [], []
    for first in range(0, source.count, PART):
        number = min(PART, source.count - first)
        width, height = source.size_wh
        stem = cache / f"{source.name}-{width}x{height}-{first:07d}-{number}"
        with alone_in(cache, stem.name):
            if not stem.with_suffix(".jsonl").exists():
                _write(stem, draw, first, number)
                if progress is not None:
                    progress(f"{source.name}: {first + number} of {source.count} pictures")
        parts.append(np.load(stem.with_suffix(".npy"), mmap_mode="r"))
        items.extend(_read_items(stem.with_suffix(".jsonl")))
    return Renders(source.name, parts, items)


Draw = Callable[[int], tuple[NDArray[np.uint8], Scene]]


def drawer(source: Source) -> Draw:
    """How to draw picture i of a source."""
    from scenewright.world import town, toybox

    width, height = source.size_wh

    def draw_toybox(index: int) -> tuple[NDArray[np.uint8], Scene]:
        drawn = toybox.draw(FIRST_SEED + index, size_px=width)
        return drawn.image, drawn.scene

    def draw_town(index: int) -> tuple[NDArray[np.uint8], Scene]:
        looks = list(town.LOOKS)
        look = looks[int(np.random.default_rng(index).integers(len(looks)))]
        drawn = town.draw(FIRST_SEED + index, size_wh=source.size_wh, look=look)
        return drawn.image, drawn.scene

    if source.name not in ("toybox", "town"):
        raise _unknown(source.name)
    if source.name == "toybox" and width != height:
        raise InputError(f"toybox pictures are square, {width}x{height} was asked for")
    return draw_toybox if source.name == "toybox" else draw_town


def _unknown(name: str) -> InputError:
    return InputError(
        f"{name!r} is neither toybox, town, nor a folder",
        hint="sources are the drawn worlds, folders of Records, and label files",
    )


def _open_folder(source: Source, cache: Path, progress: Callable[[str], None] | None) -> Folder:
    """The Records of a folder, sorted by name; what is in them is read once and kept in `cache`."""
    folder, files = Path(source.name), record_files(source)
    both = [one for file in files for one in dict.fromkeys((file, scene_file(file)))]
    marks = [(one.name, one.stat().st_size) for one in both]
    digest = hashlib.sha256(repr((str(folder.resolve()), marks)).encode()).hexdigest()[:12]
    name = f"records-{digest}"
    path = cache / f"{name}-{source.size_wh[0]}x{source.size_wh[1]}.jsonl"
    with alone_in(cache, name):
        if not path.exists():
            write_text(path, "".join(_line(_folder_item(file, source.size_wh)) for file in files))
            if progress is not None:
                progress(f"{folder}: {len(files)} pictures")
    return Folder(name, files, source.size_wh, list(_read_items(path)))


def record_files(source: Source) -> list[Path]:
    """Pictures of the Records in the folder of a source, sorted by name, or its label files (`data.labels`).

    Raises InputError for neither.
    """
    from scenewright.data.labels import has_labels, label_files

    folder = Path(source.name)
    if has_labels(folder):
        labels = label_files(folder)
        return labels[: source.count or len(labels)]
    if not folder.is_dir():
        raise _unknown(source.name)
    files = [file for file in sorted(folder.glob("*.png")) if scene_file(file).is_file()]
    files = files[: source.count or len(files)]
    if not files:
        raise InputError(
            f"no Record (NAME.png with NAME.scene.json) in {folder}",
            hint="`scenewright world sample` writes some",
        )
    return files


def scene_file(picture: Path) -> Path:
    """The scene file of a Record's picture; a label file is its own."""
    if picture.suffix == ".json":
        return picture
    return picture.with_suffix(".scene.json")


def _folder_item(picture: Path, size_wh: tuple[int, int]) -> Item:
    from scenewright.data.labels import read_label
    from scenewright.scene import Transform

    label = picture.suffix == ".json"
    scene = read_label(picture)[1] if label else Scene.read(scene_file(picture))
    return Item.of(Transform.fit(scene.size_wh, size_wh).scene(scene))


@contextmanager
def alone_in(cache: Path, name: str) -> Iterator[None]:
    """Makes the folder and keeps other processes out of its `alone_in` of this name until the end (not on
    Windows)."""
    locks = cache / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a kill
        yield


def _write(stem: Path, draw: Draw, first: int, number: int) -> None:
    images, lines = [], []
    for index in range(first, first + number):
        image_HW3, scene = draw(index)
        images.append(image_HW3)
        lines.append(_line(Item.of(scene)))
    hidden = stem.with_name(f".{stem.name}.npy")
    np.save(hidden, np.stack(images))
    hidden.replace(stem.with_suffix(".npy"))
    write_text(stem.with_suffix(".jsonl"), "".join(lines))


def write_text(path: Path, text: str) -> None:
    """Write a file under a hidden name and rename it."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_text(text, encoding="utf-8")
    hidden.replace(path)


def _line(item: Item) -> str:
    return json.dumps({"caption": item.caption, "phrases": item.phrases, "boxes": item.boxes}) + "\n"


def _read_items(path: Path) -> Iterator[Item]:
    for line in path.read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        yield Item(data["caption"], tuple(data["phrases"]), tuple(tuple(box) for box in data["boxes"]))
