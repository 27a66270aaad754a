"""Training of the labeller: true class maps by hand, a run that ends in a judge, the recipe's size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_family import CPU, generator, loop

from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.judges.store import load_judge
from scenewright.train import Recipe, run
from scenewright.train.annotated import LABELLER_SEED, Annotated, AnnotatedSource
from scenewright.train.labeller import NET, LabellerTaskConfig, class_map
from scenewright.train.recipes import find
from scenewright.world import toybox
from scenewright.world.classes import BY_NAME

TOYS = (
    AnnotatedSource(count=8, size_wh=(64, 64), first_seed=LABELLER_SEED),
    AnnotatedSource(count=4, size_wh=(64, 64), first_seed=LABELLER_SEED, things=(2, 6)),
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def labeller(cache, **changes):
    net = SegmenterConfig(vocabulary="toybox", channels=(8, 8, 8, 8), fine_channels=4)
    return LabellerTaskConfig(net=net, sources=TOYS, cache=cache, probe=6, held_out=4, **changes)


def prepared(config):
    torch.manual_seed(0)
    task = config.build(loop(batch_size=4))
    task.prepare(CPU, torch.float32)
    return task


def test_class_map_by_hand():
    numbers = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
    assert class_map(numbers, np.array([4, 0])).tolist() == [[0, 5, 1], [1, 0, 5]]
    assert class_map(np.zeros((2, 2), np.uint8), np.zeros(0, np.int64)).tolist() == [[0, 0], [0, 0]]


def test_maps_are_the_drawn_ones_without_stuff(cache):
    task = prepared(labeller(cache))
    drawn = [toybox.draw(90_000 + k, size_px=64) for k in range(3)]
    maps = task.maps(Annotated.of(drawn), np.arange(3))
    for one, found in zip(drawn, maps, strict=True):
        things = np.where(one.semantic <= len(BY_NAME), one.semantic, 0)
        assert np.array_equal(found, things) and np.array_equal(task.map_of(one), things)
    assert len(task.pictures) == 12 and len(task.names) == 39 and task.weight_K.shape == (39,)


def test_everything_that_is_trained_gets_a_gradient(cache):
    task = prepared(labeller(cache))
    batch = task.batch(0, 0, 1)
    assert all(torch.equal(batch[key], task.batch(0, 0, 1)[key]) for key in batch)
    loss, numbers = task.loss(batch, generator())
    loss.backward()
    assert all(p.grad is not None for p in task.net.parameters()) and 0 <= numbers["right"] <= 1


def test_a_run_ends_in_a_judge_and_goes_on_from_it(cache, tmp_path):
    training = loop(steps=3, optimiser="muon", validate_every=3, log_every=1)
    run(Recipe(name="labeller", task=labeller(cache), loop=training), tmp_path)
    file = tmp_path / "export" / "labeller.safetensors"
    judge = load_judge(file, kind="labeller")
    assert judge.header.notes["samples"] == 12 and judge.header.notes["held_out"] == "toybox-1, first 4"
    assert judge.header.notes["recipe"] == "judge-labeller" and judge.header.config["vocabulary"] == "toybox"
    assert {"miou", "pixels", "iou.background"} <= set(judge.header.ceilings)
    assert list((tmp_path / "validation").glob("*/labels.png"))
    more = prepared(replace(labeller(cache), start=file))
    assert more.before == 12
    saved = load_file(file)
    assert all(torch.allclose(more.net.state_dict()[key], saved[key].float()) for key in saved)


def test_the_recipe_is_small_and_has_seeds_of_its_own():
    recipe = find("judge-labeller")
    assert recipe.task.net == NET
    assert {one.first_seed for one in recipe.task.sources} == {LABELLER_SEED}
    net = recipe.task.build(recipe.loop).net
    assert sum(p.numel() for p in net.parameters()) <= 1_200_000
