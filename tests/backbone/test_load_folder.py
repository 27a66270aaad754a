"""A backbone survives being written and read, and what is broken is said clearly."""

from __future__ import annotations

import dataclasses
import json
import pickle
import warnings
from pathlib import Path

import pytest
import torch

from scenewright.backbone.load import find_folder, load_folder, save_folder
from scenewright.backbone.model import Backbone, fingerprint
from scenewright.backbone.text import embed
from scenewright.errors import InputError, ModelError, StorageError
from scenewright.testing import tiny_backbone

LAYOUTS = ("nano", "sd1", "sd2")
NETWORKS = ("unet", "vae", "text_encoder")


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return tiny_backbone(0)


@pytest.fixture()
def folder(tiny: Backbone, tmp_path: Path) -> Path:
    return save_folder(tiny, tmp_path / "model", torch.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_is_bit_equal(layout: str, tmp_path: Path) -> None:
    tiny = tiny_backbone(3, layout)
    again = load_folder(save_folder(tiny, tmp_path / "m", torch.float32))
    for part in NETWORKS:
        before, after = getattr(tiny, part).state_dict(), getattr(again, part).state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(before[key], after[key]) for key in before), part
    assert again.tokenizer("a red car é?")["input_ids"] == tiny.tokenizer("a red car é?")["input_ids"]
    assert type(again.scheduler) is type(tiny.scheduler)
    assert {k: v for k, v in again.scheduler.config.items() if not k.startswith("_")} == {
        k: v for k, v in tiny.scheduler.config.items() if not k.startswith("_")
    }
    assert again.fingerprint == tiny.fingerprint


@pytest.mark.parametrize(
    ("layout", "numbers"),
    [
        ("nano", (4, 4, (128, 128), 48, 32, "eps")),
        ("sd1", (8, 4, (512, 512), 77, 64, "eps")),
        ("sd2", (8, 4, (768, 768), 77, 1024, "v")),
    ],
)
def test_numbers_follow_from_the_parts(layout: str, numbers: tuple) -> None:
    tiny = tiny_backbone(0, layout)
    found = (tiny.stride, tiny.channels, tiny.native_wh, tiny.window, tiny.context_width, tiny.prediction)
    assert found == numbers
    assert (tiny.device, tiny.dtype) == (torch.device("cpu"), torch.float32)
    assert tiny.tokenizer.eos_token_id not in (None, 2)
    assert tiny.text_encoder.config.eos_token_id == tiny.tokenizer.eos_token_id


def test_same_seed_same_weights() -> None:
    assert tiny_backbone(5).fingerprint == tiny_backbone(5).fingerprint != tiny_backbone(6).fingerprint
    state = torch.random.get_rng_state()
    tiny_backbone(5)
    assert torch.equal(state, torch.random.get_rng_state())


def test_unknown_layout_suggests() -> None:
    with pytest.raises(InputError, match="nanoo") as caught:
        tiny_backbone(0, "nanoo")
    assert caught.value.hint == "did you mean nano?"


