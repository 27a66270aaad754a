"""When a label counts and when a picture is kept. Needs no torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scenewright.errors import InputError, nearest

Policy = Literal["union", "top1"]


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """How findings become masks and which pictures stay; checked when made (InputError names the field)."""

    policy: Policy = "union"  # the mask of a class: all its things together, or the best one alone
    score: float = 0.5  # least score of a thing, 0 to 1
    area: float = 0.002  # least share of the picture that a class takes, 0 to 1
    most_area: float = 1.0  # largest share of the picture that a class may take
    agreement: float = 0.5  # least probability of the second opinion, where there is one

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policy):
            close = nearest(str(self.policy), get_args(Policy))
            hint = f"did you mean {close}?" if close else "top1 takes the best thing of a class, union all"
            raise InputError(f"policy is {self.policy!r}; expected union or top1", hint)
        for name in ("score", "area", "most_area", "agreement"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}; expected a number from 0 to 1", "0 switches it off")
            object.__setattr__(self, name, float(value))
        if self.area > self.most_area:
            raise InputError(f"area is {self.area}, more than most_area {self.most_area}")

    def to_json(self) -> dict[str, Any]:
        """All fields, as they stand in a record's provenance."""
        return dataclasses.asdict(self)


PUBLISHED = LabelRules(policy="top1", score=0.05, area=0.0, agreement=0.0)
"""Those of the published data sets (Li et al. 2023 and its port to diffusers): the best thing of each class,
however unsure."""
