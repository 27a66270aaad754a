"""Segmenters of streets: datasets as they come, rare classes, changed colours, generated pictures."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_family import CPU, generator, loop

from scenewright.errors import InputError
from scenewright.models.segformer import SegformerSize
from scenewright.scene import IGNORE, atomic_write, write_png
from scenewright.scene.io import grey_png_bytes
from scenewright.scene.label_space import LabelSpace
from scenewright.train.augment import Photometric, recoloured
from scenewright.train.labelled import batch
from scenewright.train.recipes import find
from scenewright.train.segformer import SegformerTraining
from scenewright.train.streets import open_pictures, rare
from scenewright.world import folders, town

SPACE = LabelSpace.of("town")
TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)
SIZE = (96, 48)


@pytest.fixture(scope="module")
def gta(tmp_path_factory):
    root = tmp_path_factory.mktemp("gta")
    folders.write_gta((town.draw(seed, size_wh=SIZE) for seed in range(6)), root)
    return root


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The published archive with pictures in one red, 19 for what is not labelled."""
    root = tmp_path_factory.mktemp("generated")
    for k in range(3):
        labels = town.draw(50 + k, size_wh=SIZE).semantic.copy()
        labels[:4] = 19
        atomic_write(root / "labels" / f"a{k}_labelTrainIds.png", grey_png_bytes(labels))
        write_png(root / "images" / f"a{k}.png", np.full((48, 96, 3), (200, 10, 10), np.uint8))
    return root


def test_datasets_of_streets_are_opened_as_they_come(gta, generated, tmp_path):
    found = open_pictures([gta, generated], SPACE)
    assert len(found) == 9
    image, labels = found.item(2)
    drawn = town.draw(2, size_wh=SIZE)
    assert np.array_equal(image, drawn.image) and np.array_equal(labels, drawn.semantic)
    assert (found.item(7)[1][:4] == IGNORE).all()
    assert len(open_pictures([gta], SPACE, 2)) == 2
    with pytest.raises(InputError, match="10 pictures were asked for"):
        open_pictures([gta, generated], SPACE, 10)
    town.draw(3, size_wh=SIZE).record().save(tmp_path, "one")
    assert len(open_pictures([tmp_path], SPACE)) == 1
    Image.fromarray(np.full((48, 96), 40, np.uint8)).save(generated / "labels" / "a9_labelTrainIds.png")
    write_png(generated / "images" / "a9.png", np.zeros((48, 96, 3), np.uint8))
    with pytest.raises(InputError, match="holds the label 40"):
        open_pictures([generated], SPACE).item(3)
    for name in ("labels/a9_labelTrainIds.png", "images/a9.png"):
        (generated / name).unlink()


def test_rare_classes_are_seen_more_often(gta):
    shown = open_pictures([gta], SPACE)
    sampled = rare(shown, 0.01, 0.002, 0.005)
    counts = [sum(one.values()) for one in shown.counts()]
    assert counts == [96 * 48] * 6
    sizes = {k: sum(one.get(k, 0) for one in shown.counts()) for k in range(19)}
    large = {k for k, n in sizes.items() if n > 0.1 * sum(sizes.values())}
    rng = np.random.default_rng(0)
    drawn = [sampled.drawn(rng) for _ in range(40)]
    assert all(image.shape == (48, 96, 3) and (labels == k).any() for image, labels, k in drawn)
    assert not {k for *_, k in drawn} & large
    plain = batch([shown], [1.0], 60, (48, 48), (1.5, 2.0), np.random.default_rng(1))["labels"]
    often = batch([sampled], [1.0], 60, (48, 48), (1.5, 2.0), np.random.default_rng(1))["labels"]
    small = [k for k, n in sizes.items() if 0 < n < 0.02 * sum(sizes.values())]
    assert np.isin(often, small).mean() > 1.3 * np.isin(plain, small).mean()


def _prepared(**changes):
    torch.manual_seed(0)
    config = SegformerTraining(
        net=TINY, vocabulary="town", things=False, size_wh=SIZE, checked=2, zoom=(1.0, 1.2), **changes
    )
    task = config.build(loop(batch_size=8))
    task.prepare(CPU, torch.float32)
    return task


