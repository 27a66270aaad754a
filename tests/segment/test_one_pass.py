"""The one-pass segmenter: what it sees, what it costs, and that classes do not depend on their company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.network import network
from scenewright.backbone.tap_layout import tap_layout
from scenewright.backbone.text import embed
from scenewright.errors import InputError, ModelError
from scenewright.models.adapter import load_adapter, save_adapter
from scenewright.segment.config import SegmentConfig
from scenewright.segment.content import own_scores
from scenewright.segment.one_pass import OnePass
from scenewright.segment.see import class_texts, see
from scenewright.testing import tiny_backbone

NAMES = ["cat", ["red car", "car"], "sky", "dog", "grass"]
SMALL = {"reduced": (8, 8, 8, 8), "width": 16, "cost": 8}


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(0)


@pytest.fixture(scope="module")
def net(backbone) -> OnePass:
    made = OnePass.for_unet(backbone.unet, stride=backbone.stride, seed=1, **SMALL)
    with torch.no_grad():
        for one in made.parameters():
            one += 0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(2))
    return made.requires_grad_(False).eval()


def pictures(count: int = 2, height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def seen(backbone):
    return see(backbone, pictures(), tap_layout(backbone.unet))


def test_logits_are_finer_than_the_latent(backbone, net, seen) -> None:
    texts = class_texts(backbone, NAMES, net.config.templates)
    logits = net(seen, texts)
    assert logits.shape == (2, 5, 32, 48) and logits.dtype == torch.float32
    assert bool(torch.isfinite(logits).all())
    assert logits.std() > 1e-3


def test_a_class_does_not_depend_on_its_company(backbone, net, seen) -> None:
    whole = net(seen, class_texts(backbone, NAMES, net.config.templates))
    for k, name in enumerate(NAMES):
        alone = net(seen, class_texts(backbone, [name], net.config.templates))
        assert torch.allclose(alone[:, 0], whole[:, k], atol=2e-5)
    texts = class_texts(backbone, NAMES, net.config.templates)
    context = net.context(seen)
    pieces = [net.logits(context, texts.take(first, first + 2)) for first in (0, 2, 4)]
    assert torch.allclose(torch.cat(pieces, 1), whole, atol=2e-5)


def test_each_picture_may_have_classes_of_its_own(backbone, net, seen) -> None:
    texts = class_texts(backbone, NAMES, net.config.templates)
    whole, chosen = net(seen, texts), torch.tensor([[3, 0], [1, 4]])
    own = net(seen, texts, None, chosen)
    assert torch.allclose(own, torch.stack([whole[b, chosen[b]] for b in range(2)]), atol=2e-5)


def test_a_picture_does_not_depend_on_its_batch(backbone, net, seen) -> None:
    texts = class_texts(backbone, NAMES, net.config.templates)
    one = net(see(backbone, pictures()[1:], tap_layout(backbone.unet)), texts)
    assert torch.allclose(one[0], net(seen, texts)[1], atol=2e-4)


def test_own_scores_are_those_of_the_networks_attention(backbone) -> None:
    """Of a word at the place after an empty text's tokens, attention has the odds that the score says."""
    unet = backbone.unet
    image = pictures(1, 64, 64)
    seen = see(backbone, image, tap_layout(unet))
    texts = class_texts(backbone, ["cat"], ["a photograph of a {}"])
    block = next(iter(transformer_blocks(unet).values()))
    inputs: list[torch.Tensor] = []
    hook = block.attn2.register_forward_hook(
        lambda module, args, kwargs, output: inputs.append(args[0]), with_kwargs=True
    )
    see(backbone, image, tap_layout(unet))
    hook.remove()
    none_LD = embed(backbone, [""]).tokens_BLD[0]
    text_LD = torch.cat([none_LD, texts.vectors_KD])
    attn = block.attn2
    query, key = (
        made.unflatten(-1, (attn.heads, -1)).transpose(0, 1)
        for made in (attn.to_q(inputs[0])[0], attn.to_k(text_LD))
    )
    share_HN = (query @ key.transpose(1, 2) * attn.scale).softmax(-1)[..., -1]
    odds = torch.log(share_HN / (1 - share_HN))
    first = torch.eye(attn.heads)
    mixes = [first if k == 0 else torch.zeros(one.shape[1], attn.heads) for k, one in enumerate(texts.keys)]
    found = own_scores(seen.asked, texts, mixes, seen.asked[0].size_hw)[0, 0].flatten(1)
    assert torch.allclose(found, torch.tanh(odds / 4), atol=1e-4)


