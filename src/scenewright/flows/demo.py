"""The demonstration: twelve fixed scenes are drawn, and scored by a simple check of colour and position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenewright.evaluate.colour import ColourFinding, check_colours, wilson
from scenewright.flows.jobs import Request
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice, produce
from scenewright.flows.write import Outcome, Written
from scenewright.scene import Record, Scene
from scenewright.world.palette import COLOURS

SCENES = Path(__file__).resolve().parents[1] / "examples"
"""The twelve scenes: worth copying."""

CEILING_SEED, CEILING_SCENES = 70_000, 100
"""Drawings of the toybox on which the check itself is checked; apart from all that models are trained on."""


@dataclass(frozen=True)
class Score:
    """How a picture did: of `asked` coloured instances `found` were where they were asked for, in their
    colour; `iou` is the mean IoU (0..1) of their boxes and the regions of their colours."""

    name: str
    prompt: str
    asked: int
    found: int
    iou: float

    def line(self) -> str:
        """As the command line prints it."""
        return f"{self.name:24} asked {self.asked}  found {self.found}  IoU {self.iou:.2f}  {self.prompt}"


@dataclass(frozen=True)
class Shown:
    """The demonstration's result: one score per scene, their sum, the same on drawings (the ceiling)."""

    written: Written
    scores: tuple[Score, ...]
    total: Score
    ceiling: Score

    def lines(self) -> list[str]:
        """The summary below the scores."""
        low, high = wilson(self.total.found, self.total.asked)
        best = self.ceiling
        return [
            f"{self.total.found} of {self.total.asked} asked colours are where they were asked for "
            f"({_percent(self.total)}, 95 % interval {low:.0%} to {high:.0%}), mean IoU {self.total.iou:.2f}",
            f"ceiling: on {CEILING_SCENES} drawings that are right by construction the same check finds "
            f"{_percent(best)} of {best.asked}, mean IoU {best.iou:.2f}; no model is expected to pass that",
        ]

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            "scores": [asdict(score) for score in self.scores],
            "total": asdict(self.total),
            "ceiling": asdict(self.ceiling),
            "sheet": str(self.written.sheet) if self.written.sheet else None,
            "failed": self.written.failed,
        }


def demo(
    out: Path,
    model: ModelChoice,
    options: GenerateOptions,
    *,
    overwrite: bool = False,
    on_score: Callable[[Score], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Shown:
    """Draw the twelve scenes into `out`, each with its own hash as seed, and score them.

    `on_score` is told each score as its picture is ready. Raises as `produce.produce` does.
    """
    scores: list[Score] = []

    def done(one: Outcome) -> None:
        if one.state == "failed":
            if on_note:
                on_note(f"{one.job.name} failed: {one.error}")
            return
        record = Record.load(one.files.png)
        scores.append(score(one.job.name, record.scene, check_colours(record.image, record.scene, COLOURS)))
        if on_score:
            on_score(scores[-1])

    request = Request(files=tuple(sorted(SCENES.glob("*.scene.json"))))
    written = produce(
        request,
        model,
        options,
        out,
        overwrite=overwrite,
        on_note=on_note,
        on_done=done,
        on_progress=on_progress,
    )
    return Shown(written, tuple(scores), summed("total", scores), ceiling())


def score(name: str, scene: Scene, findings: Sequence[ColourFinding]) -> Score:
    """The score of one picture from what was found in it."""
    iou = sum(one.iou for one in findings) / max(1, len(findings))
    return Score(name, scene.prompt, len(findings), sum(one.found for one in findings), iou)


def summed(name: str, scores: Sequence[Score]) -> Score:
    """All scores as one; every instance counts the same."""
    asked = sum(one.asked for one in scores)
    iou = sum(one.iou * one.asked for one in scores) / max(1, asked)
    return Score(name, "", asked, sum(one.found for one in scores), iou)


def ceiling(count: int = CEILING_SCENES) -> Score:
    """The check's score on drawings that show exactly what their scenes ask for."""
    from scenewright.world import toybox

    scores = []
    for seed in range(CEILING_SEED, CEILING_SEED + count):
        drawn = toybox.draw(seed)
        scores.append(score("", drawn.scene, check_colours(drawn.image, drawn.scene, COLOURS)))
    return summed("ceiling", scores)


def _percent(one: Score) -> str:
    return f"{one.found / max(1, one.asked):.0%}"
