"""GLIGEN's PLMS and DDIM runs, with guidance, null layout and gate schedule, through the one loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recipes import gligen_shapes, gligen_weights, sets

from scenewright.backbone.call import Conditioning
from scenewright.backbone.guidance import gate_schedule, gated, guided
from scenewright.backbone.loop import StepInfo, sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.condition.gligen import GligenInputs
from scenewright.convert.gligen import Numbers, from_original


def scheduler_of(name: str, alphas_cumprod: torch.Tensor):
    from diffusers import DDIMScheduler, PNDMScheduler

    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    if name == "plms":
        made = PNDMScheduler(**betas, skip_prk_steps=True, set_alpha_to_one=False)
    else:
        made = DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False)
    assert torch.allclose(made.alphas_cumprod, alphas_cumprod, atol=1e-6)
    return made


@pytest.mark.parametrize("name", ["plms", "ddim"])
def test_trajectory(golden_dir: Path, name: str):
    folders = sets(golden_dir, "gligen")
    if not folders:
        pytest.skip(f"no recordings under {golden_dir / 'gligen'}")
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        setting = config["sampler"]
        stored = {
            key: torch.from_numpy(value)
            for file in ("unet", "sampler")
            for key, value in np.load(folder / f"{file}.npz").items()
            if value.dtype.kind in "fiu"
        }
        numbers = Numbers(
            heads=(config["unet"]["num_heads"],), slots=config["unet_N"], sample_size=config["latent_hw"][0]
        )
        one = from_original(gligen_weights(gligen_shapes(folder, "unet_text"), config["seed"]), numbers)
        inputs = GligenInputs(stored["in.boxes"], stored["in.masks"], stored["in.text_embeddings"])
        with torch.no_grad():
            layout = one.adapter.grounding(inputs)
            null = one.adapter.null_grounding(layout)
        denoise = gated(
            guided(network(one.unet), setting["guidance"], Conditioning(stored["in.uncond_context"], null)),
            gate_schedule(setting["steps"], tuple(setting["alpha_type"])),
        )
        noise = Noise(scheduler_of(name, stored["alphas_cumprod"]), setting["steps"])
        seen: list[StepInfo] = []
        with one.adapter.attach(one.unet):
            z_BChw = sample(
                denoise,
                noise,
                stored["in.xT"],
                Conditioning(stored["in.context"], layout),
                on_step=seen.append,
            )
        assert (z_BChw - stored[f"{name}.out"]).abs().max().item() <= 1e-3
        starts = {info.step: int(info.t) for info in reversed(seen)}
        assert [starts[step] for step in range(setting["steps"])] == stored[f"{name}.timesteps"].tolist()
