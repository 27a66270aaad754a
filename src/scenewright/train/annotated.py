"""Drawn pictures with all that is true about them: what the judges are trained on, kept on disk once drawn.

Like `scenewright.train.renders`, in parts that survive a kill: per part ``<first>-image.npy`` (uint8 NHW3),
``<first>-instances.npy`` and ``<first>-semantic.npy`` (uint8 NHW) and, written last, ``<first>.jsonl``. Every
source has a folder of its own in the cache, named by all that its pictures depend on.

Letters: N pictures, H W pixels, K instances of one picture, 4 box corners (xyxy in [0,1]).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.train.renders import PART, alone_in

if TYPE_CHECKING:
    from scenewright.world.drawn import Drawn

JUDGE_SEED = 2_000_000
"""First seed of the pictures that judges are trained on."""

VERIFIER_SEED = 4_000_000
"""First seed of the pictures that the verifier is trained on."""

LABELLER_SEED = 4_000_000
"""First seed of the pictures that the labeller is trained on; as the verifier, it never scores anything."""

REAL_SEED = 5_000_000
"""First seed of the pictures that play the part of real ones, beside generated pictures."""

CHECK_SEED = 60_000
"""First seed of the pictures that trainings of judges are validated on."""


@dataclass(frozen=True, kw_only=True)
class AnnotatedSource:
    """`count` pictures of a world from `first_seed` on.

    `only` names the toys that are drawn (none: all), `styles` how (none: every style).
    `things` is the smallest and largest number of toys (not for the town); looks of the town follow from the
    seed, all of them equally frequent. A layout too crowded to be drawn has one to five toys instead.
    """

    world: Literal["toybox", "town"] = "toybox"
    count: int = 0
    first_seed: int = JUDGE_SEED
    size_wh: tuple[int, int] = (128, 128)
    things: tuple[int, int] = (1, 5)
    only: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name of its folder in the cache."""
        width, height = self.size_wh
        many = f"-{self.things[0]}to{self.things[1]}" if self.world == "toybox" else ""
        chosen = (
            f"-{zlib.crc32(repr((self.only, self.styles)).encode()):08x}" if self.only or self.styles else ""
        )
        return f"annotated-{self.world}-{width}x{height}{many}{chosen}-{self.first_seed}"


@dataclass(frozen=True)
class Annotation:
    """What is in one picture; instance k is number k + 1 in the instance map.

    classes    positions in the world's ``CLASSES``.
    colours    positions in ``palette.COLOURS``, -1 where there is none of them (the town).
    textures   positions in ``palette.TEXTURES``, -1 for plain.
    boxes      xyxy in [0,1] around what is visible.
    look       rendering style of the toybox, look of the town.
    """

    seed: int
    caption: str
    look: str
    phrases: tuple[str, ...]
    classes: tuple[int, ...]
    colours: tuple[int, ...]
    textures: tuple[int, ...]
    boxes: tuple[tuple[float, float, float, float], ...]

    @classmethod
    def of(cls, drawn: Drawn) -> Annotation:
        """The annotation of a drawn picture."""
        from scenewright.world import town, toybox
        from scenewright.world.palette import COLOURS, TEXTURES

        names = toybox.CLASSES if drawn.vocabulary == "toybox" else town.CLASSES
        colours = list(COLOURS)
        instances = drawn.scene.instances
        facts = [one.extra.get("toybox", {}) for one in instances]
        return cls(
            seed=drawn.scene.seed or 0,
            caption=drawn.scene.prompt,
            look=drawn.scene.style or "",
            phrases=tuple(one.phrase for one in instances),
            classes=tuple(names.index(one.category or "") for one in instances),
            colours=tuple(colours.index(f["colour"]) if f.get("colour") else -1 for f in facts),
            textures=tuple(TEXTURES.index(f["texture"]) if f.get("texture") else -1 for f in facts),
            boxes=tuple(one.box.xyxy for one in instances if one.box is not None),
        )