def test_loaded_networks_are_frozen_and_quiet(folder: Path, capfd: pytest.CaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_folder(folder)
    for part in NETWORKS:
        module = getattr(again, part)
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_fingerprint_survives_number_types(tiny: Backbone, folder: Path, dtype: torch.dtype) -> None:
    half = load_folder(folder, dtype=dtype)
    assert half.dtype == dtype
    assert half.fingerprint == tiny.fingerprint
    stored_half = save_folder(tiny, folder.parent / "half")
    assert load_folder(stored_half).fingerprint == tiny.fingerprint
    assert half.text_fingerprint == load_folder(stored_half).text_fingerprint == tiny.text_fingerprint
    assert tiny_backbone(5).text_fingerprint != tiny.text_fingerprint


def test_fingerprint_leaves_out_adapters() -> None:
    base = {"a.weight": torch.ones(2, 3)}
    attached = base | {"b.fuser.alpha_attn": torch.zeros(()), "position_net.x": torch.ones(3)}
    assert fingerprint(attached) == fingerprint(base)
    assert fingerprint({"a.weight": torch.ones(3, 2)}) != fingerprint(base)
    assert fingerprint({"c.weight": torch.ones(2, 3)}) != fingerprint(base)


def test_diffusers_pipeline_loads_the_folder(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    for layout in LAYOUTS:
        tiny = tiny_backbone(1, layout)
        path = save_folder(tiny, tmp_path / layout, torch.float32)
        theirs = StableDiffusionPipeline.from_pretrained(str(path))
        ids_BL = theirs.tokenizer(
            ["a red car", "sky"], padding="max_length", max_length=tiny.window, return_tensors="pt"
        ).input_ids
        text_BLD = theirs.text_encoder(ids_BL)[0]
        torch.testing.assert_close(embed(tiny, ["a red car", "sky"]).tokens_BLD, text_BLD)
        z_BChw = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        ours = tiny.unet(z_BChw, 7, text_BLD).sample
        torch.testing.assert_close(theirs.unet(z_BChw, 7, text_BLD).sample, ours)


def test_old_attention_names_and_prefixes_load(tiny: Backbone, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for key, tensor in load_file(vae).items():
        for new, name in old.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        tensors[key] = tensor
    assert any("proj_attn" in key for key in tensors)
    save_file(tensors, vae)
    text = folder / "text_encoder" / "model.safetensors"
    tensors = {key.removeprefix("text_model."): tensor for key, tensor in load_file(text).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(48)[None]
    save_file(tensors, text)
    again = load_folder(folder)
    assert again.text_fingerprint == load_folder(folder, dtype=torch.bfloat16).text_fingerprint
    assert again.text_fingerprint == tiny.text_fingerprint
    before, after = tiny.vae.state_dict(), again.vae.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_pickled_weights_load(folder: Path) -> None:
    from safetensors.torch import load_file

    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), folder / "unet" / "diffusion_pytorch_model.bin")
    expected = load_folder(folder).fingerprint
    path.unlink()
    assert load_folder(folder).fingerprint == expected


def test_sharded_weights_load(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    expected, tensors = load_folder(folder).fingerprint, load_file(path)
    names = sorted(tensors)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in files.items():
        save_file({key: tensors[key] for key in keys}, path.parent / file)
    index = {"weight_map": {key: file for file, keys in files.items() for key in keys}}
    path.unlink()
    path.with_suffix(".safetensors.index.json").write_text(json.dumps(index))
    assert load_folder(folder).fingerprint == expected


def test_other_files_in_the_folder_stay(tiny: Backbone, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "gligen.safetensors").write_bytes(b"keep")
    save_folder(tiny, tmp_path / "m")
    save_folder(tiny, tmp_path / "m")
    assert (tmp_path / "m" / "gligen.safetensors").read_bytes() == b"keep"
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


def test_unwritable_place_is_a_storage_error(tiny: Backbone, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write the model"):
        save_folder(tiny, tmp_path / "file" / "m")
    with pytest.raises(StorageError, match="cannot write the model"):
        save_folder(tiny, tmp_path / "file")


def _damage(folder: Path, what: str) -> None:
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    if what == "no index":
        (folder / "model_index.json").unlink()
    elif what == "bad json":
        (folder / "unet" / "config.json").write_text("{")
    elif what == "no weights":
        unet.unlink()
    elif what == "cut weights":
        unet.write_bytes(unet.read_bytes()[:1000])
    elif what == "no tokenizer":
        for path in (folder / "tokenizer").iterdir():
            path.unlink()
    elif what == "no vae":
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {"vae": [None, None]}))
    elif what == "other scheduler":
        path = folder / "scheduler" / "scheduler_config.json"
        path.write_text(path.read_text().replace("DDIMScheduler", "DDIMSchedulr"))
    elif what == "other weights":
        from safetensors.torch import load_file, save_file

        tensors = load_file(unet)
        tensors["strange.weight"] = tensors.pop("conv_in.weight")
        tensors["conv_out.bias"] = torch.zeros(7)
        save_file(tensors, unet)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("unet/config.json", {"block_out_channels": [8]}, "the UNet cannot be built"),
        ("unet/config.json", {"attention_head_dim": 0}, "the UNet cannot be built"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "needs more than a text"),
        ("vae/config.json", {"block_out_channels": []}, "the VAE cannot be built"),
        ("text_encoder/config.json", {"num_attention_heads": 5}, "the text encoder cannot be built"),
        ("text_encoder/config.json", {"hidden_act": "none such"}, "the text encoder cannot be built"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "none such"}, "the scheduler cannot be built"),
        ("tokenizer/tokenizer.json", {"added_tokens": 3, "model": 4}, "the tokenizer cannot be built"),
        ("model_index.json", {"unet": None}, "names no unet"),
        ("model_index.json", {"unet": []}, "names no unet"),
        ("model_index.json", {"unet": ["diffusers", "UNet3DConditionModel"]}, "has UNet3DConditionModel"),
        ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]}, "has text_encoder_2"),
    ],
)
def test_files_that_are_json_but_no_model_say_why(
    folder: Path, file: str, changes: dict[str, object], message: str
) -> None:
    _edit(folder / file, **changes)
    with pytest.raises(ModelError, match=message):
        load_folder(folder)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": {"a": 3}}', '{"weight_map": {"a": "x.bin"}}']
)
def test_damaged_lists_of_shards_say_so(folder: Path, text: str) -> None:
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.rename(weights.with_name("elsewhere"))
    weights.with_name(f"{weights.name}.index.json").write_text(text)
    with pytest.raises(ModelError, match=str(folder)):
        load_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor * float("nan"), "1 not finite: conv_in.bias"),
        (lambda tensor: tensor.to(torch.int8), r"1 wrong number type: conv_in.bias torch.int8"),
        (lambda tensor: tensor.to(torch.complex64), "1 wrong number type"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(folder: Path, change: object, message: str) -> None:
    from safetensors.torch import load_file, save_file

    path = next((folder / "unet").glob("*.safetensors"))
    tensors = load_file(path)
    save_file(tensors | {"conv_in.bias": change(tensors["conv_in.bias"])}, path)
    with pytest.raises(ModelError, match=message):
        load_folder(folder)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no index", "model_index.json"),
        ("bad json", "cannot be read"),
        ("no weights", "holds no weights"),
        ("cut weights", "cannot be read"),
        ("no tokenizer", "holds no tokenizer"),
        ("no vae", "names no vae"),
        ("other scheduler", "unknown scheduler 'DDIMSchedulr'"),
        (
            "other weights",
            r"1 missing: conv_in.weight; 1 unexpected: strange.weight; 1 wrong shape: conv_out.bias \(7,\)",
        ),
    ],
)
def test_broken_folders_say_why(folder: Path, what: str, message: str) -> None:
    _damage(folder, what)
    with pytest.raises(ModelError, match=message):
        load_folder(folder)


def test_missing_model_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at 'someone/something'") as caught:
        find_folder("someone/something")
    assert caught.value.hint == "run: scenewright models pull someone/something"
    with pytest.raises(ModelError, match="no model at"):
        find_folder(tmp_path / "nothing")


def test_unknown_prediction_type_is_refused(tiny: Backbone) -> None:
    scheduler = type(tiny.scheduler).from_config(tiny.scheduler.config, prediction_type="sample")
    with pytest.raises(ModelError, match="prediction type 'sample'"):
        _ = dataclasses.replace(tiny, scheduler=scheduler).prediction


def test_backbone_is_frozen(tiny: Backbone) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.name = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(tiny.name)) == "tiny-nano"
