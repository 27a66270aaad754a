"""The benchmark of segmenters: what is asked for, guessed times, claims; its result is complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenewright.flows.reproduce.segdiffusion_plan import TOYS

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    import segment_grid

    return segment_grid


def test_long_settings_are_guessed(grid: Any) -> None:
    rows = [{"what": "1 x 1", "seconds": 3.0}, {"what": "1 x 4", "seconds": 6.0}]
    assert grid.guessed(rows[:1], 1, 4) is None
    assert grid.guessed(rows, 1, 1) == 3.0 and grid.guessed(rows, 1, 4) == 6.0
    assert grid.guessed(rows, 10, 50) == 520.0
    rows += [{"what": "one pass", "seconds": 0.1}]
    same = [{**row, "dtype": "float32", "size": 128} for row in rows]
    assert grid.ratios(same) == {"1 x 1": 30.0, "1 x 4": 60.0}


def test_every_picture_is_asked_for_what_it_shows(grid: Any) -> None:
    for one, every in zip(grid.cases(3, 20), grid.cases(3, 0), strict=True):
        ids = [each.id for each in one.asked]
        assert len(ids) == len(set(ids)) == 20 == len(one.names) and len(every.asked.names) == 50
        assert {TOYS.ids[k] for k in np.unique(one.truth)} <= set(ids)
    assert [each.id for each in grid.cases(1, 20)[0].asked] == [
        each.id for each in grid.cases(2, 20)[0].asked
    ]
    least = grid.cases(1, 1)[0]
    assert {TOYS.ids[k] for k in np.unique(least.truth)} == {each.id for each in least.asked}


def test_what_should_hold(grid: Any) -> None:
    scores = {"miou": 0.6, "seen": 0.7}
    rows = [
        {"what": "one pass", "seconds": 0.1, "miou": scores, "one_pass_miou": None, "pictures": 9},
        {
            "what": "10 x 10", "seconds": 6.0, "miou": {"miou": 0.5, "seen": 0.4}, "one_pass_miou": scores,
            "pictures": 4,
        },
    ]  # fmt: skip
    rows = [{**row, "dtype": "float32", "size": 128} for row in rows]
    assert [one.holds for one in grid.claims(rows)] == [True, True, False]
    assert "4 pictures" in grid.claims(rows)[1].figures
    unscored = [{**row, "miou": None, "one_pass_miou": None} for row in rows]
    assert [one.holds for one in grid.claims(unscored)] == [True] and grid.claims(rows[:1]) == []


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_every_figure(
    grid: Any, tiny_model: str, tiny_segmenter: Path, tmp_path: Path
) -> None:
    from scenewright.models.mask_denoiser import save_mask_denoiser

    base = tiny_model.partition("+")[0]
    fresh, trained = grid.denoiser_of(base, "", "cpu", "float32")
    assert not trained
    folder, out = save_mask_denoiser(fresh, tmp_path / "masks"), tmp_path / "segment.json"
    command = [
        sys.executable,
        str(FOLDER / "segment.py"),
        "--model",
        base,
        "--segmenter",
        str(tiny_segmenter),
    ]
    command += ["--denoiser", str(folder), "--quick", "--pictures", "2", "--asked", "8", "--device", "cpu"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert set(result["classes"]["seconds"]) == {"20", "50", "100"} and result["classes"]["times_seconds"] > 0
    assert [row["what"] for row in result["grid"]] == ["one pass", "1 x 1", "1 x 4"]
    assert all(row["miou"] and row["pictures"] == 2 for row in result["grid"])
    assert result["grid"][1]["one_pass_miou"] == result["grid"][0]["miou"]
    assert result["claims"][0]["claim"] == "cost grows less than classes do"
    assert out.with_suffix(".png").is_file() and "faster than" in done.stdout
