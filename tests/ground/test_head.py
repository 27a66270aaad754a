"""The head: its shortcuts equal the published order of operations, samples and classes do not mix."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.features import Features, tap_layout
from scenewright.errors import InputError, ModelError
from scenewright.ground.head import ABSENT, GroundingConfig, GroundingHead
from scenewright.ground.mix import MixBlock, PlainNorm, SpectralConv
from scenewright.models.adapter import load_adapter, read_header, save_adapter
from scenewright.testing import tiny_backbone

SMALL = {
    "channels": (6, 8, 10, 12),
    "text_width": 16,
    "stride": 4,
    "reduced": (2, 4, 6, 8),
    "width": 16,
    "heads": 4,
    "layers": 2,
    "hidden": 24,
}


def small(seed: int = 0, **changes) -> GroundingHead:
    torch.manual_seed(seed)
    head = GroundingHead(GroundingConfig(**{**SMALL, **changes}))
    for name, buffer in head.named_buffers():
        if name.endswith("var"):
            buffer.uniform_(0.5, 2.0)
        elif name.endswith("mean"):
            buffer.normal_(0.0, 0.3)
    return head.eval()


def features(batch: int, hw: tuple[int, int] = (16, 24), seed: int = 1) -> Features:
    generator = torch.Generator().manual_seed(seed)
    levels = []
    for i, channels in enumerate(SMALL["channels"]):
        size = [-(-side // 2 ** (3 - i)) for side in hw]
        parts = (channels // 2, channels - channels // 2)
        levels.append(tuple(torch.randn(batch, part, *size, generator=generator) for part in parts))
    return Features(tuple(levels))


def classes(batch: int, count: int, seed: int = 2) -> Tensor:
    return torch.randn(batch, count, 16, generator=torch.Generator().manual_seed(seed))


def attention(batch: int, count: int, maps: int, hw: tuple[int, int] = (16, 24)) -> Tensor:
    return torch.rand(batch, count, maps, *hw, generator=torch.Generator().manual_seed(3))


def up(x: Tensor, factor: int) -> Tensor:
    return nnf.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def published_order(head: GroundingHead, given: Features, classes_BKD: Tensor) -> Tensor:
    """Upsample, then 1x1 convolution; upsample the fused map, then dot product (as the released code)."""
    low, mid, high, highest = given.levels
    reduce, mix = head.reduce, head.mix
    x = reduce[0](torch.cat([up(one, 2) for one in low], 1))
    x = torch.cat([up(x, 2), reduce[1](torch.cat([up(one, 2) for one in mid], 1))], 1)
    x = up(mix[0](x), 2)
    x = mix[1](torch.cat([x, reduce[2](torch.cat([up(one, 2) for one in high], 1))], 1))
    fused = mix[2](torch.cat([x, reduce[3](torch.cat(highest, 1))], 1))
    batch, channels, height, width = fused.shape
    cells = fused.reshape(batch, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 1, 3, 5)
    tokens = head.to_tokens(cells.reshape(batch, -1, channels * 16))
    z = head.to_queries(classes_BKD)
    for layer in head.decoder:
        for attend, norm in ((layer.self_attention, layer.norm1), (layer.cross_attention, layer.norm2)):
            theirs = torch.nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
            theirs.in_proj_weight.data, theirs.out_proj.weight.data = attend.project.weight, attend.out.weight
            a = norm(z)
            other = a if attend is layer.self_attention else tokens
            z = z + theirs(a, other, other)[0]
        z = z + layer.feed2(nnf.relu(layer.feed1(layer.norm3(z))))
    for i, layer in enumerate(head.mask):
        z = layer(nnf.relu(z) if i else z)
    return torch.einsum("bkf,bfhw->bkhw", z, up(fused, 4))


@torch.no_grad()
def test_equal_to_the_published_order_of_operations() -> None:
    head, given, words = small(), features(2), classes(2, 3)
    expected = published_order(head, given, words)
    found = head(given, words)
    assert found.shape == (2, 3, 64, 96) and found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("bn_mode", ["running", "batch"])
@pytest.mark.parametrize("maps", [0, 2])
def test_samples_and_padded_classes_do_not_mix(bn_mode: str, maps: int) -> None:
    head = small(bn_mode=bn_mode, attention=maps)
    if maps:
        torch.nn.init.normal_(head.refinement.last.weight)
    given, words = features(3), classes(3, 4)
    seen = attention(3, 4, maps) if maps else None
    used = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]).bool()
    together = head(given, words, used, seen)
    for b, count in enumerate((2, 4, 1)):
        own = None if seen is None else seen[b : b + 1, :count]
        alone = head(given.take([b]), words[b : b + 1, :count], None, own)
        assert torch.allclose(together[b, :count], alone[0], atol=1e-5)
        assert (together[b, count:] == ABSENT).all()
    empty = head(given, words, torch.zeros(3, 4), seen)
    assert (empty == ABSENT).all()


@torch.no_grad()
def test_query_modes() -> None:
    """Alone, a class's mask does not depend on the others; jointly it does, in any order."""
    given, words = features(2), classes(2, 3)
    single, joint = small(query_mode="single"), small(query_mode="joint")
    one_by_one = torch.cat([joint(given, words[:, k : k + 1]) for k in range(3)], 1)
    assert torch.allclose(single(given, words), one_by_one, atol=1e-5)
    assert (joint(given, words) - one_by_one).abs().max() > 1e-3
    order = [2, 0, 1]
    assert torch.allclose(joint(given, words[:, order]), joint(given, words)[:, order], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("hw", [(8, 8), (8, 32), (24, 16), (10, 14), (9, 13)])
def test_any_size(hw: tuple[int, int]) -> None:
    logits = small()(features(1, hw), classes(1, 2))
    assert logits.shape == (1, 2, 4 * hw[0], 4 * hw[1]) and torch.isfinite(logits).all()


def test_evaluation_leaves_the_buffers_alone_and_training_moves_them() -> None:
    head = small()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head(features(2), classes(2, 2))
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())
    head.train()(features(2), classes(2, 2))
    moved = {
        key.split(".")[-1] for key, value in head.state_dict().items() if not torch.equal(before[key], value)
    }
    assert moved == {"mean", "var", "u", "sigma"}


