"""The recipes: the embedded family from nothing to pictures, and GLIGEN on a model of SD 1.5's layout."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_family import SMALL, model_folder, records

from scenewright.backbone.load import load_folder
from scenewright.errors import InputError
from scenewright.flows.generate import GenerateOptions, pictures
from scenewright.models.adapter import load_adapter, read_header
from scenewright.models.load import load_bundle
from scenewright.train import override, run
from scenewright.train.fresh import UnetSizes
from scenewright.train.probe import ProbeConfig, probe_scenes
from scenewright.train.recipes import descriptions, find
from scenewright.train.renders import Source

STAGES = ("nano-vae", "nano-text", "nano-base", "nano-gligen")
CUT = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")  # few words are known


def settings(recipe, *changes):
    return override(recipe, ["loop.cpu=true", "loop.precision=no", "loop.workers=0", *changes])


def validations(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["validation"] for line in lines if "validation" in line]


def test_every_recipe_can_be_found_and_says_what_it_is():
    found = descriptions()
    assert {*STAGES, "sd15-gligen"} <= set(found) and all(found.values())
    for name in found:
        assert find(name).name == name


def test_published_settings():
    recipe = find("sd15-gligen")
    loop, task = recipe.loop, recipe.task
    assert (loop.lr, loop.batch_size, loop.steps, loop.schedule) == (5e-5, 8, 100_000, "constant")
    assert (loop.weight_decay, loop.ema_decay, loop.save_every, loop.keep) == (0.0, None, 1000, 10)
    assert loop.warmup_steps > 0 and loop.precision in ("bf16", "fp16")
    assert (task.caption_drop, task.layout_drop, task.slots, task.size) == (0.5, 0.1, 30, 512)
    assert task.train == ("adapter",) and task.gate_lr_scale == 1.0
    with pytest.raises(InputError, match="no pictures") as caught:
        task.build(loop)
    assert "task.data" in caught.value.hint


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "sd1", "sd1")


@CUT
@pytest.mark.parametrize("cached", ["true", "false"])
def test_gligen_on_the_layout_of_stable_diffusion(sd1, tmp_path, cached):
    changes = [
        f"task.backbone={sd1}",
        f"task.data={records(tmp_path / 'records', 4, 64)}",
        "task.size=64",
        "task.flip=true",
        f"task.cache_latents={cached}",
        f"task.cache={tmp_path / 'cache'}",
        "task.probe.scenes=2",
        "task.probe.steps=1",
        "task.probe.size=64",
        "loop.steps=2",
        "loop.batch_size=2",
        "loop.lr=1e-2",
        "loop.gradient_checkpointing=true",
        "loop.validate_every=2",
        "loop.log_every=1",
    ]
    summary = run(settings(find("sd15-gligen"), *changes), tmp_path / "run")
    assert summary["finished"] and np.isfinite(summary["loss"])
    assert len(validations(tmp_path / "run")) == 2  # before the first step and at the end
    base = load_folder(sd1)
    adapter = load_adapter(tmp_path / "run/export/gligen.safetensors", base)
    assert read_header(tmp_path / "run/export/gligen.safetensors").backbone == base.fingerprint
    assert adapter.config.slots == 30 and len(adapter.fusers) == 16
    latents = list((tmp_path / "cache").glob("latents*.npy"))
    assert len(latents) == (2 if cached == "true" else 0)  # as they are, and mirrored


def test_a_key_that_does_not_exist_names_the_nearest():
    with pytest.raises(InputError) as caught:
        override(find("sd15-gligen"), ["task.caption_dorp=0.1"])
    assert "task.caption_drop" in caught.value.hint


def small(name, folder):
    """A stage of the embedded family at the smallest size, with the settings of its recipe otherwise."""
    recipe = find(name)
    town = Source(name="town", count=6, size_wh=(64, 32), share=0.2)
    task = replace(recipe.task, sources=(SMALL, town), cache=folder / "cache")
    if name == "nano-vae":
        task = replace(task, channels=(8, 16, 16), crop_px=32, probe=2)
    elif name == "nano-text":
        task = replace(task, width=32, layers=1, heads=2, vocabulary=700, probe=8)
    else:
        task = replace(task, slots=6, probe=ProbeConfig(scenes=2, steps=2, size=64, shown=1))
    if name == "nano-base":
        vae, text = (folder / stage / "export" for stage in STAGES[:2])
        unet = UnetSizes(channels=(16, 16, 32), heads=4, groups=8)
        task = replace(task, vae=vae, text=text, unet=unet)
    if name == "nano-gligen":
        task = replace(task, backbone=str(folder / "nano-base" / "export" / "model"))
    steps = ["loop.steps=4", "loop.batch_size=4", "loop.validate_every=4", "loop.log_every=2"]
    return settings(replace(recipe, task=task), *steps, "loop.warmup_steps=1")


@CUT
@pytest.mark.slow
@pytest.mark.sample
@pytest.mark.sample
def test_the_embedded_family_from_nothing_to_pictures(tmp_path):
    from diffusers import StableDiffusionPipeline

    for name in STAGES:
        summary = run(small(name, tmp_path), tmp_path / name)
        assert summary["finished"] and np.isfinite(summary["loss"]), name
        assert len(validations(tmp_path / name)) == 1
    model = tmp_path / "nano-base" / "export" / "model"
    adapter = tmp_path / "nano-gligen" / "export" / "gligen.safetensors"
    bundle = load_bundle(f"{model}+{adapter}", device="cpu", dtype="float32")
    assert bundle.backbone.prediction == "v" and bundle.backbone.stride == 4
    assert float(bundle.backbone.scheduler.alphas_cumprod[-1]) < 1e-4  # it ends in noise
    scenes = probe_scenes(2, 64)
    options = GenerateOptions(steps=3)
    images = pictures(bundle.backbone, bundle.adapter, scenes, [1, 2], options)
    assert [image.shape for image in images] == [(64, 64, 3)] * 2
    again = pictures(bundle.backbone, bundle.adapter, scenes[:1], [1], options)
    assert np.abs(images[0].astype(int) - again[0]).max() <= 1
    StableDiffusionPipeline.from_pretrained(model)
    before = (tmp_path / "nano-base" / "export" / "gligen.safetensors").read_bytes()
    assert before != adapter.read_bytes()
    summary = run(small("nano-base", tmp_path), tmp_path / "nano-base", resume=True)  # nothing left to do
    assert summary["step"] == 4
