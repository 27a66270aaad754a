"""The embedded family: autoencoder, text encoder, UNet with its GLIGEN adapter, in the order of training.

`runs/nano.sh` runs them; each stage starts from what the one before exported.
"""

from __future__ import annotations

from pathlib import Path

from scenewright.train.denoiser import DenoiserConfig
from scenewright.train.fresh import UnetSizes
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.text import TextConfig
from scenewright.train.vae import VaeConfig

OUT = Path("runs/out")


@register("nano-vae")
def nano_vae() -> Recipe:
    """The autoencoder of nano: pictures to latents at a quarter of the size."""
    return Recipe(
        name="nano-vae",
        task=VaeConfig(),
        loop=LoopConfig(
            steps=10_000,
            batch_size=16,
            optimiser="muon",
            lr=2e-3,
            betas=(0.9, 0.99),
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=0.998,
            precision="bf16",
            log_every=50,
            validate_every=1000,
            save_every=250,
        ),
    )


@register("nano-text")
def nano_text() -> Recipe:
    """Tokenizer and text encoder of nano, trained against a picture tower."""
    return Recipe(
        name="nano-text",
        task=TextConfig(crop_px=40),
        loop=LoopConfig(
            steps=600,
            batch_size=128,
            optimiser="muon",
            lr=2e-3,
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=0.99,
            precision="bf16",
            log_every=50,
            validate_every=100,
            save_every=250,
        ),
    )


@register("nano-base")
def nano_base() -> Recipe:
    """The UNet of nano, most of its batches with boxes through fusers that are trained with it."""
    return Recipe(
        name="nano-base",
        task=DenoiserConfig(
            train=("base", "adapter"),
            vae=OUT / "nano-vae" / "export",
            text=OUT / "nano-text" / "export",
            unet=UnetSizes(),
            slots=10,
            layout_rate=0.5,
            few_rate=0.7,
            gate_start=1.0,
            gate_lr_scale=1.0,
            align_weight=0.05,
            object_weight=3.0,
            crop_steps=2250,
            crop_rate=0.8,
            crop_cells=16,
            crop_rows=2,
        ),
        loop=LoopConfig(
            steps=6000,
            batch_size=32,
            optimiser="muon",
            lr=3e-3,
            betas=(0.9, 0.99),
            schedule="constant",
            warmup_steps=100,
            ema_decay=0.998,
            precision="bf16",
            log_every=25,
            validate_every=500,
            save_every=200,
        ),
    )


@register("nano-words")
def nano_words() -> Recipe:
    """nano-base continued mostly without boxes: what they say teaches the attention to words."""
    return Recipe(
        name="nano-words",
        task=DenoiserConfig(
            train=("base", "adapter"),
            backbone=str(OUT / "nano-base" / "export" / "model"),
            adapter=OUT / "nano-base" / "export" / "gligen.safetensors",
            layout_rate=0.2,
            boxes_teach=0.9,
            states_weight=0.2,
            word_weight=0.03,
            few_rate=0.7,
            gate_lr_scale=1.0,
            align_weight=0.02,
            object_weight=3.0,
            crop_steps=9000,
            crop_rate=0.35,
            crop_cells=16,
            crop_rows=2,
        ),
        loop=LoopConfig(
            steps=9000,
            batch_size=32,
            optimiser="muon",
            lr=3e-3,
            betas=(0.9, 0.99),
            schedule="constant",
            warmup_steps=50,
            ema_decay=0.998,
            precision="bf16",
            log_every=25,
            validate_every=500,
            save_every=100,
        ),
    )


@register("nano-settle")
def nano_settle() -> Recipe:
    """The end of the training of nano-words: the same, the learning rate falling to zero."""
    return Recipe(
        name="nano-settle",
        task=DenoiserConfig(
            train=("base", "adapter"),
            backbone=str(OUT / "nano-words" / "export" / "model"),
            adapter=OUT / "nano-words" / "export" / "gligen.safetensors",
            layout_rate=0.25,
            boxes_teach=0.9,
            states_weight=0.2,
            word_weight=0.03,
            few_rate=0.7,
            gate_lr_scale=1.0,
            align_weight=0.02,
            object_weight=3.0,
            crop_steps=900,
            crop_rate=0.3,
            crop_cells=16,
            crop_rows=2,
        ),
        loop=LoopConfig(
            steps=1050,
            batch_size=32,
            optimiser="muon",
            lr=3e-3,
            betas=(0.9, 0.99),
            schedule="linear",
            warmup_steps=20,
            ema_decay=0.995,
            precision="bf16",
            log_every=25,
            validate_every=525,
            save_every=75,
        ),
    )


@register("nano-gligen")
def nano_gligen() -> Recipe:
    """The GLIGEN text-box adapter on the frozen nano."""
    return Recipe(
        name="nano-gligen",
        task=DenoiserConfig(
            train=("adapter",),
            backbone="nano",
            slots=10,
            gate_start=1.0,
            gate_lr_scale=1.0,
            align_weight=0.05,
        ),
        loop=LoopConfig(
            steps=1500,
            batch_size=32,
            optimiser="muon",
            lr=1e-3,
            betas=(0.9, 0.99),
            warmup_steps=50,
            final_lr=0.02,
            ema_decay=0.995,
            precision="bf16",
            log_every=25,
            validate_every=250,
            save_every=100,
        ),
    )
