"""The judge that labels toys in generated pictures when a data set is built from them."""

from __future__ import annotations

from scenewright.train.labeller import LabellerTaskConfig
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register


@register("judge-labeller")
def judge_labeller() -> Recipe:
    """The judge that labels every pixel of a picture of toys with its class."""
    return Recipe(
        name="judge-labeller",
        task=LabellerTaskConfig(),
        loop=LoopConfig(
            steps=1800,
            batch_size=12,
            optimiser="muon",
            lr=4e-3,
            warmup_steps=20,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=300,
            save_every=150,
        ),
    )
