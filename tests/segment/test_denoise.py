"""Mask denoisers of tiny random networks: widening, rows, sizes, seeds, refinement, labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.errors import InputError, ModelError
from scenewright.segment.denoise import DenoiseOptions, automatic_rows, denoised, fitted, labels_of
from scenewright.segment.mask_denoiser import (
    PUBLISHED_RULES,
    MaskRules,
    class_text,
    draw_masks,
    entry_of,
    rescheduled,
    widened,
)
from scenewright.testing import tiny_backbone


@pytest.fixture(scope="module")
def wide() -> Backbone:
    base = tiny_backbone(0)
    scheduler = rescheduled(base.scheduler, spacing="trailing", zero_snr=True, prediction="v_prediction")
    return replace(base, unet=widened(base.unet).eval(), scheduler=scheduler)


def picture(width: int = 40, height: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


SMALL = DenoiseOptions(steps=2, members=2, size=32)


def test_two_equal_latents_give_what_one_gave(wide: Backbone) -> None:
    base = tiny_backbone(0)
    z = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    call = Call.plain(torch.tensor(7), Conditioning(torch.zeros(1, 5, 32)))
    with torch.no_grad():
        one, two = network(base.unet)(z, call), network(wide.unet)(torch.cat([z, z], 1), call)
    assert torch.allclose(one, two, atol=1e-5) and base.unet.config.in_channels == 4
    drawn = [widened(base.unet, "published", seed).conv_in.weight for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert drawn[0].abs().max() <= (8 * 9) ** -0.5
    with pytest.raises(InputError, match="takes 8 channels"):
        widened(wide.unet)


def test_maps_have_the_pictures_size_and_rows_do_not_matter(wide: Backbone) -> None:
    rules = MaskRules()
    image = picture()
    before = image.copy()
    names = ("red car", "sky", "cat")
    one = denoised(wide, rules, image, names, replace(SMALL, rows=1))
    all_ = denoised(wide, rules, image, names, replace(SMALL, rows=64))
    assert one.names == names and one.maps_KHW.shape == (3, 24, 40) == one.uncertainty_KHW.shape
    assert np.allclose(one.maps_KHW, all_.maps_KHW, atol=1e-4) and np.array_equal(image, before)
    assert 0 <= one.maps_KHW.min() and one.maps_KHW.max() <= 1
    alone = denoised(wide, rules, image, names[1:2], SMALL)
    assert np.allclose(alone.maps_KHW[0], one.maps_KHW[1], atol=1e-4)  # a class does not depend on the others
    single = denoised(wide, rules, image, names, replace(SMALL, members=1))
    assert single.uncertainty_KHW is None


@pytest.mark.parametrize("text", ["bag", "none"])
def test_grey_maps_for_a_whole_list(wide: Backbone, text: str) -> None:
    rules = MaskRules(text=text)  # type: ignore[arg-type]
    found = denoised(wide, rules, picture(), ("red car", "sky"), SMALL)
    assert found.names == ("levels",) and found.maps_KHW.shape == (1, 24, 40)
    other = denoised(wide, rules, picture(), ("sky", "red car"), SMALL)
    assert np.allclose(found.maps_KHW, other.maps_KHW, atol=1e-4)  # the order is lost, as published


def test_odd_sizes(wide: Backbone) -> None:
    for size_wh in ((1, 1), (97, 13), (5, 200)):
        found = denoised(wide, MaskRules(), picture(*size_wh), ("cat",), replace(SMALL, members=1, steps=1))
        assert found.maps_KHW.shape == (1, size_wh[1], size_wh[0]) and np.isfinite(found.maps_KHW).all()
    assert fitted((97, 13), MaskRules(), wide, 32).inner_wh == (32, 4)
    assert fitted((97, 13), MaskRules(), wide, -1).outer_wh == (100, 16)
    assert fitted((97, 13), PUBLISHED_RULES, wide).inner_wh == (384, 384)
    assert fitted((97, 13), MaskRules(), wide).inner_wh[0] == 128


def test_refinement_begins_where_it_is_told(wide: Backbone) -> None:
    begin = np.zeros((1, 24, 40), np.float32)
    begin[:, :, 20:] = 1
    little = denoised(wide, MaskRules(), picture(), ("cat",), SMALL, begin_KHW=begin, strength=0.01)
    much = denoised(wide, MaskRules(), picture(), ("cat",), SMALL, begin_KHW=begin, strength=1.0)
    fresh = denoised(wide, MaskRules(), picture(), ("cat",), SMALL)
    assert np.allclose(much.maps_KHW, fresh.maps_KHW, atol=0.05)  # all noise: nothing of the start is left
    assert not np.allclose(little.maps_KHW, much.maps_KHW, atol=0.02)
    noise = Noise(wide.scheduler, 10)
    assert [entry_of(noise, strength) for strength in (1.0, 0.5, 0.001)] == [0, 5, 9]
    with pytest.raises(InputError, match="strength"):
        denoised(wide, MaskRules(), picture(), ("cat",), SMALL, begin_KHW=begin, strength=0.0)


def test_the_highest_map_decides_above_a_threshold() -> None:
    maps = np.array([[[0.9, 0.4, 0.2]], [[0.6, 0.45, 0.7]]], np.float32)
    assert labels_of(maps, (3, 7), 0).tolist() == [[3, 0, 7]]
    assert labels_of(maps, (3, 7), 0, 0.0).tolist() == [[3, 7, 7]]


@pytest.mark.parametrize(
    ("rows", "size", "gb", "half", "expected"),
    [
        (10, 768, 80.0, False, 10), (50, 768, 80.0, False, 25), (100, 768, 80.0, False, 35),
        (10, 768, 24.0, False, 5), (10, 768, 24.0, True, 10), (10, 2000, 24.0, True, 1),
        (3, 128, 0.0, False, 3), (100, 128, 0.0, False, 32), (10, 384, 0.0, False, 3),
    ],
)  # fmt: skip
def test_rows_by_memory(rows: int, size: int, gb: float, half: bool, expected: int) -> None:
    assert automatic_rows(rows, size, gb, half) == expected


def test_what_cannot_be_done(wide: Backbone) -> None:
    with pytest.raises(InputError, match="no classes"):
        class_text(wide, (), MaskRules())
    for wrong in ({"template": "a photo"}, {"size": -1}):
        with pytest.raises(InputError):
            MaskRules(**wrong)  # type: ignore[arg-type]
    for wrong in ({"steps": 0}, {"members": 0}, {"size": -2}, {"seed": -1}):
        with pytest.raises(InputError):
            DenoiseOptions(**wrong)  # type: ignore[arg-type]
    base = tiny_backbone(0)
    with pytest.raises(ModelError, match="epsilon"):
        rescheduled(base.scheduler, spacing="trailing", zero_snr=True)
    z = torch.zeros(1, 4, 8, 8)
    with pytest.raises(InputError, match="takes 4 channels"):
        draw_masks(base, z, torch.zeros(1, 5, 32), (0,), z, Noise(base.scheduler, 1))
    with pytest.raises(ModelError, match="no rule"):
        MaskRules.from_json({"texts": "bag"})
