"""Adapter files: what goes in comes out, and nothing else is accepted."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scenewright.backbone.load import load_folder, save_folder
from scenewright.backbone.model import Backbone
from scenewright.condition.gligen import Gligen
from scenewright.errors import ModelError, StorageError
from scenewright.models.adapter import load_adapter, read_header, save_adapter
from scenewright.testing import tiny_backbone


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return tiny_backbone(0)


@pytest.fixture(scope="module")
def gligen(tiny: Backbone) -> Gligen:
    return Gligen.for_unet(tiny.unet, seed=3)


@pytest.fixture()
def file(tiny: Backbone, gligen: Gligen, tmp_path: Path) -> Path:
    notes = {"recipe": "gligen"}
    return save_adapter(
        tmp_path / "a" / "g.safetensors",
        gligen,
        gligen.config,
        "gligen",
        tiny.fingerprint,
        backbone_name="nano",
        notes=notes,
    )


def test_round_trip(tiny: Backbone, gligen: Gligen, file: Path) -> None:
    again = load_adapter(file, tiny)
    assert isinstance(again, Gligen)
    assert again.config == gligen.config
    before, after = gligen.state_dict(), again.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    header = read_header(file)
    assert (header.kind, header.backbone, header.backbone_name) == ("gligen", tiny.fingerprint, "nano")
    assert json.loads(header.notes) == {"recipe": "gligen"}
    assert json.loads(header.config)["slots"] == 30
    assert header.version
    assert [path.name for path in file.parent.iterdir()] == ["g.safetensors"]


def test_only_added_weights_are_in_the_file(file: Path) -> None:
    assert all(".fuser." in key or key.startswith("position_net.") for key in load_file(file))


def test_number_type_follows_the_backbone(tiny: Backbone, gligen: Gligen, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_adapter(path, gligen, gligen.config, "gligen", tiny.fingerprint, dtype=torch.float16)
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    assert next(load_adapter(path, tiny).parameters()).dtype == torch.float32
    half = load_folder(save_folder(tiny, tmp_path / "m"), dtype=torch.bfloat16)
    assert next(load_adapter(path, half).parameters()).dtype == torch.bfloat16


def test_other_backbone_is_refused_unless_allowed(tiny: Backbone, file: Path) -> None:
    other = tiny_backbone(1)
    with pytest.raises(ModelError, match=rf"trained on nano \({tiny.fingerprint}\)") as caught:
        load_adapter(file, other)
    assert other.fingerprint in caught.value.message
    assert "--allow-other-backbone" in caught.value.hint
    assert isinstance(load_adapter(file, other, allow_other=True), Gligen)


def test_same_unet_with_another_text_encoder_is_refused(
    tiny: Backbone, gligen: Gligen, tmp_path: Path
) -> None:
    """Phrases come through the text encoder: the fusers would get features they never saw."""
    file = tmp_path / "g.safetensors"
    told = {"backbone_name": "nano", "text_fingerprint": tiny.text_fingerprint}
    save_adapter(file, gligen, gligen.config, "gligen", tiny.fingerprint, **told)
    assert read_header(file).text_encoder == tiny.text_fingerprint
    load_adapter(file, tiny)
    other = dataclasses.replace(tiny, text_encoder=tiny_backbone(1).text_encoder, name="mixed")
    with pytest.raises(
        ModelError, match=rf"with the text encoder of nano \({tiny.text_fingerprint}\)"
    ) as caught:
        load_adapter(file, other)
    assert other.text_fingerprint in caught.value.message and "its UNet is the same" in caught.value.message
    assert "--allow-other-backbone" in caught.value.hint
    load_adapter(file, other, allow_other=True)


def test_another_decoder_is_no_other_base(tiny: Backbone, gligen: Gligen, tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    told = {"text_fingerprint": tiny.text_fingerprint}
    save_adapter(file, gligen, gligen.config, "gligen", tiny.fingerprint, **told)
    load_adapter(file, dataclasses.replace(tiny, vae=tiny_backbone(1).vae))


def test_a_file_that_says_nothing_of_its_text_encoder_is_held_to_the_unet(tiny: Backbone, file: Path) -> None:
    assert read_header(file).text_encoder == ""
    load_adapter(file, dataclasses.replace(tiny, text_encoder=tiny_backbone(1).text_encoder))


def test_other_layout_is_refused_even_then(file: Path) -> None:
    with pytest.raises(ModelError, match="do not fit the network"):
        load_adapter(file, tiny_backbone(0, "sd1"), allow_other=True)


def test_attached_adapter_does_not_change_the_fingerprint(gligen: Gligen) -> None:
    backbone = tiny_backbone(0)
    handle = Gligen.for_unet(backbone.unet).attach(backbone.unet)
    assert backbone.fingerprint == tiny_backbone(0).fingerprint
    handle.close()


def _rewrite(file: Path, change: dict[str, str], tensors: dict[str, torch.Tensor] | None = None) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata = dict(opened.metadata())
    content = load_file(file) if tensors is None else tensors
    save_file(content, file, {key: value for key, value in (metadata | change).items() if value})


def test_what_does_not_belong_is_refused(tiny: Backbone, file: Path) -> None:
    whole = load_file(file)
    first = next(iter(whole))
    _rewrite(file, {}, {key: tensor for key, tensor in whole.items() if key != first} | {"x": torch.ones(1)})
    with pytest.raises(ModelError, match=rf"1 missing: {first}; 1 unexpected: x"):
        load_adapter(file, tiny)
    _rewrite(file, {"kind": "gligan"}, whole)
    with pytest.raises(ModelError, match="unknown kind of adapter 'gligan'") as caught:
        load_adapter(file, tiny)
    assert caught.value.hint == "did you mean gligen?"
    _rewrite(file, {"kind": "gligen", "config": "{"})
    with pytest.raises(ModelError, match="not JSON"):
        load_adapter(file, tiny)
    _rewrite(file, {"config": '{"slotts": 3}'})
    with pytest.raises(ModelError, match="slotts"):
        load_adapter(file, tiny)
    _rewrite(file, {"scenewright": ""})
    with pytest.raises(ModelError, match="not an adapter of this package"):
        load_adapter(file, tiny)
    file.write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapter(file, tiny)
    with pytest.raises(ModelError, match="no adapter file"):
        load_adapter(file.parent / "nothing.safetensors", tiny)


def test_saving_says_what_is_wrong(gligen: Gligen, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown kind"):
        save_adapter(tmp_path / "x.safetensors", gligen, gligen.config, "other", "0")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write the adapter"):
        save_adapter(tmp_path / "file" / "x.safetensors", gligen, gligen.config, "gligen", "0")
    assert not list(tmp_path.glob("*.safetensors"))


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from scenewright.backbone.load import save_folder
from scenewright.condition.gligen import Gligen
from scenewright.errors import StorageError
from scenewright.models.adapter import save_adapter
from scenewright.testing import tiny_backbone
tiny = tiny_backbone(0)
gligen = Gligen.for_unet(tiny.unet)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for write in (
    lambda: save_adapter(sys.argv[1] + "/g.safetensors", gligen, gligen.config, "gligen", "0"),
    lambda: save_folder(tiny, sys.argv[1] + "/model"),
):
    try:
        write()
    except StorageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert [line.split(" to ")[0] for line in done.stdout.splitlines()] == [
        "cannot write the adapter",
        "cannot write the model",
    ], done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["slots", "fourier", "hidden"])
def test_sizes_that_no_machine_holds_are_refused(file: Path, tiny: Backbone, size: str) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata = dict(opened.metadata())
    config = json.dumps(json.loads(metadata["config"]) | {size: 10**18})
    save_file(load_file(file), file, metadata=metadata | {"config": config})
    with pytest.raises(ModelError, match=f"{size} is {10**18}"):
        load_adapter(file, tiny)


def test_weights_that_are_no_numbers_are_refused(file: Path, tiny: Backbone) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata = dict(opened.metadata())
    tensors = load_file(file)
    key = next(key for key in tensors if key.endswith("alpha_attn"))
    save_file(tensors | {key: torch.tensor(float("nan"))}, file, metadata=metadata)
    with pytest.raises(ModelError, match=f"1 not finite: {key}") as caught:
        load_adapter(file, tiny)
    assert caught.value.hint == "the file is damaged"
