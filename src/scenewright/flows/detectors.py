"""Which detector scores: the one named, or the one of the package."""

from __future__ import annotations

from dataclasses import replace

from scenewright.evaluate.protocol import LAYOUT
from scenewright.flows.judging import JudgeCard, Places, choose_judges

RULES = replace(LAYOUT, optional=())
"""The frozen protocol of layouts, with the detector alone."""


def choose_detector(name: str, places: Places) -> JudgeCard:
    """The detector called `name` (or of that file); for "" the package's own, else the one whose findings are
    stored in `places`. Raises ModelError if there is none, or for a judge of another kind."""
    return choose_judges((name,) if name else (), RULES, places)["detector"]
