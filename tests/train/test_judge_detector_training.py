"""The detector's training: losses by hand, targets of cells, figures of perfect findings, a run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import CPU, generator, loop
from torch.nn import functional as nnf

from scenewright.evaluate.findings import Finding
from scenewright.models.judges.detecting import detect
from scenewright.models.judges.detector import DetectorConfig, Maps, Readings
from scenewright.models.judges.store import load_judge
from scenewright.train import Recipe, run
from scenewright.train.annotated import AnnotatedSource, draw
from scenewright.train.augment import Disturbance
from scenewright.train.detector import (
    DetectorTraining,
    mask_loss,
    place_losses,
    reading_losses,
    toy_labels,
)
from scenewright.train.toy_figures import attribute_figures, detector_sheet, pairs_of

SMALL = DetectorConfig(channels=(8, 8, 16, 16, 16), blocks=(1, 1, 1, 1), neck=16, prototypes=4, reader=16)
TOYS = AnnotatedSource(count=16, size_wh=(64, 64), things=(1, 4))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def config(cache, **changes):
    wanted = {"net": SMALL, "sources": (TOYS,), "cache": cache, "checked": 4, "held_out": 3}
    return DetectorTraining(**{**wanted, **changes})


def prepared(cache, **changes):
    torch.manual_seed(0)
    task = config(cache, **changes).build(loop(batch_size=4))
    task.prepare(CPU, torch.float32)
    return task


def flat_maps(boxes_hw4, middle=0.0):
    """Maps of 16 x 16 cells."""
    middle_Bhw = torch.full((1, 16, 16), middle)
    return Maps(torch.zeros(1, 16, 16, 16), torch.zeros(1), middle_Bhw, boxes_hw4[None], torch.zeros(1))


def test_cells_in_the_middle_see_the_smallest_thing():
    big, small = [0.0, 0.0, 64.0, 64.0], [26.0, 26.0, 38.0, 38.0]  # one middle: 32, 32
    seen = torch.tensor(big).expand(16, 16, 4).clone()
    seen[7:9, 7:9] = torch.tensor(small)  # the middles at 26 and 38 are on its edge
    true = torch.tensor([[big, small, [0.0, 0.0, 9.0, 9.0]]])
    real = torch.tensor([[True, True, False]])
    found = place_losses(flat_maps(seen), true, real, radius=1.5)
    assert found["box"].item() == pytest.approx(0.0, abs=1e-5)  # every positive cell sees what it should
    wide = place_losses(flat_maps(seen), true, real, radius=4.0)
    assert wide["box"].item() == pytest.approx(0.0, abs=1e-5)  # big where small does not hold the cell
    assert place_losses(flat_maps(seen), true, ~real & False, 1.5)["box"].item() == 0.0


def test_the_score_of_a_cell_is_trained_to_be_the_iou():
    true = torch.tensor([[[16.0, 16.0, 32.0, 32.0]]])
    seen = torch.tensor([16.0, 16.0, 32.0, 24.0]).expand(16, 16, 4)  # IoU 0.5
    found = place_losses(flat_maps(seen, 1.0), true, torch.tensor([[True]]), radius=0.6)
    chance = 1 / (1 + math.exp(-1.0))
    positive = (chance - 0.5) ** 2 * -(0.5 * math.log(chance) + 0.5 * math.log(1 - chance))
    negative = chance**2 * -math.log(1 - chance)
    wanted = (4 * positive + 252 * negative) / 4  # the four cells around the middle
    assert found["place"].item() == pytest.approx(wanted, rel=1e-5)
    assert found["box"].item() == pytest.approx(0.5)


def test_reading_losses_by_hand():
    torch.manual_seed(0)
    read = Readings(*(torch.randn(1, 3, k) for k in (5, 8, 9)), torch.randn(1, 3), torch.rand(1, 3, 4), None)
    read.boxes_BR4[..., 2:] += 1.0
    batch = {
        "thing_BR": torch.tensor([[1, -1, 0]]),
        "class_BG": torch.tensor([[2, 4]]),
        "colour_BG": torch.tensor([[7, 0]]),
        "texture_BG": torch.tensor([[-1, 3]]),
        "true_BG4": read.boxes_BR4[:, [2, 0]],  # the corrected boxes are right
    }
    found = reading_losses(read, batch)

    def cross(logits, kind):
        return -logits.log_softmax(0)[kind].item()

    wanted = (cross(read.classes_BRK[0, 0], 4) + cross(read.classes_BRK[0, 2], 2)) / 2
    assert found["class"].item() == pytest.approx(wanted, rel=1e-5)
    wanted = (cross(read.colours_BRK[0, 0], 0) + cross(read.colours_BRK[0, 2], 7)) / 2
    assert found["colour"].item() == pytest.approx(wanted, rel=1e-5)
    wanted = (cross(read.textures_BRK[0, 0], 4) + cross(read.textures_BRK[0, 2], 0)) / 2  # 0 is plain
    assert found["texture"].item() == pytest.approx(wanted, rel=1e-5)
    assert found["fix"].item() == pytest.approx(0.0, abs=1e-5)
    fits = nnf.binary_cross_entropy_with_logits(read.quality_BR, torch.tensor([[1.0, 0.0, 1.0]]))
    assert found["quality"].item() == pytest.approx(fits.item(), rel=1e-4)


def test_the_right_mask_costs_nothing():
    numbers = torch.zeros(1, 32, 32, dtype=torch.uint8)
    numbers[0, 8:24, 4:12] = 2
    prototypes = torch.zeros(1, 2, 16, 16)
    prototypes[0, 0] = -1.0
    prototypes[0, 0, 4:12, 2:6] = 1.0
    prototypes[0, 1] = torch.randn(16, 16)
    batch = {
        "numbers_BHW": numbers,
        "thing_BR": torch.tensor([[1, -1]]),
        "true_BG4": torch.tensor([[[0.0, 0, 0, 0], [4.0, 8.0, 12.0, 24.0]]]),
    }
    right = torch.tensor([[[30.0, 0.0], [0.0, 9.0]]])
    assert mask_loss(prototypes, right, batch).item() == pytest.approx(0.0, abs=1e-3)
    assert mask_loss(prototypes, -right, batch).item() > 10
    nothing = {**batch, "thing_BR": torch.tensor([[-1, -1]])}
    assert mask_loss(prototypes, right, nothing).item() == 0.0


def test_batches_are_functions_of_the_step(cache):
    task = prepared(cache)
    first, again, other = task.batch(0, 0, 1), task.batch(0, 0, 1), task.batch(1, 0, 1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["image_BHW3"], other["image_BHW3"])
    assert first["boxes_BR4"].shape == (4, 8, 4)


def test_forty_steps_learn_sixteen_pictures(cache, tmp_path):
    task = config(cache, disturbance=Disturbance(blur=0, coarse=0, noise=0, tint=0, contrast=0), cut=0.0)
    training = loop(steps=40, batch_size=8, lr=5e-3, ema_decay=0.5, log_every=5, validate_every=40)
    recipe = Recipe(name="judge", task=task, loop=replace(training, optimiser="muon", clip_norm=10.0))
    summary = run(recipe, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, last = lines[0], [line for line in lines if "box" in line][-1]
    assert last["box"] < 0.8 * first["box"] and last["mask"] < 0.9 * first["mask"]
    assert last["colour"] < first["colour"]
    figures = next(line["validation"] for line in lines if "validation" in line)
    assert {"box_AP50", "mask_AP", "class", "colour", "texture", "plain"} <= set(figures)
    assert list(tmp_path.rglob("found-*.png")) and summary["finished"]
    judge = load_judge(tmp_path / "export" / "detector.safetensors", kind="detector")
    assert judge.net.labels == toy_labels() and "box_AP50" in judge.header.ceilings
    assert judge.header.notes["samples"] == 320
    assert len(detect(judge.net, [draw(TOYS, 0).image])) == 1


def drawn_findings(number=4):
    """Pictures and exactly what is in them, as if found."""
    drawn = [draw(TOYS, k) for k in range(number)]
    found = []
    for one in drawn:
        things = []
        for thing in one.scene.instances:
            facts = thing.extra["toybox"]
            looks = {key: facts[key] for key in ("colour", "texture") if facts[key]}
            things.append(Finding(thing.category, 0.9, thing.box, thing.mask, looks))
        found.append(tuple(things))
    return drawn, found


def test_perfect_findings_have_perfect_figures(tmp_path):
    drawn, found = drawn_findings()
    figures, wrong = attribute_figures(pairs_of(drawn, found, toy_labels()))
    assert figures == {"found": 1.0, "spare": 0.0, "class": 1.0, "colour": 1.0, "texture": 1.0, "plain": 1.0}
    assert not wrong
    detector_sheet(drawn, found, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_each_mistake_lowers_its_own_figure():
    drawn, found = drawn_findings()
    number = sum(len(one) for one in found)
    first = found[0][0]
    other = next(kind for kind in toy_labels()["classes"] if kind != first.category)
    for changed, lowered in (
        (replace(first, category=other), "class"),
        (replace(first, attributes={**first.attributes, "colour": "mauve"}), "colour"),
        (replace(first, score=0.1), "found"),
    ):
        figures, wrong = attribute_figures(
            pairs_of(drawn, [(changed, *found[0][1:]), *found[1:]], toy_labels())
        )
        wanted = (number - 1) / number
        assert figures[lowered] == pytest.approx(wanted)
        assert all(figures[key] == 1.0 for key in ("class", "colour", "texture", "plain") if key != lowered)
        assert len(wrong) == (lowered != "found")
    doubled = [(*found[0], first), *found[1:]]
    assert attribute_figures(pairs_of(drawn, doubled, toy_labels()))[0]["spare"] == pytest.approx(1 / number)


def test_an_epoch_shows_every_picture_once(cache):
    task = prepared(cache)
    seen = np.concatenate([task.batch(step, 0, 1)["class_BG"].numpy()[:, 0] for step in range(4)])
    assert len(seen) == 16
    assert sorted(seen) == sorted(item.classes[0] for item in task.pictures.items) or (seen == -1).any()


def test_loss_names_its_parts(cache):
    task = prepared(cache)
    total, parts = task.loss(task.batch(0, 0, 1), generator())
    assert set(parts) == {"place", "box", "class", "colour", "texture", "fix", "quality", "mask"}
    weights = {"colour": 0.5, "texture": 1.5}
    assert total.item() == pytest.approx(sum(weights.get(k, 1.0) * float(v) for k, v in parts.items()))
