"""Training of the one-pass segmenter: class lists with negatives, what counts, that it learns, its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import CPU, generator, loop

from scenewright.errors import InputError
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.label_space import LabelSpace
from scenewright.train import Recipe, run
from scenewright.train.annotated import AnnotatedSource, draw
from scenewright.train.recipes import find
from scenewright.train.segment import SEGMENT_SEED, OnePassSizes, SegmentTraining, learnt_classes
from scenewright.train.segmenter import soft_dice_loss, soft_jaccard_loss

SEEN = ("car", "cat", "boat")
TOYS = AnnotatedSource(count=6, size_wh=(64, 64), first_seed=SEGMENT_SEED, only=SEEN)
SIZES = OnePassSizes(reduced=(8, 8, 8, 8), width=16, cost=8, own=4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(cache, tiny_model: str) -> SegmentTraining:
    return SegmentTraining(
        backbone=tiny_model.partition("+")[0], net=SIZES, renders=TOYS, seen=SEEN, unseen=("dog",),
        size_wh=(64, 64), cache=cache, checked=3,
    )  # fmt: skip


def prepared(config: SegmentTraining):
    torch.manual_seed(0)
    task = config.build(loop(batch_size=2))
    task.prepare(CPU, torch.float32)
    return task


def test_only_the_named_toys_are_drawn() -> None:
    for k in range(4):
        assert {one.category for one in draw(TOYS, k).scene.instances} <= set(SEEN)
    styled = replace(TOYS, styles=("flat",))
    assert draw(styled, 0).scene.style == "flat" and styled.folder != TOYS.folder
    assert replace(TOYS, only=()).folder == "annotated-toybox-64x64-1to5-9000000"


def test_the_list_of_a_batch(config) -> None:
    task = prepared(replace(config, asked=6))
    first, again = task.batch(3, 0, 1), task.batch(3, 0, 1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    known = load_names(task)
    assert set(known) == {*SEEN, *(one.name for one in Vocabulary.load("toybox") if not one.thing)}
    whole = prepared(config).batch(3, 0, 1)
    assert first["asked"].shape == (2, 6) and whole["asked"].shape == (2, len(task.learnt))
    for asked, labels, every, truth in zip(
        first["asked"], first["labels"], whole["asked"], whole["labels"], strict=True
    ):
        places = set(labels.unique().tolist()) - {IGNORE}
        assert len(set(asked.tolist())) == 6 and len(places) < 6, "no class is asked for that is not shown"
        for k in range(6):
            where = every.tolist().index(int(asked[k]))
            assert torch.equal(labels == k, truth == where)
    for k, told in enumerate(first["told"].tolist()):
        assert -1 <= told < len(task.vectors[k])


def load_names(task) -> list[str]:
    return [task.space.names[k] for k in task.learnt]


def test_pixels_of_which_nothing_is_known_do_not_count(config) -> None:
    task = prepared(replace(config, class_weights="none", text_dropout=0.0))
    given = task.batch(0, 0, 1)
    given["labels"][:] = IGNORE
    loss, numbers = task.loss(given, generator())
    assert float(loss.detach()) == 0.0 and float(numbers["right"]) == 0.0


def test_everything_gets_a_gradient_and_the_network_none(config) -> None:
    task = prepared(config)
    for step in range(2):
        loss, _ = task.loss(task.batch(step, 0, 1), generator())
        loss.backward()
        with torch.no_grad():
            for one in task.net.parameters():
                one -= 0.01 * one.grad
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in task.net.parameters())
    assert all(p.grad is None for p in task.backbone.unet.parameters())


def test_dice_is_of_the_same_counts_as_jaccard() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=generator())
    label = torch.tensor([0, 1, 0, IGNORE]).repeat(2, 4, 1)
    share, known = logits.softmax(1), label != IGNORE
    dice, jaccard = [], []
    for k in (0, 1):
        both = (share[:, k] * (label == k)).sum()
        total = (share[:, k] * known).sum() + (label == k).sum()
        dice.append(2 * both / total)
        jaccard.append(both / (total - both))
    assert torch.allclose(soft_dice_loss(logits, label, IGNORE), 1 - torch.stack(dice).mean())
    assert torch.allclose(soft_jaccard_loss(logits, label, IGNORE), 1 - torch.stack(jaccard).mean())


def test_it_is_trained_and_used(config, tmp_path, tiny_model: str) -> None:
    recipe = Recipe(
        name="tiny", task=config,
        loop=loop(steps=12, batch_size=2, lr=1e-2, validate_every=12, log_every=6, ema_decay=None),
    )  # fmt: skip
    summary = run(recipe, tmp_path / "run")
    assert summary["finished"]
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert any('"seen"' in line and '"unseen"' in line for line in lines), lines[-1]
    file = tmp_path / "run" / "export" / "segmenter.safetensors"
    segmenter = PictureSegmenter.load(tiny_model.partition("+")[0], str(file), device="cpu")
    image = draw(TOYS, 0).image
    found = segmenter.segment([image], SegmentOptions(vocabulary=Vocabulary.load("toybox")))[0]
    assert found.labels.shape == (64, 64)
    start = replace(config, start=str(file))
    assert np.isfinite(float(prepared(start).loss(prepared(start).batch(0, 0, 1), generator())[0].detach()))


def test_what_cannot_be_trained(config) -> None:
    with pytest.raises(InputError, match="no pictures"):
        replace(config, renders=None).build(loop())
    for change in ({"sparse": 0}, {"zoom": (2.0, 1.0)}, {"text_dropout": 1.0}):
        with pytest.raises(InputError):
            replace(config, **change)
    with pytest.raises(InputError):
        learnt_classes(LabelSpace.of("toybox"), ("unicorn",))


def test_recipes_are_complete() -> None:
    nano, large = find("segmenter-nano"), find("segmenter-sd21")
    assert nano.task.renders.only == nano.task.seen and len(nano.task.seen) == 15
    assert large.task.vocabulary == "coco-stuff" and large.task.backbone == "sd21-base"
