"""What a head reads: stored latents where they fit, encoded pictures otherwise; vectors once per class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from masked_folders import SIZES, drawings, with_latents

from scenewright.backbone.call import Conditioning
from scenewright.backbone.features import extract, from_picture, tap_layout
from scenewright.backbone.text import embed
from scenewright.backbone.words import class_vectors
from scenewright.data.latents import StoredLatent
from scenewright.errors import InputError
from scenewright.flows.head_inputs import HeadReader, gather, logits
from scenewright.flows.masked import drawn_masked, names_of, read_masked
from scenewright.ground.attention import attention_logits
from scenewright.ground.head import GroundingHead
from scenewright.testing import tiny_backbone

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
BACKBONE = tiny_backbone(0)
LAYOUT = tap_layout(BACKBONE.unet)


def head(**more: object) -> GroundingHead:
    return GroundingHead.for_unet(BACKBONE.unet, stride=BACKBONE.stride, **SIZES, **more).eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    return read_masked([with_latents(drawings(folder, 3), BACKBONE)])


def assert_equal(one, other):
    for level, own in zip(one.levels, other.levels, strict=True):
        for a, b in zip(level, own, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_stored_latents_are_what_the_network_is_shown(pictures) -> None:
    config = head().config
    read = HeadReader(BACKBONE, config).read(gather(pictures, config, BACKBONE.fingerprint))
    z = [torch.from_numpy(StoredLatent.read(one.latent).z_Chw).float() for one in pictures]
    cond = Conditioning(embed(BACKBONE, [one.prompt for one in pictures]).tokens_BLD)
    none = Conditioning(embed(BACKBONE, [""] * 3).tokens_BLD)
    assert_equal(read.features, extract(BACKBONE, torch.stack(z), 1, cond, none, LAYOUT))
    assert read.attention_BKAhw is None and read.used_BK.sum(1).tolist() == [len(p.classes) for p in pictures]


def test_pictures_without_latents_are_encoded_at_the_tap_step(pictures) -> None:
    config = head(timestep=400).config
    bare = [replace(one, latent=None) for one in pictures]
    reader = HeadReader(BACKBONE, config, steps=10)
    read = reader.read(gather(bare, config, BACKBONE.fingerprint, seeds=[4, 5, 6]))
    import numpy as np

    images = np.stack([one.pixels() for one in bare])
    prompts = [one.prompt for one in bare]
    assert_equal(read.features, from_picture(BACKBONE, images, prompts, [4, 5, 6], 10, LAYOUT, timestep=400))
    # A latent of the last step is of no use to a head that taps another one.
    assert gather(pictures, config, BACKBONE.fingerprint).latent is None
    mixed = [pictures[0], bare[1]]
    assert gather(mixed, head().config, BACKBONE.fingerprint).latent is None
    again = gather(bare, config, BACKBONE.fingerprint)
    assert again.seeds == gather(list(reversed(bare)), config, BACKBONE.fingerprint).seeds[::-1]


def test_class_vectors_are_those_of_the_spoken_names_and_kept(pictures) -> None:
    for mode in ("template", "joint", "subtract", "prompt"):
        reader = HeadReader(BACKBONE, head(text_mode=mode).config)
        prompts = [one.prompt for one in pictures]
        rows = [one.classes for one in pictures]
        found_BKD, used_BK = reader.vectors(prompts, rows)
        names = [[names_of(n) if mode == "prompt" else names_of(n)[0] for n in row] for row in rows]
        wanted_BKD, wanted_BK = class_vectors(BACKBONE, prompts, names, mode)
        torch.testing.assert_close(found_BKD, wanted_BKD)
        assert torch.equal(used_BK, wanted_BK)
        kept = reader.vectors(prompts[:1], rows[:1])[0]
        torch.testing.assert_close(kept, wanted_BKD[:1, : len(rows[0])])


def test_other_classes_may_be_asked_for(pictures) -> None:
    config = head().config
    rows = [("cat",), ("dog", "car"), ("mug",)]
    inputs = HeadReader(BACKBONE, config).read(gather(pictures, config, BACKBONE.fingerprint, classes=rows))
    found_BKHW = logits(head(), inputs)
    assert found_BKHW.shape == (3, 2, 128, 128) and inputs.used_BK.tolist() == [
        [True, False],
        [True, True],
        [True, False],
    ]


def test_attention_maps_for_heads_that_read_them_and_alone() -> None:
    pictures = [one.named() for one in drawn_masked([7, 8], classes=("cat", "dog"), count=(2, 2))]
    with_maps = head(attention=3)
    config = with_maps.config
    reader = HeadReader(BACKBONE, config)
    gathered = gather(pictures, config, BACKBONE.fingerprint)
    inputs = reader.read(gathered)
    assert inputs.attention_BKAhw.shape == (2, inputs.used_BK.shape[1], 3, 32, 32)
    assert inputs.attention_BKAhw.amax() == 1
    assert logits(with_maps, inputs).shape[-2:] == (128, 128)
    alone_BKHW = reader.attention(gathered, (128, 128))
    torch.testing.assert_close(alone_BKHW, attention_logits(inputs.attention_BKAhw, (128, 128)))


def test_wrong_pictures(pictures, tmp_path: Path) -> None:
    config = head().config
    other = replace(pictures[1], size_wh=(64, 64))
    with pytest.raises(InputError, match="2 sizes"):
        gather([pictures[0], other], config, BACKBONE.fingerprint)
    with pytest.raises(InputError, match="was made by the backbone"):
        gather(pictures, config, "0" * 16)
