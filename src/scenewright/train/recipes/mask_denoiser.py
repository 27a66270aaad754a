"""Mask denoisers: on the embedded model, and as Seg-diffusion's launch script trains on Stable Diffusion 2.

`mask-denoiser` has the launch script's numbers: AdamW, 3e-5, constant, no warm-up, 4 micro-batches of 1 on 8
processes (here 32 of 1 on one), squares of 384 px, pyramid noise of 6
levels with the weight 0.3, a checkpoint every 5000 steps, 50 kept, no averaged weights. Its arguments are
fields: ``--set task.train_img_list=img_list.txt``, and so on up to ``task.val_text_list``; or ``--set
task.data=FOLDER task.text=class task.vocabulary=coco-stuff task.published=false`` for masks of one class.
"""

from __future__ import annotations

from scenewright.evaluate.splits import class_split
from scenewright.segment.pyramid import PUBLISHED
from scenewright.train.annotated import AnnotatedSource
from scenewright.train.mask_denoiser import MaskDenoiserTraining
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.segment import SEGMENT_SEED


@register("mask-denoiser")
def mask_denoiser() -> Recipe:
    """Seg-diffusion's training on Stable Diffusion 2, from its three lists."""
    return Recipe(
        name="mask-denoiser",
        task=MaskDenoiserTraining(
            backbone="sd2",
            text="bag",
            size=384,
            prediction="",
            pyramid=PUBLISHED,
            published=True,
            template="{}",
            check_steps=10,
        ),
        loop=LoopConfig(
            steps=100_000,
            batch_size=1,
            accumulate=32,
            lr=3e-5,
            schedule="constant",
            ema_decay=None,
            log_every=50,
            validate_every=5000,
            validate_first=True,
            save_every=5000,
            keep=50,
            workers=4,
        ),
    )


@register("mask-denoiser-nano")
def mask_denoiser_nano() -> Recipe:
    """A denoiser of the masks of named classes on nano: fifteen seen toys and all stuff, from drawings."""
    split = class_split(1)
    return Recipe(
        name="mask-denoiser-nano",
        task=MaskDenoiserTraining(
            renders=AnnotatedSource(count=4000, first_seed=SEGMENT_SEED, only=split.seen),
            seen=split.seen,
            unseen=split.unseen,
            absent=0.4,  # of fifty classes asked for, a picture shows about six
            asks=4,
        ),
        loop=LoopConfig(
            steps=1600,
            batch_size=32,
            optimiser="muon",
            lr=2e-3,
            betas=(0.9, 0.99),
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=400,
            save_every=200,
        ),
    )
