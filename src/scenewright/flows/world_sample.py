"""Draw pictures of a world and write them to a folder, with a contact sheet.

`sample_world` checks everything first, so that wrong options leave nothing on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scenewright.errors import InputError, nearest
from scenewright.flows.options import parse_size
from scenewright.scene import contact_sheet, write_png
from scenewright.scene.schema import LARGEST_SEED
from scenewright.world.drawn import Drawn

__all__ = ["SampleOptions", "Sampled", "drawings", "known_looks", "parse_size", "sample_world"]

WORLDS = ("toybox", "town")
LAYOUTS = ("records", "gta", "cityscapes", "bdd100k", "mapillary", "acdc", "dark-zurich")
SHEET = "sheet.png"
ON_SHEET = 48
"""The contact sheet shows at most this many pictures, the first ones."""


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What to draw and how to write it; checked when made.

    world    "toybox" or "town"
    count    number of pictures, at least 1
    seed     seed of the first picture, at least 0; picture k has seed + k
    looks    looks of the town, or styles of the toybox, taken in turn; empty: "game", or any style
    size_wh  width, height in pixels, multiples of 8; None: 128x128, or 192x96 in the town
    layout   "records", or for the town the layout of a dataset of streets, one of `LAYOUTS`
    """

    world: str = "toybox"
    count: int = 24
    seed: int = 0
    looks: tuple[str, ...] = field(default=())
    size_wh: tuple[int, int] | None = None
    layout: str = "records"

    def __post_init__(self) -> None:
        _one_of(self.world, WORLDS, "world")
        _one_of(self.layout, LAYOUTS, "layout")
        for look in self.looks:
            _one_of(look, known_looks(self.world), "look" if self.world == "town" else "style")
        if self.count < 1:
            raise InputError(f"count {self.count} given, expected at least 1")
        if self.seed < 0 or self.seed + self.count - 1 > LARGEST_SEED:
            raise InputError(f"seed {self.seed} given, expected a whole number from 0 to about 9e15")
        if self.layout != "records" and self.world != "town":
            raise InputError(
                f"layout {self.layout} with world {self.world}", "street layouts need --world town"
            )
        if self.world == "toybox" and self.size_wh and self.size_wh[0] != self.size_wh[1]:
            wide, high = self.size_wh
            raise InputError(
                f"size {wide}x{high} given, expected a square", "the toybox draws square pictures"
            )


@dataclass(frozen=True)
class Sampled:
    """What was written: `pictures` in order, and the contact `sheet`."""

    pictures: tuple[Path, ...]
    sheet: Path


def known_looks(world: str) -> tuple[str, ...]:
    """Looks of the town or styles of the toybox."""
    if world == "town":
        from scenewright.world import town

        return town.LOOKS
    from scenewright.world import surface

    return surface.STYLES


def drawings(options: SampleOptions) -> Iterator[Drawn]:
    """The pictures that the options ask for, one after the other."""
    from scenewright.world import town, toybox

    for k in range(options.count):
        look = options.looks[k % len(options.looks)] if options.looks else None
        if options.world == "town":
            size_wh = options.size_wh or town.SIZE_WH
            yield town.draw(options.seed + k, size_wh=size_wh, look=look or town.LOOKS[0])
        else:
            size_px = options.size_wh[0] if options.size_wh else 128
            yield toybox.draw(options.seed + k, size_px=size_px, style=look)


def sample_world(
    options: SampleOptions, out: Path, on_progress: Callable[[int, int], None] | None = None
) -> Sampled:
    """Draw and write. `on_progress` is told (pictures done, pictures in all) after each.

    Raises InputError for options that the world refuses, StorageError if a file cannot be written.
    """
    shown: list[Drawn] = []

    def watched() -> Iterator[Drawn]:
        for done, drawn in enumerate(drawings(options), 1):
            if done <= ON_SHEET:
                shown.append(drawn)
            yield drawn
            if on_progress:
                on_progress(done, options.count)

    pictures = _write(options, watched(), out)
    sheet = contact_sheet([drawn.image for drawn in shown], [drawn.scene.prompt for drawn in shown])
    return Sampled(tuple(pictures), write_png(out / SHEET, sheet))


def _write(options: SampleOptions, pictures: Iterator[Drawn], out: Path) -> list[Path]:
    if options.layout == "records":
        return [
            drawn.record().save(out, f"{options.world}-{drawn.scene.seed:06d}-{drawn.scene.style}")
            for drawn in pictures
        ]
    from scenewright.world import folders

    writers: dict[str, Callable[[Iterator[Drawn], Path], list[Path]]] = {
        "gta": folders.write_gta,
        "cityscapes": folders.write_cityscapes,
        "bdd100k": folders.write_bdd100k,
        "mapillary": folders.write_mapillary,
        "acdc": folders.write_acdc,
        "dark-zurich": folders.write_dark_zurich,
    }
    return writers[options.layout](pictures, out)


def _one_of(word: str, known: tuple[str, ...], what: str) -> None:
    if word not in known:
        close = nearest(word, known)
        hint = f"Did you mean {close!r}?" if close else ""
        raise InputError(f"unknown {what} {word!r}, expected one of {', '.join(known)}", hint)
