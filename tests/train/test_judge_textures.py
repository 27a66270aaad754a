"""The detector's network for textures: what it is trained on, how it is put into the detector."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import CPU, loop

from scenewright.errors import InputError
from scenewright.models.judges.detecting import detect
from scenewright.models.judges.detector import Detector, DetectorConfig
from scenewright.models.judges.layers import signal
from scenewright.models.judges.store import load_judge, save_judge
from scenewright.train import Recipe, run
from scenewright.train.annotated import AnnotatedSource, draw
from scenewright.train.detector import toy_labels
from scenewright.train.textures import TextureTraining, fitted_mix, texture_figures

SMALL = DetectorConfig(channels=(8, 8, 16, 16, 16), blocks=(1, 1, 1, 1), neck=16, prototypes=4, reader=16)
TOYS = AnnotatedSource(count=16, size_wh=(64, 64), things=(3, 6))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    torch.manual_seed(0)
    net = Detector(SMALL, toy_labels())
    net.locate.bias.data[0] = 0.0  # as if it saw something everywhere
    path = tmp_path_factory.mktemp("detector") / "first.safetensors"
    notes = {"recipe": "judge-detector"}
    return save_judge(path, net, kind="detector", config=SMALL, labels=net.labels, notes=notes)


def config(cache, detector, **changes):
    wanted = {"detector": detector, "width": 16, "sources": (TOYS,), "cache": cache, "checked": 6}
    return TextureTraining(**{**wanted, "held_out": 3, **changes})


def test_boxes_are_around_things_and_textures_are_frequent(cache, detector):
    task = config(cache, detector, cut=0.0).build(loop(batch_size=16))
    task.prepare(CPU, torch.float32)
    batch = task.batch(0, 0, 1)
    assert batch["boxes_BR4"].shape == (16, 10, 4) and (batch["texture_BR"] >= 0).all()
    assert torch.equal(task.batch(0, 0, 1)["boxes_BR4"], batch["boxes_BR4"])
    drawn = [texture >= 0 for item in task.pictures.items for texture in item.textures]
    asked = (batch["texture_BR"] > 0).float().mean()
    assert asked > np.mean(drawn) + 0.1
    sides = batch["boxes_BR4"][..., 2:] - batch["boxes_BR4"][..., :2]
    assert sides.min() > 4 and sides.max() < 90


def test_the_worth_of_two_opinions():
    """An opinion that is noise counts nothing; logits that are twice too large are halved."""
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(6000, 9)), dtype=torch.float32)
    textures = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    noise = torch.tensor(rng.normal(size=(6000, 9)), dtype=torch.float32)
    mix = fitted_mix(noise, 2 * logits, textures, 1.0)
    assert mix.tolist() == pytest.approx([0.0, 0.5, 0.0], abs=0.08)
    shifted = logits.clone()
    shifted[:, 0] -= 1.5
    assert fitted_mix(noise, shifted, textures, 1.0)[2].item() == pytest.approx(1.5, abs=0.15)
    assert fitted_mix(noise, logits, textures, 0.3)[2].item() < -0.8


def test_figures_by_hand():
    logits = torch.tensor([[5.0, 1.0, 0.0], [0.0, 1.0, 5.0], [5.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    found = texture_figures(logits, torch.tensor([1, 2, 0, 0]))
    assert found == {"texture": 0.5, "named": 1.0, "plain": 0.5}


def test_the_export_is_the_detector_with_an_opinion_more(cache, detector, tmp_path):
    task = config(cache, detector)
    training = loop(steps=20, batch_size=8, lr=4e-3, ema_decay=0.5, log_every=5, validate_every=20)
    recipe = Recipe(name="judge", task=task, loop=replace(training, optimiser="muon"))
    assert run(recipe, tmp_path)["finished"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"texture", "named", "plain"} == set(lines[-1]["validation"])
    path = tmp_path / "export" / "detector.safetensors"
    before, after = load_judge(detector), load_judge(path, kind="detector")
    assert after.net.config == replace(SMALL, grain=16) and after.id != before.id
    assert after.header.notes["recipe"] == "judge-detector"
    assert after.header.notes["textures"]["samples"] == 160
    image = draw(TOYS, 0).image
    first, second = (detect(one.net, [image], least=0.0)[0] for one in (before, after))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):  # nothing else has changed
        assert (a.category, a.box, a.score) == (b.category, b.box, b.score)
        assert a.attributes["colour"] == b.attributes["colour"]
    with pytest.raises(InputError, match="has a network for textures already"):
        config(cache, path).build(loop()).export(tmp_path)


def test_readings_are_the_mix_of_both(detector):
    torch.manual_seed(1)
    net = Detector(replace(SMALL, grain=16), toy_labels()).eval()
    net.textures.mix.copy_(torch.tensor([0.5, 2.0, -1.0]))
    image = signal(torch.from_numpy(draw(TOYS, 0).image.copy())[None])
    boxes = torch.tensor([[[4.0, 4.0, 40.0, 30.0], [10.0, 10.0, 60.0, 50.0]]])
    maps = net.maps(image)
    first = net.read(maps._replace(grain_BChw=None), boxes).textures_BRK
    own = net.textures.read(net.textures.look(image), boxes, (64, 64))
    wanted = 0.5 * first + 2.0 * own
    wanted[..., 0] -= 1.0
    assert torch.allclose(net.read(maps, boxes).textures_BRK, wanted, atol=1e-5)
