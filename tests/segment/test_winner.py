"""Labels, probabilities and entropies of classes in pieces are those of all classes at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as nnf

from scenewright.errors import InputError
from scenewright.segment import winner
from scenewright.segment.winner import NONE, Background, Winner, enlarged


def logits(count: int = 7, scale: float = 5.0) -> torch.Tensor:
    return scale * torch.randn(2, count, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pieces", [(7,), (1, 6), (3, 3, 1), (1,) * 7])
def test_pieces_give_the_softmax_over_all(pieces: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winner, "MOST", 300)
    given, size = logits(), (19, 23)
    running = Winner(2, size)
    for part in given.split(pieces, 1):
        running.add([(part, None)])
    found = running.decision()
    share = nnf.interpolate(given, size, mode="bilinear", align_corners=False).softmax(1)
    top, label = share.max(1)
    assert torch.equal(found.labels_BYX, label.int())
    assert torch.allclose(found.score_BYX, top, atol=1e-5)
    entropy = -(share * share.clamp_min(1e-30).log()).sum(1) / math.log(7)
    assert torch.allclose(found.entropy_BYX, entropy, atol=1e-4)


def test_strips_are_parts_of_the_whole() -> None:
    given = logits()
    whole = nnf.interpolate(given, (17, 9), mode="bilinear", align_corners=False)
    assert torch.allclose(enlarged(given, (17, 9), (0, 17)), whole, atol=1e-5)
    assert torch.allclose(enlarged(given, (17, 9), (4, 11)), whole[:, :, 4:11], atol=1e-5)
    assert enlarged(given, (1, 1), (0, 1)).shape == (2, 7, 1, 1)


def test_a_crop_is_a_window_of_the_enlarged_whole() -> None:
    given = logits()
    whole = nnf.interpolate(given, (50, 60), mode="bilinear", align_corners=False)
    window = enlarged(given, (20, 30), (0, 20), (1.0, 2.0, 3.0, 5.0))
    assert torch.allclose(window, whole[:, :, 10:30, 20:50], atol=1e-5)


def test_backgrounds() -> None:
    given = torch.zeros(1, 3, 1, 4)
    given[0, 0, 0, 0], given[0, 1, 0, 1], given[0, 2, 0, 2] = 9.0, 9.0, 9.0
    running = Winner(1, (1, 4))
    running.add([(given, None)])
    assert running.decision().labels_BYX.tolist() == [[[0, 1, 2, 0]]]
    assert running.decision(Background("threshold", 0.5)).labels_BYX.tolist() == [[[0, 1, 2, NONE]]]
    assert running.decision(Background("names"), named=1).labels_BYX.tolist() == [[[0, 1, NONE, 0]]]
    with pytest.raises(InputError, match="unknown background policy"):
        Background("treshold")
    with pytest.raises(InputError, match="above 0"):
        Background("threshold", 1.5)


def test_one_class_is_sure_of_itself() -> None:
    running = Winner(1, (2, 2))
    running.add([(torch.full((1, 1, 1, 1), -3.0), None)])
    found = running.decision()
    assert found.score_BYX.eq(1).all() and found.entropy_BYX.eq(0).all() and found.labels_BYX.eq(0).all()
