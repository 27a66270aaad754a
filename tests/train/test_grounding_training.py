"""Training a grounding head: what reaches the loss, resuming, validation, the exported file, the recipes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_family import CPU, generator, loop, model_folder

from scenewright.data.latents import StoredLatent, latent_path
from scenewright.errors import InputError
from scenewright.evaluate.splits import class_split
from scenewright.flows.head_inputs import HeadReader, gather, logits
from scenewright.flows.masked import read_masked
from scenewright.models.adapter import read_header
from scenewright.models.heads import load_head
from scenewright.models.load import load_bundle
from scenewright.scene import read_image
from scenewright.train import Recipe, override, run
from scenewright.train.grounding import GroundingTaskConfig, HeadProbe, HeadSizes
from scenewright.train.mask_losses import LOSSES, mask_loss
from scenewright.train.recipes import find
from scenewright.world import toybox

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")

SIZES = HeadSizes(reduced=(4, 4, 4, 4), width=16, heads=2, layers=1, hidden=16, dropout=0.1)
SEEN, UNSEEN = ("cat", "dog", "boat"), "car"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "tiny")


def drawings(folder: Path, classes, count=4, first=0, size_px=64) -> Path:
    for k in range(count):
        drawn = toybox.draw(first + k, classes=classes, count=(1, 2), size_px=size_px)
        drawn.record().save(folder, f"{classes[0]}{k}")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory, model):
    """Four pictures of seen classes with latents, two that show an unseen one."""
    folder = drawings(tmp_path_factory.mktemp("data"), SEEN)
    drawings(folder, (UNSEEN, "cat"), 2, first=40)
    backbone, rng = load_bundle(str(model), "cpu", "float32").backbone, np.random.default_rng(0)
    for path in folder.glob("*.png"):
        z_Chw = rng.standard_normal((4, 16, 16)).astype(np.float16)
        StoredLatent(
            z_Chw=z_Chw, timestep=1.0, step=9, steps=10, seed=0, guidance=2.0, scheduler="DDIMScheduler",
            fingerprint=backbone.fingerprint,
        ).write(latent_path(path))  # fmt: skip
    return folder


def config(model, **changes) -> GroundingTaskConfig:
    wanted = {"seen": SEEN, "head": SIZES, "probe": HeadProbe(renders=0), "steps": 10, **changes}
    return GroundingTaskConfig(backbone=str(model), **wanted)


def prepared(model, batch_size=2, **changes):
    task = config(model, **changes).build(loop(batch_size=batch_size))
    task.prepare(CPU, torch.float32)
    return task


def test_unseen_classes_never_enter(model, data, capsys):
    task = prepared(model, data=(data,))
    assert len(task.pictures) == 4 and task.count == 4
    assert {name for one in task.pictures for name in one.classes} <= set(SEEN)
    asked = {name for step in range(8) for row in task.batch(step, 0, 1).gathered.classes for name in row}
    assert asked <= set(SEEN)
    assert "2 of 6 pictures show unseen classes" in capsys.readouterr().err


def test_an_epoch_has_every_picture_once_and_batches_are_functions_of_the_step(model, data):
    task = prepared(model, data=(data,))
    names = [name for step in range(2) for name in task.batch(step, 0, 1).gathered.prompts]
    assert sorted(names) == sorted(one.prompt for one in task.pictures)
    one, again = task.batch(5, 0, 1), task.batch(5, 0, 1)
    assert one.gathered.classes == again.gathered.classes and torch.equal(one.targets, again.targets)
    assert torch.equal(one.gathered.latent.z_BChw, again.gathered.latent.z_BChw)
    assert one.gathered.prompts != task.batch(5, 1, 2).gathered.prompts


def test_targets_are_the_masks_of_what_is_asked_for_and_empty_for_what_is_absent(model, data):
    task = prepared(model, data=(data,), absent=1)
    batch = task.batch(0, 0, 1)
    place = {one.prompt: one for one in task.pictures}
    for prompt, row, target_KHW in zip(
        batch.gathered.prompts, batch.gathered.classes, batch.targets, strict=True
    ):
        one = place[prompt]
        assert set(one.classes) < set(row) and len(row) == len(one.classes) + 1
        for name, target_HW in zip(row, target_KHW, strict=False):
            wanted_HW = one.only([name]).truth().any(axis=0) if name in one.classes else np.zeros((64, 64))
            assert np.array_equal(target_HW.numpy(), wanted_HW)
        assert not target_KHW[len(row) :].any()


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_is_the_mean_over_the_masks(model, data, kind):
    task = prepared(model, data=(data,), loss=kind, head=replace(SIZES, dropout=0.0))
    batch = task.batch(1, 0, 1)
    task.head.eval()
    loss, logged = task.loss(batch, generator())
    found_BKHW = logits(task.head, task.reader.read(batch.gathered))
    each = [
        mask_loss(kind, found_BKHW[b, k][None], batch.targets[b, k][None]).item()
        for b, row in enumerate(batch.gathered.classes)
        for k in range(len(row))
    ]
    assert loss.item() == pytest.approx(np.mean(each), rel=1e-5)
    assert 0 <= logged["iou"] <= 1
    loss.backward()
    assert all(p.grad is not None for name, p in task.head.named_parameters() if "refinement" not in name)
    assert not any(p.grad is not None for p in task.backbone.unet.parameters())


def test_drawings_on_the_fly(model):
    task = prepared(model, renders=6, head=replace(SIZES, attention=True))
    batch = task.batch(0, 0, 1)
    assert batch.gathered.latent is None and batch.gathered.image_BHW3.shape == (2, 128, 128, 3)
    assert {name for row in batch.gathered.classes for name in row} <= set(SEEN)
    assert task.head.config.attention == 3
    loss, _ = task.loss(batch, generator())
    assert torch.isfinite(loss)
    later = task.batch(3, 0, 1)  # the second epoch: the same pictures with other noise
    assert set(later.gathered.prompts) <= {p for s in range(3) for p in task.batch(s, 0, 1).gathered.prompts}
    assert later.gathered.seeds != batch.gathered.seeds


def recipe(model, data, **loop_changes) -> Recipe:
    ends = {"steps": 6, "batch_size": 2, "lr": 1e-2, "save_every": 3, "log_every": 1, **loop_changes}
    task = config(model, data=(data,), probe=HeadProbe(data=(data,), shown=2, batch=3))
    return Recipe(name="head", task=task, loop=loop(**ends))


@pytest.fixture(scope="module")
def trained(model, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    wanted = recipe(
        model, data, validate_every=3, best_metric="miou_seen", export_weights="best", ema_decay=None
    )
    return out, run(wanted, out)


def test_validation_panels_and_the_best(trained):
    out, summary = trained
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found = [line["validation"] for line in lines if "validation" in line]
    assert len(found) == 2 and {"miou_seen", "miou", "published", "background"} <= set(found[0])
    assert summary["best"]["metric"] == "miou_seen"
    assert summary["best"]["value"] == max(one["miou_seen"] for one in found)
    assert read_image(out / "validation" / "step-00000003" / "panels.png").size
    assert all("iou" in line for line in lines if "loss" in line)


def test_the_exported_head_is_the_trained_one(trained, model, data):
    _, summary = trained
    file = Path(summary["export"]) / "grounding.safetensors"
    backbone = load_bundle(str(model), "cpu", "float32").backbone
    head = load_head(str(file), str(model), backbone)
    header = read_header(file)
    notes = json.loads(header.notes)
    assert header.kind == "grounding" and header.backbone == backbone.fingerprint
    assert notes["seen"] == list(SEEN) and notes["loss"] == "bce_dice" and notes["pictures"] == 4
    assert str(data) not in header.notes
    pictures = read_masked([data])[:2]
    reader = HeadReader(backbone, head.net.config)
    found_BKHW = logits(head.net, reader.read(gather(pictures, head.net.config, backbone.fingerprint)))
    assert torch.isfinite(found_BKHW).all() and found_BKHW.shape[-2:] == (64, 64)
    assert next(iter(head.net.state_dict().values())).dtype == torch.float32


def test_an_interrupted_training_continues_to_the_same_weights(model, data, tmp_path):
    whole = recipe(model, data, decay_steps=6)
    run(whole, tmp_path / "whole")
    halt = replace(whole, loop=replace(whole.loop, steps=3))
    run(halt, tmp_path / "parts")
    run(whole, tmp_path / "parts", resume=True)
    one, other = (
        load_file(tmp_path / name / "export" / "grounding.safetensors") for name in ("whole", "parts")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns(model, tmp_path):
    """One picture, many steps: its mask is found."""
    folder = drawings(tmp_path, ("cat", "dog"), 1, first=3)
    task = prepared(model, data=(folder,), batch_size=1, head=replace(SIZES, dropout=0.0))
    optimiser = torch.optim.Adam(task.head.parameters(), 1e-2)
    losses = []
    for step in range(40):
        loss, _ = task.loss(task.batch(step, 0, 1), generator())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_recipes():
    nano, sd15 = find("grounding-nano"), find("grounding-sd15")
    assert nano.task.head.attention and nano.loop.export_weights == "best"
    assert (sd15.loop.lr, sd15.loop.batch_size, sd15.loop.schedule, sd15.loop.weight_decay) == (
        1e-5, 1, "constant", 0.0
    )  # fmt: skip
    assert (sd15.task.head.dropout, sd15.task.loss, sd15.task.head.width) == (0.2, "log_cosh", 512)
    assert sd15.task.classes() == class_split(1)
    changed = override(sd15, ["task.data=a,b", "task.loss=bce", "task.head.attention=true", "task.split=2"])
    assert changed.task.data == (Path("a"), Path("b")) and changed.task.classes() == class_split(2)
    with pytest.raises(InputError, match="must be one of bce, dice"):
        override(sd15, ["task.loss=focal"])


def test_wrong_settings(model, data, tmp_path):
    with pytest.raises(InputError, match="no pictures to train on"):
        config(model).build(loop())
    with pytest.raises(InputError, match="both given"):
        config(model, data=(data,), renders=3)
    with pytest.raises(InputError, match="no class split 7"):
        GroundingTaskConfig(split=7)
    with pytest.raises(InputError, match="shows seen classes alone"):
        prepared(model, data=(data,), seen=("mug",))
    mixed = drawings(tmp_path / "mixed", SEEN, 1, size_px=64)
    drawings(mixed, ("boat",), 1, size_px=96)
    with pytest.raises(InputError, match="different sizes"):
        prepared(model, data=(mixed,))
