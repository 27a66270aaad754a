"""The drawings of the toybox: name -> design sizes and drawing function, collected by the `toy` decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from scenewright.world.sprite import Sprite

Drawing = Callable[[Sprite, int], None]


class Toy(NamedTuple):
    """How one class is drawn: one (width, height) in design units per variant, and the function."""

    sizes: tuple[tuple[float, float], ...]
    draw: Drawing


TOYS: Final[dict[str, Toy]] = {}
"""Class name -> Toy; filled when the drawing modules are imported."""


def toy(name: str, *sizes: tuple[float, float]) -> Callable[[Drawing], Drawing]:
    """Register a drawing function for class `name` with one design size per variant."""

    def register(draw: Drawing) -> Drawing:
        TOYS[name] = Toy(sizes, draw)
        return draw

    return register
