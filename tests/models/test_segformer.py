"""Segmenters in transformers' folders: sizes, preparation, the folder read by transformers and by us."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scenewright.errors import InputError, ModelError
from scenewright.models.segformer import (
    ABOUT,
    Preparation,
    SegformerSize,
    Segmenter,
    begin_from,
    fresh,
    load_segmenter,
    save_segmenter,
)
from scenewright.scene.label_space import LabelSpace

TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)
SPACE = LabelSpace.of("toybox", things=True)


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    net = fresh(SPACE.names, TINY).eval()
    return Segmenter(net, SPACE.names, Preparation(), SPACE, {"notes": {"seed": 3}})


@pytest.fixture(scope="module")
def folder(segmenter, tmp_path_factory):
    return save_segmenter(segmenter, tmp_path_factory.mktemp("segmenter"))


def picture(height=64, width=96, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_default_size():
    net = fresh(SPACE.names, SegformerSize())
    assert 1_000_000 < sum(p.numel() for p in net.parameters()) < 2_000_000
    assert net.config.num_labels == 39 and net.config.id2label[7] == "car"


def test_labels_are_transformers_own_logits_at_the_picture_s_size(segmenter):
    images = [picture(), picture(64, 64, 1), picture(seed=2), picture(50, 70, 3)]
    found = segmenter.labels(images)
    for image, labels in zip(images, found, strict=True):
        assert labels.shape == image.shape[:2] and labels.dtype == np.uint16
        values = (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
        with torch.no_grad():
            logits = segmenter.net(pixel_values=values).logits
        wanted = torch.nn.functional.interpolate(logits, image.shape[:2], mode="bilinear").argmax(1)[0]
        assert np.array_equal(labels, wanted.numpy())
    (one,) = segmenter.maps(images[:1])
    assert one.vocabulary == "toybox" and np.array_equal(SPACE.outputs(one.labels()), found[0])
    assert segmenter.labels([]) == []


def test_the_loss_of_transformers_knows_the_ignored_label(segmenter):
    labels = torch.full((1, 64, 64), 65535)
    labels[0, 0, 0] = 3
    loss = segmenter.net(pixel_values=torch.zeros(1, 3, 64, 64), labels=labels).loss
    assert torch.isfinite(loss)


def test_the_folder_is_read_by_transformers(segmenter, folder):
    from transformers import SegformerForSemanticSegmentation

    net = SegformerForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = segmenter.net(values).logits, net(values).logits
    assert torch.allclose(ours, theirs, atol=2e-2)
    tensors = load_file(folder / "model.safetensors")
    assert {one.dtype for one in tensors.values() if one.is_floating_point()} == {torch.float16}
    known = json.loads((folder / "preprocessor_config.json").read_text())
    assert known["image_processor_type"] == "SegformerImageProcessor" and known["do_resize"] is False


def test_the_folder_gives_the_segmenter_back(segmenter, folder):
    again = load_segmenter(folder)
    assert again.space == SPACE and again.names == SPACE.names and again.prepare == segmenter.prepare
    assert again.about["notes"] == {"seed": 3} and not any(p.requires_grad for p in again.net.parameters())
    same = again.labels([picture()])[0] == segmenter.labels([picture()])[0]
    assert same.mean() > 0.97


def test_a_foreign_folder_has_names_but_no_vocabulary(segmenter, folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    again = load_segmenter(tmp_path)
    assert again.names == SPACE.names and again.space is None
    assert again.prepare == Preparation(
        size_wh=(512, 512), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    with pytest.raises(ModelError, match="no vocabulary"):
        again.maps([picture()])


def test_preparation_of_other_people_s_folders():
    given = {"size": {"height": 64, "width": 96}, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}
    prepare = Preparation.from_json(given)
    assert prepare.size_wh == (96, 64)
    signal = torch.zeros(1, 3, 2, 2)  # grey
    assert torch.allclose(prepare(signal)[0, :, 0, 0], torch.tensor([0.4, 0.3, 0.2]))
    assert Preparation.from_json(Preparation(size_wh=(32, 64)).to_json()) == Preparation(size_wh=(32, 64))
    assert Preparation.from_json({"size": 512}).size_wh == (512, 512)


def test_training_goes_on_from_a_folder(segmenter, folder):
    same, prepare = begin_from(folder, SPACE.names)
    ours, theirs = segmenter.net.state_dict(), same.state_dict()
    assert prepare == segmenter.prepare
    assert all(torch.allclose(ours[key].float(), theirs[key].float(), atol=1e-3) for key in ours)
    other, _ = begin_from(folder, ("background", "car"))
    assert other.config.num_labels == 2 and other.config.id2label == {0: "background", 1: "car"}
    assert other.decode_head.classifier.weight.shape[0] == 2
    key = "decode_head.linear_fuse.weight"
    assert torch.allclose(other.state_dict()[key], theirs[key])


def test_what_is_no_segmenter_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="there is no folder"):
        load_segmenter(tmp_path / "nothing")
    with pytest.raises(ModelError) as fault:
        load_segmenter("nobody/nothing")
    assert fault.value.hint == "run: scenewright models pull nobody/nothing"
    with pytest.raises(ModelError, match=r"no config.json"):
        load_segmenter(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="is a bert"):
        load_segmenter(tmp_path)
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / ABOUT).write_text('{"vocabulary": "town"}')
    with pytest.raises(ModelError, match="19 classes of 'town'"):
        load_segmenter(broken)


def test_what_is_no_picture_is_refused(segmenter):
    with pytest.raises(InputError):
        segmenter.labels([np.zeros((16, 16), np.uint8)])


def test_a_damaged_folder_is_refused(folder, tmp_path):
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="no segmenter could be read"):
        load_segmenter(broken)
