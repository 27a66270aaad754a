"""What a grounding head is made of and what it reads, as it stands in its file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from scenewright.backbone.tap_layout import DETAILS, HALVES, LAYOUTS
from scenewright.backbone.words import TEXT_MODES
from scenewright.errors import ModelError, nearest

BN_MODES = ("running", "batch")
QUERY_MODES = ("joint", "single")

LARGEST = 2**20
"""No size of a head comes near this; a file that asks for more is damaged."""


@dataclass(frozen=True, kw_only=True)
class GroundingConfig:
    """Configuration of a `GroundingHead`. The defaults are the released heads' sizes.

    Raises ModelError for values out of range.
    """

    layout: str = "blocks"  # tap layout, see `backbone.tap_layout`
    channels: tuple[int, ...]  # per level, deepest first: channels of its maps, halves counted
    text_width: int  # width of a class vector
    stride: int = 8  # side of the logits over the side of the latent
    halves: tuple[str, ...] = HALVES  # halves of guidance folded into the channels
    timestep: int = 0  # the sampler step nearest to it is tapped (`backbone.features`); 0: the last
    reduced: tuple[int, ...] = (16, 32, 64, 128)  # per level: channels after its first convolution
    patch: int = 4  # side of a token in cells
    width: int = 512
    heads: int = 8
    layers: int = 3
    hidden: int = 2048  # width inside the decoder's ReLU network
    dropout: float = 0.0
    bn_mode: str = "running"  # "batch": each picture's own statistics, also when not training
    query_mode: str = "joint"  # "single": every class decoded as if alone
    text_mode: str = "template"  # how class vectors are made, see `backbone.words`
    template: str = "a photograph of a {}"
    attention: int = 0  # cross-attention maps per class that are read (0: none)
    attention_detail: str = "depth"  # what they are of, see `tap_layout`
    text_dropout: float = 0.0  # share of class vectors hidden in training, so that attention must serve

    def __post_init__(self) -> None:
        """Check every value; sequences become tuples."""
        for name in ("channels", "reduced", "halves"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("text_width", "stride", "patch", "width", "heads", "layers", "hidden"):
            _check_whole(name, getattr(self, name), 1)
        for name in ("timestep", "attention"):
            _check_whole(name, getattr(self, name), 0)
        for name in ("channels", "reduced"):
            for value in getattr(self, name):
                _check_whole(name, value, 1)
        for name, known in (
            ("layout", LAYOUTS),
            ("bn_mode", BN_MODES),
            ("query_mode", QUERY_MODES),
            ("text_mode", TEXT_MODES),
            ("attention_detail", DETAILS),
        ):
            if getattr(self, name) not in known:
                raise ModelError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        self._check_together()

    def _check_together(self) -> None:
        if len(self.channels) != len(self.reduced) or len(self.channels) < 2:
            raise ModelError(f"{len(self.channels)} levels of maps, {len(self.reduced)} reduced; at least 2")
        if self.width % self.heads:
            raise ModelError(f"width {self.width} cannot be split into {self.heads} heads")
        for name in ("dropout", "text_dropout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ModelError(f"{name} is {value!r}, a number from 0 to below 1 expected")
        if not self.halves or any(half not in HALVES for half in self.halves):
            raise ModelError(f"halves are {self.halves}, one or both of {HALVES} expected")
        if not isinstance(self.template, str) or self.template.count("{}") != 1:
            raise ModelError(f"template {self.template!r} needs one {{}} where the class goes")

    def to_json(self) -> str:
        """The configuration as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> GroundingConfig:
        """Reads what `to_json` wrote; ModelError on text that is not such an object, or on unknown keys."""
        try:
            data: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the head's configuration is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise ModelError(f"the head's configuration is {type(data).__name__}, an object expected")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in data:
            if key not in known:
                near = nearest(key, known)
                raise ModelError(
                    f"unknown key {key!r} in the head's configuration",
                    hint=f"did you mean {near!r}?" if near else f"known keys: {', '.join(known)}",
                )
        try:
            return cls(**data)
        except TypeError as error:
            raise ModelError(f"the head's configuration is incomplete: {error}") from error


def _check_whole(name: str, value: Any, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= LARGEST:
        raise ModelError(f"{name} is {value!r}, a whole number from {low} to {LARGEST} expected")
