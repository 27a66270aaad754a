"""Training of mask denoisers on tiny networks: from class maps, from the three lists; export, use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_family import CPU, generator, loop, model_folder, records

from scenewright.errors import InputError, ModelError
from scenewright.models.mask_denoiser import load_mask_denoiser, rules_of
from scenewright.segment.mask_denoiser import MARIGOLD_RULES, PUBLISHED_RULES
from scenewright.train.loop import run
from scenewright.train.mask_denoiser import MaskDenoiserTraining, cells_that_count
from scenewright.train.mask_pictures import asked_class
from scenewright.train.recipe import Recipe, override
from scenewright.train.recipes import find


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    model_folder(folder / "model")
    records(folder / "records", count=3, size_px=64)
    return folder


def lists(folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for k in range(2):
        Image.new("RGB", (20, 16), (60 * k, 90, 10)).save(folder / f"p{k}.jpg")
        levels = np.zeros((16, 20), np.uint8)
        levels[4:12, 5:15] = 3
        (folder / "gt").mkdir(exist_ok=True)
        Image.fromarray(levels).save(folder / "gt" / f"p{k}.png")
    (folder / "img.txt").write_text(f"{folder}/p0.jpg\n{folder}/p1.jpg\n")
    (folder / "gt.txt").write_text(f"{folder}/gt/p0.png\n{folder}/gt/p1.png\n")
    (folder / "text.json").write_text(json.dumps({f"p{k}.jpg": ["cat", "red car"] for k in range(2)}))
    return {
        "train_img_list": folder / "img.txt", "train_gt_list": folder / "gt.txt",
        "train_text_list": folder / "text.json", "val_img": folder, "val_gt": folder / "gt",
        "val_text_list": folder / "text.json",
    }  # fmt: skip


def config(place: Path, **changes) -> MaskDenoiserTraining:
    given = {
        "backbone": str(place / "model"), "data": (place / "records",), "check": (place / "records",),
        "checked": 2, "check_steps": 1, "size": 32, **changes,
    }  # fmt: skip
    return MaskDenoiserTraining(**given)


def test_a_run_ends_in_a_folder_that_finds_named_classes(place, tmp_path):
    recipe = Recipe(
        name="masks",
        task=config(place),
        loop=loop(steps=2, batch_size=4, validate_every=2, ema_decay=0.9, optimiser="muon", precision="bf16"),
    )
    summary = run(recipe, tmp_path / "run", False)
    folder = Path(summary["export"]) / "mask-denoiser"
    loaded = load_mask_denoiser(folder, device="cpu")
    assert loaded.rules.text == "class" and loaded.rules.size == 32 and loaded.notes["samples"] == 8
    scheduler = loaded.backbone.scheduler.config
    assert scheduler.rescale_betas_zero_snr and scheduler.timestep_spacing == "trailing"
    assert (folder / "unet" / "config.json").is_file() and loaded.backbone.unet.config.in_channels == 8
    assert list((tmp_path / "run").rglob("labels.png"))


def test_batches_ask_for_classes_that_are_there_and_for_some_that_are_not(place):
    task = config(place, absent=0.5).build(loop(batch_size=8))
    task.prepare(CPU, torch.float32)
    batch = task.batch(0, 0, 1)
    assert batch["images"].shape == (4, 32, 32, 3) and batch["masks"].shape == (8, 32, 32)
    assert set(batch["masks"].unique().tolist()) <= {-1.0, 1.0} and len(batch["texts"]) == 8
    assert batch["picture"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    again = task.batch(0, 0, 1)
    assert torch.equal(again["masks"], batch["masks"]) and again["texts"] == batch["texts"]
    loss, _ = task.loss(batch, generator())
    loss.backward()
    assert torch.isfinite(loss) and task.modules["unet"].conv_in.weight.grad.abs().sum() > 0
    same, _ = task.loss(batch, generator())
    assert torch.equal(same, loss)


def test_the_three_lists(place, tmp_path):
    given = lists(tmp_path / "lists")
    task = config(place, data=(), text="bag", published=True, template="{}", **given).build(
        loop(batch_size=2)
    )
    task.prepare(CPU, torch.float32)
    batch = task.batch(0, 0, 1)
    assert batch["masks"].shape == (2, 32, 32) and batch["texts"] == [("cat", "red car")] * 2
    assert len(batch["masks"].unique()) > 2  # the bicubic filter makes levels that nobody wrote, as published
    assert task.config.rules.signal == "unit" and task.noise.timesteps[-1] == 1
    loss, _ = task.loss(batch, generator())
    assert torch.isfinite(loss)
    told = task.validate(0, tmp_path)
    assert 0 <= told["error"] <= 1 and (tmp_path / "p0_gray.png").is_file()
    plain = config(place, data=(), text="bag", **given).build(loop(batch_size=2))
    plain.prepare(CPU, torch.float32)
    assert len(plain.batch(0, 0, 1)["masks"].unique()) == 2


def test_recipes_take_the_published_arguments():
    lists = ("train_img_list", "train_gt_list", "train_text_list", "val_img", "val_gt", "val_text_list")
    recipe = override(find("mask-denoiser"), [f"task.{name}={name}.txt" for name in lists])
    assert recipe.task.listed and str(recipe.task.val_gt) == "val_gt.txt"
    assert recipe.task.size == 384 and recipe.loop.lr == 3e-5 and recipe.task.pyramid.levels == 6
    nano = find("mask-denoiser-nano")
    assert nano.task.text == "class" and nano.task.renders.only == nano.task.seen
    assert nano.loop.batch_size % nano.task.asks == 0
    with pytest.raises(InputError, match="belong together"):
        override(find("mask-denoiser"), ["task.train_img_list=a"])


def test_what_cannot_be_trained(place, tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        config(place, data=()).build(loop())
    with pytest.raises(InputError, match="level of grey"):
        config(place, **lists(tmp_path / "lists"))
    with pytest.raises(InputError, match="absent"):
        config(place, absent=2.0)


def test_a_class_is_asked_for():
    labels, rng = np.array([[1, 1, 4]]), np.random.default_rng(0)
    assert {asked_class(labels, (1, 2, 4), 0.0, rng) for _ in range(40)} == {1, 4}
    assert {asked_class(labels, (1, 2, 4), 1.0, rng) for _ in range(10)} == {2}
    assert asked_class(labels, (2, 3), 0.0, rng) in (2, 3) and asked_class(labels, (1,), 1.0, rng) == 1


def test_a_cell_counts_if_all_of_its_pixels_do():
    counts = torch.ones((1, 4, 8), dtype=torch.bool)
    counts[0, 1, 5] = False
    assert cells_that_count(counts, (1, 2)).tolist() == [[[1.0, 0.0]]]


def test_foreign_folders(place, tmp_path):
    task = config(place).build(loop())
    task.prepare(CPU, torch.float32)
    task.export(tmp_path)
    whole = tmp_path / "mask-denoiser"
    (whole / "scenewright.json").unlink()
    assert rules_of(whole) == PUBLISHED_RULES
    index = json.loads((whole / "model_index.json").read_text())
    (whole / "model_index.json").write_text(json.dumps({**index, "_class_name": "MarigoldDepthPipeline"}))
    assert load_mask_denoiser(whole, device="cpu").rules == MARIGOLD_RULES
    (whole / "model_index.json").unlink()
    beside = load_mask_denoiser(whole, base=str(place / "model"), device="cpu")
    assert beside.rules == PUBLISHED_RULES and beside.backbone.unet.config.in_channels == 8
    assert not beside.backbone.scheduler.config.rescale_betas_zero_snr
    alone = load_mask_denoiser(whole / "unet", base=str(place / "model"), device="cpu")
    assert torch.equal(alone.backbone.unet.conv_in.weight, beside.backbone.unet.conv_in.weight)
    with pytest.raises(ModelError, match="no mask denoiser"):
        load_mask_denoiser(place / "model", device="cpu")
    with pytest.raises(ModelError, match="no folder"):
        load_mask_denoiser(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no UNet"):
        load_mask_denoiser(place / "records")
