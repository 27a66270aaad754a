"""Draw a frozen held-out set: the pictures that protocols are measured on, as Records in a folder.

The pictures are functions of their seeds alone; the keys of what they ask for are frozen in the package, so
that a set that came out differently (another version of the drawing library) is noticed here and not in a
table of results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scenewright.errors import InputError
from scenewright.evaluate.protocol import HeldOut, drawn_keys, held_out, sample_key
from scenewright.scene import Record
from scenewright.world.drawn import Drawn


@dataclass(frozen=True)
class WrittenSet:
    """What `write_held_out` wrote: the set, all `pictures` in order, how many were there before (`kept`),
    and the names of those that differ from the frozen ones (`different`, normally empty)."""

    set: HeldOut
    pictures: tuple[Path, ...]
    kept: int
    different: tuple[str, ...]


def drawings(one: HeldOut, count: int = 0) -> Iterator[Drawn]:
    """The first `count` pictures of a set, all if 0. InputError for more than there are."""
    from scenewright.world import town, toybox

    for seed in one.seeds(count):
        if one.world == "town":
            yield town.draw(seed, size_wh=one.size_wh, look=one.look(seed) or town.LOOKS[0])
        else:
            yield toybox.draw(seed, size_px=one.size_wh[0], style=one.look(seed))


def records(one: HeldOut, count: int = 0) -> Iterator[Record]:
    """As `drawings`, as Records."""
    return (drawn.record() for drawn in drawings(one, count))


def write_held_out(
    id: str, out: Path, count: int = 0, on_progress: Callable[[float, int], None] | None = None
) -> WrittenSet:
    """Write the first `count` pictures of the set `id` into `out`, those that are missing.

    `on_progress` is told (pictures done, pictures in all). Raises InputError for an unknown set, for more
    pictures than it has, or when another picture stands where one of the set belongs; StorageError when a
    file cannot be written.
    """
    one = held_out(id)
    total = len(one.seeds(count))
    frozen = drawn_keys(one)[:total]
    pictures, different, kept = [], [], 0
    for done, (drawn, key) in enumerate(zip(drawings(one, count), frozen, strict=True), start=1):
        name = file_name(one, drawn)
        if sample_key(drawn.scene) != key:
            different.append(name)
        path = out / f"{name}.png"
        if path.is_file():
            _check_same(path, drawn)
            kept += 1
        else:
            drawn.record().save(out, name)
        pictures.append(path)
        if on_progress:
            on_progress(done, total)
    return WrittenSet(one, tuple(pictures), kept, tuple(different))


def file_name(one: HeldOut, drawn: Drawn) -> str:
    """The name of a set's picture: "toybox-1-200017"."""
    return f"{one.id}-{drawn.scene.seed}"


def _check_same(path: Path, drawn: Drawn) -> None:
    if Record.load(path) != drawn.record():
        raise InputError(
            f"{path} is there already and shows something else", "choose another --out, or remove that file"
        )
