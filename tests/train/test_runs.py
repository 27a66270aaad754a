"""The scripts in runs/: the measurement of colours in boxes end to end, and the chain of trainings."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_family import model_folder

from scenewright.backbone.load import load_folder
from scenewright.condition.gligen import Gligen, GligenConfig
from scenewright.errors import InputError
from scenewright.models.adapter import save_adapter
from scenewright.scene import read_image

RUNS = Path(__file__).resolve().parents[2] / "runs"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("colours_in_boxes", RUNS / "colours_in_boxes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = model_folder(tmp_path_factory.mktemp("model") / "tiny")
    backbone = load_folder(folder)
    adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=10))
    save_adapter(folder / "g.safetensors", adapter, adapter.config, "gligen", backbone.fingerprint)
    return f"{folder}+{folder / 'g.safetensors'}"


def test_ratio_and_its_interval(script):
    rng = np.random.default_rng(0)
    with_N, without_N = rng.binomial(2, 0.8, 400), rng.binomial(2, 0.2, 400)
    value, (low, high) = script.ratio(with_N, without_N)
    assert value == with_N.sum() / without_N.sum() and 3.3 < low < value < high < 4.8
    assert script.ratio(with_N, without_N) == (value, (low, high))
    assert script.ratio(np.array([1, 1]), np.array([0, 0])) == (None, (None, None))


@pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
def test_measurement_continues_and_refuses_a_mixture(script, model, tmp_path, monkeypatch, capsys):
    def measure(*more):
        words = ["--model", model, "--scenes", "5", "--steps", "1", "--batch", "2", "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["colours", *words, "--out", str(tmp_path / "out"), *more])
        script.main()
        return json.loads((tmp_path / "out/result.json").read_text())

    first = measure()
    assert "drawn scenes (ceiling)" in capsys.readouterr().out
    assert first["render"]["share"] >= 0.9 and first["render"]["boxes"] == first["text"]["boxes"]
    assert first["boxes"] == first["text"]  # an untrained adapter changes nothing
    low, high = first["text"]["interval"]
    assert low <= first["text"]["share"] <= high
    assert sum(group["text"]["boxes"] for group in first["by_instances"].values()) == first["text"]["boxes"]
    assert read_image(tmp_path / "out/sheet.png").ndim == 3
    batches = sorted((tmp_path / "out/batches").iterdir())
    assert len(batches) == 3
    kept = batches[0].stat().st_mtime_ns
    batches[1].unlink()
    assert measure() == first and batches[0].stat().st_mtime_ns == kept and batches[1].exists()
    with pytest.raises(InputError, match="other settings"):
        measure("--steps", "2")
    with pytest.raises(InputError, match="at least 1"):
        measure("--scenes", "0")


def test_the_chain_names_its_stages():
    done = subprocess.run([RUNS / "nano.sh", "vea"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown stage vea" in done.stderr and "vae text base gligen measure" in done.stderr
