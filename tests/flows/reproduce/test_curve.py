"""Control over training, read from logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenewright.errors import InputError, StorageError
from scenewright.flows.reproduce.curve import read_curve


def _log(path: Path, *pairs: tuple[int, float, float], tail: str = "") -> Path:
    """A log: a line of the loss, then a validation, for each (step, layout_iou, text_iou)."""
    lines = []
    for step, layout, text in pairs:
        lines.append(json.dumps({"step": step, "loss": 0.5}))
        values = {"layout_iou": layout, "text_iou": text, "gate_mean": 0.1, "other": 3.0}
        lines.append(json.dumps({"step": step, "validation": values}))
    path.write_text("\n".join(lines) + "\n" + tail)
    return path


def test_control_is_where_it_comes_to_stay(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.jsonl", (10, 0.05, 0.05), (20, 0.2, 0.05), (30, 0.1, 0.05), (40, 0.16, 0.05),
               (50, 0.3, 0.05))  # fmt: skip
    curve = read_curve([log])
    assert curve.control is not None and curve.control.step == 40 == curve.control.total
    assert curve.series("layout_iou") == ([10, 20, 30, 40, 50], [0.05, 0.2, 0.1, 0.16, 0.3])
    assert curve.to_json()["control"] == {"stage": 1, "step": 40, "total": 40}
    assert "other" not in curve.points[0].values


def test_no_control(tmp_path: Path) -> None:
    """Three times exactly is not above, and what was there and went is not there."""
    lost = _log(tmp_path / "a.jsonl", (10, 0.4, 0.1), (20, 0.3, 0.1))
    assert read_curve([lost]).control is None
    assert read_curve([lost]).to_json()["control"] is None
    nothing = _log(tmp_path / "b.jsonl", (10, 0.0, 0.0))
    assert read_curve([nothing]).control is None


def test_stages_are_joined(tmp_path: Path) -> None:
    first = _log(tmp_path / "a.jsonl", (10, 0.1, 0.1), (20, 0.1, 0.1))
    second = _log(tmp_path / "b.jsonl", (5, 0.1, 0.1), (15, 0.5, 0.1))
    curve = read_curve([first, second])
    assert [(one.stage, one.step, one.total) for one in curve.points] == [
        (0, 10, 10), (0, 20, 20), (1, 5, 25), (1, 15, 35)
    ]  # fmt: skip
    assert curve.ends == (20, 35) and curve.control is not None and curve.control.total == 35
    both = tmp_path / "both.jsonl"
    both.write_text(first.read_text() + second.read_text())
    assert read_curve([both]) == curve


def test_a_curve_file_is_read_as_the_log_was(tmp_path: Path) -> None:
    curve = read_curve(
        [_log(tmp_path / "a.jsonl", (10, 0.1, 0.1)), _log(tmp_path / "b.jsonl", (5, 0.4, 0.1))]
    )
    short = curve.write(tmp_path / "curve.jsonl")
    assert read_curve([short]) == curve
    assert len(short.read_text().splitlines()) == 2


def test_a_log_that_is_still_written_is_read(tmp_path: Path) -> None:
    log = _log(tmp_path / "a.jsonl", (10, 0.1, 0.1), tail='{"step": 12, "lo')
    assert len(read_curve([log]).points) == 1


def test_what_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read the log"):
        read_curve([tmp_path / "none.jsonl"])
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 1 is no JSON"):
        read_curve([broken])
    other = tmp_path / "vae.jsonl"
    other.write_text(json.dumps({"step": 5, "validation": {"psnr": 20.0}}) + "\n")
    with pytest.raises(InputError, match="no validation of layouts") as fault:
        read_curve([other])
    assert "nano-gligen" in fault.value.hint
