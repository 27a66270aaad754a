"""Scenes in, pictures out: the page to read first.

scene -> text and layout (`condition`) -> noise per seed -> the one loop with guidance and gates -> pictures.
Scenes of one size are sampled together, each with its own layout and seed.

Letters: B pictures, R rows, C latent channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.call import Conditioning
from scenewright.backbone.guidance import gate_schedule, gated, guided
from scenewright.backbone.latents import decode, initial
from scenewright.backbone.loop import StepInfo, sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.condition.gligen import Gligen, inputs_from_scenes

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.scene import Scene


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """How pictures are sampled."""

    steps: int = 20
    guidance: float = 4.0  # classifier-free guidance scale; 1 switches it off
    negative: str = ""  # negative prompt of scenes that have none of their own
    gate: tuple[float, float, float] = (1.0, 0.0, 0.0)  # shares of the steps with gate 1, decaying, 0
    overflow: Literal["error", "largest"] = "error"  # what to do with more instances than slots
    batch: int = 8  # pictures sampled together


def condition(
    backbone: Backbone, adapter: Gligen | None, scenes: Sequence[Scene], options: GenerateOptions
) -> tuple[Conditioning, Conditioning]:
    """Conditioning of the scenes and of their negative halves (negative text, null layout)."""
    prompts = [scene.prompt for scene in scenes]
    negatives = [scene.negative or options.negative for scene in scenes]
    text_BLD = embed(backbone, prompts).tokens_BLD
    none_BLD = embed(backbone, negatives).tokens_BLD
    if adapter is None:
        return Conditioning(text_BLD), Conditioning(none_BLD)
    inputs = inputs_from_scenes(scenes, backbone, adapter.config, options.overflow)
    grounding = adapter.grounding(inputs)
    return Conditioning(text_BLD, grounding), Conditioning(none_BLD, adapter.null_grounding(grounding))


def latents(
    backbone: Backbone,
    adapter: Gligen | None,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    *,
    attached: bool = False,
    on_step: Callable[[StepInfo], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Latents z_BChw of scenes of one size, sampled together. `attached`: the adapter is already in place."""
    width, height = scenes[0].size_wh
    shape = (backbone.channels, height // backbone.stride, width // backbone.stride)
    with torch.no_grad():
        cond, negative = condition(backbone, adapter, scenes, options)
    noise = Noise(backbone.scheduler, options.steps)
    z_BChw = noise.start(initial(seeds, shape, backbone.device))
    denoise = network(backbone.unet)
    if adapter is not None:
        denoise = gated(denoise, gate_schedule(noise.steps, options.gate))
    denoise = guided(denoise, options.guidance, negative)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds] if noise.draws else None
    place: Any = nullcontext() if adapter is None or attached else adapter.attach(backbone.unet)
    with place:
        return sample(
            denoise, noise, z_BChw, cond, generators=generators, on_step=on_step, should_stop=should_stop
        )


def pictures(
    backbone: Backbone,
    adapter: Gligen | None,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    *,
    attached: bool = False,
) -> list[NDArray[np.uint8]]:
    """Pictures HW3 of scenes of one size, in batches of `options.batch`."""
    found: list[NDArray[np.uint8]] = []
    for start in range(0, len(scenes), options.batch):
        part = slice(start, start + options.batch)
        z_BChw = latents(backbone, adapter, scenes[part], seeds[part], options, attached=attached)
        found.extend(decode(backbone, z_BChw))
    return found
