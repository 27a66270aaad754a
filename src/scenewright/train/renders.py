"""Pictures to train on: the drawn worlds, or a folder of Records; kept on disk in parts once drawn or read.

A part is two files, ``NAME-<first>.npy`` (pictures, uint8 NHW3) and ``NAME-<first>.jsonl`` (what is in
them); it is written under a temporary name and renamed, so that a killed run continues with the next part.
Training seeds start at `FIRST_SEED`; smaller seeds are held out for evaluation and never drawn here.

Letters: N pictures, H W pixels, 4 box corners (xyxy in [0,1]).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.scene import Instance, Scene

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
        from scenewright.scene import Box

        instances = tuple(
            Instance(phrase=phrase, box=Box(*box))
            for phrase, box in zip(self.phrases, self.boxes, strict=True)
        )
        return Scene(prompt=self.caption, size_wh=size_wh, instances=instances)


class Renders:
    """The pictures of one source, memory-mapped. `images(indices)` gives NHW3 uint8, `items` what is in them."""

    def __init__(self, parts: list[NDArray[np.uint8]], items: list[Item]) -> None:
        self._parts = parts
        self.items = items
        self._starts = np.cumsum([0, *[len(part) for part in parts]])

    def __len__(self) -> int:
        return len(self.items)

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures [N,H,W,3] at `indices`."""
        part_N = np.searchsorted(self._starts, indices, side="right") - 1
        return np.stack([self._parts[p][i - self._starts[p]] for p, i in zip(part_N, indices, strict=True)])


def open_renders(source: Source, cache: Path, progress: Callable[[str], None] | None = None) -> Renders:
    """Draws or reads what is missing of a source and maps it all.

    Raises InputError for an unknown source and for a folder without Records.
    """
    cache.mkdir(parents=True, exist_ok=True)
    draw, count, name = _drawer(source)
    parts, items = [], []
    for first in range(0, count, PART):
        stem = cache / f"{name}-{source.size_wh[0]}x{source.size_wh[1]}-{first:07d}"
        number = min(PART, count - first)
        stem = stem.with_name(f"{stem.name}-{number}")
        if not stem.with_suffix(".jsonl").exists():
            _write(stem, draw, first, number)
            if progress is not None:
                progress(f"{source.name}: {first + number} of {count} pictures")
        parts.append(np.load(stem.with_suffix(".npy"), mmap_mode="r"))
        items.extend(_read_items(stem.with_suffix(".jsonl")))
    return Renders(parts, items)


Draw = Callable[[int], tuple[NDArray[np.uint8], Scene]]


def _drawer(source: Source) -> tuple[Draw, int, str]:
    """How to get picture i of a source, how many there are, and a name for the files."""
    width, height = source.size_wh
    if source.name == "toybox":
        from scenewright.world import toybox

        if width != height:
            raise InputError(f"toybox pictures are square, {width}x{height} was asked for")

        def draw_toybox(index: int) -> tuple[NDArray[np.uint8], Scene]:
            drawn = toybox.draw(FIRST_SEED + index, size_px=width)
            return drawn.image, drawn.scene

        return draw_toybox, _count(source), "toybox"
    if source.name == "town":
        from scenewright.world import town

        def draw_town(index: int) -> tuple[NDArray[np.uint8], Scene]:
            looks = list(town.LOOKS)
            look = looks[int(np.random.default_rng(index).integers(len(looks)))]
            drawn = town.draw(FIRST_SEED + index, size_wh=source.size_wh, look=look)
            return drawn.image, drawn.scene

        return draw_town, _count(source), "town"
    return _folder(source)


def _count(source: Source) -> int:
    if source.count < 1:
        raise InputError(f"source {source.name!r} needs a count of at least 1, not {source.count}")
    return source.count


def _folder(source: Source) -> tuple[Draw, int, str]:
    import hashlib

    from scenewright.scene import Transform
    from scenewright.scene.record import Record

    folder = Path(source.name)
    if not folder.is_dir():
        raise InputError(
            f"{source.name!r} is neither toybox, town, nor a folder",
            hint="sources are the drawn worlds or folders of Records",
        )
    files = sorted(folder.glob("*.png"))
    if not files:
        raise InputError(f"no Record (*.png) in {folder}", hint="`scenewright world sample` writes some")

    def read(index: int) -> tuple[NDArray[np.uint8], Scene]:
        record = Record.load(files[index])
        fit = Transform.fit(record.scene.size_wh, source.size_wh, mode="crop")
        return fit.image(record.image), fit.scene(record.scene)

    digest = hashlib.sha256("\n".join(str(file) for file in files).encode()).hexdigest()[:12]
    return read, min(len(files), source.count or len(files)), f"records-{digest}"


def _write(stem: Path, draw: Draw, first: int, number: int) -> None:
    images, lines = [], []
    for index in range(first, first + number):
        image_HW3, scene = draw(index)
        item = Item.of(scene)
        images.append(image_HW3)
        lines.append(json.dumps({"caption": item.caption, "phrases": item.phrases, "boxes": item.boxes}))
    temporary = stem.with_name(f".{stem.name}.{os.getpid()}.npy")
    np.save(temporary, np.stack(images))
    temporary.replace(stem.with_suffix(".npy"))
    text = temporary.with_suffix(".jsonl")
    text.write_text("\n".join(lines) + "\n")
    text.replace(stem.with_suffix(".jsonl"))


def _read_items(path: Path) -> Iterator[Item]:
    for line in path.read_text().splitlines():
        data = json.loads(line)
        yield Item(data["caption"], tuple(data["phrases"]), tuple(tuple(box) for box in data["boxes"]))
