"""The verifier's training: what boxes are asked about, losses by hand, figures, a run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import loop

from scenewright.models.judges.store import load_judge
from scenewright.models.judges.verifier import Answers, VerifierConfig
from scenewright.models.judges.verifying import verify
from scenewright.scene import Box
from scenewright.train import Recipe, run
from scenewright.train.annotated import AnnotatedSource, draw, open_annotated
from scenewright.train.verifier import (
    VerifierTraining,
    answer_losses,
    asked_boxes,
    fitted_temperatures,
    verifier_figures,
)

SMALL = VerifierConfig(side=32, channels=(8, 16, 16, 16), width=32)
TOYS = AnnotatedSource(count=16, size_wh=(64, 64), things=(2, 5))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_what_is_true_of_a_box(cache):
    pictures = open_annotated([TOYS], cache)
    index = np.arange(16)
    batch = asked_boxes(pictures, index, 8, np.random.default_rng(0), cut=0.0)
    images, doubtful, fitting = pictures.images(index), 0, 0
    for b, item in enumerate(pictures.items):
        same = (batch["image_BHW3"][b].numpy() == images[b]).all()
        things = [Box(*box if same else (1 - box[2], box[1], 1 - box[0], box[3])) for box in item.boxes]
        for r, corners in enumerate(batch["boxes_BR4"][b].tolist()):
            given = np.array(corners)
            fits = [slow_iou(given, np.array(one.xyxy)) for one in things]
            best = int(np.argmax(fits))
            assert batch["fit_BR"][b, r].item() == pytest.approx(fits[best], abs=1e-4)
            about = fits[best] >= 0.25
            assert batch["class_BR"][b, r] == (item.classes[best] if about else -1)
            assert batch["texture_BR"][b, r] == (item.textures[best] + 1 if about else -1)
            wanted = np.zeros(38)
            for k in set(item.classes):
                most = max(fit for fit, kind in zip(fits, item.classes, strict=True) if kind == k)
                wanted[k] = -1 if abs(most - 0.5) < 0.05 else most > 0.5
            assert (batch["here_BRK"][b, r].numpy() == wanted).all()
            doubtful, fitting = doubtful + (wanted < 0).sum(), fitting + (wanted > 0).sum()
    assert 0 < doubtful < 32 and 32 < fitting < 110  # of 128 boxes


def slow_iou(a, b):
    side = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    sizes = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
    return side.prod() / (sizes - side.prod())


def three_boxes():
    """Answers about three boxes of two classes, and what is true."""
    torch.manual_seed(0)
    answers = Answers(*(torch.randn(3, k) for k in (2, 2, 4, 3)), torch.tensor([0.9, 0.5, 0.1]))
    asked = {
        "here_BRK": torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]),
        "class_BR": torch.tensor([0, 0, -1]),
        "colour_BR": torch.tensor([3, 1, -1]),
        "texture_BR": torch.tensor([0, 2, -1]),
        "fit_BR": torch.tensor([0.8, 0.5, 0.0]),
    }
    return answers, asked


def test_losses_by_hand():
    answers, asked = three_boxes()
    found = answer_losses(answers, asked)
    chance = answers.here_NK.sigmoid()
    here = -(chance[0, 0].log() + (1 - chance[0, 1]).log() + (1 - chance[1, 1]).log())
    here = (here - (1 - chance[2]).log().sum()) / 3
    assert found["here"].item() == pytest.approx(here.item(), rel=1e-5)
    kinds = answers.classes_NK.log_softmax(1)
    assert found["class"].item() == pytest.approx(-(kinds[0, 0] + kinds[1, 0]).item() / 2, rel=1e-5)
    looks = answers.textures_NK.log_softmax(1)
    assert found["texture"].item() == pytest.approx(-(looks[0, 0] + looks[1, 2]).item() / 2, rel=1e-5)
    p, q = np.array([0.9, 0.5, 0.1]), np.array([0.8, 0.5, 0.0])
    fit = -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()
    assert found["fit"].item() == pytest.approx(fit, rel=1e-4)


def test_figures_by_hand():
    _, asked = three_boxes()
    sure = Answers(
        torch.tensor([[5.0, -5.0], [5.0, -5.0], [-5.0, -5.0]]),
        torch.tensor([[5.0, 0.0], [5.0, 0.0], [0.0, 5.0]]),
        10 * torch.nn.functional.one_hot(torch.tensor([3, 0, 2]), 4).float(),
        10 * torch.nn.functional.one_hot(torch.tensor([1, 2, 0]), 3).float(),
        torch.tensor([0.7, 0.5, 0.9]),
    )
    asked["fit_BR"] = torch.tensor([0.8, 0.6, 0.0])
    found = verifier_figures(sure, asked)
    assert (found["class"], found["colour"]) == (1.0, 0.5)
    assert (found["texture"], found["plain"]) == (1.0, 0.0)
    assert found["here"] == 1.0 and found["fit_error"] == pytest.approx(0.1)


def test_temperatures_make_probabilities_true():
    """Logits that are three times too large are divided by three."""
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(4000, 5)), dtype=torch.float32)
    kinds = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    here = (torch.rand(4000, 5, generator=torch.Generator().manual_seed(1)) < logits.sigmoid()).float()
    asked = {"here_BRK": here, "fit_BR": torch.ones(4000)}
    asked |= {f"{name}_BR": kinds for name in ("class", "colour", "texture")}
    answers = Answers(3 * logits, 3 * logits, 3 * logits, logits, torch.full((4000,), 0.9))
    found = fitted_temperatures(answers, asked)
    assert found[:3] == pytest.approx([3.0] * 3, rel=0.1) and found[3] == pytest.approx(1.0, rel=0.1)


def test_thirty_steps_and_the_export(cache, tmp_path):
    task = VerifierTraining(net=SMALL, sources=(TOYS,), cache=cache, checked=4, held_out=3)
    training = loop(steps=30, batch_size=8, lr=3e-3, ema_decay=0.5, log_every=5, validate_every=30)
    recipe = Recipe(name="judge", task=task, loop=replace(training, optimiser="muon", clip_norm=10.0))
    assert run(recipe, tmp_path)["finished"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, last = lines[0], [line for line in lines if "colour" in line][-1]
    assert last["colour"] < first["colour"] and last["loss"] < first["loss"]
    assert list(tmp_path.rglob("crops-*.png"))
    judge = load_judge(tmp_path / "export" / "verifier.safetensors", kind="verifier")
    assert {"class", "colour", "texture", "here", "fit_error"} <= set(judge.header.ceilings)
    assert judge.header.notes["samples"] == 30 * 8 * 4
    drawn = draw(TOYS, 0)
    verdict = verify(judge.net, drawn.image, [drawn.scene.instances[0].box])[0]
    assert 0 < verdict.agrees(drawn.scene.instances[0].category) < 1
