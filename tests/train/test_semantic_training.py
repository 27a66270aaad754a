"""Training of the semantic control: crops, captions, gradients, partial freezing, validation, export."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_family import CPU, generator, loop

from scenewright.backbone.load import load_folder, save_folder
from scenewright.backbone.parts import build_unet
from scenewright.condition.semantic import EMBEDDING, SemanticConfig, SemanticControl
from scenewright.data.street_stats import Listed, Statistics, dataset_file_bytes
from scenewright.errors import InputError, ModelError
from scenewright.flows.dataset.streets import import_streets
from scenewright.models.adapter import load_adapter, read_header
from scenewright.testing import tiny_backbone
from scenewright.train.loop import run
from scenewright.train.recipe import Recipe
from scenewright.train.recipes import find
from scenewright.train.semantic import SemanticTraining, ValidationConfig, choose
from scenewright.train.street_crops import CropConfig, open_crops, rescaled
from scenewright.world import town
from scenewright.world.folders import write_gta

SIZE = (96, 48)
CHECK = ValidationConfig(pictures=2, steps=2, guidance=2.0, scheduler="")


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six game streets in GTA's layout, imported."""
    root = tmp_path_factory.mktemp("streets") / "gta"
    write_gta([town.draw(k, size_wh=SIZE) for k in range(6)], root)
    import_streets(root)
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Folders of a source model and of the one to swap in: the same text encoder, other UNets."""
    folder = tmp_path_factory.mktemp("models")
    base, other = tiny_backbone(0), tiny_backbone(1)
    save_folder(base, folder / "prior", torch.float32)
    save_folder(replace(base, unet=other.unet), folder / "source", torch.float32)
    return str(folder / "source"), str(folder / "prior")


def config(streets: Path, models: tuple[str, str], **changes) -> SemanticTraining:
    wanted = {"backbone": models[0], "swap": models[1], "data": streets, "size_wh": (64, 32), "check": CHECK}
    return SemanticTraining(**{**wanted, **changes})


@pytest.fixture(scope="module")
def task(streets: Path, models: tuple[str, str]):
    made = config(streets, models).build(loop())
    made.prepare(CPU, torch.float32)
    return made


def test_rare_crops_show_their_class(streets: Path) -> None:
    crops = open_crops(streets, (32, 32), CropConfig(least=0.0, ratios=(1.0, 1.5)))
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    seen = []
    for _ in range(30):
        image, labels = crops.draw(rng)
        assert image.shape == (32, 32, 3) and labels.shape == (32, 32) and labels.dtype == np.uint8
        one, two = crops.draw(again)
        assert np.array_equal(one, image) and np.array_equal(two, labels)
        seen.append(set(np.unique(labels).tolist()))
    totals = Statistics.read(streets).totals()
    rare = min(totals, key=lambda id: totals[id])
    plain = open_crops(streets, (32, 32), CropConfig(where="random"))
    rng = np.random.default_rng(3)
    often = np.mean([rare in set(np.unique(plain.draw(rng)[1]).tolist()) for _ in range(30)])
    assert np.mean([rare in labels for labels in seen]) >= often


def test_a_class_that_is_lost_in_scaling_and_one_of_a_single_pixel(tmp_path: Path) -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[33, 31] = 13  # of every pixel pair the other one is kept
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    Image.fromarray(labels).save(tmp_path / "labels" / "00001_labelTrainIds.png")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "images" / "00001.png")
    Statistics((("labels/00001_labelTrainIds.png", {0: 4095, 13: 1}),)).write(tmp_path)
    for ratio, lost in ((0.5, (0, 1)), (1.0, (1,))):
        crops = open_crops(
            tmp_path, (16, 16), CropConfig(least=0.0, temperature=1e-4, ratios=(ratio,)), layout="generated"
        )
        shown = crops.draw(np.random.default_rng(0))[1]
        assert shown.shape == (16, 16) and int((shown == 13).sum()) in lost
    with pytest.raises(InputError, match="no class has more than"):
        open_crops(tmp_path, (16, 16), CropConfig(least=0.9999), layout="generated")


def test_pictures_smaller_than_the_crop_are_enlarged() -> None:
    assert rescaled((30, 20), (32, 32), 0.5).out_wh == (48, 32)
    assert rescaled((100, 51), (32, 32), 0.75).out_wh == (75, 38)


def test_a_dataset_file_is_the_folder(streets: Path, tmp_path: Path) -> None:
    lines = [Listed("", f"images/{k:05d}.png", f"labels/{k:05d}.png") for k in (2, 4)]
    (streets / "some.json").write_bytes(dataset_file_bytes(lines))
    crops = open_crops(streets / "some.json", (32, 32), CropConfig(where="middle"))
    whole = open_crops(streets, (32, 32), CropConfig(where="middle"))
    assert len(crops) == 2 and np.array_equal(crops.middle(1)[1], whole.middle(3)[1])
    assert np.array_equal(crops.middle(0)[0], whole.middle(1)[0])
    (streets / "none.json").write_bytes(dataset_file_bytes([Listed("", "images/9.png", "labels/00001.png")]))
    with pytest.raises(InputError, match="1 label maps"):
        open_crops(streets / "none.json", (32, 32), CropConfig(where="middle"))


def test_gradients_reach_the_control_alone(task) -> None:
    batch = task.batch(0, 0, 1)
    assert batch["images"].shape == (4, 32, 64, 3) and batch["maps"].shape == (4, 32, 64)
    assert all(caption.startswith("road") for caption in batch["captions"])
    assert torch.equal(task.batch(0, 0, 1)["maps"], batch["maps"])
    with torch.no_grad():
        for name, value in task.control.named_parameters():
            if "controlnet_" in name and not bool(value.any()):
                value.add_(0.02)
    loss, logged = task.loss(batch, generator())
    loss.backward()
    assert loss.item() > 0 and (not logged or "high" in logged)
    grads = {name: value.grad for name, value in task.control.named_parameters()}
    assert all(one is not None for one in grads.values())
    assert all(value.grad is None for value in task.backbone.unet.parameters())
    assert int(task.seen_K.sum()) == batch["maps"].numel()
    task.control.zero_grad(set_to_none=True)


def test_captions_can_be_left_out(streets: Path, models: tuple[str, str]) -> None:
    made = config(streets, models, caption_drop=1.0, caption="a game with {classes}", swap="").build(loop())
    made.prepare(CPU, torch.float32)
    assert made.batch(0, 0, 1)["captions"] == [""] * 4
    assert made.check_scenes()[0].prompt.startswith("road") and made.target is made.backbone


def test_partial_freezing_has_the_published_sizes() -> None:
    folder = importlib.resources.files("scenewright.backbone") / "configs" / "sd1" / "unet"
    unet = build_unet(json.loads((folder / "config.json").read_text()))
    control = SemanticControl.for_unet(unet, SemanticConfig(embedding=EMBEDDING))
    expected = {"embedding": 12_568_608, "first": 23_093_088, "middle": 109_606_688, "all": 361_281_568}
    for trained, count in expected.items():
        choose(control, trained)  # type: ignore[arg-type]
        assert sum(value.numel() for value in control.parameters() if value.requires_grad) == count


def test_validation_draws_beside_the_swapped_unet(task, tmp_path: Path) -> None:
    found = task.validate(3, tmp_path)
    assert set(found) == {"loss_right_map", "loss_no_map", "loss_wrong_map"}
    assert (tmp_path / "maps-0000003.png").is_file()
    counts = json.loads((tmp_path / "label-stats.json").read_text())
    assert set(counts) >= {"road", "bicycle", "others"}


def test_a_published_list_is_validated_on_at_its_scales(streets: Path, models: tuple[str, str]) -> None:
    place = streets / "validate.json"
    place.write_bytes(dataset_file_bytes([Listed("", "gone.png", f"labels/{k:05d}.png") for k in (1, 2, 3)]))
    made = config(streets, models, check=replace(CHECK, list=place, pictures=3)).build(loop())
    made.prepare(CPU, torch.float32)
    scenes = made.check_scenes()
    assert len(scenes) == 3 and all(one.size_wh == (64, 32) for one in scenes)


def test_a_run_ends_in_an_adapter_of_the_swapped_backbone(
    streets: Path, models: tuple[str, str], tmp_path: Path
) -> None:
    wanted = loop(steps=2, batch_size=2, validate_every=2, ema_decay=0.9)
    summary = run(Recipe(name="control", task=config(streets, models), loop=wanted), tmp_path / "out")
    file = Path(summary["export"]) / "dginstyle.safetensors"
    source, prior = (load_folder(place) for place in models)
    header = read_header(file)
    assert header.backbone == prior.fingerprint
    assert json.loads(header.notes)["trained_beside"]["fingerprint"] == source.fingerprint
    adapter = load_adapter(file, prior)
    assert isinstance(adapter, SemanticControl) and adapter.config.size_wh == (64, 32)
    with pytest.raises(ModelError, match="was trained on"):
        load_adapter(file, source)
    load_adapter(file, source, allow_other=True)
    again = config(streets, models, start=file, trained="embedding").build(loop())
    again.prepare(CPU, torch.float32)
    assert not again.control.net.conv_in.weight.requires_grad


def test_wrong_configurations(streets: Path, models: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled pictures"):
        SemanticTraining().build(loop())
    for wrong in ({"trained": "last"}, {"caption_drop": 2.0}, {"size_wh": (60, 32)}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SemanticTraining(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ratios"):
        CropConfig(ratios=())
    other = save_folder(tiny_backbone(3), tmp_path / "other", torch.float32)
    with pytest.raises(InputError, match="different text encoders"):
        config(streets, (models[0], str(other))).build(loop()).prepare(CPU, torch.float32)


def test_recipes() -> None:
    published = find("sd15-dginstyle")
    assert published.loop.lr == 1e-5 and published.loop.batch_size * published.loop.accumulate == 8
    assert published.task.size_wh == (512, 512) and published.task.crops.temperature == 0.01
    assert find("nano-dginstyle").task.swap == "nano"