def test_unused_classes_give_no_gradient() -> None:
    head, words = small().train(), classes(1, 2).requires_grad_()
    logits = head(features(1), words, torch.tensor([[True, False]]))
    nnf.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits)).backward()
    assert words.grad[0, 0].abs().sum() > 0 and words.grad[0, 1].abs().sum() == 0


def test_spectral_norm_is_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    conv = SpectralConv(8)
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        for _ in range(200):
            conv(x)
    largest = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), ord=2)
    assert conv.sigma.item() == pytest.approx(largest.item(), rel=1e-4)
    expected = nnf.conv2d(x, conv.weight / largest, conv.bias, padding=1)
    assert torch.allclose(conv.eval()(x), expected, atol=1e-5)


def test_batch_norms() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 6) * 2 + 1
    theirs = torch.nn.BatchNorm2d(4, eps=1e-4, affine=False)
    ours = PlainNorm(4)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    assert torch.allclose(ours.mean, theirs.running_mean) and torch.allclose(ours.var, theirs.running_var)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-6)
    own = PlainNorm(4, "batch")
    each = torch.cat([torch.nn.BatchNorm2d(4, eps=1e-4, affine=False)(one[None]) for one in x])
    assert torch.allclose(own(x), each, atol=1e-5) and torch.allclose(own.eval()(x), each, atol=1e-5)
    block = MixBlock(4).eval()
    hidden = nnf.relu(block.norm2(block.conv1(nnf.relu(block.norm1(x)))))
    assert torch.allclose(block(x), block.conv2(hidden) + nnf.relu(block.norm1(x)))


@torch.no_grad()
def test_attention_as_a_second_input() -> None:
    head, given, words = small(attention=2), features(2), classes(2, 3)
    seen = attention(2, 3, 2)
    first = head(given, words, None, seen)
    torch.nn.init.normal_(head.refinement.last.weight)
    assert (head(given, words, None, seen) - first).abs().max() > 1e-3
    one = small(attention=1)
    assert torch.equal(one(given, words, None, seen[:, :, 0]), one(given, words, None, seen[:, :, :1]))
    nothing = head(given, words, None, torch.zeros_like(seen))
    assert torch.isfinite(nothing).all()
    with pytest.raises(InputError, match="2 attention maps per class, none were given"):
        head(given, words)
    with pytest.raises(InputError, match="0 attention maps per class, some were given"):
        small()(given, words, None, seen)
    with pytest.raises(InputError, match="attention maps of shape"):
        head(given, words, None, seen[:, :2])
    with pytest.raises(InputError, match="attention maps of shape"):
        head(given, words, None, attention(2, 3, 4))


