"""Recorded attention is what the network's own layers computed, for the right rows and words."""

from __future__ import annotations

import pytest
import torch

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.features import FeatureTaps, extract, tap_layout
from scenewright.backbone.guidance import guided
from scenewright.backbone.latents import initial
from scenewright.backbone.loop import sample
from scenewright.backbone.network import chunked, network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.backbone.words import class_vectors
from scenewright.errors import InputError, ModelError
from scenewright.ground.attention import AttentionTaps, attention_logits, class_places
from scenewright.ground.decide import decide
from scenewright.ground.head import GroundingHead
from scenewright.testing import tiny_backbone

BACKBONE = tiny_backbone(0)
UNET = BACKBONE.unet
PROMPTS = ["a red car and a dog", "the cat on grass"]
CLASSES = [["car", "dog"], ["cat"]]


def conds() -> tuple[Conditioning, Conditioning]:
    return Conditioning(embed(BACKBONE, PROMPTS).tokens_BLD), Conditioning(
        embed(BACKBONE, ["", ""]).tokens_BLD
    )


def own_probabilities(z_BChw: torch.Tensor, t: int, cond: Conditioning) -> dict[str, torch.Tensor]:
    """Per block the attention [B, heads, N, L] by diffusers' own score function."""
    found = {}

    class Scores:
        def __init__(self, path: str, inner) -> None:
            self.path, self.inner = path, inner

        def __call__(self, attn, hidden_states, encoder_hidden_states=None, **rest):
            query = attn.head_to_batch_dim(attn.to_q(hidden_states))
            key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
            scores = attn.get_attention_scores(query, key)
            found[self.path] = scores.unflatten(0, (len(hidden_states), -1))
            return self.inner(attn, hidden_states, encoder_hidden_states, **rest)

    blocks = transformer_blocks(UNET)
    before = {path: block.attn2.processor for path, block in blocks.items()}
    for path, block in blocks.items():
        block.attn2.processor = Scores(path, before[path])
    with torch.no_grad():
        UNET(z_BChw, t, encoder_hidden_states=cond.text_RLD)
    for path, block in blocks.items():
        block.attn2.processor = before[path]
    return found


