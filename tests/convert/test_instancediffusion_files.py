"""InstanceDiffusion's checkpoint as a whole: folder and adapter, adapter alone, and the file again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scenewright.backbone.load import load_folder, save_folder
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.convert.dispatch import convert
from scenewright.convert.instancediffusion import SD15, original_state
from scenewright.convert.instancediffusion_files import (
    export_original,
    is_released,
    largest_gap,
    read_released,
    write_adapter,
)
from scenewright.errors import ModelError
from scenewright.models.adapter import load_adapter, read_header
from scenewright.models.load import load_bundle
from scenewright.testing import tiny_backbone

SIZES = UniFusionConfig(
    slots=4, fourier=4, hidden=16, scribble_points=4, polygon_points=8, map_px=64,
    depths=(1, 1, 1, 1), widths=(4, 4, 8, 8),
)  # fmt: skip


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(3, "sd1")


@pytest.fixture(scope="module")
def adapter(backbone):
    torch.manual_seed(5)
    made = UniFusion.for_unet(backbone.unet, SIZES).requires_grad_(False)
    for value in made.parameters():
        value.add_(torch.randn_like(value) * 0.05)
    return made.eval()


@pytest.fixture(scope="module")
def checkpoint(backbone, adapter, tmp_path_factory) -> Path:
    """A file as the original's trainer writes it: averaged and trained weights, and more."""
    state = original_state(backbone.unet, adapter)
    content = {
        "model": {key: value + 1 for key, value in state.items()},
        "ema": state,
        "text_encoder": {
            f"transformer.{key}" if key.startswith("text_model.") else f"transformer.text_model.{key}": value
            for key, value in backbone.text_encoder.state_dict().items()
        },
        "opt": {"state": {}},
        "iters": 7,
    }
    path = tmp_path_factory.mktemp("files") / "instancediffusion_sd15.pth"
    torch.save(content, path)
    return path


def same(left, right, atol: float = 0.0) -> bool:
    return left.keys() == right.keys() and all(
        torch.allclose(left[key].float(), right[key].float(), atol=atol) for key in left
    )


def test_averaged_weights_are_taken_and_said_so(checkpoint, adapter, backbone):
    released = read_released(checkpoint, SD15)
    assert same(released.network.adapter.state_dict(), adapter.state_dict())
    assert same(released.network.unet.state_dict(), backbone.unet.state_dict())
    assert released.entry == "ema" and "averaged weights" in released.told and "opt" in released.told
    assert is_released(checkpoint) and not is_released(checkpoint.parent / "nothing.pth")
    trained = read_released(checkpoint, SD15, ("model",))
    assert trained.entry == "model" and "no averaged" in trained.told


def test_an_adapter_alone_is_tied_to_the_backbone_it_agrees_with(checkpoint, backbone, tmp_path):
    released = read_released(checkpoint, SD15)
    path, found = write_adapter(released, tmp_path / "a.safetensors", "file", backbone, torch.float32)
    header = read_header(path)
    assert header.kind == "instancediffusion" and header.backbone == backbone.fingerprint
    assert header.text_encoder == backbone.text_fingerprint and "tiny-sd1 up to" in found
    assert isinstance(load_adapter(path, backbone), UniFusion)
    with pytest.raises(ModelError, match=r"differs from tiny-sd1 by up to"):
        write_adapter(released, tmp_path / "b.safetensors", "file", tiny_backbone(4, "sd1"), torch.float32)
    with pytest.raises(ModelError, match="different layers"):
        largest_gap(released.network.unet.state_dict(), tiny_backbone(3).unet.state_dict())


def test_a_file_without_an_autoencoder_makes_no_folder(checkpoint, tmp_path):
    said: list[str] = []
    with pytest.raises(ModelError, match="has no autoencoder"):
        convert(str(checkpoint), str(tmp_path / "whole"), say=said.append)
    assert "'ema'" in said[0]


def test_to_an_adapter_file_and_back_to_the_original(checkpoint, backbone, adapter, tmp_path):
    path, kind = convert(str(checkpoint), str(tmp_path / "a.safetensors"), half=False)
    assert kind == "adapter" and same(load_adapter(path, backbone).state_dict(), adapter.state_dict())
    folder = save_folder(backbone, tmp_path / "base", torch.float32)
    back, kind = convert(f"{folder}+instancediffusion:{path}", str(tmp_path / "back.pth"), half=False)
    assert kind == "original file"
    again = read_released(back, SD15)
    assert same(again.network.adapter.state_dict(), adapter.state_dict())
    assert same(again.network.unet.state_dict(), backbone.unet.state_dict())
    bundle = load_bundle(f"{folder}+instancediffusion:{path}", "cpu")
    assert bundle.kind == "instancediffusion"
    assert load_folder(folder).fingerprint == bundle.backbone.fingerprint


def test_a_whole_file_to_a_folder_with_the_adapter_in_it(backbone, adapter, tmp_path):
    base = save_folder(backbone, tmp_path / "base", torch.float32)
    whole = export_original(backbone, adapter, tmp_path / "whole.pth", torch.float32)
    out, kind = convert(
        str(whole), str(tmp_path / "made"), config=str(base), tokenizer=str(base / "tokenizer"), half=False
    )
    assert kind == "folder"
    made = load_folder(out)
    for part in ("unet", "vae", "text_encoder"):
        assert same(getattr(made, part).state_dict(), getattr(backbone, part).state_dict()), part
    bundle = load_bundle(f"{out}+instancediffusion:{out / 'instancediffusion.safetensors'}", "cpu")
    assert same(bundle.adapter.state_dict(), adapter.state_dict())


def test_what_is_refused(tmp_path, backbone):
    torch.save({"opt": {}}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="no weights named 'ema' or 'model'"):
        read_released(tmp_path / "a.pth", SD15)
    torch.save({"model": dict(backbone.unet.state_dict())}, tmp_path / "b.pth")
    with pytest.raises(ModelError, match="not an InstanceDiffusion network"):
        read_released(tmp_path / "b.pth", SD15)
