"""The semantic ControlNet beside a UNet: what it reads, where it acts, and that it changes nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.backbone.call import Call, Conditioning, Window
from scenewright.backbone.network import network
from scenewright.backbone.windows import windowed
from scenewright.condition.semantic import MAP, SemanticConfig, SemanticControl, maps_of, one_hot
from scenewright.errors import InputError, ModelError
from scenewright.models.adapter import load_adapter, save_adapter
from scenewright.scene import Scene, SemanticMap
from scenewright.testing import tiny_backbone

SIZE = (64, 32)


def street(seed: int, size_wh: tuple[int, int] = SIZE) -> Scene:
    labels = np.random.default_rng(seed).integers(0, 19, (size_wh[1] // 8, size_wh[0] // 8))
    labels = labels.repeat(8, 0).repeat(8, 1).astype(np.uint16)
    labels[:8, :8] = 255
    return Scene("a street", size_wh, semantic_map=SemanticMap.from_labels(labels, "cityscapes"))


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(0)


@pytest.fixture(scope="module")
def control(backbone) -> SemanticControl:
    """One that acts: its zero convolutions are filled."""
    found = SemanticControl.for_unet(backbone.unet, SemanticConfig(), stride=backbone.stride)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in found.parameters():
            if not bool(value.any()):
                value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return found.requires_grad_(False).eval()


def call_of(control: SemanticControl, scenes: list[Scene], scale: float = 1.0) -> Call:
    maps, has = maps_of(scenes, control.config)
    text = torch.randn(len(scenes), 48, 32, generator=torch.Generator().manual_seed(5))
    return Call.plain(torch.tensor(500), Conditioning(text, extra=control.conditioning(maps, has * scale)))


def latent(rows: int, h: int = 8, w: int = 16) -> torch.Tensor:
    return torch.randn(rows, 4, h, w, generator=torch.Generator().manual_seed(9))


def test_a_fresh_one_has_the_encoder_of_the_unet_and_changes_nothing(backbone) -> None:
    fresh = SemanticControl.for_unet(backbone.unet, SemanticConfig(), stride=4)
    assert fresh.stride == 4 and fresh.config.embedding == (16, 32, 96)
    assert fresh.net.controlnet_cond_embedding.conv_in.weight.shape == (16, 20, 3, 3)
    assert torch.equal(fresh.net.conv_in.weight, backbone.unet.conv_in.weight)
    call, z = call_of(fresh, [street(0)]), latent(1)
    with torch.no_grad():
        plain = network(backbone.unet)(z, call)
        assert torch.equal(network(backbone.unet, fresh.residuals)(z, call), plain)


def test_rows_without_a_map_are_the_base_bit_for_bit(backbone, control) -> None:
    call = call_of(control, [street(0), Scene("a street", SIZE), street(2)])
    z = latent(3)
    with torch.no_grad():
        base, steered = network(backbone.unet)(z, call), network(backbone.unet, control.residuals)(z, call)
        none = control.residuals(z[1:2], call.take([1]))
        off = control.residuals(z, replace(call, gate=0.0))
    assert none is None and off is None
    assert torch.equal(steered[1], base[1])
    assert min(float((steered[k] - base[k]).abs().max()) for k in (0, 2)) > 1e-3


def test_rows_do_not_depend_on_their_neighbours_and_strength_scales(backbone, control) -> None:
    call, z = call_of(control, [street(0), street(1)]), latent(2)
    with torch.no_grad():
        both = control.residuals(z, call)
        one = control.residuals(z[1:], call.take([1]))
        half = control.residuals(z, call_of(control, [street(0), street(1)], 0.5))
    assert both and one and half
    for skips, alone, halved in zip((*both[0], both[1]), (*one[0], one[1]), (*half[0], half[1]), strict=True):
        torch.testing.assert_close(skips[1:], alone, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(halved, skips / 2, atol=1e-5, rtol=1e-4)


def test_a_window_sees_its_part_of_the_map(backbone, control) -> None:
    scene = street(3, (128, 64))
    maps, has = maps_of([scene], control.config)
    window = Window(4, 8, 12, 24)
    part = maps[:, 16:48, 32:96]
    text, z = torch.zeros(1, 48, 32), latent(1)
    whole = Conditioning(text, extra=control.conditioning(maps, has))
    cut = Conditioning(text, extra=control.conditioning(part, has))
    t = torch.tensor(10)
    with torch.no_grad():
        seen = control.residuals(z, replace(Call.plain(t, whole), window_R=(window,)))
        expected = control.residuals(z, Call.plain(t, cut))
    assert seen and expected and torch.equal(seen[1], expected[1])
    with pytest.raises(InputError, match="128x64 pixels for a latent of 16x8 cells of 4"):
        control.residuals(z, Call.plain(t, whole))


def test_one_window_is_no_window(backbone, control) -> None:
    inner, call, z = network(backbone.unet, control.residuals), call_of(control, [street(0)]), latent(1)
    with torch.no_grad():
        once = windowed(inner, (32, 32), (8, 8))(z, call)
        torch.testing.assert_close(once, inner(z, call), atol=1e-5, rtol=0)


def test_channels_are_the_classes_and_what_is_not_labelled(control) -> None:
    scene = street(0)
    before = scene.semantic_map.labels()
    maps, has = maps_of([scene, Scene("", SIZE)], control.config)
    code = one_hot(maps, control.config.channels)
    assert code.shape == (2, 20, 32, 64) and has.tolist() == [1.0, 0.0]
    assert bool(code[0, 19, :8, :8].all()) and bool(code[1, 19].all())
    assert torch.equal(code.sum(1), torch.ones(2, 32, 64, dtype=torch.int64))
    assert np.array_equal(scene.semantic_map.labels(), before)
    assert MAP in control.conditioning(maps, has)


def test_maps_of_other_classes_and_numbers_are_refused(control) -> None:
    labels = np.full((32, 64), 19, np.uint16)
    wrong = Scene("", SIZE, semantic_map=SemanticMap.from_labels(labels, "cityscapes"))
    with pytest.raises(InputError, match="19"):
        maps_of([wrong], control.config)
    voc = Scene("", SIZE, semantic_map=SemanticMap.from_labels(labels * 0, "voc"))
    with pytest.raises(InputError, match="of 'voc'; the adapter reads the 19 of 'cityscapes'"):
        maps_of([voc], control.config)
    town = Scene("", SIZE, semantic_map=SemanticMap.from_labels(labels * 0 + 255, "town"))
    assert int(maps_of([town], control.config)[0].min()) == 19


def test_files_keep_everything(backbone, control, tmp_path: Path) -> None:
    file = save_adapter(
        tmp_path / "c.safetensors", control, control.config, "dginstyle", backbone.fingerprint
    )
    again = load_adapter(file, backbone)
    assert isinstance(again, SemanticControl) and again.config == control.config
    call, z = call_of(control, [street(0)]), latent(1)
    with torch.no_grad():
        one, two = control.residuals(z, call), again.residuals(z, call)
    assert one and two and torch.equal(one[1], two[1])
    with pytest.raises(ModelError, match="unknown key"):
        SemanticConfig.from_json('{"classses": []}')
