"""Training of convolutional segmenters of a fixed list of classes: gradients, the file, its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_family import CPU, generator, loop

from scenewright.errors import InputError
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.judges.store import load_judge
from scenewright.scene.label_space import LabelSpace
from scenewright.train import Recipe, run
from scenewright.train.annotated import AnnotatedSource, draw
from scenewright.train.convolutional import FILE, ConvolutionalTraining
from scenewright.train.recipes import find
from scenewright.train.segment import SEGMENT_SEED

SEEN = ("car", "cat", "boat")
TOYS = AnnotatedSource(count=6, size_wh=(64, 64), first_seed=SEGMENT_SEED, only=SEEN)
TINY = SegmenterConfig(channels=(8, 8, 16), groups=4, fine_channels=8)


@pytest.fixture
def config(tmp_path: Path) -> ConvolutionalTraining:
    return ConvolutionalTraining(
        net=TINY, things=False, renders=TOYS, seen=SEEN, unseen=("dog",), size_wh=(64, 64), checked=3,
        cache=tmp_path / "cache",
    )  # fmt: skip


def test_everything_gets_a_gradient(config) -> None:
    torch.manual_seed(0)
    task = config.build(loop(batch_size=4))
    task.prepare(CPU, torch.float32)
    batch = task.batch(0, 0, 1)
    loss, numbers = task.loss(batch, generator())
    loss.backward()
    assert torch.isfinite(loss) and 0 <= float(numbers["right"]) <= 1
    assert all(one.grad is not None for one in task.net.parameters())
    assert task.net.config.vocabulary == "toybox" and task.net.names == LabelSpace.of("toybox").names


def test_it_is_trained_and_its_file_labels_pictures_alike(config, tmp_path: Path) -> None:
    recipe = Recipe(
        name="tiny", task=config, loop=loop(steps=2, batch_size=2, validate_every=2, ema_decay=None)
    )
    summary = run(recipe, tmp_path / "run")
    judge = load_judge(Path(summary["export"]) / FILE, kind="segmenter")
    assert judge.header.notes["samples"] == 4 and "miou" in judge.header.ceilings
    assert judge.net.names == LabelSpace.of("toybox").names
    labels = judge.net.labels([draw(TOYS, 0).image])[0]
    assert labels.shape == (64, 64) and int(labels.max()) < len(judge.net.names)
    assert list((tmp_path / "run").rglob("labels.png"))
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert any('"seen"' in line and '"unseen"' in line for line in lines)


def test_its_maps_hold_256_classes(config) -> None:
    with pytest.raises(InputError, match="hold 256"):
        replace(config, vocabulary="ade20k-full", seen=(), unseen=()).build(loop())
    with pytest.raises(InputError, match="wants real pictures"):
        replace(config, renders=None).build(loop())


def test_the_recipe_is_of_the_size_of_what_the_segmenter_reads(weights_are_here: bool) -> None:
    recipe, other = find("nano-convolutional"), find("segmenter-nano")
    assert recipe.task.renders == other.task.renders and recipe.task.zoom == other.task.zoom
    assert recipe.loop.steps * recipe.loop.batch_size == other.loop.steps * other.loop.batch_size
    net = recipe.task.build(recipe.loop).net
    sides = {size % net.config.multiple for size in recipe.task.size_wh}
    assert sides == {0}
    if not weights_are_here:
        pytest.skip("the embedded model's weights are not in the package")
    from scenewright.models.load import load_bundle

    backbone = load_bundle("nano", "cpu", "float32").backbone
    parts = (backbone.unet, backbone.vae.encoder, other.task.net.fresh(backbone, 0))
    read = sum(one.numel() for part in parts for one in part.parameters())
    assert np.isclose(sum(one.numel() for one in net.parameters()), read, rtol=0.1)
