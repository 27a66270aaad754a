"""One-pass segmenters on the embedded model and on Stable Diffusion 2.1.

`segmenter-nano` learns the fifteen seen names of the first published split and all stuff, from drawings that
show no other toys; it is validated with the whole vocabulary as prompts. `segmenter-sd21` is for pictures of
512 px with COCO-Stuff's 171 classes in folders of Records (``--set task.data=FOLDER``, made from the official
download by `scenewright dataset import`); its settings follow what one-step trainings on Stable Diffusion
publish: AdamW, 1e-4 for fresh layers, 30 000 steps of 16 pictures, bf16.
"""

from __future__ import annotations

from scenewright.evaluate.splits import class_split
from scenewright.train.annotated import AnnotatedSource
from scenewright.train.augment import Disturbance
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.segment import SEGMENT_SEED, OnePassSizes, SegmentTraining


@register("segmenter-nano")
def segmenter_nano() -> Recipe:
    """The one-pass segmenter of nano: fifteen seen toys and all stuff, from drawings."""
    split = class_split(1)
    return Recipe(
        name="segmenter-nano",
        task=SegmentTraining(
            renders=AnnotatedSource(count=4000, first_seed=SEGMENT_SEED, only=split.seen),
            seen=split.seen,
            unseen=split.unseen,
            asked=10,
        ),
        loop=LoopConfig(
            steps=3000,
            batch_size=12,
            optimiser="muon",
            lr=2e-2,
            betas=(0.9, 0.99),
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=0.99,
            log_every=25,
            validate_every=500,
            save_every=250,
        ),
    )


@register("segmenter-sd21")
def segmenter_sd21() -> Recipe:
    """The one-pass segmenter of Stable Diffusion 2.1, from Records with COCO-Stuff's classes (task.data)."""
    return Recipe(
        name="segmenter-sd21",
        task=SegmentTraining(
            backbone="sd21-base",
            net=OnePassSizes(
                reduced=(128, 128, 128, 128),
                width=256,
                own=16,
                learnt=8,
                cost=32,
                rounds=3,
                templates=("a photo of a {}", "a photo of the {} in the scene"),
            ),
            vocabulary="coco-stuff",
            asked=64,
            size_wh=(512, 512),
            zoom=(0.75, 2.0),
            disturbance=Disturbance(blur=0.5, coarse=0.1, noise=0.02, tint=0.1, contrast=0.2),
            sparse=4,
            checked=200,
        ),
        loop=LoopConfig(
            steps=30_000,
            batch_size=16,
            lr=1e-4,
            schedule="linear",
            warmup_steps=500,
            weight_decay=1e-4,
            ema_decay=0.999,
            precision="bf16",
            workers=8,
            log_every=50,
            validate_every=2000,
            save_every=1000,
            best_metric="miou",
            export_weights="best",
        ),
    )
