"""The town segmenter: shapes, padding, the file, and the embedded judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.models.judges.segmenter import SegmenterConfig, SegmenterNet
from scenewright.models.judges.store import WEIGHTS, load_judge, save_judge
from scenewright.world import town

SMALL = SegmenterConfig(channels=(8, 8, 16, 16), fine_channels=4)
embedded = pytest.mark.skipif(
    not (WEIGHTS / "segmenter.safetensors").is_file(), reason="weights are not here"
)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return SegmenterNet(SMALL, town.CLASSES).eval()


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_no_pictures_no_labels(net):
    assert net.labels([]) == []


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (17, 31), (5, 100)])
def test_labels_have_the_size_of_the_picture(net, size):
    (found,) = net.labels([picture(*size)])
    assert found.shape == size and found.dtype == np.uint8 and found.max() < len(town.CLASSES)


def test_labels_are_the_largest_logits(net):
    image = picture(32, 48)
    signal = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        wanted = net(signal).argmax(1)[0]
    assert np.array_equal(net.labels([image])[0], wanted.numpy())


def test_padding_continues_the_edge(net):
    image = picture(30, 47)
    padded = np.pad(image, ((0, 2), (0, 1), (0, 0)), mode="edge")
    assert np.array_equal(net.labels([image])[0], net.labels([padded])[0][:30, :47])


def test_order_is_kept_over_sizes(net):
    images = [picture(16, 16, 1), picture(16, 16, 2), picture(32, 16, 3), picture(16, 16, 4)]
    for image, found in zip(images, net.labels(images), strict=True):
        assert np.array_equal(found, net.labels([image])[0])


def test_what_is_no_picture_is_refused(net):
    with pytest.raises(InputError):
        net.labels([np.zeros((16, 16), np.uint8)])


def test_the_file_gives_the_network_back(net, tmp_path):
    labels = {"classes": town.CLASSES}
    path = save_judge(tmp_path / "mine.safetensors", net, kind="segmenter", config=SMALL, labels=labels)
    judge = load_judge(path, kind="segmenter")
    image = picture(32, 32)
    same = judge.net.labels([image])[0] == net.labels([image])[0]
    assert judge.net.config == SMALL and same.mean() > 0.97


@embedded
def test_the_embedded_judge_reads_streets():
    judge = load_judge("segmenter", kind="segmenter")
    drawn = [town.draw(70_000 + k, look=look) for k, look in enumerate(town.LOOKS)]
    labels = judge.net.labels([one.image for one in drawn])
    right = [np.mean(a == one.semantic) for a, one in zip(labels, drawn, strict=True)]
    assert judge.net.names == town.CLASSES and min(right) > 0.85
    assert sum(p.numel() for p in judge.net.parameters()) < 800_000
