"""GLIGEN files: original checkpoints, diffusers' gated folders, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
import sys
import types
from pathlib import Path

import pytest
import torch

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.condition.gligen import Gligen, GligenConfig, GligenInputs, inputs_from_scenes
from scenewright.convert.gligen import (
    Numbers,
    export_gated,
    from_gated,
    from_original,
    gated_unet,
    original_state,
    read_gated,
    read_original,
)
from scenewright.errors import InputError, ModelError
from scenewright.scene import Box, Instance, Scene
from scenewright.testing import tiny_backbone

SLOTS = 4


@pytest.fixture(scope="module", params=["nano", "sd1"])
def backbone(request):
    return tiny_backbone(3, request.param)


@pytest.fixture(scope="module")
def original():
    """The original layout always normalises in 32 groups, which the tiny `nano` is too narrow for."""
    return tiny_backbone(3, "sd1")


def trained(unet) -> Gligen:
    adapter = Gligen.for_unet(unet, GligenConfig(slots=SLOTS)).requires_grad_(False)
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.8)
        fuser.alpha_dense.fill_(0.5)
    adapter.position_net.null_positive_feature.fill_(0.3)
    return adapter.eval()


def scenes() -> list[Scene]:
    car = Instance(phrase="a red car", box=Box(0.1, 0.2, 0.5, 0.9))
    cat = Instance(phrase="a blue cat", box=Box(0.6, 0.1, 0.9, 0.4))
    return [Scene(prompt="a car", size_wh=(64, 64), instances=(car, cat)), Scene("a cat", (64, 64), (cat,))]


def numbers(unet) -> Numbers:
    return Numbers(heads=(unet.config.attention_head_dim,), slots=SLOTS, sample_size=unet.config.sample_size)


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_diffusers_runs_the_exported_folder_to_the_same_latents(backbone, tmp_path: Path):
    from diffusers import UNet2DConditionModel

    adapter, items = trained(backbone.unet), scenes()
    export_gated(backbone, adapter, tmp_path / "gated")
    theirs = UNet2DConditionModel.from_pretrained(tmp_path / "gated" / "unet").eval()
    assert theirs.config.attention_type == "gated"

    inputs = inputs_from_scenes(items, backbone, adapter.config)
    text = embed(backbone, [one.prompt for one in items]).tokens_BLD
    empty = embed(backbone, [""] * 2).tokens_BLD
    noise = Noise(backbone.scheduler, 5)
    start = noise.start(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
    layout = adapter.grounding(inputs)
    negative = Conditioning(empty, adapter.null_grounding(layout))
    with adapter.attach(backbone.unet):
        ours = sample(guided(network(backbone.unet), 5.0, negative), noise, start, Conditioning(text, layout))

    def gated(z, call):
        halves = torch.tensor([half == "cond" for half in call.half_R]).float()
        gligen = {
            "boxes": inputs.boxes_BN4[list(call.sample_R)],
            "masks": inputs.masks_BN[list(call.sample_R)] * halves[:, None],
            "positive_embeddings": inputs.features_BND[list(call.sample_R)],
        }
        text_RLD = call.cond.text_RLD
        return theirs(z, call.t, text_RLD, cross_attention_kwargs={"gligen": gligen}).sample

    expected = sample(guided(gated, 5.0, Conditioning(empty)), noise, start, Conditioning(text))
    assert (ours - expected).abs().max() < 1e-4


def test_gated_folder_comes_back_bit_equal(backbone, tmp_path: Path):
    adapter = trained(backbone.unet)
    export_gated(backbone, adapter, tmp_path / "gated")
    for slots, folder in ((None, tmp_path / "gated"), (SLOTS, tmp_path / "gated" / "unet")):
        back = read_gated(folder, slots)
        assert same(back.unet.state_dict(), backbone.unet.state_dict())
        assert same(back.adapter.state_dict(), adapter.state_dict())
        assert back.adapter.config == adapter.config
        assert back.unet.config.attention_type == "default"
    again = from_gated(gated_unet(backbone.unet, adapter), SLOTS)
    assert same(again.adapter.state_dict(), adapter.state_dict())
    assert not any("fuser" in key for key in backbone.unet.state_dict())


def test_export_works_while_attached_and_leaves_other_folders_alone(backbone, tmp_path: Path):
    adapter = trained(backbone.unet)
    with adapter.attach(backbone.unet):
        export_gated(backbone, adapter, tmp_path / "gated")
    assert same(read_gated(tmp_path / "gated").adapter.state_dict(), adapter.state_dict())
    with pytest.raises(InputError, match="exists already"):
        export_gated(backbone, adapter, tmp_path / "gated")
    assert [path.name for path in tmp_path.iterdir()] == ["gated"]


def test_what_diffusers_cannot_express_is_refused(backbone):
    for change in ({"fourier": 6}, {"hidden": 64}, {"feature_width": 24}):
        adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=SLOTS, **change))
        with pytest.raises(InputError, match="diffusers cannot express"):
            gated_unet(backbone.unet, adapter)


class Meddling:
    """Unpickles by calling a function that a checkpoint must never get to call."""

    def __reduce__(self):
        return (Path.touch, (Path("meddled"),))


class Config:
    """Stands for the configuration objects that training scripts leave in their checkpoints."""

    def __init__(self) -> None:
        self.content = {"a": [1, 2]}


Config.__module__ = "omegaconf.dictconfig"


def write_original(path: Path, state: dict, monkeypatch: pytest.MonkeyPatch, **more: object) -> Path:
    module = types.ModuleType("omegaconf.dictconfig")
    module.Config = Config
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
        patch.setitem(sys.modules, "omegaconf.dictconfig", module)
        torch.save({"model": state, "opt": {"state": {}}, "iters": 7, "config_dict": Config(), **more}, path)
    return path


def test_original_file_with_configuration_objects(original, tmp_path: Path, monkeypatch):
    adapter = trained(original.unet)
    state = original_state(original.unet, adapter)
    ema = {key: value + 1 for key, value in state.items()}
    path = write_original(tmp_path / "original.pth", state, monkeypatch, ema=ema)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    one = read_original(path, numbers(original.unet))
    assert one.left_out == ("config_dict", "ema", "iters", "opt")
    assert same(one.unet.state_dict(), original.unet.state_dict())
    assert same(one.adapter.state_dict(), adapter.state_dict())
    averaged = read_original(path, numbers(original.unet), "ema").adapter.state_dict()
    assert same(averaged, {key: value + 1 for key, value in adapter.state_dict().items()})
    with pytest.raises(ModelError, match="no weights named 'emma'") as caught:
        read_original(path, numbers(original.unet), "emma")
    assert "ema" in caught.value.hint


def test_bare_state_dict_is_accepted(original, tmp_path: Path):
    adapter = trained(original.unet)
    torch.save(original_state(original.unet, adapter), tmp_path / "bare.bin")
    one = read_original(tmp_path / "bare.bin", numbers(original.unet))
    assert one.left_out == () and same(one.adapter.state_dict(), adapter.state_dict())


def test_a_file_that_would_run_something_is_not_run(original, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = original_state(original.unet, trained(original.unet))
    torch.save({"model": state, "config_dict": Meddling()}, tmp_path / "bad.pth")
    with pytest.raises(ModelError):
        read_original(tmp_path / "bad.pth", numbers(original.unet))
    assert not (tmp_path / "meddled").exists()


FUSER = "middle_block.1.transformer_blocks.0.fuser.alpha_attn"


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        ("position_net.null_positive_feature", {}, "position_net.null_positive_feature"),
        (FUSER, {}, "1 missing: .*fuser.alpha_attn"),
        (None, {"position_net.extra": 1}, "1 unexpected: position_net.extra"),
        (None, {"control.weight": 1}, "1 keys of the UNet are unknown: control"),
        (None, {"input_blocks.0.0.weight": 3}, "input_blocks.0.0.weight has shape"),
        (None, {"out.0.bias": 3}, "1 wrong shape: conv_norm_out.bias"),
        ("input_blocks.0.0.weight", {}, "input_blocks.0.0.weight"),
        ("input_blocks.1.0.out_layers.3.weight", {}, "lack input_blocks.1.0.out_layers.3.weight"),
        ("fuser|position_net", {}, "no grounding"),
    ],
)
def test_strict_about_keys(original, drop: str | None, add: dict[str, int], message: str):
    state = original_state(original.unet, trained(original.unet))
    kept = {key: value for key, value in state.items() if drop is None or not re.search(drop, key)}
    kept.update({key: torch.zeros(length) for key, length in add.items()})
    with pytest.raises(ModelError, match=message):
        from_original(kept, numbers(original.unet))


def test_heads_must_fit(original):
    state = original_state(original.unet, trained(original.unet))
    with pytest.raises(ModelError, match="cannot be split into 5 heads"):
        from_original(state, Numbers(heads=(5,), slots=SLOTS, sample_size=8))
    with pytest.raises(ModelError, match="normalise in 32 groups"):
        narrow = tiny_backbone(3).unet
        from_original(original_state(narrow, trained(narrow)), numbers(narrow))
    with pytest.raises(ModelError, match="2 head counts given"):
        from_original(state, Numbers(heads=(2, 4), slots=SLOTS, sample_size=8))
    for none in (0, -8):
        with pytest.raises(ModelError, match=f"{none} attention heads given"):
            from_original(state, Numbers(heads=(none,), slots=SLOTS, sample_size=8))


def test_folders_that_are_none(backbone, tmp_path: Path):
    with pytest.raises(ModelError, match=r"neither unet/config\.json nor config\.json"):
        read_gated(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        read_gated(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"attention_type": "default"}))
    with pytest.raises(ModelError, match="attention type 'gated'"):
        read_gated(tmp_path)
    export_gated(backbone, trained(backbone.unet), tmp_path / "gated")
    (tmp_path / "gated" / "gligen.json").unlink()
    with pytest.raises(ModelError, match="how many grounding slots"):
        read_gated(tmp_path / "gated")


def test_other_diffusers_variant_is_refused_by_name(tmp_path: Path):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), layers_per_block=1,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_type="gated-text-image",
    )  # fmt: skip
    unet.save_pretrained(tmp_path / "unet")
    with pytest.raises(ModelError, match="text and image box"):
        read_gated(tmp_path, SLOTS)


def test_deep_blocks_with_attention_everywhere_convert_both_ways():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    gated = UNet2DConditionModel(
        sample_size=(8, 12), block_out_channels=(64, 128), layers_per_block=2, cross_attention_dim=48,
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        attention_head_dim=2, transformer_layers_per_block=2, attention_type="gated",
    ).requires_grad_(False).eval()  # fmt: skip
    for name, value in gated.named_parameters():
        if "alpha" in name or "null" in name:
            value.fill_(0.6)
    first = from_gated(gated, 30)
    one = from_original(
        original_state(first.unet, first.adapter), Numbers(heads=(2,), slots=30, sample_size=8)
    )
    assert same(one.unet.state_dict(), first.unet.state_dict())
    assert same(one.adapter.state_dict(), first.adapter.state_dict())
    assert one.unet.config.transformer_layers_per_block == 2 and len(one.adapter.fusers) == 22
    rng = torch.Generator().manual_seed(1)
    z, text = torch.randn(2, 4, 8, 12, generator=rng), torch.randn(2, 5, 48, generator=rng)
    inputs = GligenInputs(
        torch.rand(2, 30, 4, generator=rng),
        (torch.rand(2, 30, generator=rng) > 0.5).float(),
        torch.randn(2, 30, 48, generator=rng),
    )
    gligen = {"boxes": inputs.boxes_BN4, "masks": inputs.masks_BN, "positive_embeddings": inputs.features_BND}
    expected = gated(z, torch.tensor([3, 741]), text, cross_attention_kwargs={"gligen": gligen}).sample
    with one.adapter.attach(one.unet):
        call = Call.plain(torch.tensor([3, 741]), Conditioning(text, one.adapter.grounding(inputs)))
        assert torch.allclose(network(one.unet)(z, call), expected, atol=5e-5)
