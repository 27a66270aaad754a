"""The two judges of toys: the detector, which scores, and the verifier, which filters and repairs."""

from __future__ import annotations

from scenewright.train.detector import DetectorTraining
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.textures import TextureTraining
from scenewright.train.verifier import VerifierTraining


@register("judge-detector")
def judge_detector() -> Recipe:
    """The judge that finds toys: boxes, classes, colours, textures, masks."""
    return Recipe(
        name="judge-detector",
        task=DetectorTraining(),
        loop=LoopConfig(
            steps=1600,
            batch_size=32,
            optimiser="muon",
            lr=3e-3,
            warmup_steps=30,
            final_lr=0.01,
            clip_norm=10.0,
            ema_decay=0.998,
            precision="bf16",
            log_every=25,
            validate_every=200,
            save_every=100,
        ),
    )


@register("judge-textures")
def judge_textures() -> Recipe:
    """The detector's network for textures, put into the export of judge-detector."""
    return Recipe(
        name="judge-textures",
        task=TextureTraining(),
        loop=LoopConfig(
            steps=5500,
            batch_size=24,
            optimiser="muon",
            lr=4e-3,
            betas=(0.9, 0.99),
            warmup_steps=30,
            final_lr=0.01,
            clip_norm=10.0,
            ema_decay=0.998,
            precision="bf16",
            log_every=50,
            validate_every=500,
            save_every=250,
        ),
    )


@register("judge-verifier")
def judge_verifier() -> Recipe:
    """The judge that says whether an asked thing is in a box."""
    return Recipe(
        name="judge-verifier",
        task=VerifierTraining(),
        loop=LoopConfig(
            steps=1400,
            batch_size=24,
            optimiser="muon",
            lr=2e-3,
            warmup_steps=50,
            final_lr=0.01,
            clip_norm=10.0,
            ema_decay=0.998,
            precision="bf16",
            seed=7,
            log_every=25,
            validate_every=500,
            save_every=250,
        ),
    )
