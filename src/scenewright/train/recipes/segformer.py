"""Segmenters that learn from real pictures, from generated ones, or from both."""

from __future__ import annotations

from scenewright.evaluate.splits import class_split
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.segformer import SegformerSize
from scenewright.train.annotated import REAL_SEED, AnnotatedSource
from scenewright.train.convolutional import ConvolutionalTraining
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.segformer import SegformerTraining
from scenewright.train.segment import SEGMENT_SEED


@register("nano-segformer")
def nano_segformer() -> Recipe:
    """A small SegFormer from scratch on 128 px pictures of toys; renders, unless the mix says otherwise."""
    split = class_split(1)
    return Recipe(
        name="nano-segformer",
        task=SegformerTraining(
            renders=AnnotatedSource(count=1000, first_seed=REAL_SEED), seen=split.seen, unseen=split.unseen
        ),
        loop=LoopConfig(
            steps=800,
            batch_size=16,
            optimiser="muon",
            lr=3e-3,
            warmup_steps=30,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=200,
            save_every=100,
        ),
    )


@register("nano-convolutional")
def nano_convolutional() -> Recipe:
    """A U-Net of the size of all that segmenter-nano reads, on the same pictures and as many of them."""
    split = class_split(1)
    return Recipe(
        name="nano-convolutional",
        task=ConvolutionalTraining(
            net=SegmenterConfig(vocabulary="toybox", channels=(32, 64, 128, 192, 384)),
            things=False,
            renders=AnnotatedSource(count=4000, first_seed=SEGMENT_SEED, only=split.seen),
            seen=split.seen,
            unseen=split.unseen,
            zoom=(0.8, 1.6),
        ),
        loop=LoopConfig(
            steps=2250,
            batch_size=16,
            optimiser="muon",
            lr=3e-3,
            warmup_steps=30,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=750,
            save_every=250,
        ),
    )


@register("segformer-b0")
def segformer_b0() -> Recipe:
    """SegFormer-B0 from its ImageNet weights, on Records of 512 px (task.real, task.synthetic); a GPU."""
    split = class_split(1)
    return Recipe(
        name="segformer-b0",
        task=SegformerTraining(
            start="nvidia/mit-b0",
            net=SegformerSize(channels=(32, 64, 160, 256), heads=(1, 2, 5, 8), reductions=(8, 4, 2, 1)),
            vocabulary="voc",
            things=False,
            seen=split.seen,
            unseen=split.unseen,
            size_wh=(512, 512),
            zoom=(0.5, 2.0),
            sparse=1,
        ),
        loop=LoopConfig(
            steps=20_000,
            batch_size=16,
            lr=6e-5,
            schedule="linear",
            warmup_steps=1500,
            precision="bf16",
            workers=8,
            log_every=50,
            validate_every=2000,
            save_every=1000,
            best_metric="miou",
            export_weights="best",
        ),
    )
