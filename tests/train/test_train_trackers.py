"""Trackers: tensorboard, wandb (offline) and trackio really run; a missing one names the extra."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_tasks
from PIL import Image

from scenewright.errors import InputError
from scenewright.train import run, trackers


def recipe(*names, steps=6):
    base = tiny_tasks.conv()
    return replace(base, loop=replace(base.loop, steps=steps, trackers=names, validate_every=6))


@pytest.fixture
def pictures(monkeypatch):
    """Validation draws a picture."""
    validate = tiny_tasks.Conv.validate

    def drawing(self, step, out):
        Image.new("RGB", (8, 4), (255, 0, 0)).save(out / "red.png")
        return validate(self, step, out)

    monkeypatch.setattr(tiny_tasks.Conv, "validate", drawing)


def test_flat_numbers_of_a_line():
    line = {"step": 3, "loss": 1.5, "note": "x", "validation": {"iou": 0.5}}
    assert trackers.flatten(line) == {"loss": 1.5, "validation/iou": 0.5}
    assert trackers.flatten({}) == {}


def test_no_tracker_is_imported_unless_asked_for():
    code = (
        "import sys, scenewright.train.loop; names = {name.partition('.')[0] for name in sys.modules}; "
        "sys.exit(bool(names & {'tensorboard', 'wandb', 'trackio'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_missing_tracker_names_the_extra(tmp_path, monkeypatch, name):
    real = importlib.import_module

    def absent(module, *rest):
        if module in ("torch.utils.tensorboard", "wandb", "trackio"):
            raise ImportError(f"No module named {module!r}")
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=f"{name} is not installed") as caught:
        run(recipe(name), tmp_path)
    assert "scenewright[track]" in caught.value.hint


def test_tensorboard_gets_numbers_and_pictures(tmp_path, pictures):
    run(recipe("tensorboard"), tmp_path)
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"loss", "lr", "grad_norm", "samples_per_s", "validation/error"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [3, 6]
    assert events.Tags()["images"] == ["validation/red"]


@pytest.mark.slow
@pytest.mark.sample
def test_wandb_offline(tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    for steps in (6, 9):
        run(recipe("wandb", steps=steps), tmp_path, resume=True)
    key = (tmp_path / "tracking.txt").read_text()
    runs = list((tmp_path / "wandb").glob("offline-run-*"))
    assert runs and all(f"-{key}" in folder.name for folder in runs), "a resumed run keeps its key"
    assert list((tmp_path / "wandb").rglob("red_*.png"))
    texts = [path for path in tmp_path.glob("*") if path.is_file()]
    assert not any(b"0123456789" * 4 in path.read_bytes() for path in texts), "no secret in our files"
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_trackio_local(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_train_trackers import recipe\n"
        "from scenewright.train import run\n"
        f"run(recipe('trackio'), {str(tmp_path / 'out')!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    databases = list((tmp_path / "trackio").glob("scenewright*"))
    assert databases, "the numbers are in trackio's local database"
    assert capfd.readouterr().out == ""
