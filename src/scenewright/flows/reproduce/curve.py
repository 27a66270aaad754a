"""Control over training: the probe's IoU from training logs, and the step from which the adapter steers.

A training's ``log.jsonl`` is read as it is; a line counts if it has a "validation". Several trainings that
went on from one another (stages) are joined in their order, their steps counted on. In one file a new stage
begins where the step falls, so that a curve file is just the validation lines of all logs, one after another.

The probe draws held-out scenes with and without their layout and looks for the asked colours in the boxes
(`evaluate.colour`); its IoU is not the detector's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scenewright.errors import InputError, StorageError
from scenewright.scene.files import atomic_write

CONTROL: Final = 3.0
"""Control is there while the probe's IoU with the layout is above so many times the one without."""

KEPT: Final = (
    "layout_iou", "layout_found", "text_iou", "text_found", "loss_right_layout", "loss_no_layout",
    "loss_wrong_layout", "gate_mean",
)  # fmt: skip
"""Values of a validation that the curve keeps."""


@dataclass(frozen=True)
class Point:
    """One validation: stage (from 0), step within it, step counted over all stages, and its values."""

    stage: int
    step: int
    total: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """All validations in order; `ends` are the last counted steps of the stages."""

    points: tuple[Point, ...]
    ends: tuple[int, ...]

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Counted steps and values of one name, where there are any."""
        there = [one for one in self.points if name in one.values]
        return [one.total for one in there], [one.values[name] for one in there]

    @property
    def control(self) -> Point | None:
        """The first validation from which on, to the end, the IoU with the layout stays above `CONTROL`
        times the IoU without it; None if the last is not above."""
        first = None
        for one in reversed([one for one in self.points if {"layout_iou", "text_iou"} <= set(one.values)]):
            if not one.values["layout_iou"] > CONTROL * one.values["text_iou"]:
                break
            first = one
        return first

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        control = self.control
        return {
            "rule": f"first validation from which layout_iou stays above {CONTROL:g} x text_iou",
            "control": _place(control) if control else None,
            "steps": self.ends[-1],
            "stage_ends": list(self.ends),
            "points": [{**_place(one), **one.values} for one in self.points],
        }

    def write(self, path: Path) -> Path:
        """The validations as a curve file: one line each, to be read again with `read_curve`."""
        lines = [
            json.dumps({"step": one.step, "validation": dict(one.values)}, sort_keys=True) + "\n"
            for one in self.points
        ]
        return atomic_write(path, "".join(lines).encode("ascii"))


def _place(one: Point) -> dict[str, int]:
    return {"stage": one.stage + 1, "step": one.step, "total": one.total}


def read_curve(logs: Sequence[Path]) -> Curve:
    """The curve of one or more logs or curve files, in this order.

    Raises StorageError (missing), InputError (no log, or without a validation of layouts).
    """
    points: list[Point] = []
    stage, before, ends = 0, 0, list[int]()
    for path in logs:
        last = 0
        for step, values in _validations(path):
            if step <= last:
                ends.append(before + last)
                stage, before, last = stage + 1, before + last, 0
            points.append(Point(stage, step, before + step, values))
            last = step
        ends.append(before + last)
        stage, before = stage + 1, before + last
    return Curve(tuple(points), tuple(ends))


def _validations(path: Path) -> list[tuple[int, dict[str, float]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise StorageError(f"cannot read the log {path}: {fault}", "a training leaves log.jsonl") from fault
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError as fault:
            if number == len(lines):
                break  # the training is still writing it, or was killed
            raise InputError(f"{path}, line {number} is no JSON", "--log takes log.jsonl files") from fault
        values = entry.get("validation") if isinstance(entry, dict) else None
        if isinstance(values, dict) and isinstance(entry.get("step"), int):
            found.append((entry["step"], _numbers(values)))
    if not any("layout_iou" in values for _, values in found):
        raise InputError(
            f"{path} has no validation of layouts (layout_iou)",
            "logs of the recipes nano-base and nano-gligen have; logs of autoencoders and texts have none",
        )
    return found


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(values[name])
        for name in KEPT
        if isinstance(values.get(name), int | float) and math.isfinite(values[name])
    }
