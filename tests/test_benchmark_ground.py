"""The benchmark of masks: both ways of getting features give the same, its result is complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scenewright.flows.ground import Grounder
from scenewright.flows.options import GenerateOptions, GroundOptions
from scenewright.models.load import load_bundle

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def test_pickles_and_records_hold_the_same(
    monkeypatch: pytest.MonkeyPatch, tiny_model: str, tiny_head: Path, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import ground

    bundle = load_bundle(tiny_model.partition("+")[0], "cpu")
    grounder = Grounder.load(bundle, GroundOptions(head=str(tiny_head)))
    options = GenerateOptions(steps=2, guidance=2.0)
    pickles = ground.store(bundle, grounder, options, tmp_path)
    pictures = list(ground.read_masked([tmp_path / "records"]))
    assert len(pickles) == len(pictures) == ground.PICTURES
    theirs, masks = ground.unpickled(pickles, bundle.backbone.device)
    ours, truth = ground.computed(pictures, grounder.reader, bundle.backbone.fingerprint)
    assert ground.difference(ours.features, theirs) < ground.ALIKE
    assert all(
        (a == b).all()
        for one, other in zip(masks, truth, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_every_figure(tiny_model: str, tmp_path: Path) -> None:
    out = tmp_path / "ground.json"
    command = [sys.executable, str(FOLDER / "ground.py"), "--model", tiny_model, "--out", str(out)]
    command += ["--steps", "2", "--repeats", "1", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "% time" in done.stdout and "delivery" in done.stdout and "limit" in done.stdout
    result = json.loads(out.read_text())
    assert {"ratio", "ratio_processor", "ratio_files"} <= set(result["masks"])
    assert result["delivery"]["ratio_bytes"] > 1 and result["delivery"]["samples"] == 8
