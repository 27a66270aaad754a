"""The labeller of toys: probabilities, findings by hand, policies, names, bad input, the file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.models.judges.labeller import Labeller, findings
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.judges.store import WEIGHTS, load_judge, save_judge
from scenewright.world import toybox

SMALL = SegmenterConfig(vocabulary="toybox", channels=(8, 8, 16, 16), fine_channels=4)
NAMES = ("background", *toybox.CLASSES)
embedded = pytest.mark.skipif(not (WEIGHTS / "labeller.safetensors").is_file(), reason="weights are not here")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Labeller(SMALL, NAMES).eval()


def picture(height=32, width=48, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shares_of(labels_HW, sure=0.7):
    """Probabilities [3,H,W] with `sure` for the label of each pixel."""
    share_KHW = np.full((3, *labels_HW.shape), (1 - sure) / 2, np.float32)
    np.put_along_axis(share_KHW, labels_HW[None], sure, axis=0)
    return share_KHW


def test_shares_are_the_softmax_of_the_logits_at_the_picture_s_size(net):
    images = [picture(32, 48), picture(17, 31, 1), picture(17, 31, 2)]
    shares = list(net.shares(images))
    assert [one.shape for one in shares] == [(len(NAMES), *image.shape[:2]) for image in images]
    signal = torch.from_numpy(images[0]).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        wanted = net(signal).softmax(1)[0].numpy()
    assert np.allclose(shares[0], wanted, atol=1e-6)
    labels = net.labels(images)
    assert all(np.array_equal(a.argmax(0), b) for a, b in zip(shares, labels, strict=True))


def test_findings_by_hand():
    labels = np.zeros((6, 8), np.int64)
    labels[1:3, 1:5] = 1  # eight pixels, and one apart
    labels[5, 7] = 1
    share = shares_of(labels)
    share[:, 5, 7] = [0.2, 0.4, 0.4 - 1e-3]
    (union,) = findings(share, {"car": 1, "dog": 2})
    assert union.category == "car" and union.mask is not None and union.mask.area_px == 9
    assert union.score == pytest.approx((8 * 0.7 + 0.4) / 9, abs=1e-6)
    assert union.box.xyxy == (1 / 8, 1 / 6, 1.0, 1.0)
    (largest,) = findings(share, {"car": 1, "dog": 2}, "top1")
    assert largest.mask is not None and largest.mask.area_px == 8
    assert largest.score == pytest.approx(0.7, abs=1e-6)
    assert largest.box.xyxy == (1 / 8, 1 / 6, 5 / 8, 3 / 6)
    assert np.array_equal(largest.mask.array(), labels * (np.arange(8) < 5) == 1)


def test_classes_keep_the_words_and_the_order_they_were_asked_in(net):
    labels = np.zeros((4, 4), np.int64)
    labels[0], labels[1], labels[2] = NAMES.index("car"), NAMES.index("tvmonitor"), NAMES.index("dog")
    share = np.eye(len(NAMES), dtype=np.float32)[labels].transpose(2, 0, 1)
    for asked, wanted in ((["tv", "car", "sheep"], ["tv", "car"]), (["puppy", "dog"], ["puppy", "dog"])):
        found = findings(share, {name: net.position(name) for name in asked})
        assert [one.category for one in found] == wanted
        assert all(one.score == 1.0 and one.mask.area_px == 4 for one in found)


def test_answers_are_the_findings_of_the_shares(net):
    images, asked = [picture(), picture(17, 31, 1)], [list(toybox.CLASSES), ["car", "tv"]]
    found = net.label(images, asked, policy="top1")
    for share, names, row in zip(net.shares(images), asked, found, strict=True):
        assert row == findings(share, {name: net.position(name) for name in names}, "top1")
    assert found[0] and net.label([], []) == []


@pytest.mark.parametrize(
    ("classes", "policy", "words"),
    [
        ([["dragon"]], "union", "does not know 'dragon'"),
        ([["background"]], "union", "does not know 'background'"),
        ([["sky"]], "union", "does not know 'sky'"),
        ([["car"], ["dog"]], "union", "1 pictures and 2 lists"),
        ([["car"]], "all", "expected policy union or top1"),
    ],
)
def test_bad_questions(net, classes, policy, words):
    with pytest.raises(InputError, match=words):
        net.label([picture()], classes, policy=policy)


def test_a_wrong_word_names_the_nearest(net):
    with pytest.raises(InputError) as fault:
        net.position("aeroplan")
    assert "aeroplane" in fault.value.hint


def test_what_is_no_picture_is_refused(net):
    with pytest.raises(InputError):
        net.label([np.zeros((16, 16), np.uint8)], [["car"]])


def test_the_file_gives_the_network_back(net, tmp_path):
    path = save_judge(
        tmp_path / "mine.safetensors", net, kind="labeller", config=SMALL, labels={"classes": NAMES}
    )
    judge = load_judge(path, kind="labeller")
    assert judge.net.config == SMALL and judge.net.classes == toybox.CLASSES
    assert (judge.net.labels([picture()])[0] == net.labels([picture()])[0]).mean() > 0.97


@embedded
def test_the_embedded_judge_finds_toys():
    judge = load_judge("labeller", kind="labeller")
    drawn = [toybox.draw(70_000 + k) for k in range(20)]
    wanted = [[one.category for one in each.scene.instances] for each in drawn]
    found = judge.net.label([one.image for one in drawn], wanted)
    assert sum(p.numel() for p in judge.net.parameters()) < 1_200_000
    assert judge.header.ceilings["miou"] > 0.8
    there = sum(
        len({*names} - {one.category for one in row}) for names, row in zip(wanted, found, strict=True)
    )
    assert there <= 0.1 * sum(len(set(names)) for names in wanted)
