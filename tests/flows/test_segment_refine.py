"""One-pass maps refined by mask denoising: which pixels may change, what the report says, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError, ModelError
from scenewright.flows.segment import FULL, Segmented
from scenewright.flows.segment_options import SegmentOptions, wanted_classes
from scenewright.flows.segment_refine import RefineOptions, Refiner, decided
from scenewright.models.mask_denoiser import MaskDenoiser, save_mask_denoiser
from scenewright.segment.mask_denoiser import MaskRules, rescheduled, widened
from scenewright.testing import tiny_backbone
from scenewright.train.recipe import override
from scenewright.train.recipes import find


@pytest.fixture(scope="module")
def denoiser() -> MaskDenoiser:
    base = tiny_backbone(0)
    scheduler = rescheduled(base.scheduler, spacing="trailing", zero_snr=True, prediction="v_prediction")
    return MaskDenoiser(replace(base, unet=widened(base.unet), scheduler=scheduler), MaskRules(), {})


def found() -> Segmented:
    labels = np.zeros((32, 48), np.uint16)
    labels[:16, :30], labels[16:, :30] = 1, 2
    return Segmented(labels, np.full((32, 48), 40000, np.uint16), np.zeros((32, 48), np.uint16))


def test_only_the_refined_classes_change_places(denoiser: MaskDenoiser) -> None:
    options = SegmentOptions(vocabulary=wanted_classes(["cat", "dog", "sky"]))
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    before = found()
    refiner = Refiner(denoiser, RefineOptions(steps=2, strength=0.6))
    after = refiner.refined(image, before, options)
    assert (after.labels[:, 30:] == 0).all() and set(np.unique(after.labels[:, :30])) <= {1, 2}
    assert (after.scores[:, 30:] == 40000).all() and (before.labels == found().labels).all()
    again = refiner.refined(image, before, options)
    assert (again.labels == after.labels).all() and (again.scores == after.scores).all()
    empty = replace(before, labels=np.zeros_like(before.labels))
    assert refiner.refined(image, empty, options) is empty


def test_the_mean_of_both_maps_decides() -> None:
    maps = np.zeros((2, 32, 48))
    maps[1] = 0.25
    maps[0, :4] = 0.75
    after = decided(found(), maps, [1, 2])
    assert (after.labels[:4, :30] == 1).all() and (after.labels[4:, :30] == 2).all()
    assert after.scores[0, 0] == round(0.75 * FULL) and after.scores[10, 0] == round(0.25 * FULL)


def test_what_cannot_refine(denoiser: MaskDenoiser) -> None:
    with pytest.raises(ModelError, match="one map for all classes") as raised:
        Refiner(replace(denoiser, rules=MaskRules(text="bag")), RefineOptions())
    setting = raised.value.hint.split("--set ")[1].split("`")[0]
    recipe = find("mask-denoiser")
    assert recipe.task.text == "bag" and override(recipe, [setting]).task.text == "class"
    for change in ({"strength": 0.0}, {"classes": 0}, {"steps": 0}):
        with pytest.raises(InputError):
            RefineOptions(**change)


def test_the_command(
    cli, tiny_model: str, tiny_segmenter: Path, denoiser: MaskDenoiser, tmp_path: Path
) -> None:
    folder = save_mask_denoiser(denoiser, tmp_path / "denoiser", torch.float32)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)).save(
        tmp_path / "a.png"
    )
    ended = cli(
        "segment", tmp_path / "a.png", "--model", tiny_model.partition("+")[0], "--segmenter", tiny_segmenter,
        "--classes", "cat,sky", "--background", "none", "--refine", folder, "--refine-steps", 2,
        "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads((tmp_path / "out" / "a.segment.json").read_text())
    assert report["refined_by"] == "denoiser" and report["refined"]["steps"] == 2
