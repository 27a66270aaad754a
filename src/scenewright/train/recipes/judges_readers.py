"""Three judges that read whole pictures and crops: looks and labels of the town, pictures against words.

The longer trainings have two stages, each with a learning rate that falls to nothing; the second starts from
what the first exported and makes the judge of the package.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.train.judge_clip import JudgeClipConfig
from scenewright.train.looks import LooksTaskConfig
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.segmenter import SegmenterTaskConfig

OUT = Path("runs/out")


@register("judge-looks")
def judge_looks() -> Recipe:
    """The judge that tells the six looks of the town apart."""
    return Recipe(
        name="judge-looks",
        task=LooksTaskConfig(),
        loop=LoopConfig(
            steps=400,
            batch_size=64,
            optimiser="muon",
            lr=4e-3,
            warmup_steps=20,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=100,
            save_every=100,
        ),
    )


@register("judge-segmenter")
def judge_segmenter() -> Recipe:
    """The judge that labels every pixel of a street with its class."""
    return Recipe(
        name="judge-segmenter",
        task=SegmenterTaskConfig(),
        loop=LoopConfig(
            steps=900,
            batch_size=12,
            optimiser="muon",
            lr=4e-3,
            warmup_steps=20,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=150,
            save_every=150,
        ),
    )


@register("judge-clip")
def judge_clip() -> Recipe:
    """The judge that says how well a crop fits a phrase and a picture its caption."""
    return Recipe(
        name="judge-clip",
        task=JudgeClipConfig(),
        loop=LoopConfig(
            steps=1500,
            batch_size=96,
            optimiser="muon",
            lr=3e-3,
            warmup_steps=50,
            final_lr=0.02,
            betas=(0.9, 0.98),
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=250,
            save_every=250,
        ),
    )


@register("judge-segmenter-2")
def judge_segmenter_2() -> Recipe:
    """The second stage of judge-segmenter."""
    first = judge_segmenter()
    start = OUT / "judge-segmenter" / "export" / "segmenter.safetensors"
    return Recipe(
        name="judge-segmenter-2",
        task=replace(first.task, start=start),
        loop=replace(first.loop, steps=800, lr=3e-3, validate_every=200, save_every=200),
    )


@register("judge-clip-2")
def judge_clip_2() -> Recipe:
    """The second stage of judge-clip: more crops, and plain questions count twice."""
    first = judge_clip()
    start = OUT / "judge-clip" / "export" / "clip.safetensors"
    return Recipe(
        name="judge-clip-2",
        task=replace(first.task, start=start, choice_weight=2.0, rates=(0.62, 0.22, 0.06, 0.1)),
        loop=replace(first.loop, steps=1800, lr=2.5e-3, validate_every=300, save_every=300),
    )
