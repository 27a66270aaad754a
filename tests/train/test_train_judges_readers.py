"""Training of the judges that read pictures: exact batches, losses by hand, files that load, resume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_family import CPU, generator, loop

from scenewright.errors import ModelError
from scenewright.models.judges.looks import LooksConfig
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.judges.store import load_judge
from scenewright.train import Recipe, run
from scenewright.train.annotated import CHECK_SEED, JUDGE_SEED, AnnotatedSource
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.ceilings import calibration_error, class_iou, confusion, drawn_held_out
from scenewright.train.looks import LooksTaskConfig, mixed
from scenewright.train.recipes import find
from scenewright.train.segmenter import SegmenterTaskConfig, soft_jaccard_loss
from scenewright.world import town

STREETS = AnnotatedSource(world="town", count=12, size_wh=(64, 32))
SMALL = {"source": STREETS, "probe": 6, "held_out": 6}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def looks(cache):
    return LooksTaskConfig(net=LooksConfig(channels=(8, 8), size_wh=(32, 16)), cache=cache, **SMALL)


def segmenter(cache):
    net = SegmenterConfig(channels=(8, 8, 8, 8), fine_channels=4)
    return SegmenterTaskConfig(net=net, cache=cache, **SMALL)


def prepared(config):
    torch.manual_seed(0)
    task = config.build(loop(batch_size=4))
    task.prepare(CPU, torch.float32)
    return task


@pytest.mark.parametrize("make", [looks, segmenter])
def test_batches_are_functions_of_the_step(make, cache):
    task = prepared(make(cache))
    first, again, other = task.batch(3, 0, 1), task.batch(3, 0, 1), task.batch(4, 0, 1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["images"], other["images"])


@pytest.mark.parametrize("make", [looks, segmenter])
def test_everything_that_is_trained_gets_a_gradient(make, cache):
    task = prepared(make(cache))
    loss, numbers = task.loss(task.batch(0, 0, 1), generator())
    loss.backward()
    assert all(p.grad is not None for p in task.net.parameters()) and 0 <= numbers["right"] <= 1


@pytest.mark.parametrize(("make", "kind"), [(looks, "looks"), (segmenter, "segmenter")])
def test_a_run_ends_in_a_judge(make, kind, cache, tmp_path):
    training = loop(steps=3, optimiser="muon", validate_every=3, log_every=1)
    run(Recipe(name=kind, task=make(cache), loop=training), tmp_path)
    judge = load_judge(tmp_path / "export" / f"{kind}.safetensors", kind=kind)
    assert judge.header.notes["samples"] == 12 and judge.header.notes["held_out"] == "town-1, first 6"
    figure = {"looks": "look", "segmenter": "miou"}[kind]
    assert 0 <= judge.header.ceilings[figure] <= 1 and f"{figure}.fog" in judge.header.ceilings
    assert list((tmp_path / "validation").glob("*/*.png"))


def test_a_resumed_run_equals_an_uninterrupted_one(cache, tmp_path):
    recipe = Recipe(name="segmenter", task=segmenter(cache), loop=loop(steps=4, save_every=2, log_every=1))
    run(recipe, tmp_path / "whole")
    run(replace(recipe, loop=replace(recipe.loop, steps=2, decay_steps=4)), tmp_path / "part")
    run(replace(recipe, loop=replace(recipe.loop, decay_steps=4)), tmp_path / "part", resume=True)
    files = [tmp_path / name / "export" / "segmenter.safetensors" for name in ("whole", "part")]
    whole, part = (load_file(file) for file in files)
    assert whole.keys() == part.keys() and all(torch.equal(whole[key], part[key]) for key in whole)


def test_training_goes_on_from_an_export(cache, tmp_path):
    task = prepared(segmenter(cache))
    task.export(tmp_path)
    more = prepared(replace(segmenter(cache), start=tmp_path / "segmenter.safetensors"))
    ours, theirs = task.net.state_dict(), more.net.state_dict()
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-3) for key in ours)
    assert more.before == task.loop.steps * task.loop.batch_size
    with pytest.raises(ModelError):
        prepared(replace(segmenter(cache), start=tmp_path / "nothing.safetensors"))


def test_the_recipes_use_seeds_of_their_own():
    for name in ("judge-looks", "judge-segmenter"):
        task = find(name).task
        assert task.source.first_seed == JUDGE_SEED and task.source.count < 200_000
    clip = find("judge-clip").task
    assert clip.toybox.first_seed == clip.town.first_seed == JUDGE_SEED
    assert CHECK_SEED + 10_000 < 200_000


@pytest.mark.parametrize("name", ["judge-segmenter", "judge-clip"])
def test_second_stages_start_from_what_the_first_exports(name):
    first, second = find(name), find(f"{name}-2")
    kind = name.removeprefix("judge-")
    assert first.task.start is None
    assert second.task.start.parts[-3:] == (name, "export", f"{kind}.safetensors")
    assert second.loop.lr < first.loop.lr and second.loop.batch_size == first.loop.batch_size


def test_held_out_pictures_are_those_of_the_protocol():
    first, second = drawn_held_out("town-1", 2)
    assert (first.scene.seed, first.scene.style) == (210_000, "game")
    assert (second.scene.seed, second.scene.style) == (210_001, "clear")
    (toys,) = drawn_held_out("toybox-1", 1)
    assert toys.scene.seed == 200_000


def test_mixtures_keep_at_least_half_of_themselves():
    image_BCHW = torch.arange(6.0)[:, None, None, None].expand(6, 3, 2, 2)
    look_B = torch.arange(6)
    blended, share_BK = mixed(image_BCHW, look_B, generator())
    assert torch.equal(blended[:3], image_BCHW[:3]) and torch.equal(share_BK[:3], torch.eye(6)[:3])
    assert torch.allclose(share_BK.sum(1), torch.ones(6)) and bool((share_BK.diagonal() >= 0.5).all())
    places = torch.arange(6.0)
    assert torch.allclose(blended[:, 0, 0, 0], share_BK @ places, atol=1e-5)


def test_disturbances_are_small_and_can_be_turned_off():
    image_BCHW = torch.rand(8, 3, 16, 16) * 1.6 - 0.8
    none = Disturbance(blur=0.0, coarse=0.0, noise=0.0, tint=0.0, contrast=0.0)
    assert torch.allclose(disturbed(image_BCHW, none, generator()), image_BCHW, atol=1e-6)
    out = disturbed(image_BCHW, Disturbance(), generator())
    assert out.shape == image_BCHW.shape and bool((out.abs() <= 1).all())
    assert torch.equal(out, disturbed(image_BCHW, Disturbance(), generator()))
    shift = (out.mean((2, 3)) - image_BCHW.mean((2, 3))).abs().max()
    assert 0 < shift < 0.06 + 0.1 * 0.8 + 0.03
    flat = torch.full((4, 3, 8, 8), 0.25)
    plain = Disturbance(noise=0.0, tint=0.0, contrast=0.0)
    assert torch.allclose(disturbed(flat, plain, generator()), flat, atol=1e-6)  # blur keeps flat areas


def test_jaccard_of_sure_labels_is_that_of_the_confusion():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 4, (2, 1, 8, 8)).astype(np.uint8)
    logits = 100.0 * torch.nn.functional.one_hot(torch.from_numpy(found).long(), 5).permute(0, 3, 1, 2)
    loss = soft_jaccard_loss(logits.float(), torch.from_numpy(truth).long())
    wanted = class_iou(confusion(truth[0], found[0], 5))
    assert float(loss) == pytest.approx(1 - np.nanmean(wanted[:4]), abs=1e-4)
    assert np.isnan(wanted[4])  # neither there nor found
    nothing = torch.full((1, 8, 8), 255)
    assert float(soft_jaccard_loss(logits.float(), nothing)) == 0.0


def test_jaccard_of_doubtful_labels_by_a_loop_with_pixels_that_do_not_count():
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(size=(2, 3, 4, 4))).requires_grad_()
    truth = rng.choice([0, 1, 2, 9], (2, 4, 4))
    share = logits.detach().softmax(1).numpy()
    scores = []
    for k in range(3):
        is_k, counted = truth == k, truth != 9
        both = share[:, k][is_k].sum()
        scores.append(both / (is_k.sum() + share[:, k][counted].sum() - both))
    loss = soft_jaccard_loss(logits, torch.from_numpy(truth), ignore=9)
    assert float(loss) == pytest.approx(1 - np.mean(scores))
    loss.backward()
    assert bool((logits.grad.abs().sum((1,))[torch.from_numpy(truth != 9)] > 0).all())
    assert float(logits.grad.abs().sum((1,))[torch.from_numpy(truth == 9)].sum()) == 0.0


def test_confusion_by_hand():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    found = np.array([[0, 1, 1, 0]], np.uint8)
    counts = confusion(truth, found, 2)
    assert counts.tolist() == [[1, 1], [0, 1]]
    assert class_iou(counts).tolist() == [0.5, 0.5]


def test_calibration_error_by_hand():
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0
    sure, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False])
    assert calibration_error(sure, right) == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)


def test_the_town_has_the_labels_that_are_trained(cache):
    task = prepared(segmenter(cache))
    assert task.net.names == town.CLASSES and len(task.weight_K) == 19
    counted = task.batch(0, 0, 1)["labels"]
    assert int(counted.max()) < 19
