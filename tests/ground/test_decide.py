"""One class per pixel or none, or every class for itself."""

from __future__ import annotations

import pytest
import torch

from scenewright.errors import InputError
from scenewright.ground.decide import decide, labels

LOGITS = torch.tensor([[[2.0, -1.0, 0.5, 0.0]], [[1.0, -2.0, 0.5, 3.0]], [[-9.0, -9.0, -9.0, -9.0]]])


def test_argmax_with_a_background() -> None:
    masks = decide(LOGITS)
    assert masks.dtype == torch.bool and masks.shape == LOGITS.shape
    assert masks[:, 0].int().tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert labels(masks)[0].tolist() == [0, -1, 0, 1]
    strict = decide(LOGITS, threshold=0.9)
    assert strict[:, 0].int().tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_independent_is_what_the_released_code_does() -> None:
    masks = decide(LOGITS, "independent")
    assert torch.equal(masks, LOGITS.sigmoid() > 0.5)
    assert torch.equal(decide(LOGITS, "independent", 0.7), LOGITS.sigmoid() > 0.7)
    assert labels(masks, 7)[0].tolist() == [0, 7, 0, 1]


def test_batches_are_kept() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6)
    for rule in ("argmax", "independent"):
        masks = decide(logits, rule)
        assert masks.shape == logits.shape and torch.equal(masks[1, 2], decide(logits[1, 2], rule))
        assert labels(masks).shape == (2, 3, 5, 6)
    assert (decide(logits).sum(-3) <= 1).all()


def test_what_cannot_be_decided() -> None:
    with pytest.raises(InputError, match="argmx") as caught:
        decide(LOGITS, "argmx")
    assert "argmax" in caught.value.hint
    for threshold in (0.0, 1.0, float("nan"), -1.0):
        with pytest.raises(InputError, match="threshold"):
            decide(LOGITS, threshold=threshold)
    for bad in (torch.zeros(4, 4), torch.zeros(0, 4, 4)):
        with pytest.raises(InputError, match="K, H, W"):
            decide(bad)
