"""Original single-file checkpoints: tiny models there and back, full-size names without weights."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenewright.backbone.ldm_keys import open_clip_text, unet_key, vae_key
from scenewright.backbone.load import save_folder
from scenewright.backbone.model import Backbone
from scenewright.backbone.parts import build_text_encoder, build_unet, build_vae
from scenewright.backbone.single_file import CONFIGS, convert_original, load_single_file, single_configs
from scenewright.errors import ModelError
from scenewright.testing import tiny_backbone

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}


def original_unet_key(key: str, attends: set[int]) -> str:
    """The inverse table, for two residual blocks per level; `attends`: ascending levels with attention."""
    stem, _, leaf = key.rpartition(".")
    if stem in ENDS:
        return f"{ENDS[stem]}.{leaf}"
    if match := re.match(r"mid_block\.(\w+\.\d)\.(.+)", key):
        return f"middle_block.{MIDDLE[match[1]]}.{_inner(match[1], match[2])}"
    match = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.+)", key)
    assert match, key
    level, part, place, rest = int(match[2]), match[3], int(match[4]), match[5]
    if part == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0.op.{rest.removeprefix('conv.')}"
    if part == "upsamplers":
        return f"output_blocks.{3 * level + 2}.{2 if level in attends else 1}.{rest}"
    index = 3 * level + place + (1 if match[1] == "down" else 0)
    side = "input" if match[1] == "down" else "output"
    return f"{side}_blocks.{index}.{0 if part == 'resnets' else 1}.{_inner(part, rest)}"


def _inner(part: str, rest: str) -> str:
    if part.startswith("attentions"):
        return rest
    stem, _, leaf = rest.rpartition(".")
    return f"{RESNET[stem]}.{leaf}"


def original_vae(tensors: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    """VAE weights under original names, attention as 1x1 convolutions."""
    found = {}
    for key, tensor in tensors.items():
        new = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = new.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        new = new.replace("to_out.0", "proj_out")
        new = re.sub(r"attn_1\.to_([qkv])", r"attn_1.\1", new)
        new = re.sub(r"down_blocks\.(\d)", r"down.\1", new)
        new = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}", new)
        new = new.replace("resnets", "block").replace("samplers.0", "sample")
        square = "attn_1" in new and tensor.ndim == 2
        found[new] = tensor[:, :, None, None] if square else tensor
    return found


def original_open_clip(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """CLIPTextModel weights under OpenCLIP's names, with one more block than is used."""
    found = {
        "positional_embedding": tensors["embeddings.position_embedding.weight"],
        "token_embedding.weight": tensors["embeddings.token_embedding.weight"],
        "ln_final.weight": tensors["final_layer_norm.weight"],
        "ln_final.bias": tensors["final_layer_norm.bias"],
        "text_projection": torch.zeros(3, 3),
        "logit_scale": torch.zeros(()),
    }
    names = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    names["self_attn.out_proj"] = "attn.out_proj"
    for index in range(layers + 1):
        block, old = f"transformer.resblocks.{index}", f"encoder.layers.{min(index, layers - 1)}"
        for leaf in ("weight", "bias"):
            for mine, theirs in names.items():
                found[f"{block}.{theirs}.{leaf}"] = tensors[f"{old}.{mine}.{leaf}"]
            fused = [tensors[f"{old}.self_attn.{name}_proj.{leaf}"] for name in "qkv"]
            found[f"{block}.attn.in_proj_{leaf}"] = torch.cat(fused)
    return found


