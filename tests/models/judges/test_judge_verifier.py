"""The verifier: crops around boxes, verdicts, agreement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.models.judges.layers import signal
from scenewright.models.judges.store import load_judge, save_judge
from scenewright.models.judges.verifier import Verifier, VerifierConfig, crops
from scenewright.models.judges.verifying import PLAIN, verify
from scenewright.scene import Box

SMALL = VerifierConfig(side=16, channels=(8, 8, 16, 16), width=16, temperatures=(2.0, 1.0, 0.5, 1.0))
LABELS = {"classes": ("cat", "dog"), "colours": ("red", "blue", "green"), "textures": ("wooden",)}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Verifier(SMALL, LABELS).eval()


def picture(size_hw=(40, 64)):
    return np.random.default_rng(0).integers(256, size=(*size_hw, 3), dtype=np.uint8)


def test_a_crop_shows_the_box_and_marks_it():
    image = torch.full((1, 3, 64, 64), -1.0)
    image[..., 16:48, 24:40] = 1.0
    boxes = torch.tensor([[[24 / 64, 16 / 64, 40 / 64, 48 / 64]]])
    config = VerifierConfig(side=16, around=2.0)
    crop = crops(image, boxes, config)[0]  # 64 px of the picture: the box is 16 x 32 of them
    assert crop.shape == (4, 16, 16)
    wanted = torch.full((16, 16), -1.0)
    wanted[4:12, 6:10] = 1.0
    assert torch.equal(crop[3], wanted)
    assert (crop[0] - wanted).abs().mean() < 0.1 and torch.equal(crop[0], crop[2])


def test_crops_keep_proportions_in_wide_pictures_and_repeat_edges():
    image = torch.zeros(1, 3, 32, 64)
    image[..., :2] = 1.0
    boxes = torch.tensor([[[0.0, 0.0, 0.25, 0.5], [0.5, 0.5, 0.75, 0.75]]])
    found = crops(image, boxes, VerifierConfig(side=16, around=2.0))
    inside = found[:, 3] > 0
    assert inside[0].sum() == 64  # 16 x 16 px: half of each side of the crop
    assert inside[1].sum() == 32  # 16 x 8 px
    assert (found[0, 0, :, :4] == 1.0).all()  # left of the picture: its edge


def test_verdicts_are_probabilities(net):
    boxes = [Box(0.1, 0.1, 0.5, 0.9), Box(0.4, 0.2, 0.9, 0.6), Box(0.0, 0.0, 1.0, 1.0)]
    verdicts = verify(net, picture(), boxes)
    assert len(verdicts) == 3 and verify(net, picture(), []) == []
    for one in verdicts:
        assert set(one.here) == set(one.classes) == {"cat", "dog"}
        assert set(one.textures) == {PLAIN, "wooden"}
        for shares in (one.classes, one.colours, one.textures):
            assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
        assert 0 < one.fit < 1 and all(0 < value < 1 for value in one.here.values())
    alone = verify(net, picture(), boxes[1:2])[0]
    assert alone.fit == pytest.approx(verdicts[1].fit, abs=1e-5)


def test_temperatures_divide_the_logits(net):
    box = Box(0.1, 0.1, 0.5, 0.9)
    answers = net(crops(signal(torch.from_numpy(picture())[None]), torch.tensor([[box.xyxy]]), SMALL))
    verdict = verify(net, picture(), [box])[0]
    wanted = (answers.here_NK[0] / 2.0).sigmoid().tolist()
    assert list(verdict.here.values()) == pytest.approx(wanted, abs=1e-5)
    wanted = (answers.colours_NK[0] / 0.5).softmax(0).tolist()
    assert list(verdict.colours.values()) == pytest.approx(wanted, abs=1e-5)


def test_agreement_is_a_product(net):
    verdict = verify(net, picture(), [Box(0.1, 0.1, 0.5, 0.9)])[0]
    assert verdict.agrees("dog") == verdict.here["dog"]
    wanted = verdict.here["dog"] * verdict.colours["blue"] * verdict.textures["wooden"]
    assert verdict.agrees("dog", "blue", "wooden") == pytest.approx(wanted)
    with pytest.raises(InputError, match="no class 'dogg'") as caught:
        verdict.agrees("dogg")
    assert "dog" in caught.value.hint
    with pytest.raises(InputError, match="no colour"):
        verdict.agrees("dog", "mauve")


def test_a_stored_verifier_says_the_same(net, tmp_path):
    path = save_judge(tmp_path / "v.safetensors", net, kind="verifier", config=SMALL, labels=LABELS)
    loaded = load_judge(path, kind="verifier").net
    assert loaded.config == SMALL
    boxes = [Box(0.1, 0.1, 0.5, 0.9)]
    assert verify(loaded, picture(), boxes)[0].fit == pytest.approx(
        verify(net, picture(), boxes)[0].fit, abs=5e-3
    )
