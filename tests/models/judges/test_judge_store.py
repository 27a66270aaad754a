"""Judges on disk: what is written is read, and everything that does not fit is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from scenewright.errors import ModelError
from scenewright.models.judges.detector import Detector, DetectorConfig
from scenewright.models.judges.store import judge_path, load_judge, read_judge_header, save_judge

SMALL = DetectorConfig(channels=(8, 8, 16, 16, 16), blocks=(1, 1, 1, 1), neck=16, prototypes=4, reader=16)
LABELS = {"classes": ("cat", "dog"), "colours": ("red", "blue", "green"), "textures": ("wooden",)}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Detector(SMALL, LABELS)


def saved(folder, net, name="mine", **changes):
    wanted = {"kind": "detector", "config": SMALL, "labels": LABELS, **changes}
    return save_judge(folder / f"{name}.safetensors", net, **wanted)


def test_what_is_written_is_read(net, tmp_path):
    path = saved(tmp_path, net, notes={"seed": 3}, ceilings={"box_AP50": 0.9})
    judge = load_judge(path)
    assert judge.header.ceilings == {"box_AP50": 0.9} and judge.header.notes == {"seed": 3}
    assert judge.net.config == SMALL and judge.net.labels == LABELS
    stored, wanted = judge.net.state_dict(), net.state_dict()
    assert all(torch.equal(stored[key], value.half().float()) for key, value in wanted.items())
    assert not judge.net.training and not any(p.requires_grad for p in judge.net.parameters())
    name, _, digest = judge.id.partition("@")
    assert name == "mine" and len(digest) == 8 and int(digest, 16) >= 0
    with safe_open(path, framework="pt") as file:
        assert {str(file.get_tensor(key).dtype) for key in file.keys()} == {"torch.float16"}
    assert [one.name for one in tmp_path.iterdir()] == ["mine.safetensors"]


def test_other_weights_have_another_id(net, tmp_path):
    first = load_judge(saved(tmp_path, net)).id
    assert load_judge(saved(tmp_path, net)).id == first
    torch.manual_seed(1)
    assert load_judge(saved(tmp_path, Detector(SMALL, LABELS))).id != first


def test_another_kind_is_refused(net, tmp_path):
    path = saved(tmp_path, net)
    assert load_judge(path, kind="detector").header.kind == "detector"
    with pytest.raises(ModelError, match="of kind detector, expected verifier"):
        load_judge(path, kind="verifier")
    with pytest.raises(ModelError, match="unknown kind of judge 'detektor'") as caught:
        saved(tmp_path, net, kind="detektor")
    assert "detector" in caught.value.hint


def test_weights_that_do_not_fit_are_refused(net, tmp_path):
    path = saved(tmp_path, net, labels={**LABELS, "classes": ("cat", "dog", "cow")})
    with pytest.raises(ModelError, match=r"reader\.kind"):
        load_judge(path)


@pytest.mark.parametrize("config", [{"necks": 3}, {"blocks": 3}, {"channels": "abc"}])
def test_a_configuration_that_makes_nothing_is_refused(net, tmp_path, config):
    with pytest.raises(ModelError, match="configuration does not make a detector"):
        load_judge(saved(tmp_path, net, config=config))


def test_missing_labels_are_refused(net, tmp_path):
    with pytest.raises(ModelError, match="configuration does not make a detector"):
        load_judge(saved(tmp_path, net, labels={"classes": ("cat", "dog")}))


def test_other_files_are_no_judges(tmp_path):
    plain = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(2)}, plain)
    with pytest.raises(ModelError, match="no judge of this package"):
        read_judge_header(plain)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not at all")
    with pytest.raises(ModelError, match="cannot be read"):
        load_judge(broken)
    save_file({"a": torch.zeros(2)}, plain, {"scenewright": "1", "kind": "judge-detector", "config": "{"})
    with pytest.raises(ModelError, match="config in its metadata"):
        read_judge_header(plain)
    listed = {"scenewright": "1", "kind": "judge-detector", "labels": json.dumps([1])}
    save_file({"a": torch.zeros(2)}, plain, listed)
    with pytest.raises(ModelError, match="labels in its metadata is a list"):
        read_judge_header(plain)


def test_a_name_that_is_nowhere(tmp_path):
    with pytest.raises(ModelError, match="there is no judge 'nowhere'"):
        judge_path("nowhere")
    with pytest.raises(ModelError, match="there is no judge"):
        judge_path(tmp_path / "none.safetensors")
