"""Two small real tasks for the tests of the loop.

`conv` denoises one-dimensional signals with a two-layer network that has dropout and a learnt gate; it starts
quickly, so that tests may run it in processes of their own.
`unet` denoises random smooth latents with a small diffusers UNet.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from scenewright.train import LoopConfig, Recipe
from scenewright.train.data import stream_rng
from scenewright.train.optimise import parameter_groups


@dataclass(frozen=True, kw_only=True)
class ConvConfig:
    """A one-dimensional denoiser."""

    width: int = 8  # channels
    length: int = 16  # samples of a signal
    dropout: float = 0.1
    slow_seconds: float = 0.0  # wait in each batch, so that a test can interrupt
    validates: str = "error"  # name of the metric
    bad_step: int | None = None  # forward pass whose loss is not a number

    def build(self, loop: LoopConfig) -> Conv:
        return Conv(self, loop)


class Conv:
    def __init__(self, config: ConvConfig, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        net = nn.Sequential(
            nn.Conv1d(1, config.width, 3, padding=1),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Conv1d(config.width, 1, 3, padding=1),
        )
        gate = nn.ParameterDict({"value": nn.Parameter(torch.zeros(()))})
        self.modules = {"net": net, "gate": gate}
        self.seen: list[str] = []

    def prepare(self, device, dtype):
        self.device, self.dtype = device, dtype

    def batch(self, step, rank, size):
        time.sleep(self.config.slow_seconds)
        rng = stream_rng(self.loop.seed, "data", rank, step)
        phase_B1 = rng.uniform(0, 2 * np.pi, (self.loop.batch_size, 1))
        signal_BL = np.sin(phase_B1 + np.arange(self.config.length) / 2)
        return {"signal": torch.from_numpy(signal_BL.astype(np.float32))[:, None], "step": step}

    def loss(self, batch, generator):
        clean = batch["signal"]
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        out = self.modules["net"](clean + noise)
        loss = ((1 + self.modules["gate"]["value"]) * out - clean).square().mean()
        self.seen.append(str(out.dtype))
        if batch["step"] == self.config.bad_step:
            loss = loss * float("nan")
        return loss, {"gate": self.modules["gate"]["value"]}

    def groups(self):
        first, second = parameter_groups({"net": self.modules["net"]})
        gate = {"params": self.modules["gate"].parameters(), "lr_scale": 10.0, "weight_decay": 0.0}
        return [first, second, gate]

    def validate(self, step, out):
        torch.rand(7), np.random.rand(5)  # a careless validation draws from the global states
        batch = self.batch(10**6, 0, 1)
        noise = torch.randn(batch["signal"].shape)
        error = (self.modules["net"](batch["signal"] + noise) - batch["signal"]).square().mean()
        (out / "modes.json").write_text(json.dumps([m.training for m in self.modules.values()]))
        return {self.config.validates: float(error), "gate": float(self.modules["gate"]["value"])}

    def export(self, folder: Path):
        tensors = self.modules["net"].state_dict()
        save_file(
            {key: value.half().contiguous() for key, value in tensors.items()}, folder / "net.safetensors"
        )


def conv() -> Recipe:
    """A one-dimensional denoiser, for tests."""
    loop = LoopConfig(
        steps=20, batch_size=4, lr=1e-2, warmup_steps=3, log_every=3, save_every=5, validate_every=7
    )
    return Recipe(name="conv", task=ConvConfig(), loop=loop)


@dataclass(frozen=True, kw_only=True)
class UnetConfig:
    """A small diffusers UNet that predicts the noise of smooth latents."""

    cells: int = 8
    channels: int = 2

    def build(self, loop: LoopConfig) -> Unet:
        return Unet(self, loop)


class Unet(Conv):
    def __init__(self, config: UnetConfig, loop: LoopConfig) -> None:
        self.config, self.loop, self.modules = config, loop, {}

    def prepare(self, device, dtype):
        from diffusers import DDIMScheduler, UNet2DModel

        self.schedule = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
        self.modules["unet"] = UNet2DModel(
            sample_size=self.config.cells,
            in_channels=self.config.channels,
            out_channels=self.config.channels,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
        )

    def batch(self, step, rank, size):
        rng = stream_rng(self.loop.seed, "data", rank, step)
        coarse = rng.standard_normal((self.loop.batch_size, self.config.channels, 2, 2)).astype(np.float32)
        return torch.nn.functional.interpolate(
            torch.from_numpy(coarse), size=self.config.cells, mode="bilinear"
        )

    def loss(self, batch, generator):
        noise = torch.randn(batch.shape, generator=generator, device=batch.device)
        t_B = torch.randint(0, 1000, (len(batch),), generator=generator, device=batch.device)
        noisy = self.schedule.add_noise(batch, noise, t_B)
        return (self.modules["unet"](noisy, t_B).sample - noise).square().mean(), {}

    def groups(self):
        return parameter_groups(self.modules)

    def export(self, folder):
        self.modules["unet"].save_pretrained(folder)


def unet() -> Recipe:
    """A small latent denoiser, for the golden loss curve."""
    loop = LoopConfig(steps=30, batch_size=8, lr=2e-3, warmup_steps=5, log_every=1, save_every=30)
    return Recipe(name="unet", task=UnetConfig(), loop=loop)


def stream_rng_of_nothing() -> int:
    """A function that makes no recipe."""
    return 0
