"""The benchmark of instances: the published form gives the same latents, memory is counted, nothing is
missing in the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scenewright.condition.gligen import Gligen, GligenConfig
from scenewright.errors import InputError
from scenewright.flows.generate import latents
from scenewright.flows.options import GenerateOptions
from scenewright.models.adapter import save_adapter
from scenewright.models.load import load_bundle

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def instances(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import instances as benchmark

    return benchmark


def test_the_published_form_gives_the_same_latents(instances, tiny_model: str) -> None:
    bundle = load_bundle(tiny_model, "cpu")
    scene = instances.scenes(1, (64, 64))[0]
    scene = scene.replace(instances=scene.instances[:3])
    for mis in (0.5, 0.0):
        options = GenerateOptions(steps=4, guidance=3.0, gate=(0.75, 0.0, 0.25), mis=mis)
        ours = latents(bundle.backbone, bundle.adapter, [scene], [7], options)
        theirs = instances.as_published(bundle, scene, 7, options)
        assert float((ours - theirs).abs().max()) <= instances.TOLERANCE


def test_memory_is_that_of_the_moment_with_most(instances) -> None:
    def work() -> torch.Tensor:
        first = torch.ones(1024, 1024)
        second = first + 1
        del first
        return second.sum()

    assert 8 * 2**20 <= instances.peak_bytes(work, torch.device("cpu")) < 9 * 2**20


@pytest.fixture(scope="module")
def roomy_model(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model with an adapter that has room for every instance of the benchmark's scenes."""
    folder = tiny_model.partition("+")[0]
    backbone = load_bundle(folder, "cpu").backbone
    adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=8))
    file = tmp_path_factory.mktemp("adapters") / "roomy.safetensors"
    save_adapter(file, adapter, adapter.config, "gligen", backbone.fingerprint, backbone_name="tiny")
    return f"{folder}+gligen:{file}"


def test_a_model_with_too_few_slots_is_told(instances, tiny_model: str, roomy_model: str) -> None:
    with pytest.raises(InputError, match="room for 6 instances; pictures of 8 are timed"):
        instances.check_room(load_bundle(tiny_model, "cpu"))
    instances.check_room(load_bundle(roomy_model, "cpu"))


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_every_figure(roomy_model: str, tmp_path: Path) -> None:
    out = tmp_path / "instances.json"
    command = [sys.executable, str(FOLDER / "instances.py"), "--model", roomy_model, "--out", str(out)]
    command += ["--steps", "3", "--repeats", "1", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "published form" in done.stdout and "MB more" in done.stdout and "limit" in done.stdout
    result = json.loads(out.read_text())
    assert result["sampler"]["ratio_wall_s"] > 0
    assert 0 < result["attention"]["extra_bytes"] <= 64 * 2**20
