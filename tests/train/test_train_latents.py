"""Latents: tied to their VAE, continued after an interruption, mirrored, or encoded in the step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import SMALL, records

from scenewright.backbone.latents import encode
from scenewright.testing import tiny_backbone
from scenewright.train import latents
from scenewright.train.latents import Images, open_latents, open_pool
from scenewright.train.renders import Source, open_pictures
from scenewright.train.vae import to_signal


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(0)


def encoded(backbone, images_BHW3):
    return encode(backbone, to_signal(torch.from_numpy(images_BHW3.copy()))).numpy()


def files(cache):
    return sorted(file.name for file in cache.iterdir() if "latents" in file.name)


def test_they_are_what_the_vae_makes_of_the_pictures(tmp_path, backbone):
    found = open_latents(SMALL, tmp_path, backbone)
    pictures = open_pictures(SMALL, tmp_path)
    index = np.array([5, 23])
    batch = found.rows(index, np.array([False, False]))["z"]
    assert batch.dtype == torch.float32 and batch.shape == (2, 4, 16, 16)
    assert np.allclose(batch, encoded(backbone, pictures.images(index)), rtol=1e-3, atol=1e-3)
    assert found.items == pictures.items


def test_another_vae_never_meets_them(tmp_path, backbone):
    open_latents(SMALL, tmp_path, backbone)
    other = tiny_backbone(1)
    found = open_latents(SMALL, tmp_path, other)
    assert len(files(tmp_path)) == 2
    pictures = open_pictures(SMALL, tmp_path).images(np.arange(4))
    assert np.allclose(found.z_NChw[:4], encoded(other, pictures), rtol=1e-3, atol=1e-3)
    rescaled = replace(backbone, vae=tiny_backbone(0).vae)
    rescaled.vae.register_to_config(scaling_factor=0.5)
    open_latents(SMALL, tmp_path, rescaled)
    assert len(files(tmp_path)) == 3


def test_two_folders_of_one_size_are_not_confused(tmp_path, backbone):
    first = Source(name=str(records(tmp_path / "a", 3)), size_wh=(64, 64))
    second = Source(name=str(records(tmp_path / "b", 3)), size_wh=(64, 64))
    open_latents(first, tmp_path / "cache", backbone)
    open_latents(second, tmp_path / "cache", backbone)
    assert len(files(tmp_path / "cache")) == 2


def test_interrupted_encoding_continues(tmp_path, backbone, monkeypatch):
    monkeypatch.setattr(latents, "ROWS", 4)
    monkeypatch.setattr(latents, "SAVED_ROWS", 8)
    whole = open_latents(SMALL, tmp_path / "whole", backbone)
    seen: list[int] = []
    plain = latents._encoded

    def failing(pictures, backbone, index_B, mirror):
        if index_B[0] == 12 and not seen.count(12):
            seen.append(12)
            raise KeyboardInterrupt
        seen.append(int(index_B[0]))
        return plain(pictures, backbone, index_B, mirror)

    monkeypatch.setattr(latents, "_encoded", failing)
    with pytest.raises(KeyboardInterrupt):
        open_latents(SMALL, tmp_path / "cut", backbone)
    assert seen == [0, 4, 8, 12]
    found = open_latents(SMALL, tmp_path / "cut", backbone)
    assert seen[4:] == [8, 12, 16, 20]  # the first eight were safe
    assert (found.z_NChw == whole.z_NChw).all()
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_mirrored_latents_are_those_of_mirrored_pictures(tmp_path, backbone):
    cached = open_pool(SMALL, tmp_path, backbone, flip=True)
    fresh = open_pool(SMALL, tmp_path, backbone, cached=False, flip=True)
    assert isinstance(fresh, Images)
    index, mirror = np.array([1, 1, 9]), np.array([False, True, True])
    images = fresh.rows(index, mirror)["images"]
    assert (images[1] == images[0].flip(1)).all() and images.dtype == torch.uint8
    z = cached.rows(index, mirror)["z"]
    assert np.allclose(z, encoded(backbone, images.numpy()), rtol=1e-3, atol=2e-3)
    assert not torch.equal(z[0], z[1])
