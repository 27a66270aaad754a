"""Everything that a reproduction found, as one value: figures by condition, sweep, curve, findings.

`Results` has what tables and plots show; `to_json` is ``results.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.report import DIGITS
from scenewright.flows.reproduce.curve import Curve
from scenewright.flows.reproduce.figures import Scores, Table, Value
from scenewright.flows.reproduce.plan import CLAIM, DIFFERS, METRICS, RENDERS, REPRODUCTION, TITLES, Stage

SWEPT = ("ap50", "iou", "colour", "right", "shown_colour", "pictures_right")
"""Metrics of the sweep."""


@dataclass(frozen=True)
class Swept:
    """One setting of the gates: the steps with open gates, and its scores on the scenes of the sweep."""

    stage: Stage
    open_steps: float
    scores: Scores


@dataclass(frozen=True)
class Verdict:
    """A part of the claim: what is said, whether it holds (None: not measured), and the figures."""

    words: str
    holds: bool | None
    figures: str

    def line(self) -> str:
        """ "holds: …", for people."""
        state = {True: "holds", False: "does not hold", None: "not measured"}[self.holds]
        return f"{state}: {self.words}" + (f" ({self.figures})" if self.figures else "")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"claim": self.words, "holds": self.holds, "figures": self.figures}


class Found(Protocol):
    """What a reproduction found."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""


FoundT = TypeVar("FoundT", bound=Found)


@dataclass(frozen=True)
class Reproduced(Generic[FoundT]):
    """The results of a reproduction, the files that show them, and the lines that sum them up."""

    results: FoundT
    files: tuple[Path, ...]
    summary: tuple[str, ...]

    def lines(self) -> list[str]:
        """The summary for a terminal, and the files."""
        return [*self.summary, "", *(str(path) for path in self.files)]

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {**self.results.to_json(), "files": [str(path) for path in self.files]}


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was found.

    tables    condition -> figures; `RENDERS` is the ceiling
    swept     settings of the sweep in order, and the ceiling on its scenes
    curve     the training, or None
    verdicts  the parts of the claim
    about     model, judge, options, samples: what the figures are figures of
    """

    tables: Mapping[str, Table]
    swept: Sequence[Swept]
    swept_ceiling: Scores | None
    curve: Curve | None
    verdicts: Sequence[Verdict]
    about: Mapping[str, Any]

    @property
    def ceiling(self) -> Table:
        """The figures of the held-out pictures themselves."""
        return self.tables[RENDERS]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "reproduction": REPRODUCTION,
            "claim": CLAIM,
            "differs": list(DIFFERS),
            **self.about,
            "conditions": {
                name: {"title": TITLES[name], **_table_json(one, self.ceiling)}
                for name, one in self.tables.items()
            },
            "sweep": [
                {
                    "gate": list(one.stage.gate),
                    "open_steps": one.open_steps,
                    "figures": _scores_json(one.scores, self.swept_ceiling),
                }
                for one in self.swept
            ],
            "training": self.curve.to_json() if self.curve else None,
            "verdicts": [one.to_json() for one in self.verdicts],
        }


def plain(one: Estimate) -> dict[str, float | None]:
    """Value and interval, rounded."""
    return {name: None if v is None else float(f"{v:.{DIGITS}g}") for name, v in one.to_json().items()}


def share(scores: Scores, ceiling: Scores | None, name: str) -> Value | None:
    """A figure as a share of the ceiling's; None where there is no ceiling."""
    if ceiling is None or name not in ceiling.values or name not in scores.values:
        return None
    return scores.values[name].share_of(ceiling.values[name])


def _scores_json(scores: Scores, ceiling: Scores | None) -> dict[str, Any]:
    found = {}
    for name in METRICS:
        if name not in scores.values:
            continue
        of_ceiling = share(scores, ceiling, name)
        seeds = [Estimate(value, None, None) for value in scores.seeds[name]]
        found[name] = {
            **plain(scores.values[name].estimate()),
            "seeds": [plain(one)["value"] if one.value == one.value else None for one in seeds],
            "of_ceiling": plain(of_ceiling.estimate()) if of_ceiling else None,
        }
    return found


def _table_json(one: Table, ceiling: Table) -> dict[str, Any]:
    return {
        "figures": _scores_json(one.all, ceiling.all),
        "groups": {
            what: {
                key: {
                    "pictures": scores.pictures,
                    "instances": scores.instances,
                    "figures": _scores_json(scores, ceiling.groups[what].get(key)),
                }
                for key, scores in parts.items()
            }
            for what, parts in one.groups.items()
        },
    }


def percent(one: Value) -> str:
    """The figure of a verdict, or a dash where there is none."""
    value = one.estimate().value
    return "-" if value is None else f"{100 * value:.1f} %"


def span(one: Estimate) -> str:
    """The figure of a verdict with its interval, if it has one."""
    if one.value is None:
        return "nothing to be compared"
    if one.low is None or one.high is None:
        return f"{100 * one.value:.0f} %"
    return f"{100 * one.value:.0f} %, {100 * one.low:.0f} to {100 * one.high:.0f}"
