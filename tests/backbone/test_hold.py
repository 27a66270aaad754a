"""Rounds of one picture: what is kept is equal at every step, the rest is free."""

from __future__ import annotations

import diffusers
import pytest
import torch

from scenewright.backbone.branches import merge_weighted, sample_branches
from scenewright.backbone.call import Call, Rows
from scenewright.backbone.hold import hold
from scenewright.backbone.loop import sample
from scenewright.backbone.noise import Noise
from scenewright.backbone.schedulers import make_scheduler
from scenewright.errors import InputError
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS, random_conditioning, wavy

LIKE = diffusers.DDIMScheduler(**STABLE_DIFFUSION_BETAS, clip_sample=False)


def noise_of(name: str = "ddim") -> Noise:
    return Noise(make_scheduler(name, LIKE), 6)


def start(rows: int) -> torch.Tensor:
    one = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    return one.expand(rows, -1, -1, -1).clone()


def keep(rows: int) -> torch.Tensor:
    """Every round may change one more column."""
    cells = torch.ones(rows, 1, 6, 6)
    for i in range(rows):
        cells[i, :, :, i] = 0
    return cells


@pytest.mark.parametrize("name", ["ddim", "pndm", "euler", "dpm++", "unipc"])
def test_kept_cells_are_equal_and_the_first_round_is_untouched(name):
    noise, cond, z = noise_of(name), random_conditioning(3, 1), start(3)
    seen = []
    rounds = sample(wavy, noise, noise.start(z), cond, edits=(hold(keep(3)),), on_step=seen.append)
    at_starts = [one.z_RChw for one in seen if noise.starts[one.entry]]
    for z_RChw in (*at_starts, rounds):
        assert torch.equal(z_RChw[1][..., 2:], z_RChw[0][..., 2:])
        assert torch.equal(z_RChw[1][..., :1], z_RChw[0][..., :1])
        assert torch.equal(z_RChw[2][..., 3:], z_RChw[1][..., 3:])
    assert not torch.allclose(rounds[1][..., 1], rounds[0][..., 1], atol=1e-3)
    if name != "unipc":  # whose corrector is left out where latents are edited
        alone = sample(wavy, noise, noise.start(z)[:1], cond.take([0]))
        assert torch.allclose(rounds[:1], alone, atol=1e-5)


def test_a_share_of_the_steps_and_none_of_them():
    noise, cond, z = noise_of(), random_conditioning(2, 1), start(2)
    plain = sample(wavy, noise, noise.start(z), cond)
    none = sample(wavy, noise, noise.start(z), cond, edits=(hold(keep(2), 0.0),))
    half = sample(wavy, noise, noise.start(z), cond, edits=(hold(keep(2), 0.5),))
    assert torch.equal(none, plain) and not torch.allclose(half, plain, atol=1e-3)
    assert not torch.equal(half[1][..., 3], half[0][..., 3])


def test_branches_of_a_round_keep_what_the_whole_picture_before_shows():
    noise, rows = noise_of(), Rows.branched([3, 2])
    cond = random_conditioning(5, 1)
    rounds = sample_branches(wavy, noise, noise.start(start(2)), cond, rows, 0.5, edits=(hold(keep(2)),))
    assert rounds.shape[0] == 2 and torch.equal(rounds[1][..., 2:], rounds[0][..., 2:])
    first = sample_branches(wavy, noise, noise.start(start(1)), cond.take([0, 1, 2]), Rows.branched([3]), 0.5)
    assert torch.allclose(rounds[:1], first, atol=1e-5)


def test_weights_merge_cell_by_cell():
    rows, z = Rows.branched([3, 1]), torch.randn(4, 4, 6, 6, generator=torch.Generator().manual_seed(2))
    weight = torch.zeros(4, 1, 6, 6)
    weight[0] = 1
    weight[1, :, :, :2] = 1
    weight[2, :, :, 1] = 2
    call = Call.plain(torch.tensor(1), random_conditioning(4, 0), step=3, steps=6, rows=rows)
    merged = merge_weighted(3, weight)(z, call)
    assert torch.allclose(merged[0][..., 0], (z[0] + z[1])[..., 0] / 2)
    assert torch.allclose(merged[2][..., 1], (z[0] + z[1] + 2 * z[2])[..., 1] / 4)
    assert torch.equal(merged[1][..., 2:], z[0][..., 2:])
    assert torch.equal(merged[3], z[3])  # no weight anywhere: as it was
    assert torch.equal(merge_weighted(2, weight)(z, call), z)
    ones = merge_weighted(3, torch.ones(4, 1, 6, 6))(z, call)
    assert torch.allclose(ones, merge_weighted(3, None)(z, call), atol=1e-6)
    with pytest.raises(InputError, match="3 rows of weights for 4"):
        merge_weighted(3, weight[:3])(z, call)


def test_what_cannot_be():
    with pytest.raises(InputError, match="share"):
        hold(keep(2), 1.5)
    with pytest.raises(InputError, match="rounds"):
        sample(
            wavy, noise_of(), noise_of().start(start(2)), random_conditioning(2, 1), edits=(hold(keep(1)),)
        )