def original_checkpoint(backbone: Backbone) -> dict[str, Tensor]:
    """The whole backbone as one original checkpoint, with what such files carry besides."""
    tensors = {"betas": torch.zeros(10), "sqrt_alphas_cumprod": torch.zeros(10), "logvar": torch.zeros(10)}
    for key, tensor in backbone.unet.state_dict().items():
        name = original_unet_key(key, {1, 2, 3})
        tensors[f"model.diffusion_model.{name}"] = tensor
        tensors[f"model_ema.diffusion_model{name.replace('.', '')}"] = tensor + 1
    for key, tensor in original_vae(backbone.vae.state_dict(), 4).items():
        tensors[f"first_stage_model.{key}"] = tensor
    tensors["first_stage_model.loss.logvar"] = torch.zeros(1)
    text = backbone.text_encoder.state_dict()
    if backbone.prediction == "eps":
        for key, tensor in text.items():
            tensors[f"cond_stage_model.transformer.text_model.{key}"] = tensor
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    else:
        for key, tensor in original_open_clip(text, 2).items():
            tensors[f"cond_stage_model.model.{key}"] = tensor
    return {key: tensor.contiguous().clone() for key, tensor in tensors.items()}


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def tiny(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(7, request.param)


@pytest.fixture(scope="module")
def folder(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tiny, tmp_path_factory.mktemp("tiny") / "m", torch.float32)


def _same(a: Backbone, b: Backbone) -> None:
    for part in ("unet", "vae", "text_encoder"):
        left, right = getattr(a, part).state_dict(), getattr(b, part).state_dict()
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left), part


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
def test_tiny_there_and_back_is_bit_equal(tiny: Backbone, folder: Path, tmp_path: Path, ending: str) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"model{ending}"
    tensors = original_checkpoint(tiny)
    if ending == ".ckpt":
        torch.save({"state_dict": tensors, "global_step": 3}, path)
    else:
        save_file(tensors, path)
    again = load_single_file(path, config=folder, tokenizer=folder / "tokenizer")
    _same(tiny, again)
    assert again.name == "model"
    assert again.fingerprint == tiny.fingerprint
    assert again.prediction == tiny.prediction
    half = load_single_file(path, config=folder, tokenizer=folder / "tokenizer", dtype=torch.bfloat16)
    assert half.fingerprint == tiny.fingerprint
    assert half.text_fingerprint == again.text_fingerprint == tiny.text_fingerprint


def test_averaged_weights_on_request(tiny: Backbone, folder: Path) -> None:
    parts = convert_original(original_checkpoint(tiny), single_configs(folder), "test", ema=True)
    plain = tiny.unet.state_dict()
    assert all(torch.equal(parts["unet"][key], plain[key] + 1) for key in plain)
    without = {k: v for k, v in original_checkpoint(tiny).items() if not k.startswith("model_ema")}
    with pytest.raises(ModelError, match="no averaged weights"):
        convert_original(without, single_configs(folder), "test", ema=True)


