"""InstanceDiffusion's adapter: on nano from GLIGEN's fusers, and on Stable Diffusion 1.5 as published.

Sources: Wang et al., "InstanceDiffusion", CVPR 2024, and its released code and configurations.

* AdamW, 5e-5, no weight decay, gradients not clipped, constant after a warm-up of 5000 steps (the README's
  command; the code's default is 10 000), averaged weights with 0.9999. Published on 64 processes of 8
  pictures.
* Half of the captions and a tenth of the layouts are left out, half of the pictures mirrored; an instance is
  called by its class alone half of the time. Kinds of location are left out with the published rates, but for
  each picture by itself. Boxes under a hundredth of the picture are left out, the 30 largest kept.
* The network of masks starts from random weights, the published one from ConvNeXt's on ImageNet:
  ``--set task.trunk=convnext_tiny_1k_224_ema.pth``.
* Instance-masked attention in half of the batches, so that the adapter works with and without. The author
  says that it was on; the code's default is off: ``--set task.masked_rate=1`` or ``0``.

The data is a folder of Records (``--set task.data=FOLDER``), or published label files: a folder of
``label_*.json``, or a text file that lists them. With several processes a batch without masks leaves their
network alone, hence ``loop.unused_parameters``.
"""

from __future__ import annotations

from scenewright.condition.unifusion import UniFusionConfig
from scenewright.train.located import ShownConfig
from scenewright.train.probe import ProbeConfig
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.renders import Source
from scenewright.train.unifusion import UniFusionTaskConfig


@register("nano-unifusion")
def nano_unifusion() -> Recipe:
    """InstanceDiffusion's adapter on the frozen nano, from GLIGEN's fusers."""
    return Recipe(
        name="nano-unifusion",
        task=UniFusionTaskConfig(
            backbone="nano",
            start="nano+gligen",
            net=UniFusionConfig(
                slots=24,
                fourier=8,
                hidden=512,
                scribble_points=12,
                polygon_points=32,
                map_px=256,
                depths=(1, 1, 2, 1),
                widths=(16, 32, 64, 64),
                missing="null",
                outline="exact",
            ),
            shown=ShownConfig(
                kinds="even",
                mixed=0.25,
                inside=0.5,
                drawn=0.5,
                parts=0.4,
                category=0.1,
                smallest=0.0,
                by_area=False,
            ),
            masked_rate=0.5,
            gate_lr_scale=1.0,
            align_weight=0.05,
            object_weight=3.0,
            sources=(Source(name="toybox", count=40_000),),
        ),
        loop=LoopConfig(
            steps=3000,
            batch_size=32,
            optimiser="muon",
            lr=1e-3,
            betas=(0.9, 0.99),
            warmup_steps=100,
            final_lr=0.02,
            ema_decay=0.995,
            precision="bf16",
            unused_parameters=True,
            log_every=25,
            validate_every=500,
            save_every=100,
        ),
    )


@register("sd15-unifusion")
def sd15_unifusion() -> Recipe:
    """InstanceDiffusion's adapter on Stable Diffusion 1.5, from a folder of Records (task.data)."""
    return Recipe(
        name="sd15-unifusion",
        task=UniFusionTaskConfig(
            backbone="stable-diffusion-v1-5/stable-diffusion-v1-5",
            masked_rate=0.5,
            caption_drop=0.5,
            layout_drop=0.1,
            gate_lr_scale=1.0,
            flip=True,
            sources=(),
            size=512,
            probe=ProbeConfig(scenes=16, steps=25, guidance=7.5, size=512, batch=4),
        ),
        loop=LoopConfig(
            steps=400_000,
            batch_size=8,
            lr=5e-5,
            schedule="constant",
            warmup_steps=5000,
            weight_decay=0.0,
            clip_norm=None,
            ema_decay=0.9999,
            precision="bf16",
            unused_parameters=True,
            log_every=50,
            validate_every=10_000,
            save_every=2000,
            keep=4,
            workers=4,
        ),
    )