def test_hidden_class_vectors_in_training_only() -> None:
    head = small(attention=1, text_dropout=0.99)
    given, words, seen = features(2), classes(2, 3), attention(2, 3, 1)
    other = classes(2, 3, seed=9)
    with torch.no_grad():
        assert (head(given, words, None, seen) - head(given, other, None, seen)).abs().max() > 1e-3
        head.train()
        torch.manual_seed(0)
        first = head(given, words, None, seen)
        head.load_state_dict(small(attention=1, text_dropout=0.99).state_dict())
        torch.manual_seed(0)
        assert torch.allclose(head(given, other, None, seen), first, atol=1e-5)


def test_what_does_not_fit_is_named() -> None:
    head, given, words = small(), features(2), classes(2, 2)
    with pytest.raises(ModelError, match=r"\(6, 8, 10, 12\)") as caught:
        head(Features(given.levels[1:]), words)
    assert "'blocks'" in caught.value.hint
    with pytest.raises(ModelError, match="width 8"):
        head(given, words[..., :8])
    with pytest.raises(InputError, match="at least one class"):
        head(given, words[:, :0])
    with pytest.raises(InputError, match="2 samples"):
        head(given, words[:1])
    with pytest.raises(InputError, match="used_BK"):
        head(given, words, torch.ones(2, 3))


def test_configuration_there_and_back() -> None:
    config = GroundingConfig(**SMALL, bn_mode="batch", halves=["cond"], attention=2)
    assert GroundingConfig.from_json(config.to_json()) == config
    assert config.halves == ("cond",)
    data = json.loads(config.to_json())
    for bad, words in (
        ({"channels": [1, 2, 3]}, "3 levels"),
        ({"channels": [0, 8, 10, 12]}, "channels is 0"),
        ({"heads": 3}, "width 16 cannot be split"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"text_mode": "joined"}, "text_mode is 'joined'"),
        ({"template": "a photograph"}, "needs one {}"),
        ({"halves": []}, "halves are"),
        ({"witdh": 16}, "unknown key 'witdh'"),
        ({"stride": True}, "stride is True"),
    ):
        with pytest.raises(ModelError, match=words):
            GroundingConfig.from_json(json.dumps({**data, **bad}))
    del data["text_width"]
    with pytest.raises(ModelError, match="incomplete"):
        GroundingConfig.from_json(json.dumps(data))
    for text in ("no json", "[1]"):
        with pytest.raises(ModelError, match="configuration is"):
            GroundingConfig.from_json(text)


def test_saved_and_loaded_for_its_own_network_only(tmp_path) -> None:
    backbone = tiny_backbone(0)
    head = GroundingHead.for_unet(
        backbone.unet, stride=backbone.stride, width=32, heads=4, hidden=32, attention=True, dropout=0.2
    )
    assert head.config.attention == 3 and head.config.channels == tap_layout(backbone.unet).widths()
    again = GroundingHead.for_unet(backbone.unet, stride=4, width=32, heads=4, hidden=32, attention=True)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))
    path = save_adapter(
        tmp_path / "head.safetensors",
        head,
        head.config,
        "grounding",
        backbone.fingerprint,
        dtype=torch.float16,
    )
    assert read_header(path).kind == "grounding"
    half = dataclasses.replace(backbone, unet=tiny_backbone(0).unet.half())
    for own in (backbone, half):
        loaded = load_adapter(path, own)
        assert isinstance(loaded, GroundingHead) and loaded.config == head.config and not loaded.training
        for mine, stored in zip(head.parameters(), loaded.parameters(), strict=True):
            assert stored.dtype == torch.float32 and not stored.requires_grad
            assert torch.allclose(mine, stored, rtol=1e-3, atol=1e-4)
    with pytest.raises(ModelError, match="was trained on"):
        load_adapter(path, tiny_backbone(1))
    load_adapter(path, tiny_backbone(1), allow_other=True)
    for layout, words in (("sd1", "channels"), ("sd2", "channels")):
        with pytest.raises(ModelError, match=words):
            load_adapter(path, tiny_backbone(0, layout), allow_other=True)


def test_a_head_with_another_number_of_maps_or_text_width() -> None:
    unet = tiny_backbone(0).unet
    config = GroundingHead.for_unet(unet).config
    for change, words in (({"attention": 7}, "7 attention maps"), ({"text_width": 64}, "width 64")):
        with pytest.raises(ModelError, match=words):
            GroundingHead.fitting(unet, dataclasses.replace(config, **change))
    with pytest.raises(ModelError, match="taps 'all'"):
        GroundingHead.fitting(unet, dataclasses.replace(config, layout="all"))
