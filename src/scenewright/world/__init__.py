"""The drawn worlds: small pictures whose ground truth is exact.

`toybox` draws toys in eight settings; `town` draws streets in several looks. Both give `Drawn`.
"""

from scenewright.world.drawn import Drawn
from scenewright.world.palette import COLOURS, TEXTURES

__all__ = ["COLOURS", "TEXTURES", "Drawn"]