def test_seeing_leaves_the_network_as_it_was(backbone) -> None:
    z = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    cond = Conditioning(embed(backbone, ["a cat"]).tokens_BLD)
    call = Call.plain(torch.tensor(7), cond)
    with torch.no_grad():
        before = network(backbone.unet)(z, call)
        see(backbone, pictures(1, 64, 64), tap_layout(backbone.unet))
        assert torch.equal(network(backbone.unet)(z, call), before)
    assert not any(len(one._forward_hooks) for one in backbone.unet.modules())


def test_names_of_a_class_are_averaged(backbone) -> None:
    both = class_texts(backbone, [["red car", "car"]], ["a {}", "the {}"]).vectors_KD
    parts = [
        class_texts(backbone, [name], [one]).vectors_KD
        for name in ("red car", "car")
        for one in ("a {}", "the {}")
    ]
    assert torch.allclose(both, torch.stack(parts).mean(0), atol=1e-6)
    with pytest.raises(InputError, match="no classes"):
        class_texts(backbone, [], ["a {}"])


def test_hidden_classes_are_known_by_attention_alone(backbone, net, seen) -> None:
    texts = class_texts(backbone, NAMES, net.config.templates)
    other = replace(texts, vectors_KD=texts.vectors_KD.flip(0))
    hidden = torch.ones(5, dtype=torch.bool)
    assert torch.allclose(net(seen, texts, hidden), net(seen, other, hidden), atol=1e-6)
    assert not torch.allclose(net(seen, texts), net(seen, other), atol=1e-3)


def test_gradients_reach_every_weight(backbone, seen) -> None:
    fresh = OnePass.for_unet(backbone.unet, stride=backbone.stride, seed=1, **SMALL)
    with torch.no_grad():
        for one in fresh.parameters():
            one += 0.01
    fresh(seen, class_texts(backbone, NAMES, ["a {}"])).square().sum().backward()
    assert [
        name for name, one in fresh.named_parameters() if one.grad is None or not one.grad.abs().sum()
    ] == []


def test_it_is_saved_and_loaded_as_an_adapter(backbone, net, seen, tmp_path) -> None:
    file = save_adapter(
        tmp_path / "s.safetensors",
        net,
        net.config,
        "segmenter",
        backbone.fingerprint,
        text_fingerprint=backbone.text_fingerprint,
    )
    loaded = load_adapter(file, backbone)
    texts = class_texts(backbone, NAMES, net.config.templates)
    assert torch.equal(loaded(seen, texts), net(seen, texts))
    with pytest.raises(ModelError, match="trained"):
        load_adapter(file, tiny_backbone(1))
    with pytest.raises(ModelError, match="levels of channels"):
        load_adapter(file, tiny_backbone(0, "sd1"), allow_other=True)


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
def test_it_reads_networks_of_stable_diffusion(layout: str) -> None:
    backbone = tiny_backbone(0, layout)
    made = OnePass.for_unet(backbone.unet, stride=8, width=16, cost=8, reduced=(8,) * 4)
    seen = see(backbone, pictures(1, 64, 128), tap_layout(backbone.unet))
    logits = made(seen, class_texts(backbone, ["cat", "dog"], made.config.templates))
    assert logits.shape == (1, 2, 16, 32) and made.config.fine == 4


def test_configurations_are_checked() -> None:
    good = SegmentConfig(channels=(8, 4), reduced=(2, 2), attention=(2,), text_width=8, stride=4)
    assert SegmentConfig.from_json(good.to_json()) == good
    for change, words in (
        ({"reduced": (2,)}, "2 levels"),
        ({"width": 0}, "width"),
        ({"width": 10}, "cannot be split"),
        ({"doublings": 3}, "cannot be halved"),
        ({"templates": ("cat",)}, "needs one"),
        ({"layout": "none"}, "layout"),
    ):
        with pytest.raises(ModelError, match=words):
            replace(good, **change)
    with pytest.raises(ModelError, match="unknown key 'widht'"):
        SegmentConfig.from_json('{"widht": 3}')
