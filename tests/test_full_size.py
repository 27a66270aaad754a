"""A network of Stable Diffusion 1.5's full size, random, through the same flow as every other model."""

from __future__ import annotations

import importlib.resources
import json
import resource
import sys
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scenewright.backbone.model import Backbone
from scenewright.backbone.parts import build_scheduler, build_text_encoder, build_unet, build_vae, quiet
from scenewright.condition.gligen import Gligen, GligenConfig
from scenewright.flows.generate import generate
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.scene import Box, Instance, Scene
from scenewright.testing import tiny_tokenizer

MOST_GIB = 24


def shipped(part: str) -> dict[str, Any]:
    """The configuration of a part of Stable Diffusion 1.x as the package ships it."""
    folder = importlib.resources.files("scenewright.backbone") / "configs" / "sd1" / part
    file = next(one for one in folder.iterdir() if one.name.endswith("config.json"))
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def filled(module: nn.Module, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Memory and values for a module built without any: one pool of random numbers, scaled per tensor."""
    with quiet():
        module = module.to(dtype).to_empty(device="cpu")
    pool = torch.randn(1 << 20, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim < 2:
                value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
                continue
            flat, scale = value.view(-1), value[0].numel() ** -0.5
            for start in range(0, flat.numel(), len(pool)):
                part = flat[start : start + len(pool)]
                torch.mul(pool[: len(part)], scale, out=part)
        for buffer_name, buffer in module.named_buffers():
            assert buffer_name.endswith("position_ids")
            buffer.copy_(torch.arange(buffer.shape[-1]).expand(buffer.shape))
    return module.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def full_size() -> Bundle:
    """Full-size UNet, text encoder, VAE and adapter, in bfloat16."""
    empty_unet = build_unet(shipped("unet"))
    adapter = filled(Gligen.for_unet(empty_unet, GligenConfig()))
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.5)
        fuser.alpha_dense.fill_(0.5)
    backbone = Backbone(
        "sd15-random",
        tiny_tokenizer(),
        text_encoder=filled(build_text_encoder(shipped("text_encoder"))),
        unet=filled(empty_unet),
        vae=filled(build_vae(shipped("vae"))),
        scheduler=build_scheduler(shipped("scheduler")),
        stored_fingerprint="0" * 16,
    )
    return Bundle(backbone, adapter, "sd15-random+gligen", "gligen")


def peak_gib() -> float:
    """The most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 30 if sys.platform == "darwin" else 1 << 20)


@pytest.mark.slow
@pytest.mark.sample
def test_a_full_size_network_with_its_adapter_goes_through_the_same_flow(full_size):
    networks = (full_size.backbone.unet, full_size.adapter)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts[0] == 859_520_964 and counts[1] > 200_000_000
    scene = Scene(
        prompt="a red car on the grass",
        size_wh=(256, 256),
        instances=(Instance(phrase="a red car", box=Box(0.1, 0.3, 0.6, 0.8)),),
    )
    options = GenerateOptions(steps=2, guidance=2.0)
    start = time.perf_counter()
    with_layout = next(generate(full_size, [scene], [7], options))
    took_s = time.perf_counter() - start
    print(f"\n{sum(counts):,} parameters, 2 steps in {took_s:.1f} s, peak memory {peak_gib():.1f} GiB")
    assert with_layout.image.shape == (256, 256, 3)
    assert np.ptp(with_layout.image) > 0
    assert full_size.backbone.dtype == torch.bfloat16
    assert not any("fuser" in key for key in full_size.backbone.unet.state_dict())
    assert peak_gib() < MOST_GIB
