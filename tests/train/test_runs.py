"""The scripts in runs/ end to end on a tiny model: the gate, looks of streets, the stages of the chain."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_family import model_folder

from scenewright.models.judges.store import WEIGHTS
from scenewright.scene import Scene, read_image

RUNS = Path(__file__).resolve().parents[2] / "runs"


def script(name):
    spec = importlib.util.spec_from_file_location(name, RUNS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("model") / "tiny")


def called(module, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["script", *map(str, words)])
    return module.main()


@pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
def test_streets_have_the_look_of_their_caption(model, tmp_path, monkeypatch, capsys):
    looks = script("town_looks")
    code = called(looks, monkeypatch, "--model", model, "--streets", 7, "--steps", 1, "--out", tmp_path)
    found = json.loads((tmp_path / "result.json").read_text())
    assert code == 1 and found["drawn"]["right"] == 1.0 and found["from text"]["right"] < 0.8
    assert set(found["drawn"]["by_look"]) <= {"game", "clear", "fog", "rain", "snow", "night"}
    assert "drawn      100.0%" in capsys.readouterr().out
    assert read_image(tmp_path / "sheet.png").ndim == 3


def test_only_captions_that_name_their_look_are_asked():
    looks = script("town_looks")
    for one in looks.asked(30):
        words = [word for pair in looks.WEATHER[looks.look_of(one)] for word in pair if word]
        assert any(word in one.scene.prompt for word in words)


@pytest.mark.skipif(not (WEIGHTS / "detector.safetensors").is_file(), reason="no detector in the package")
def test_an_untrained_autoencoder_does_not_pass_the_gate(model, tmp_path, monkeypatch, capsys):
    gate = script("vae_gate")
    code = called(gate, monkeypatch, model, "--pictures", 6, "--out", tmp_path)
    shares = json.loads((tmp_path / "gate.json").read_text())
    assert code == 1 and set(shares) == {"class", "colour", "texture"} and min(shares.values()) < 0.97
    assert "needs 97%" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "renders").glob("*.scene.json")}
    assert names == {path.name for path in (tmp_path / "rebuilt").glob("*.scene.json")} and len(names) == 6
    for name in names:
        assert Scene.read(tmp_path / "renders" / name) == Scene.read(tmp_path / "rebuilt" / name)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("nano", "judges vae text base words settle gligen measure"),
        ("dginstyle", "town source control segmenter measure"),
    ],
)
def test_the_chains_name_their_stages(name, stages):
    done = subprocess.run([RUNS / f"{name}.sh", "vea"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown stage vea" in done.stderr and stages in done.stderr
