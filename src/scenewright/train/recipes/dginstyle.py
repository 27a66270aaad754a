"""DGInStyle: a UNet tuned on the source's look, and the control beside it; on nano, and as published.

Sources: Jia et al., "DGInStyle", ECCV 2024, and its released code and commands.

* Look: the whole UNet, an empty prompt, random scales and crops of 512 px, AdamW 2e-6, constant, batches of 1
  accumulated twice, 30 000 steps, half precision, gradient checkpointing, pictures every 200 steps.
* Control: crops of 512 px around rare classes (temperature 0.01, files with more than 3000 pixels), captions
  of the classes in the crop and none left out, AdamW 1e-5, constant, batches of 2 accumulated four times,
  single precision, pictures every 1000 steps. The code's 100 epochs are 312 100 steps; where the authors
  stopped is not said. Partial freezing is ``--set task.trained=embedding|first|middle``.
* No averaged weights, weight decay 0.01, gradients clipped at norm 1 in both.

Different: validation draws beside the swapped UNet, which the released code announces and does not do.

Order: ``scenewright dataset import gta ROOT``; then `sd15-source` with ``--set task.data=ROOT/images``; then
`sd15-dginstyle` with ``--set task.data=ROOT``. For `nano` ROOT is the drawn town in GTA's layout, in its game
look: ``scenewright world sample --world town --look game --layout gta --out runs/out/town``.
"""

from __future__ import annotations

from pathlib import Path

from scenewright.train.dreambooth import DreamboothConfig, SamplesConfig
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.semantic import SemanticTraining, ValidationConfig
from scenewright.train.street_crops import CropConfig

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
OUT = Path("runs/out")
TOWN = OUT / "town"
TOWN_WH = (192, 96)

CLASSES = (
    "road sidewalk building wall fence pole traffic light traffic sign vegetation terrain sky person rider "
    "car truck bus train motorcycle bicycle"
)
"""The caption of a map that holds every class."""


@register("nano-source")
def nano_source() -> Recipe:
    """nano tuned on the game look of the drawn town (task.data): low-rank additions, merged at the end."""
    return Recipe(
        name="nano-source",
        task=DreamboothConfig(
            backbone="nano",
            data=TOWN / "images",
            size_wh=TOWN_WH,
            ratios=(1.0, 1.25, 1.5),
            lora_rank=16,
            check=SamplesConfig(
                prompts=("", "a city street", CLASSES), pictures=9, guidance=3.0, scheduler=""
            ),
        ),
        loop=LoopConfig(
            steps=800,
            batch_size=16,
            lr=5e-4,
            warmup_steps=20,
            final_lr=0.05,
            ema_decay=0.99,
            precision="bf16",
            log_every=25,
            validate_every=200,
            save_every=100,
        ),
    )


@register("nano-dginstyle")
def nano_dginstyle() -> Recipe:
    """A control of label maps beside nano-source, for nano, from the game look of the town (task.data)."""
    return Recipe(
        name="nano-dginstyle",
        task=SemanticTraining(
            backbone=str(OUT / "nano-source" / "export" / "model"),
            swap="nano",
            data=TOWN,
            size_wh=TOWN_WH,
            caption_drop=0.1,
            check=ValidationConfig(
                pictures=8,
                guidance=3.0,
                scheduler="",
                prompt="A city street scene with {classes}, in rainy weather.",
            ),
        ),
        loop=LoopConfig(
            steps=3000,
            batch_size=16,
            optimiser="muon",
            lr=1e-3,
            betas=(0.9, 0.99),
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=0.995,
            precision="bf16",
            log_every=25,
            validate_every=500,
            save_every=100,
        ),
    )


@register("sd15-source")
def sd15_source() -> Recipe:
    """Stable Diffusion 1.5 tuned on the source's pictures (task.data), with the published settings."""
    return Recipe(
        name="sd15-source",
        task=DreamboothConfig(
            backbone=SD15, check=SamplesConfig(prompts=(CLASSES,), pictures=4, steps=25, scheduler="dpm++")
        ),
        loop=LoopConfig(
            steps=30_000,
            batch_size=1,
            accumulate=2,
            lr=2e-6,
            schedule="constant",
            ema_decay=None,
            precision="bf16",
            gradient_checkpointing=True,
            log_every=50,
            validate_every=200,
            save_every=1000,
            workers=4,
        ),
    )


@register("sd15-dginstyle")
def sd15_dginstyle() -> Recipe:
    """A control of label maps for Stable Diffusion 1.5, beside sd15-source (task.data), as published."""
    return Recipe(
        name="sd15-dginstyle",
        task=SemanticTraining(
            backbone="trained/sd15-source/export/model",
            swap=SD15,
            crops=CropConfig(where="rare"),
            check=ValidationConfig(pictures=2, steps=20, guidance=7.5, scheduler="unipc"),
        ),
        loop=LoopConfig(
            steps=312_100,
            batch_size=2,
            accumulate=4,
            lr=1e-5,
            schedule="constant",
            ema_decay=None,
            precision="no",
            log_every=50,
            validate_every=1000,
            save_every=2000,
            keep=20,
            workers=4,
        ),
    )