def test_generated_pictures_really_appear_in_the_stated_ratio(gta, generated, tmp_path):
    task = _prepared(
        real=(gta,), synthetic=(generated,), mix=(1, 1), rare=0.01, cache=tmp_path, check=(gta,),
        colour=Photometric(chance=0.5), head_lr=10.0,
    )  # fmt: skip
    assert task.counts == {"synthetic": 3, "real": 6} and task.names == ("synthetic", "real")
    red = sets = 0
    for step in range(25):
        made = task.batch(step, 0, 1)
        is_red = (made["images"] == torch.tensor([200, 10, 10])).float().mean((1, 2, 3)) > 0.5
        assert torch.equal(is_red, made["sets"] == 0)
        red, sets = red + int(is_red.sum()), sets + len(is_red)
    assert 0.4 < red / sets < 0.6
    loss, numbers = task.loss(made, generator())
    loss.backward()
    assert float(numbers["synthetic"]) == float((made["sets"] == 0).float().mean())
    assert {group["lr_scale"] for group in task.groups()} == {1.0, 10.0}
    assert all(p.grad is not None for p in task.net.parameters())
    three = _prepared(
        real=(gta,), synthetic=(generated,), mix=(3, 1), cache=tmp_path, check=(gta,), synthetic_zoom=(1, 1)
    )
    share = np.mean([float((three.batch(step, 0, 1)["sets"] == 0).float().mean()) for step in range(40)])
    assert 0.68 < share < 0.82


def test_colours_are_changed_as_hsv_says():
    levels = torch.tensor([[0.2, 0.5, 0.9], [0.8, 0.1, 0.3], [0.4, 0.4, 0.4], [0.9, 0.7, 0.1]])
    image = (levels.T[None, :, :, None] * 2 - 1).repeat(2, 1, 1, 2)
    turned = recoloured(
        image,
        Photometric(chance=1.0, brightness=0, contrast=(1, 1), saturation=(0.5, 0.5), hue=0),
        generator(),
    )
    for row, level in zip(((turned + 1) / 2)[0, :, :, 0].T.tolist(), levels.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*level)
        assert row == pytest.approx(colorsys.hsv_to_rgb(h, s * 0.5, v), abs=1e-5)
    hue = recoloured(
        image, Photometric(chance=1.0, brightness=0, contrast=(1, 1), saturation=(1, 1), hue=18), generator()
    )
    for picture in (hue + 1) / 2:
        turns = []
        for got, level in zip(picture[:, :, 0].T.tolist(), levels.tolist(), strict=True):
            ours, was = colorsys.rgb_to_hsv(*got), colorsys.rgb_to_hsv(*level)
            assert ours[1:] == pytest.approx(was[1:], abs=1e-5)
            turns += [(ours[0] - was[0] + 0.5) % 1 - 0.5] if was[1] else []
        assert max(turns) - min(turns) < 1e-4 and abs(turns[0]) <= 0.1
    assert recoloured(image, Photometric(), generator()) is image
    strong = recoloured(image, Photometric(chance=0.5), generator())
    assert strong.min() >= -1 and strong.max() <= 1 and not torch.equal(strong[0], strong[1])


def test_settings_that_cannot_be():
    base = SegformerTraining(vocabulary="town", things=False, real=("x",))
    for changes in (
        {"rare": -1.0},
        {"colour": Photometric(chance=2)},
        {"head_lr": 0.0},
        {"synthetic_zoom": (2, 1)},
    ):
        with pytest.raises(InputError, match=r"rare is|zoom is|head_lr is"):
            replace(base, **changes).build(loop())


def test_published_settings():
    recipe = find("streets-b5")
    task, how = recipe.task, recipe.loop
    assert (how.steps, how.batch_size, how.lr, how.warmup_steps, how.schedule) == (
        40_000,
        2,
        6e-5,
        1500,
        "linear",
    )
    assert (task.colour.chance, task.colour.hue, task.head_lr, task.mix) == (0.5, 18.0, 10.0, (1.0, 1.0))
    assert task.net.depths == (3, 6, 40, 3) and task.net.decoder == 768
    assert find("nano-streets").task.rare == 0.01
