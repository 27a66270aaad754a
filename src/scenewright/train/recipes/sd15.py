"""GLIGEN text-box adapters on Stable Diffusion 1.5, with the published settings.

Sources: Li et al., "GLIGEN", CVPR 2023, with its configurations (called "paper" here); the training
example in diffusers' research projects, 100 000 steps on COCO, half a day on eight A100 ("example").

* AdamW, 5e-5 (both), no weight decay (paper; the example has 0.01), gradients clipped at norm 1 (example).
* Constant learning rate after a warm-up of 500 steps (the example's number, which had no effect there; the
  paper warms up for 10 000).
* 8 pictures per process (the example on 8 processes; the paper trains on 32 or 64 in all).
* Half of the captions are left out (all published box configurations; the paper's text says a tenth, for that
  ``--set task.caption_drop=0.1``). A tenth of the layouts is left out, picture by picture (example).
* No averaged weights (both; the authors found them worse), one learning rate for gates and the rest (both).
* A checkpoint every 1000 steps, the last 10 are kept (example). Pictures are not mirrored (example; the paper
  mirrors half of them: ``--set task.flip=true``, which is wrong for captions that say left or right).

The data is a folder of Records: ``--set task.data=FOLDER``. Latents are encoded once and kept; with
``--set task.cache_latents=false`` nothing is written and every step pays for the VAE. On GPUs without
bfloat16 ``--set loop.precision=fp16``; with less than 24 GB ``--set loop.gradient_checkpointing=true``.
"""

from __future__ import annotations

from scenewright.train.denoiser import DenoiserConfig
from scenewright.train.probe import ProbeConfig
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register


@register("sd15-gligen")
def sd15_gligen() -> Recipe:
    """A GLIGEN text-box adapter on Stable Diffusion 1.5, from a folder of Records (task.data)."""
    return Recipe(
        name="sd15-gligen",
        task=DenoiserConfig(
            train=("adapter",),
            backbone="stable-diffusion-v1-5/stable-diffusion-v1-5",
            slots=30,
            caption_drop=0.5,
            layout_drop=0.1,
            gate_lr_scale=1.0,
            sources=(),
            size=512,
            probe=ProbeConfig(scenes=16, steps=25, guidance=7.5, size=512, batch=4),
        ),
        loop=LoopConfig(
            steps=100_000,
            batch_size=8,
            lr=5e-5,
            schedule="constant",
            warmup_steps=500,
            weight_decay=0.0,
            ema_decay=None,
            precision="bf16",
            log_every=50,
            validate_every=5000,
            validate_first=True,
            save_every=1000,
            keep=10,
            workers=4,
        ),
    )
