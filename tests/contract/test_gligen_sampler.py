"""GLIGEN's PLMS and DDIM runs, with guidance, null layout and gate schedule, through the one loop."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes import gligen_shapes, gligen_weights, sets
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning, Denoise
from scenewright.backbone.guidance import gate_schedule, gated, guided
from scenewright.backbone.loop import StepInfo, sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.paste import paste
from scenewright.condition.gligen import Gligen, GligenInputs
from scenewright.convert.gligen import Numbers, config_of, from_original
from scenewright.convert.ldm import to_diffusers, unet_config
from scenewright.convert.split import split


def scheduler_of(name: str, alphas_cumprod: torch.Tensor):
    from diffusers import DDIMScheduler, PNDMScheduler

    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    if name == "plms":
        made = PNDMScheduler(**betas, skip_prk_steps=True, set_alpha_to_one=False)
    else:
        made = DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False)
    assert torch.allclose(made.alphas_cumprod, alphas_cumprod, atol=1e-6)
    return made


def everything(folder: Path) -> dict[str, Tensor]:
    return {
        key: torch.from_numpy(value)
        for file in ("unet", "sampler")
        for key, value in np.load(folder / f"{file}.npz").items()
        if value.dtype.kind in "fiu"
    }


def folders(golden_dir: Path) -> list[Path]:
    found = sets(golden_dir, "gligen")
    if not found:
        pytest.skip(f"no recordings under {golden_dir / 'gligen'}")
    return found


def numbers_of(config: dict[str, Any]) -> Numbers:
    heads, slots, size = config["unet"]["num_heads"], config["unet_N"], config["latent_hw"][0]
    return Numbers(heads=(heads,), slots=slots, sample_size=size)


@torch.no_grad()
def layouts(adapter: Gligen, stored: dict[str, Tensor]) -> tuple[Conditioning, Conditioning]:
    """What the two halves of guidance are conditioned on: text and layout, negative text and null layout."""
    inputs = GligenInputs(stored["in.boxes"], stored["in.masks"], stored["in.text_embeddings"])
    layout = adapter.grounding(inputs)
    negative = Conditioning(stored["in.uncond_context"], adapter.null_grounding(layout))
    return Conditioning(stored["in.context"], layout), negative


@pytest.mark.parametrize("name", ["plms", "ddim"])
def test_trajectory(golden_dir: Path, name: str):
    for folder in folders(golden_dir):
        config = json.loads((folder / "config.json").read_text())
        setting, stored = config["sampler"], everything(folder)
        weights = gligen_weights(gligen_shapes(folder, "unet_text"), config["seed"])
        one = from_original(weights, numbers_of(config))
        positive, negative = layouts(one.adapter, stored)
        schedule = gate_schedule(setting["steps"], tuple(setting["alpha_type"]))
        denoise = gated(guided(network(one.unet), setting["guidance"], negative), schedule)
        noise = Noise(scheduler_of(name, stored["alphas_cumprod"]), setting["steps"])
        seen: list[StepInfo] = []
        with one.adapter.attach(one.unet):
            z_BChw = sample(denoise, noise, stored["in.xT"], positive, on_step=seen.append)
        assert (z_BChw - stored[f"{name}.out"]).abs().max().item() <= 1e-3
        starts = {info.step: int(info.t) for info in reversed(seen)}
        assert [starts[step] for step in range(setting["steps"])] == stored[f"{name}.timesteps"].tolist()


def test_plms_that_keeps_a_known_region(golden_dir: Path):
    """The nine-channel network reads the known latent and the mask too; the region is pasted as an edit."""
    for folder in folders(golden_dir):
        config = json.loads((folder / "config.json").read_text())
        setting, stored = config["sampler"], everything(folder)
        weights = gligen_weights(gligen_shapes(folder, "unet_text_inpaint"), config["seed"])
        names = to_diffusers(weights)
        numbers = numbers_of(config)
        one = split(
            {names[key]: value for key, value in weights.items()},
            unet_config(weights, heads=numbers.heads, sample_size=numbers.sample_size),
            partial(Gligen.for_unet, config=config_of(weights, numbers.slots)),
            "recording",
        )
        assert one.unet.config.in_channels == 9
        keep, known = stored["in.inpaint_mask"], stored["in.x0_inpaint"]
        more = torch.cat([known * keep, keep], dim=1)
        inner = network(one.unet)

        def nine(z: Tensor, call: Call, inner: Denoise = inner, more: Tensor = more) -> Tensor:
            return inner(torch.cat([z, more[list(call.sample_R)]], dim=1), call)[:, :4]

        positive, negative = layouts(one.adapter, stored)
        noise = Noise(scheduler_of("plms", stored["alphas_cumprod"]), setting["inpaint_steps"])
        edit = paste(noise, known, keep, stored["in.inpaint_noises"].__getitem__, finish=False)
        with one.adapter.attach(one.unet):
            denoise = guided(nine, setting["guidance"], negative)
            z_BChw = sample(denoise, noise, stored["in.xT"], positive, edits=[edit])
        assert (z_BChw - stored["plms_inpaint.out"]).abs().max().item() <= 1e-3
