"""Latents: seeds, encoding, decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.backbone.latents import decode, encode, initial
from scenewright.backbone.model import Backbone
from scenewright.errors import InputError
from scenewright.testing import tiny_backbone


@pytest.fixture(scope="module", params=["nano", "sd1"])
def tiny(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(4, request.param)


def test_empty_batches(tiny: Backbone) -> None:
    assert initial([], (4, 8, 6)).shape == (0, 4, 8, 6)
    assert encode(tiny, torch.zeros(0, 3, 64, 48)).shape == (0, 4, 64 // tiny.stride, 48 // tiny.stride)
    assert decode(tiny, torch.zeros(0, 4, 8, 6)).shape == (0, 8 * tiny.stride, 6 * tiny.stride, 3)


def test_noise_depends_on_its_seed_alone() -> None:
    z_BChw = initial([3, 9, 3], (4, 8, 6))
    assert torch.equal(z_BChw[0], z_BChw[2])
    assert torch.equal(z_BChw[1:2], initial([9], (4, 8, 6)))
    expected_1Chw = torch.randn(4, 8, 6, generator=torch.Generator().manual_seed(9))[None]
    assert torch.equal(initial([9], (4, 8, 6)), expected_1Chw)
    assert initial([1], (4, 2, 2), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed -1"):
        initial([-1], (4, 8, 8))


def test_encode_equals_the_libraries_posterior(tiny: Backbone) -> None:
    image_BCHW = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    posterior = tiny.vae.encode(image_BCHW).latent_dist
    scale = tiny.vae.config.scaling_factor
    torch.testing.assert_close(encode(tiny, image_BCHW), posterior.mode() * scale)
    noise_BChw = initial([5, 6, 7], posterior.mean.shape[1:])
    sampled_BChw = encode(tiny, image_BCHW, [5, 6, 7])
    torch.testing.assert_close(sampled_BChw, (posterior.mean + posterior.std * noise_BChw) * scale)
    torch.testing.assert_close(sampled_BChw[1:2], encode(tiny, image_BCHW[1:2], [6]))


def test_decode_equals_the_library(tiny: Backbone) -> None:
    z_BChw = initial(range(10), (4, 4, 6)) * 3
    image_BHW3 = decode(tiny, z_BChw)
    assert image_BHW3.dtype == np.uint8
    theirs = tiny.vae.decode(z_BChw / tiny.vae.config.scaling_factor).sample
    theirs = (theirs / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert np.abs(image_BHW3.astype(int) - (theirs * 255).round().astype(int)).max() <= 1


def test_inputs_are_not_changed(tiny: Backbone) -> None:
    z_BChw, image_BCHW = initial([0], (4, 4, 4)), torch.zeros(1, 3, 32, 32)
    before = z_BChw.clone()
    decode(tiny, z_BChw)
    encode(tiny, image_BCHW)
    assert torch.equal(z_BChw, before)
    assert not image_BCHW.any()


def test_wrong_sizes_are_refused(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="picture of 30x32"):
        encode(tiny, torch.zeros(1, 3, 32, 30))
    with pytest.raises(InputError, match="2 seeds for 1 pictures"):
        encode(tiny, torch.zeros(1, 3, 32, 32), [1, 2])