def test_strange_and_missing_entries_are_listed(tiny: Backbone, folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = original_checkpoint(tiny)
    save_file(tensors | {"control_model.x": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"1 unexpected: control_model\.x"):
        load_single_file(tmp_path / "a.safetensors", config=folder, tokenizer=folder / "tokenizer")
    del tensors["model.diffusion_model.out.2.bias"]
    save_file(tensors, tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match=r"1 missing: conv_out\.bias"):
        load_single_file(tmp_path / "b.safetensors", config=folder, tokenizer=folder / "tokenizer")
    only_unet = {key: tensor for key, tensor in tensors.items() if key.startswith("model.")}
    save_file(only_unet, tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match="no weights for vae, text_encoder"):
        load_single_file(tmp_path / "c.safetensors", config=folder, tokenizer=folder / "tokenizer")


def test_prediction_of_sd2_is_never_guessed(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "v2.safetensors"
    tensors = {"cond_stage_model.model.ln_final.bias": torch.zeros(1)}
    save_file(tensors, path)
    with pytest.raises(ModelError, match="do not say what the network predicts") as caught:
        load_single_file(path)
    assert "sd2-v" in caught.value.hint
    with pytest.raises(ModelError, match="unknown config 'sd2-w'") as caught:
        load_single_file(path, config="sd2-w")
    assert caught.value.hint == "did you mean sd2-v?"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="neither CLIP's nor OpenCLIP's"):
        load_single_file(path)
    with pytest.raises(ModelError, match="no file at"):
        load_single_file(tmp_path / "nothing.ckpt")


def test_tokenizer_beside_the_file_or_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    tiny = tiny_backbone(7, "sd1")
    folder = save_folder(tiny, tmp_path / "m", torch.float32)
    path = tmp_path / "alone" / "v1.safetensors"
    path.parent.mkdir()
    save_file(original_checkpoint(tiny), path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="carries no tokenizer") as caught:
        load_single_file(path, config=folder)
    assert caught.value.hint == "run: scenewright models pull clip-tokenizer"
    (folder / "tokenizer").rename(path.parent / "tokenizer")
    assert load_single_file(path, config=folder).window == 77


@pytest.mark.parametrize("config", list(CONFIGS))
def test_full_size_names_agree_with_the_library(config: str) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    configs = single_configs(config)
    unet = build_unet(configs["unet"]).state_dict()
    vae = build_vae(configs["vae"]).state_dict()
    text = build_text_encoder(configs["text_encoder"]).state_dict()
    sizes = [sum(tensor.numel() for tensor in part.values()) for part in (unet, vae, text)]
    expected = {"sd1": [859520964, 83653863, 123060480]}.get(config, [865910724, 83653863, 340387840])
    assert sizes == expected
    original = {f"model.diffusion_model.{original_unet_key(k, {1, 2, 3})}": v for k, v in unet.items()}
    original_v = {f"first_stage_model.{k}": v for k, v in original_vae(vae, 4).items()}
    theirs = convert_ldm_unet_checkpoint(original, configs["unet"])
    ours = {unet_key(key.removeprefix("model.diffusion_model."), 2): v for key, v in original.items()}
    assert ours.keys() == theirs.keys() == unet.keys()
    assert all(ours[key] is theirs[key] is unet[key] for key in unet)
    theirs_v = convert_ldm_vae_checkpoint(original_v, configs["vae"])
    ours_v = {vae_key(key.removeprefix("first_stage_model."), 4) for key in original_v}
    assert ours_v == theirs_v.keys() == vae.keys()
    if config != "sd1":
        layers = configs["text_encoder"]["num_hidden_layers"]
        found, strange = open_clip_text(original_open_clip(text, layers), layers)
        assert (found.keys(), strange) == (text.keys(), [])


def test_open_clip_agrees_with_the_library() -> None:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    tiny = tiny_backbone(7, "sd2")
    original = original_open_clip(tiny.text_encoder.state_dict(), 2)
    del original["text_projection"]
    prefixed = {f"cond_stage_model.model.{key}": tensor for key, tensor in original.items()}
    theirs = convert_open_clip_checkpoint(tiny.text_encoder, prefixed)
    ours, _ = open_clip_text(original, 2)
    assert all(torch.equal(theirs[f"text_model.{key}"], tensor) for key, tensor in ours.items())


def test_published_names_of_sd14(golden_dir: Path) -> None:
    path = golden_dir / "gligen" / "given" / "full_sd14_keys.json.gz"
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    keys = json.loads(gzip.decompress(path.read_bytes()))
    table = keys["map_text_to_gated"]
    assert {key: unet_key(key, 2) for key in table} == table
    unet = build_unet(single_configs("sd1")["unet"])
    shapes = {key: list(tensor.shape) for key, tensor in unet.state_dict().items()}
    assert shapes == keys["diffusers_default"]


@pytest.mark.parametrize("key", ["input_blocks.1", "input_blocks.1.0.in_layers.7.weight", "betas", "x.y"])
def test_unknown_unet_names_have_no_place(key: str) -> None:
    assert unet_key(key, 2) is None
    assert vae_key(key, 4) is None


def test_command_turns_a_file_into_a_folder(tiny: Backbone, folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from scenewright.backbone.load import load_folder
    from scenewright.convert.dispatch import convert

    save_file(original_checkpoint(tiny), tmp_path / "x.safetensors")
    out, kind = convert(
        str(tmp_path / "x.safetensors"),
        str(tmp_path / "out"),
        config=str(folder),
        tokenizer=str(folder / "tokenizer"),
        half=False,
    )
    assert kind == "folder"
    _same(tiny, load_folder(out))


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_misshapen_entries_are_listed_and_not_a_crash(tmp_path: Path, shape: tuple[int, ...]) -> None:
    from safetensors.torch import save_file

    first = "model.diffusion_model.input_blocks.0.0.weight"
    fused = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"
    path = tmp_path / "odd.safetensors"
    save_file({first: torch.ones(shape)}, path)
    with pytest.raises(ModelError, match="no UNet"):
        load_single_file(path, config="sd1")
    save_file({first: torch.ones(4, 4, 3, 3), fused: torch.ones(shape)}, path)
    with pytest.raises(ModelError, match=r"unexpected: .*in_proj_weight"):
        load_single_file(path, config="sd2")