@pytest.mark.parametrize("hw", [(8, 8), (8, 24), (12, 20)])
def test_equal_to_the_layers_own_scores(hw: tuple[int, int]) -> None:
    cond, negative = conds()
    z_BChw = initial([0, 1], (4, *hw))
    expected = own_probabilities(z_BChw, 40, cond)
    for detail in ("depth", "head"):
        taps = AttentionTaps(UNET, detail=detail)
        with taps:
            extract(BACKBONE, z_BChw, 40, cond, negative, tap_layout(UNET), watchers=[taps])
        depths = taps.tokens([1, 0])
        assert len(depths) == 3 and taps.count == sum(one.shape[1] for one in depths)
        assert taps.count == (3 if detail == "depth" else 14)
        finest = [path for path in expected if expected[path].shape[2] == (hw[0] // 2) * (hw[1] // 2)]
        own = torch.cat([expected[path] for path in finest], dim=1)[[1, 0]]
        own = own.mean(1, keepdim=True) if detail == "depth" else own
        found = depths[-1].flatten(3).transpose(2, 3)
        assert torch.allclose(found, own, atol=1e-6)
        assert torch.allclose(found.sum(-1), torch.ones(()), atol=1e-5)
        assert depths[-1].shape[-2:] == (hw[0] // 2, hw[1] // 2)


def test_maps_of_classes() -> None:
    cond, negative = conds()
    places = class_places(BACKBONE, PROMPTS, CLASSES)
    assert places == [[[3], [6]], [[2]]]
    taps = AttentionTaps(UNET)
    with taps:
        extract(BACKBONE, initial([0, 1], (4, 8, 16)), 1, cond, negative, tap_layout(UNET), watchers=[taps])
    maps = taps.maps([0, 1], places)
    assert maps.shape == (2, 2, 3, 8, 16) and maps.min() == 0 and maps.max() == 1
    assert (maps[1, 1] == 0).all()
    assert maps[0].flatten(2).amax(-1).eq(1).all() and maps[0].flatten(2).amin(-1).eq(0).all()
    alone = taps.maps([1], places[1:])
    assert torch.equal(alone[0, 0], maps[1, 0])
    absent = class_places(BACKBONE, PROMPTS, [["sky"], ["cat", "car"]])
    assert absent == [[[]], [[2], []]]
    assert (taps.maps([0, 1], absent)[0] == 0).all()


def test_one_run_gives_features_and_maps_and_draws_the_same() -> None:
    cond, negative = conds()
    noise = Noise(BACKBONE.scheduler, 3)
    start = noise.start(initial([0, 1], (4, 8, 8)))
    plain = sample(guided(network(UNET), 4.0, negative), noise, start, cond)
    features, seen = FeatureTaps(UNET, tap_layout(UNET), 2), AttentionTaps(UNET, 2)
    with features, seen:
        inner = chunked(seen.watch(features.watch(network(UNET))), 1)
        drawn = sample(guided(inner, 4.0, negative), noise, start, cond)
    assert torch.allclose(drawn, plain, atol=1e-5)
    latent, again = features.latent([0, 1]), AttentionTaps(UNET)
    with again:
        extract(BACKBONE, latent.z_BChw, latent.t, cond, negative, tap_layout(UNET), watchers=[again])
    places = class_places(BACKBONE, PROMPTS, CLASSES)
    maps = seen.maps([0, 1], places)
    for one, other in zip(again.tokens([0, 1]), seen.tokens([0, 1]), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert torch.allclose(again.maps([0, 1], places), maps, atol=5e-3)
    head = GroundingHead.for_unet(UNET, stride=4, width=16, heads=2, hidden=16, attention=True).eval()
    vectors, used = class_vectors(BACKBONE, PROMPTS, CLASSES)
    assert head(features.features([0, 1]), vectors, used, maps).shape == (2, 2, 32, 32)


def test_only_the_step_that_was_asked_for_and_conditional_rows() -> None:
    cond, negative = conds()
    taps = AttentionTaps(UNET, 1)
    z_BChw = initial([0, 1], (4, 8, 8))
    with taps, torch.no_grad():
        denoise = guided(taps.watch(network(UNET)), 3.0, negative)
        denoise(z_BChw, Call.plain(torch.tensor(9), cond, step=0, steps=2))
        with pytest.raises(InputError, match=r"samples \[0, 1\]"):
            taps.tokens([0, 1])
        denoise(z_BChw, Call.plain(torch.tensor(9), cond, step=1, steps=2))
        network(UNET)(z_BChw * 2, Call.plain(torch.tensor(9), cond, step=1, steps=2))
    expected = own_probabilities(z_BChw, 9, cond)
    path = "mid_block.attentions.0.transformer_blocks.0"
    coarsest = [one for one in expected if expected[one].shape[2] == expected[path].shape[2]]
    own = torch.cat([expected[one] for one in coarsest], dim=1).mean(1)
    assert torch.allclose(taps.tokens([0, 1])[0].flatten(3)[:, 0].transpose(1, 2), own, atol=1e-6)
    taps.clear()
    with pytest.raises(InputError):
        taps.tokens([0])


def test_the_baseline_is_the_attention_itself() -> None:
    maps = torch.zeros(1, 3, 2, 4, 4)
    maps[0, 0, :, :2] = torch.tensor([0.2, 1.0]).view(2, 1, 1)
    maps[0, 1, :, 2:] = 0.3
    logits = attention_logits(maps, (8, 8))
    masks = decide(logits, threshold=0.6)
    assert masks[0, 0, :3].all() and masks[0, 1, 5:].all() and not masks[0, 2].any()
    assert logits.sigmoid()[0, 1, -1, -1].item() == pytest.approx(1.0, abs=1e-3)
    only = attention_logits(maps, (8, 8), take=[0]).sigmoid()
    assert only[0, 0, 0, 0].item() == pytest.approx(1.0, abs=1e-3)


def test_what_cannot_be_recorded() -> None:
    from diffusers import UNet2DModel

    with pytest.raises(InputError, match="detail"):
        AttentionTaps(UNET, detail="layer")
    plain = UNet2DModel(
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=8,
    )
    with pytest.raises(ModelError, match="no cross-attention"):
        AttentionTaps(plain)
    with pytest.raises(InputError, match="one list per prompt"):
        class_places(BACKBONE, PROMPTS, [["car"]])
    with pytest.raises(InputError, match="names nothing"):
        class_places(BACKBONE, ["a"], [["of"]])
