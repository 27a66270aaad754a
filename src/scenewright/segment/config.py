"""What a one-pass segmenter is made of, and what it reads, as it stands in its file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from scenewright.backbone.tap_layout import LAYOUTS
from scenewright.errors import ModelError, nearest

KIND = "segmenter"
"""Kind of adapter that it is, and its word in names: ``nano+segmenter``."""

LARGEST = 2**20
"""No size of a segmenter comes near this; a file that asks for more is damaged."""


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Configuration of a `one_pass.OnePass`. Raises ModelError for values out of range."""

    layout: str = "blocks"  # tap layout, see `backbone.tap_layout`
    channels: tuple[int, ...]  # per level, deepest first: channels of its maps
    reduced: tuple[int, ...]  # per level: channels after its first convolution
    attention: tuple[int, ...]  # per transformer block: heads of its text attention
    text_width: int  # width of a class vector
    stride: int = 8  # side of a latent cell in pixels
    timestep: float = 0.0  # noise level that the network is told; the latent itself is clean
    width: int = 64  # channels of the fused map
    own: int = 8  # cost channels out of the network's own text attention
    learnt: int = 4  # cost channels out of learnt products of text and map
    looks: int = 4  # prototypes of a class in this picture, and their cost channels
    cost: int = 16  # channels in which a class's cost is worked on
    rounds: int = 2  # residual blocks there
    doublings: int = 1  # logits are finer than the latent by two to this power
    templates: tuple[str, ...] = ("a photograph of a {}",)  # texts that name a class; vectors are averaged

    def __post_init__(self) -> None:
        """Check every value; sequences become tuples."""
        for name in ("channels", "reduced", "attention", "templates"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("text_width", "stride", "width", "own", "learnt", "looks", "cost"):
            _check_whole(name, getattr(self, name), 1)
        for name in ("rounds", "doublings"):
            _check_whole(name, getattr(self, name), 0)
        for name in ("channels", "reduced", "attention"):
            for value in getattr(self, name):
                _check_whole(name, value, 1)
        self._check_together()

    def _check_together(self) -> None:
        if self.layout not in LAYOUTS:
            raise ModelError(f"layout is {self.layout!r}; expected one of {', '.join(LAYOUTS)}")
        if len(self.channels) != len(self.reduced) or not self.channels or not self.attention:
            raise ModelError(
                f"{len(self.channels)} levels of maps, {len(self.reduced)} reduced, {len(self.attention)} "
                "blocks of text attention; expected as many reduced as levels, and at least one of each"
            )
        if self.width % self.learnt:
            raise ModelError(f"width {self.width} cannot be split into {self.learnt} learnt products")
        if self.stride % 2**self.doublings:
            raise ModelError(f"a cell of {self.stride} pixels cannot be halved {self.doublings} times")
        if isinstance(self.timestep, bool) or not 0 <= self.timestep < LARGEST:
            raise ModelError(f"timestep is {self.timestep!r}, a number from 0 on expected")
        for template in self.templates:
            if not isinstance(template, str) or template.count("{}") != 1:
                raise ModelError(f"template {template!r} needs one {{}} where the class goes")
        if not self.templates:
            raise ModelError("a segmenter needs at least one template")

    @property
    def fine(self) -> int:
        """Side of a cell of the logits in pixels."""
        return self.stride >> self.doublings

    def to_json(self) -> str:
        """The configuration as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SegmentConfig:
        """Reads what `to_json` wrote; ModelError on text that is not such an object, or on unknown keys."""
        try:
            data: Any = json.loads(text)
        except ValueError as error:
            raise ModelError(f"the segmenter's configuration is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise ModelError(f"the segmenter's configuration is {type(data).__name__}, an object expected")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in data:
            if key not in known:
                close = nearest(key, known)
                hint = f"did you mean {close}?" if close else "a newer version of this package may know it"
                raise ModelError(f"unknown key {key!r} in the segmenter's configuration", hint)
        try:
            return cls(**data)
        except TypeError as error:
            raise ModelError(f"the segmenter's configuration is damaged: {error}") from error


def _check_whole(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= LARGEST:
        raise ModelError(f"{name} holds {value!r}, a whole number from {low} to {LARGEST} expected")
