"""Everything that the reproduction of InstanceDiffusion found, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.instancediffusion_plan import (
    BOX,
    CLAIM,
    DIFFERS,
    RENDERS,
    REPRODUCTION,
    TITLES,
)
from scenewright.flows.reproduce.instancediffusion_scores import ArmScores
from scenewright.flows.reproduce.results import Verdict, plain


@dataclass(frozen=True, kw_only=True)
class InstanceResults:
    """What was found.

    arms      arm -> figures; `RENDERS` is the ceiling
    parts     the same of scenes with parts, or empty
    edits     figures of changes, or None
    verdicts  the parts of the claim
    about     model, judge, options, samples: what the figures are figures of
    """

    arms: Mapping[str, ArmScores]
    parts: Mapping[str, ArmScores]
    edits: ArmScores | None
    verdicts: Sequence[Verdict]
    about: Mapping[str, Any]

    def gain(self, arm: str, metric: str, over: str = BOX) -> Value | None:
        """A figure of an arm minus that of another, resample by resample; None where one of them lacks it."""
        one, other = self.arms.get(arm), self.arms.get(over)
        if one is None or other is None or metric not in one.values or metric not in other.values:
            return None
        return one.values[metric] - other.values[metric]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        best = self.arms[RENDERS]
        return {
            "reproduction": REPRODUCTION,
            "claim": CLAIM,
            "differs": list(DIFFERS),
            **self.about,
            "arms": {
                name: {"title": TITLES[name], "figures": _figures(one, best), "gains": self._gains(name)}
                for name, one in self.arms.items()
            },
            "parts": {
                name: {"figures": _figures(one, self.parts.get(RENDERS))} for name, one in self.parts.items()
            },
            "edits": {"figures": _figures(self.edits, None)} if self.edits is not None else None,
            "verdicts": [one.to_json() for one in self.verdicts],
        }

    def _gains(self, name: str) -> dict[str, Any]:
        """Differences to boxes, with paired intervals."""
        if name in (BOX, RENDERS):
            return {}
        found = {metric: self.gain(name, metric) for metric in self.arms[name].values}
        return {metric: plain(one.estimate()) for metric, one in found.items() if one is not None}


def _figures(scores: ArmScores, best: ArmScores | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in scores.values.items():
        top = best.values.get(name) if best is not None else None
        found[name] = {
            **plain(one.estimate()),
            "seeds": [round(value, 6) if value == value else None for value in scores.seeds[name]],
            "of_ceiling": plain(one.share_of(top).estimate()) if top is not None else None,
        }
    return found
