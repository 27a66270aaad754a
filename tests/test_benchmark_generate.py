"""The benchmark of generation: its reference is diffusers' pipeline, its result complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scenewright.backbone.latents import initial
from scenewright.condition.gligen import Gligen, GligenConfig
from scenewright.flows.generate import latents
from scenewright.flows.options import GenerateOptions
from scenewright.testing import tiny_backbone

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import one_by_one

    return one_by_one


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["nano", "sd1"])
def test_our_batch_equals_the_pipeline_and_so_do_its_steps_written_out(reference, layout):
    from generate import layouts

    backbone = tiny_backbone(2, layout)
    adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=30)).requires_grad_(False)
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.6)
    scenes, seeds = layouts(3, (64, 64), most=2), range(3)
    options = GenerateOptions(steps=3)
    pipeline = reference.build_pipeline(backbone, adapter)
    assert reference.fits_pipeline(backbone, adapter)
    theirs = reference.one_by_one(pipeline, scenes, seeds, options, 30)
    shape = (backbone.channels, 64 // backbone.stride, 64 // backbone.stride)
    written_out = [
        reference.steps(pipeline, scene, initial([seed], shape), options, 30)
        for scene, seed in zip(scenes, seeds, strict=True)
    ]
    torch.testing.assert_close(torch.cat(written_out), theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(latents(backbone, adapter, scenes, seeds, options), theirs, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_every_figure(tiny_model, tmp_path):
    out = tmp_path / "generate.json"
    command = [sys.executable, str(FOLDER / "generate.py"), "--model", tiny_model, "--out", str(out)]
    command += ["--steps", "2", "--repeats", "1", "--batch", "2", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pictures/s" in done.stdout and "limit" in done.stdout and "torch" in done.stdout
    result = json.loads(out.read_text())
    assert result["pipeline"]["largest_difference"] <= 1e-4
    assert {"float32", "bfloat16"} <= set(result["pipeline"]) and set(result["batches"]) == {"1", "4", "16"}
    assert result["training"]["ratio_optimiser_bytes"] < 1
