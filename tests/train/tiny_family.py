"""Small real inputs for tests of the tasks: a model folder, drawn pictures of 64 px, a folder of Records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from scenewright.backbone.load import save_folder
from scenewright.testing import tiny_backbone
from scenewright.train import LoopConfig
from scenewright.train.denoiser import DenoiserConfig
from scenewright.train.probe import ProbeConfig
from scenewright.train.renders import Source
from scenewright.world import toybox

CPU = torch.device("cpu")
SMALL = Source(name="toybox", count=24, size_wh=(64, 64))


def model_folder(folder: Path, layout: str = "nano", prediction: str = "epsilon") -> Path:
    """A model folder of tiny random networks."""
    backbone = tiny_backbone(0, layout)
    scheduler = backbone.scheduler.from_config({**backbone.scheduler.config, "prediction_type": prediction})
    return save_folder(replace(backbone, scheduler=scheduler), folder)


def records(folder: Path, count: int = 6, size_px: int = 96) -> Path:
    """A folder of Records of the toybox."""
    for seed in range(count):
        toybox.draw(seed, size_px=size_px).record().save(folder, f"r{seed}")
    return folder


def loop(**changes) -> LoopConfig:
    return LoopConfig(**{"steps": 4, "batch_size": 4, "lr": 1e-3, "cpu": True, "save_every": 1000, **changes})


def denoiser(folder: Path, cache: Path, *, batch_size: int = 4, seed: int = 0, **changes):
    """A prepared task on the model in `folder`."""
    config = denoiser_config(folder, cache, **changes)
    task = config.build(loop(batch_size=batch_size, seed=seed))
    task.prepare(CPU, torch.float32)
    return task


def denoiser_config(folder: Path, cache: Path, **changes) -> DenoiserConfig:
    wanted = {"sources": (SMALL,), "slots": 6, "probe": ProbeConfig(scenes=0), **changes}
    return DenoiserConfig(backbone=str(folder), cache=cache, **wanted)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
