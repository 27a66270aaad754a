"""Members of an ensemble: alignment, medians, and what happens to bad ones."""

from __future__ import annotations

import pytest
import torch

from scenewright.errors import InputError
from scenewright.segment.ensemble import cost, ensemble, start


def members(seed: int = 0, count: int = 8, noise: float = 0.04) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth truth in [0, 1], and members that are affine changes of it with noise."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand((1, 1, 4, 5), generator=generator)
    truth = torch.nn.functional.interpolate(rough, (24, 30), mode="bicubic")[0, 0]
    truth = (truth - truth.min()) / (truth.max() - truth.min())
    scale = 0.5 + torch.rand((count, 1, 1), generator=generator)
    shift = torch.rand((count, 1, 1), generator=generator) - 0.5
    drawn = torch.randn((count, 24, 30), generator=generator)
    return truth, scale * (truth + noise * drawn) + shift


def test_one_member_is_stretched_and_a_constant_one_stays_at_zero() -> None:
    found = ensemble(torch.tensor([[[2.0, 4.0], [3.0, 2.5]]]))
    assert (
        torch.allclose(found.map_HW, torch.tensor([[0.0, 1.0], [0.5, 0.25]])) and found.uncertainty_HW is None
    )
    flat = ensemble(torch.full((3, 2, 2), 0.7))
    assert torch.equal(flat.map_HW, torch.zeros(2, 2)) and torch.equal(flat.uncertainty_HW, torch.zeros(2, 2))


def test_without_noise_the_closed_form_finds_the_truth() -> None:
    truth, drawn = members(noise=0.0)
    found = ensemble(drawn)
    assert (found.map_HW - truth).abs().max() < 1e-4 and found.uncertainty_HW.max() < 1e-4


def test_the_closed_form_is_nearer_to_the_truth_than_the_published_solver() -> None:
    errors = {align: 0.0 for align in ("affine", "published", "start")}
    for seed in range(4):
        truth, drawn = members(seed, count=10, noise=0.02)
        before = drawn.clone()
        for align in errors:
            errors[align] += float((ensemble(drawn, align).map_HW - truth).abs().mean())
        assert torch.equal(drawn, before)
    assert errors["affine"] < errors["published"] and errors["affine"] < errors["start"]


def test_the_published_objective_prefers_no_map_at_all() -> None:
    _, drawn = members(3, noise=0.02)
    scale, shift = start(drawn)
    exact = drawn.double()
    assert (
        cost(exact, scale.double(), shift.double()) > cost(exact, 0 * scale.double(), 0 * shift.double()) - 1
    )
    assert ensemble(drawn, "marigold", "mean").map_HW.shape == (24, 30)


def test_levels_that_mean_something_are_averaged() -> None:
    drawn = torch.tensor([[[0.2, 0.9]], [[0.4, 0.7]], [[0.9, 0.8]], [[0.3, 0.6]]])
    assert torch.allclose(ensemble(drawn, "none", "mean").map_HW, torch.tensor([[0.45, 0.75]]))
    assert torch.allclose(
        ensemble(drawn, "none").map_HW, torch.tensor([[0.3, 0.7]])
    )  # the lower middle value


def test_bad_members() -> None:
    with pytest.raises(InputError, match=r"\[N, H, W\]"):
        ensemble(torch.zeros(0, 2, 2))
    with pytest.raises(InputError, match="not finite"):
        ensemble(torch.full((2, 2, 2), torch.nan))
    with pytest.raises(InputError, match="'afine'"):
        ensemble(torch.zeros(2, 2, 2), "afine")  # type: ignore[arg-type]
