"""Three judges that read whole pictures and crops: looks and labels of the town, pictures against words."""

from __future__ import annotations

from scenewright.train.judge_clip import JudgeClipConfig
from scenewright.train.looks import LooksTaskConfig
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.segmenter import SegmenterTaskConfig


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
