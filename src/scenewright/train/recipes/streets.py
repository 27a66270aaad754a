"""Segmenters of streets that learn from a labelled source, from pictures generated for it, or from both.

Changed colours are ``--set task.colour.chance=0.5`` (0: the source as it is); with generated pictures it is
``--set task.synthetic=FOLDER --set task.mix=1,1`` (a data set of `dataset build`, or the published archive).
Published: Jia et al., "DGInStyle", ECCV 2024, its SegFormer; Xie et al., SegFormer, NeurIPS 2021.
Different: no limit on the share of one class in a crop.
"""

from __future__ import annotations

from pathlib import Path

from scenewright.models.segformer import SegformerSize
from scenewright.train.augment import Disturbance, Photometric
from scenewright.train.recipe import LoopConfig, Recipe
from scenewright.train.recipes import register
from scenewright.train.segformer import SegformerTraining

TOWN = Path("runs/out/town")

STILL = Disturbance(blur=0.0, coarse=0.0, noise=0.0, tint=0.0, contrast=0.0)


@register("nano-streets")
def nano_streets() -> Recipe:
    """A small SegFormer from scratch on the town's game look in GTA's layout, rare classes more often."""
    return Recipe(
        name="nano-streets",
        task=SegformerTraining(
            vocabulary="town",
            things=False,
            real=(TOWN,),
            size_wh=(192, 96),
            zoom=(1.0, 2.0),
            rare=0.01,
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


@register("streets-b5")
def streets_b5() -> Recipe:
    """SegFormer-B5 on GTA and generated pictures, one of each, with changed colours, as published; a GPU."""
    return Recipe(
        name="streets-b5",
        task=SegformerTraining(
            start="nvidia/mit-b5",
            net=SegformerSize(
                channels=(64, 128, 320, 512), depths=(3, 6, 40, 3), heads=(1, 2, 5, 8),
                reductions=(8, 4, 2, 1), decoder=768, drop_path=0.1,
            ),
            vocabulary="cityscapes",
            things=False,
            real=(Path("data/gta"),),
            synthetic=(Path("data/dginstyle_gen"),),
            check=(Path("data/cityscapes"),),
            mix=(1.0, 1.0),
            size_wh=(512, 512),
            zoom=(720 / 512, 720 / 512),
            synthetic_zoom=(1.0, 1.0),
            disturbance=STILL,
            colour=Photometric(chance=0.5),
            class_weights="none",
            jaccard_weight=0.0,
            sparse=1,
            head_lr=10.0,
        ),
        loop=LoopConfig(
            steps=40_000,
            batch_size=2,
            lr=6e-5,
            schedule="linear",
            warmup_steps=1500,
            clip_norm=None,
            ema_decay=None,
            workers=4,
            log_every=50,
            validate_every=4000,
            save_every=4000,
        ),
    )  # fmt: skip
