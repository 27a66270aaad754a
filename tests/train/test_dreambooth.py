"""Tuning a UNet on pictures alone: crops, the prior, low-rank additions, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_family import CPU, generator, loop, model_folder

from scenewright.backbone.load import load_folder
from scenewright.errors import InputError
from scenewright.train.dreambooth import DreamboothConfig, SamplesConfig, pictures_below
from scenewright.train.loop import run
from scenewright.train.recipe import Recipe
from scenewright.train.recipes import find

FEW = SamplesConfig(prompts=("", "a cat"), pictures=2, steps=2, guidance=2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "eps")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    (place / "below").mkdir()
    rng = np.random.default_rng(0)
    for k, name in enumerate(("a.png", "below/b.jpg", "below/c.PNG")):
        noise = rng.integers(0, 256, (40 + 8 * k, 72, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / name)
    (place / "notes.txt").write_text("no picture")
    return place


def made(folder: Path, pictures: Path, cache: Path, **changes):
    wanted = {
        "backbone": str(folder),
        "data": pictures,
        "size_wh": (64, 32),
        "cache": cache,
        "check": FEW,
        **changes,
    }
    task = DreamboothConfig(**wanted).build(loop(batch_size=2))
    task.prepare(CPU, torch.float32)
    return task


def test_all_pictures_below_a_folder(pictures: Path, tmp_path: Path) -> None:
    assert [path.name for path in pictures_below(pictures)] == ["a.png", "b.jpg", "c.PNG"]
    with pytest.raises(InputError, match="no pictures"):
        pictures_below(tmp_path)


def test_the_whole_unet_is_tuned_under_one_prompt(folder: Path, pictures: Path, tmp_path: Path) -> None:
    task = made(folder, pictures, tmp_path)
    batch = task.batch(0, 0, 1)
    assert batch["images"].shape == (2, 32, 64, 3) and batch["own"] == 2 and len(batch["seeds"]) == 2
    assert torch.equal(batch["images"], task.batch(0, 0, 1)["images"])
    loss, _ = task.loss(batch, generator())
    loss.backward()
    assert all(value.grad is not None for value in task.backbone.unet.parameters())
    assert all(value.grad is None for value in task.backbone.text_encoder.parameters())


def test_the_prior_is_drawn_once_and_counts_beside(folder: Path, pictures: Path, tmp_path: Path) -> None:
    task = made(folder, pictures, tmp_path, prior_prompt="a cat", prior_count=3)
    files = sorted(tmp_path.glob("prior-*/*.png"))
    assert len(files) == 3
    times = [path.stat().st_mtime_ns for path in files]
    made(folder, pictures, tmp_path, prior_prompt="a cat", prior_count=3)
    assert [path.stat().st_mtime_ns for path in files] == times
    batch = task.batch(0, 0, 1)
    assert batch["images"].shape[0] == 4 and batch["own"] == 2
    loss, logged = task.loss(batch, generator())
    assert float(loss.detach()) == pytest.approx(logged["own"] + logged["prior"], rel=1e-5)
    other = made(folder, pictures, tmp_path, prior_prompt="a cat", prior=pictures, prior_weight=0.0)
    loss, logged = other.loss(batch, generator())
    assert float(loss.detach()) == pytest.approx(logged["own"], rel=1e-5)


def test_low_rank_additions_are_merged_into_the_exported_model(
    folder: Path, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    config = DreamboothConfig(
        backbone=str(folder), data=pictures, size_wh=(64, 32), lora_rank=2, check=FEW, cache=tmp_path
    )
    wanted = loop(steps=3, batch_size=2, lr=0.05, ema_decay=0.5, validate_every=3)
    summary = run(Recipe(name="look", task=config, loop=wanted), tmp_path / "out")
    assert len(list((tmp_path / "out" / "validation").rglob("pictures-*.png"))) == 1
    before, after = load_folder(folder), load_folder(Path(summary["export"]) / "model")
    old, new = before.unet.state_dict(), after.unet.state_dict()
    assert set(old) == set(new) and after.text_fingerprint == before.text_fingerprint
    changed = {key for key in old if float((old[key] - new[key]).abs().max()) > 2e-3}
    assert changed and all(".to_" in key and "attn" in key for key in changed)
    log = (tmp_path / "out" / "log.jsonl").read_text()
    assert '"step": 3' in log


def test_the_additions_alone_are_trained(folder: Path, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    task = made(folder, pictures, tmp_path, lora_rank=2)
    trained = [name for name, value in task.modules["unet"].named_parameters() if value.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    loss, _ = task.loss(task.batch(0, 0, 1), generator())
    loss.backward()
    task.export(tmp_path / "export")
    again = load_folder(tmp_path / "export" / "model")
    assert again.fingerprint == load_folder(folder).fingerprint  # nothing was learnt yet


def test_wrong_configurations(pictures: Path) -> None:
    with pytest.raises(InputError, match="no pictures to train on"):
        DreamboothConfig().build(loop())
    for wrong, match in (
        ({"size_wh": (60, 32)}, "size_wh"), ({"ratios": ()}, "ratios"), ({"lora_rank": -1}, "lora_rank"),
        ({"prior": pictures}, "has no prompt"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=match):
            DreamboothConfig(**wrong)  # type: ignore[arg-type]


def test_recipes() -> None:
    published = find("sd15-source")
    assert (published.loop.lr, published.loop.steps, published.loop.accumulate) == (2e-6, 30_000, 2)
    assert published.task.prompt == "" and published.task.ratios == (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    assert find("nano-source").task.lora_rank > 0
