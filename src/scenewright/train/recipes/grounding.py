"""Grounding heads on the embedded model and on Stable Diffusion 1.5.

`grounding-sd15` has the settings of the re-implementation grounded-diffusers, whose released head was trained
with them on 10 000 pictures of two classes each: Adam, 1e-5, constant, no weight decay, nothing clipped, no
averaged weights, one picture a step, 10 epochs, dropout 0.2, log-cosh-Dice + BCE; each class is decoded
alone, from its tokens in "A and a B". The loss is the correct form; ``--set task.loss=log_cosh_published``
applies the sigmoid twice, as that code does, ``bce`` is the paper's loss. The paper trains 500 000 steps on
pictures that are made as it goes, with class vectors of "a photograph of a A": ``--set
task.head.text_mode=template --set task.head.query_mode=joint --set task.head.layout=all --set
task.head.bn_mode=batch``.

The data is a folder of Records with latents, ``--set task.data=FOLDER`` (`scenewright dataset build`), the
validation another one, ``--set task.probe.data=FOLDER``; with it the best weights are exported by
``--set loop.best_metric=miou_seen --set loop.export_weights=best``.
"""

from __future__ import annotations

from scenewright.train.grounding import GroundingTaskConfig, HeadProbe, HeadSizes
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register


@register("grounding-nano")
def grounding_nano() -> Recipe:
    """The head that reads masks of named classes out of nano, from labelled pictures (task.data)."""
    return Recipe(
        name="grounding-nano",
        task=GroundingTaskConfig(
            backbone="nano",
            loss="bce_dice",
            absent=1,
            head=HeadSizes(
                reduced=(32, 32, 32, 32),
                width=128,
                heads=4,
                layers=2,
                hidden=256,
                dropout=0.1,
                attention=True,
            ),
            probe=HeadProbe(renders=160),
        ),
        loop=LoopConfig(
            steps=3000,
            batch_size=8,
            optimiser="muon",
            lr=3e-3,
            betas=(0.9, 0.99),
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=None,
            log_every=50,
            validate_every=500,
            save_every=250,
            best_metric="miou_seen",
            export_weights="best",
        ),
    )


@register("grounding-sd15")
def grounding_sd15() -> Recipe:
    """The head that reads masks of named classes out of Stable Diffusion 1.5 (task.data)."""
    return Recipe(
        name="grounding-sd15",
        task=GroundingTaskConfig(
            backbone="stable-diffusion-v1-5/stable-diffusion-v1-5",
            loss="log_cosh",
            steps=50,
            head=HeadSizes(dropout=0.2, query_mode="single", text_mode="joint"),
        ),
        loop=LoopConfig(
            steps=100_000,
            batch_size=1,
            lr=1e-5,
            schedule="constant",
            weight_decay=0.0,
            clip_norm=None,
            ema_decay=None,
            precision="bf16",
            log_every=50,
            validate_every=5000,
            save_every=1000,
            keep=3,
            workers=2,
        ),
    )
