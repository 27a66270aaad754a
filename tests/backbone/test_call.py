"""Calls and conditionings: taking rows and putting them together."""

from __future__ import annotations

import pytest
import torch

from scenewright.backbone.call import Call, Conditioning, Grounding, Rows
from scenewright.errors import InputError
from scenewright.testing.networks import random_conditioning


def test_taking_no_rows_gives_empty_tensors():
    empty = Call.plain(torch.tensor(5), random_conditioning(2, 0, grounded=True)).take([])
    assert empty.rows == 0 and empty.cond.rows == 0 and empty.cond.grounding.gate_R.shape == (0,)


def test_take_picks_and_repeats_rows_of_every_field():
    cond = Conditioning(
        torch.arange(3.0).view(3, 1, 1),
        Grounding(torch.arange(3.0).view(3, 1, 1), torch.tensor([0.0, 0.5, 1.0]), {"mask": torch.eye(3)}),
        {"area": torch.tensor([1, 2, 3])},
    )
    call = Call.plain(torch.tensor([10, 20, 30]), cond, rows=Rows((4, 4, 7), (0, 1, 0)))
    taken = call.take([2, 0, 2])
    assert taken.t.tolist() == [30, 10, 30]
    assert taken.sample_R == (7, 4, 7) and taken.branch_R == (0, 0, 0)
    assert taken.cond.text_RLD.flatten().tolist() == [2, 0, 2]
    assert taken.cond.grounding.gate_R.tolist() == [1.0, 0.0, 1.0]
    assert torch.equal(taken.cond.grounding.extra["mask"], torch.eye(3)[[2, 0, 2]])
    assert taken.cond.extra["area"].tolist() == [3, 1, 3]
    assert call.sample_R == (4, 4, 7)


def test_cat_is_the_inverse_of_take():
    call = Call.plain(torch.tensor(3), random_conditioning(4, 0, grounded=True))
    again = Call.cat([call.take([0, 1]), call.take([2, 3])])
    assert again.sample_R == call.sample_R
    assert torch.equal(again.cond.text_RLD, call.cond.text_RLD)
    assert torch.equal(again.cond.grounding.tokens_RMD, call.cond.grounding.tokens_RMD)


def test_rows_without_layout_get_gate_zero_beside_rows_with_one():
    mixed = Conditioning.cat([random_conditioning(1, 0), random_conditioning(2, 1, grounded=True)])
    assert mixed.grounding.gate_R.tolist() == [0, 1, 1]
    assert mixed.grounding.tokens_RMD[0].abs().sum() == 0
    assert Conditioning.cat([random_conditioning(1, 0), random_conditioning(1, 1)]).grounding is None


def test_different_token_counts_and_fields_are_named_in_the_error():
    short = Conditioning(torch.zeros(1, 5, 16))
    with pytest.raises(InputError, match="text tokens of different shapes"):
        Conditioning.cat([short, Conditioning(torch.zeros(1, 7, 16))])
    with pytest.raises(InputError, match=r"different extra fields.*area"):
        Conditioning.cat([short, Conditioning(torch.zeros(1, 5, 16), None, {"area": torch.ones(1)})])
    with pytest.raises(InputError, match="2 rows, the batch has 3"):
        Call.plain(torch.tensor(1), random_conditioning(2, 0), rows=Rows.plain(3))


def test_branched_rows_are_listed_sample_by_sample():
    assert Rows.branched([]) == Rows((), ())
    assert Rows.branched([3, 1]) == Rows((0, 0, 0, 1), (0, 1, 2, 0))
    with pytest.raises(InputError, match="at least one branch"):
        Rows.branched([1, 0])
