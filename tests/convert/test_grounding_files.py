"""Mask modules as files: the three released kinds in, our adapter out, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scenewright.backbone.features import tap_layout
from scenewright.convert.dispatch import convert
from scenewright.convert.grounding import (
    CHANNELS,
    config_of,
    from_original,
    is_head,
    names,
    original_state,
    published_keys,
    read_original,
    variant,
)
from scenewright.errors import ModelError
from scenewright.ground.head import GroundingConfig, GroundingHead
from scenewright.models.adapter import load_adapter, read_header
from scenewright.models.cards import cards
from scenewright.models.overview import add
from scenewright.testing import tiny_backbone


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENEWRIGHT_HOME", str(tmp_path / "home"))


def published(layout: str = "blocks", text: int = 768) -> dict[str, Tensor]:
    """Random weights with the published names and shapes."""
    config = GroundingConfig(layout=layout, channels=CHANNELS[layout], text_width=text)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in GroundingHead(config).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    table = names(published_keys())
    return {key: torch.randn(shapes[table[key]], generator=generator) * 0.01 for key in published_keys()}


@pytest.fixture(scope="module")
def port() -> dict[str, Tensor]:
    return published()


def on_meta(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: torch.empty(value.shape, device="meta") for key, value in state.items()}


def test_what_the_weights_do_not_tell_follows_the_kind(port):
    assert (len(port), is_head(port), variant(port)) == (90, True, "port")
    config = config_of(port)
    assert (config.layout, config.query_mode, config.bn_mode) == ("blocks", "single", "running")
    assert (config.text_mode, config.stride, config.text_width) == ("joint", 8, 768)
    assert config_of(port, bn_mode="batch", text_mode="subtract").bn_mode == "batch"
    wide = dict(on_meta(port), **{"to_q.weight": torch.empty(512, 1024, device="meta")})
    assert (variant(wide), config_of(wide).text_width) == ("port-sd2", 1024)
    fine = dict(on_meta(port))
    for level, channels in zip(("low", "mid", "high", "highest"), CHANNELS["all"], strict=True):
        key = f"{level}_feature_conv.0.weight"
        fine[key] = torch.empty(port[key].shape[0], channels, 1, 1, device="meta")
    config = config_of(fine)
    assert (variant(fine), config.layout, config.bn_mode) == ("original", "all", "batch")
    assert (config.query_mode, config.text_mode) == ("joint", "template")


def test_there_and_back_is_bit_equal(port):
    back = original_state(from_original(port))
    assert back.keys() == port.keys()
    assert all(torch.equal(back[key], port[key]) for key in port)
    head = GroundingHead(GroundingConfig(channels=CHANNELS["blocks"], text_width=768, width=64))
    with pytest.raises(ModelError, match="differs in width"):
        original_state(head)


def test_released_widths_are_those_of_stable_diffusion():
    """The layouts found by walking the real networks' block structure give the published widths."""
    from scenewright.backbone.parts import build_unet

    for layout, scale in (("sd1", 1), ("sd2", 1)):
        config = dict(tiny_backbone(0, layout).unet.config)
        config |= {"block_out_channels": (320, 640, 1280, 1280), "norm_num_groups": 32}
        unet = build_unet({key: value for key, value in config.items() if not key.startswith("_")})
        for name, channels in CHANNELS.items():
            assert tap_layout(unet, name).widths() == tuple(width * scale for width in channels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mlp.layers.0.weight": (512, 4608)}, "saliency"),
        ({"highest_feature_conv.0.weight": (128, 1920 + 40 * 77, 1, 1)}, r"5000\) channels"),
        ({"to_q.weight": (512, 512)}, "text of width 512"),
        ({"to_k.weight": (256, 3840)}, "wrong shape"),
    ],
)
def test_other_widths_are_refused(port, change, words):
    state = {**on_meta(port), **{key: torch.empty(shape, device="meta") for key, shape in change.items()}}
    with pytest.raises(ModelError, match=words):
        from_original(state)


def test_missing_and_unknown_keys_are_listed(port):
    state = on_meta(port)
    del state["mid_feature_mix_conv.conv1.u0"]
    with pytest.raises(ModelError, match=r"mid_feature_mix_conv\.conv1\.u0"):
        from_original(state)
    with pytest.raises(ModelError, match=r"unknown: dino\.weight"):
        from_original({**on_meta(port), "dino.weight": torch.empty(1, device="meta")})


def test_a_file_becomes_a_head_that_is_held_to_widths(port, tmp_path: Path):
    source = tmp_path / "mine.pth"
    torch.save(port, source)
    out, kind = convert(str(source), str(tmp_path / "head.safetensors"), half=False)
    header = read_header(out)
    assert (kind, header.kind, header.backbone, header.backbone_name) == ("adapter", "grounding", "", "sd15")
    assert variant(port) in header.notes
    assert torch.equal(
        read_original(source).state_dict()["to_tokens.weight"],
        from_original(port).state_dict()["to_tokens.weight"],
    )
    with pytest.raises(ModelError, match=r"taps 'blocks' of this UNet give"):
        load_adapter(out, tiny_backbone(0, "sd1"))


def test_cards_lead_to_a_name_that_can_be_loaded(port, tmp_path: Path):
    known = [card for card in cards().values() if card.kind.startswith("grounding-")]
    assert {card.belongs_to for card in known} == {"sd14", "sd15", "sd2"}
    source = tmp_path / "grounding_module.safetensors"
    save_file(port, source)
    with pytest.raises(ModelError, match="not on this machine"):
        convert("grounding-port")
    for name in ("grounding", "grounding-port"):
        file = source.with_suffix(".pth")
        torch.save(port, file)
        assert add(file, name) == (name, cards()[name].kind)
    with pytest.raises(ModelError, match="not what grounding names") as caught:
        convert("grounding")
    assert "--name grounding-port" in caught.value.hint
    out, _ = convert("grounding-port")
    assert out.name == "sd15+grounding.safetensors"
    from scenewright.models.registry import resolve
    from scenewright.models.store import added

    assert added()["sd15+grounding"].path == str(out)
    with pytest.raises(ModelError, match="sd15"):
        resolve("sd15+grounding")  # the backbone itself is not here


def test_a_file_name_that_several_models_share_needs_a_name(tmp_path: Path):
    from scenewright.errors import InputError

    file = tmp_path / "grounding_module.pth"
    torch.save({}, file)
    with pytest.raises(InputError, match="grounding, grounding-port, grounding-port-sd2"):
        add(file)
