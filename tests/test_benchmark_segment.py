"""The benchmark of segmenters: guessed times, its result is complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def test_long_settings_are_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import segment

    rows = [{"what": "1 x 1", "seconds": 3.0}, {"what": "1 x 4", "seconds": 6.0}]
    assert segment.guessed(rows[:1], 1, 4) is None
    assert segment.guessed(rows, 1, 1) == 3.0 and segment.guessed(rows, 1, 4) == 6.0
    assert segment.guessed(rows, 10, 50) == 520.0
    rows += [{"what": "one pass", "seconds": 0.1}]
    same = [{**row, "dtype": "float32", "size": 128} for row in rows]
    assert segment.ratios(same) == {"1 x 1": 30.0, "1 x 4": 60.0}


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_every_figure(
    tiny_model: str, tiny_segmenter: Path, tmp_path: Path
) -> None:
    out = tmp_path / "segment.json"
    command = [sys.executable, str(FOLDER / "segment.py"), "--model", tiny_model.partition("+")[0]]
    command += ["--segmenter", str(tiny_segmenter), "--quick", "--pictures", "1", "--device", "cpu"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert set(result["classes"]["seconds"]) == {"20", "50", "100"} and result["classes"]["times_seconds"] > 0
    assert [row["what"] for row in result["grid"]] == ["one pass", "1 x 1", "1 x 4"]
    assert result["grid"][0]["miou"] and result["grid"][1]["miou"] is None
    assert out.with_suffix(".png").is_file() and "faster than" in done.stdout
