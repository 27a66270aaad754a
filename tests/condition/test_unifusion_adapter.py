"""UniFusion and ScaleU on a tiny backbone: what a fresh adapter leaves alone, detaching, rows of a batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scenewright.backbone.call import Call, Conditioning, Grounding
from scenewright.backbone.network import network
from scenewright.condition.convnext import ConvNext
from scenewright.condition.scaleu import ScaleU, fresh_scales, scale_low_frequencies
from scenewright.condition.unifusion import UniFusion, UniFusionConfig, UniFusionInputs, empty_inputs
from scenewright.errors import ModelError
from scenewright.testing import tiny_backbone

CONFIG = UniFusionConfig(
    slots=3, fourier=4, hidden=16, scribble_points=3, polygon_points=4, map_px=64,
    depths=(1, 1, 1, 1), widths=(4, 4, 8, 8),
)  # fmt: skip


@pytest.fixture(scope="module", params=["nano", "sd1"])
def backbone(request):
    return tiny_backbone(3, request.param)


def layouts(config: UniFusionConfig) -> UniFusionInputs:
    """Two scenes: a box with a point, and one with scribble and mask."""
    inputs = empty_inputs(2, config)
    inputs.boxes_BN4[:, 0] = torch.tensor([0.1, 0.2, 0.6, 0.7])
    inputs.points_BN2[:, 0] = torch.tensor([0.35, 0.45])
    inputs.scribbles_BNP[1, 0] = 0.4
    inputs.polygons_BNP[1, 0] = 0.5
    inputs.features_BND[:, 0] = 1.0
    inputs.masks_BN[:, 0] = 1
    segs = torch.zeros(2, config.slots, 16, 16)
    segs[1, 0, 3:9, 2:8] = 1
    keep = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    return dataclasses.replace(inputs, segs_BNHW=segs, keep_BK=keep)


def output(backbone, grounding: Grounding | None) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(2, 4, 8, 8, generator=rng)
    text = torch.randn(2, 7, backbone.context_width, generator=rng)
    with torch.no_grad():
        return network(backbone.unet)(z, Call.plain(torch.tensor(501), Conditioning(text, grounding)))


def trained(unet) -> UniFusion:
    adapter = UniFusion.for_unet(unet, CONFIG).requires_grad_(False)
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.8)
        fuser.alpha_dense.fill_(0.5)
    for scale in adapter.scales.values():
        scale.b.fill_(0.3)
        scale.s.fill_(-0.4)
    return adapter.eval()


def test_a_fresh_adapter_changes_nothing_but_rounding(backbone):
    adapter = UniFusion.for_unet(backbone.unet, CONFIG)
    base = output(backbone, None)
    with torch.no_grad(), adapter.attach(backbone.unet):
        out = output(backbone, adapter.grounding(layouts(adapter.config)))
    assert torch.allclose(out, base, atol=1e-6)
    assert torch.equal(output(backbone, None), base)


def test_detaching_restores_the_base_exactly_and_a_second_adapter_is_refused(backbone):
    adapter, base = trained(backbone.unet), output(backbone, None)
    handle = adapter.attach(backbone.unet)
    grounding = adapter.grounding(layouts(adapter.config))
    on = output(backbone, grounding)
    scaled = output(backbone, None)
    with pytest.raises(ModelError, match="instancediffusion is attached"):
        trained(backbone.unet).attach(backbone.unet)
    assert (on - scaled).abs().max() > 1e-3 and (scaled - base).abs().max() > 1e-3
    handle.close()
    handle.close()
    assert torch.equal(output(backbone, None), base)


def test_scales_belong_to_ascending_resnets_and_their_backbone_channels(backbone):
    scales = fresh_scales(backbone.unet)
    resnets = [(f"up_blocks.{i}.resnets.{j}", one) for i, block in enumerate(backbone.unet.up_blocks)
               for j, one in enumerate(block.resnets)]  # fmt: skip
    assert list(scales) == [path for path, _ in resnets]
    skips = [resnet.in_channels - len(scales[path].b) for path, resnet in resnets]
    assert min(skips) > 0
    down = [backbone.unet.conv_in.out_channels]
    for block in backbone.unet.down_blocks:
        down += [resnet.out_channels for resnet in block.resnets]
        down += [block.resnets[-1].out_channels] if block.downsamplers else []
    assert skips == down[::-1]


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (4, 2), (16, 24)])
def test_low_frequencies_equal_the_transform(size: tuple[int, int]):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).double()
    h, w = size
    spectrum = torch.fft.fftshift(torch.fft.fftn(x, dim=(-2, -1)), dim=(-2, -1))
    spectrum[..., h // 2 - 1 : h // 2 + 1, w // 2 - 1 : w // 2 + 1] *= 0.3
    expected = torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1)).real
    assert torch.allclose(scale_low_frequencies(x.float(), torch.tensor(0.3)), expected.float(), atol=1e-5)


def test_half_precision_maps_of_any_size_stay_finite():
    scale = ScaleU(4)
    with torch.no_grad():
        scale.s.fill_(0.7)
    out = scale(torch.randn(1, 7, 6, 10).bfloat16())
    assert out.dtype == torch.bfloat16 and out.isfinite().all()


def test_null_tokens_are_those_of_no_instance_whatever_is_kept(backbone):
    adapter = trained(backbone.unet)
    empty = empty_inputs(2, adapter.config)
    keep = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    grounding = adapter.grounding(dataclasses.replace(empty, keep_BK=keep))
    assert torch.allclose(grounding.tokens_RMD, adapter.null_tokens(2), atol=1e-6)
    assert grounding.gate_R.tolist() == [0.0, 0.0]


def test_tokens_are_the_same_alone_and_in_a_batch(backbone):
    adapter = trained(backbone.unet)
    both = layouts(adapter.config)
    together = adapter.tokens(both)
    assert together.shape == (2, 4 * 3 + CONFIG.map_tokens, backbone.context_width)
    for row in range(2):
        alone = UniFusionInputs(**{name: value[row : row + 1] for name, value in vars(both).items()})
        assert torch.allclose(adapter.tokens(alone)[0], together[row], atol=1e-5)


def test_dropping_every_kind_keeps_the_boxes(backbone):
    adapter = trained(backbone.unet)
    both = layouts(adapter.config)
    none = dataclasses.replace(both, keep_BK=torch.zeros(2, 4))
    boxes = dataclasses.replace(both, keep_BK=torch.tensor([[1.0, 0, 0, 0]] * 2))
    assert torch.equal(adapter.tokens(none), adapter.tokens(boxes))


def test_bfloat16_adapter_gives_float32_tokens(backbone):
    adapter = trained(backbone.unet).to(torch.bfloat16)
    tokens = adapter.tokens(layouts(adapter.config))
    assert tokens.dtype == torch.float32 and tokens.isfinite().all()


def test_sizes_that_cannot_be():
    with pytest.raises(ModelError, match="a multiple of 64 expected"):
        UniFusionConfig(map_px=100)
    with pytest.raises(ModelError, match="2 depths for 4 widths"):
        UniFusionConfig(depths=(1, 1))


def test_trunk_of_the_published_size_has_the_published_count():
    with torch.device("meta"):
        trunk = ConvNext()
    assert sum(value.numel() for value in trunk.parameters()) == 27_818_592
    assert len(trunk.state_dict()) == 178
