"""The command mask-denoiser: files of masks of classes, of grey maps, bad pictures, every option."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.flows.denoise_masks import coloured, segmented
from scenewright.flows.segment_options import SegmentOptions, wanted_classes
from scenewright.models.mask_denoiser import MaskDenoiser, save_mask_denoiser
from scenewright.scene.io import read_labels
from scenewright.segment.denoise import DenoisedMaps
from scenewright.segment.mask_denoiser import MaskRules, rescheduled, widened
from scenewright.testing import tiny_backbone


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A mask denoiser of named classes, and one of grey maps."""
    folder, base = tmp_path_factory.mktemp("denoisers"), tiny_backbone(0)
    scheduler = rescheduled(base.scheduler, spacing="trailing", zero_snr=True, prediction="v_prediction")
    wide = replace(base, unet=widened(base.unet), scheduler=scheduler)
    return {
        text: save_mask_denoiser(
            MaskDenoiser(wide, MaskRules(text=text, size=32), {}), folder / text, torch.float32
        )
        for text in ("class", "bag")
    }


def pictures(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(folder / "a.png")
    Image.fromarray(rng.integers(0, 256, (9, 7)).astype(np.uint8)).save(folder / "b.jpg")
    return folder


def test_thresholds_that_are_none(models, tmp_path, cli):
    for wrong in ("nan", "7"):
        ended = cli(
            "mask-denoiser", pictures(tmp_path / wrong), "--model", models["class"], "--classes", "cat",
            "--threshold", wrong, "--out", tmp_path / "out", "--device", "cpu",
        )  # fmt: skip
        assert ended.code == 2 and "the threshold is" in ended.err and not (tmp_path / "out").exists()


def test_masks_of_named_classes(models, tmp_path, cli):
    folder = pictures(tmp_path / "in")
    (folder / "bad.png").write_text("no picture")
    ended = cli(
        "mask-denoiser", folder, "--model", models["class"], "--classes", "cat,red car", "--steps", 1,
        "--members", 2, "--out", tmp_path / "out", "--device", "cpu", "--json",
    )  # fmt: skip
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 1 and "1 of 3 pictures failed" in ended.err
    assert [row["state"] for row in rows] == ["made", "made", "failed"]
    labels = read_labels(rows[0]["labels"])
    assert labels.shape == (20, 30) and set(np.unique(labels)) <= {0, 1, 2}
    report = json.loads(Path(rows[0]["report"]).read_text())
    assert report["method"] == "mask denoising, text class" and report["members"] == 2
    assert read_labels(rows[1]["uncertainty"]).shape == (9, 7)


def test_grey_maps(models, tmp_path, cli):
    folder = pictures(tmp_path / "in")
    ended = cli(
        "mask-denoiser", folder / "a.png", "--model", models["bag"], "--classes", "cat",
        "--classes", "red car", "--steps", 1, "--members", 3, "--align", "published", "--reduce", "mean",
        "--shown-size", "--batch", 2,
        "--seed", 4, "--size", 32, "--out", tmp_path / "out", "--device", "cpu",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    levels = read_labels(ended.out.strip())
    assert levels.shape == (21, 32) and levels.max() == 65535 and levels.min() == 0
    assert (tmp_path / "out" / "a.levels-colour.png").is_file()


def test_wrong_use(models, tmp_path, cli):
    folder = pictures(tmp_path / "in")
    none = cli("mask-denoiser", folder, "--model", models["bag"], "--out", tmp_path / "out")
    assert none.code == 2 and "nothing was named" in none.err
    assert cli("mask-denoiser", folder, "--model", tmp_path / "nowhere", "--classes", "cat").code == 2
    wrong = cli(
        "mask-denoiser", folder / "a.png", "--model", models["class"], "--classes", "cat", "--align", "afine",
        "--steps", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert wrong.code == 2 and "affine" in wrong.err


def test_colours_are_the_published_ones(golden_dir):
    for path in sorted((golden_dir / "segdiffusion").glob("*/colorize.npz")):
        held = np.load(path)
        found = coloured(held["map"]).transpose(2, 0, 1).astype(int)
        assert np.abs(found - held["spectral_u8"].astype(int)).max() <= 1


def test_maps_become_labels_scores_and_entropies():
    maps = np.array([[[0.9, 0.1]], [[0.1, 0.2]]], np.float32)
    asked = SegmentOptions(vocabulary=wanted_classes(("cat", "dog")))
    found = segmented(DenoisedMaps(("cat", "dog"), maps, None), asked, 0.5)
    assert found.labels.tolist() == [[1, 0]] and found.scores[0, 0] > found.entropy[0, 0]
    assert abs(int(found.scores[0, 1]) - round(0.8 * 65535)) <= 1