class Annotated:
    """Memory-mapped pictures and maps of one or several sources, with an `Annotation` each."""

    def __init__(self, parts: Sequence[tuple[NDArray[np.uint8], ...]], items: list[Annotation]) -> None:
        self.items = items
        self._parts = parts
        self._starts = np.cumsum([0, *[len(part[0]) for part in parts]])

    @classmethod
    def of(cls, drawn: Sequence[Drawn]) -> Annotated:
        """Pictures that are in memory already."""
        arrays = tuple(np.stack(rows) for rows in _columns(drawn))
        return cls([arrays], [Annotation.of(one) for one in drawn])

    def __len__(self) -> int:
        return len(self.items)

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures [N,H,W,3] at `indices`."""
        return self._take(0, indices)

    def instances(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Their instance maps [N,H,W]: 0 nothing, k + 1 where instance k is visible."""
        return self._take(1, indices)

    def semantics(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Their semantic maps [N,H,W] of the world's vocabulary."""
        return self._take(2, indices)

    def _take(self, which: int, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        part_N = np.searchsorted(self._starts, indices, side="right") - 1
        found = [self._parts[p][which][i - self._starts[p]] for p, i in zip(part_N, indices, strict=True)]
        return np.stack(found)


NAMES = ("image", "instances", "semantic")


def open_annotated(
    sources: Sequence[AnnotatedSource], cache: Path, progress: Callable[[str], None] | None = None
) -> Annotated:
    """Draws what is missing and maps it all, one source after the other; they must agree in size.

    `progress` is told what was drawn. Raises InputError for no source, a count below 1, sources of different
    sizes, and sizes that the world does not draw.
    """
    if len({source.size_wh for source in sources}) != 1:
        raise InputError(f"{len(sources)} sources of pictures, expected at least one and all of one size")
    parts: list[tuple[NDArray[np.uint8], ...]] = []
    items: list[Annotation] = []
    for source in sources:
        if source.count < 1:
            raise InputError(f"source {source.world!r} needs a count of at least 1, not {source.count}")
        folder = cache / source.folder
        with alone_in(folder, "drawing"):
            for first in range(0, source.count, PART):
                number = min(PART, source.count - first)
                stem = f"{first:07d}-{number}"
                if not (folder / f"{stem}.jsonl").exists():
                    _write(folder, stem, [draw(source, i) for i in range(first, first + number)])
                    if progress is not None:
                        progress(f"{source.folder}: {first + number} of {source.count} pictures")
                parts.append(tuple(np.load(folder / f"{stem}-{name}.npy", mmap_mode="r") for name in NAMES))
                items.extend(_read(folder / f"{stem}.jsonl"))
    return Annotated(parts, items)


def draw(source: AnnotatedSource, index: int) -> Drawn:
    """Picture number `index` of a source."""
    from scenewright.world import town, toybox

    seed = source.first_seed + index
    if source.world == "town":
        look = town.LOOKS[int(np.random.default_rng(seed).integers(len(town.LOOKS)))]
        return town.draw(seed, size_wh=source.size_wh, look=look)
    width, height = source.size_wh
    if source.world != "toybox" or width != height:
        raise InputError(
            f"cannot draw {source.world!r} at {width}x{height}",
            "worlds are toybox (square pictures) and town",
        )
    styles = source.styles
    more: dict[str, Any] = {
        "classes": source.only or None,
        "style": styles[seed % len(styles)] if styles else None,
    }
    try:
        return toybox.draw(seed, size_px=width, count=source.things, **more)
    except InputError:
        if source.things[1] <= 5 and not source.only:
            raise
        fewer = (1, 1) if source.things[1] <= 5 else (1, 5)
        return toybox.draw(seed, size_px=width, count=fewer, **more)


def _columns(drawn: Sequence[Drawn]) -> tuple[list[NDArray[np.uint8]], ...]:
    return [d.image for d in drawn], [d.instance_map for d in drawn], [d.semantic for d in drawn]


def _write(folder: Path, stem: str, drawn: Sequence[Drawn]) -> None:
    for name, rows in zip(NAMES, _columns(drawn), strict=True):
        hidden = folder / f".{stem}-{name}.npy"
        np.save(hidden, np.stack(rows))
        hidden.replace(folder / f"{stem}-{name}.npy")
    hidden = folder / f".{stem}.jsonl"
    lines = [json.dumps(asdict(Annotation.of(one))) + "\n" for one in drawn]
    hidden.write_text("".join(lines), encoding="utf-8")
    hidden.replace(folder / f"{stem}.jsonl")


def _read(path: Path) -> Iterator[Annotation]:
    for line in path.read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        boxes = tuple(tuple(box) for box in data.pop("boxes"))
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        yield Annotation(boxes=boxes, **lists)
