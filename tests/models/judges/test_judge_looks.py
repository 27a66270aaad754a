"""The look classifier: shapes, probabilities, the file, and the embedded judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.models.judges.looks import LooksConfig, LooksNet
from scenewright.models.judges.store import WEIGHTS, load_judge, save_judge
from scenewright.world import town

SMALL = LooksConfig(channels=(8, 8), size_wh=(16, 8), temperature=2.0)
embedded = pytest.mark.skipif(not (WEIGHTS / "looks.safetensors").is_file(), reason="weights are not here")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return LooksNet(SMALL, ("day", "night", "dusk")).eval()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((8, 16), (20, 30), (40, 9))]


def test_no_pictures_no_looks(net):
    assert net.looks([]) == []


def test_a_look_is_the_largest_share(net, images):
    for found in net.looks(images):
        assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-5)
        assert found.sure == max(found.shares.values()) == found.shares[found.name]


def test_the_temperature_divides_the_logits(net, images):
    logits = net.logits(images)
    wanted = (logits / 2.0).softmax(1)
    for row, found in zip(wanted, net.looks(images), strict=True):
        assert list(found.shares.values()) == pytest.approx(row.tolist(), abs=1e-6)


def test_a_picture_is_judged_alike_alone_and_among_others(net, images):
    alone = [net.looks([image])[0].sure for image in images]
    assert alone == pytest.approx([found.sure for found in net.looks(images)], abs=1e-6)


def test_the_file_gives_the_network_back(net, images, tmp_path):
    path = save_judge(
        tmp_path / "mine.safetensors", net, kind="looks", config=SMALL, labels={"looks": net.names}
    )
    judge = load_judge(path, kind="looks")
    assert judge.net.config == SMALL and judge.net.names == net.names
    assert torch.allclose(judge.net.logits(images), net.logits(images), atol=2e-2)


@embedded
def test_the_embedded_judge_knows_the_looks():
    judge = load_judge("looks", kind="looks")
    drawn = [town.draw(70_000 + k, look=look) for k, look in enumerate(town.LOOKS * 2)]
    found = judge.net.looks([one.image for one in drawn])
    right = sum(verdict.name == one.scene.style for verdict, one in zip(found, drawn, strict=True))
    assert judge.net.names == town.LOOKS and right >= 11
    assert sum(p.numel() for p in judge.net.parameters()) < 100_000
    assert judge.header.ceilings["look"] >= 0.95


@embedded
def test_the_embedded_judge_doubts_what_is_neither():
    judge = load_judge("looks", kind="looks")
    streets = [town.draw(70_050, look=look).image.astype(float) for look in ("snow", "night")]
    between = [(share * streets[0] + (1 - share) * streets[1]).astype(np.uint8) for share in (1.0, 0.5, 0.0)]
    first, doubtful, last = judge.net.looks(between)
    assert (first.name, last.name) == ("snow", "night")
    assert doubtful.sure < min(first.sure, last.sure) - 0.1
