"""The multi-instance sampler against one scheduler per branch, as the original runs it."""

from __future__ import annotations

import copy

import diffusers
import pytest
import torch

from scenewright.backbone.branches import merge_step, sample_branches
from scenewright.backbone.call import Call, Rows
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import sample
from scenewright.backbone.noise import Noise
from scenewright.errors import InputError
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS, random_conditioning, wavy

SCHEDULERS = {
    "pndm": diffusers.PNDMScheduler(
        **STABLE_DIFFUSION_BETAS, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False
    ),
    "dpm++": diffusers.DPMSolverMultistepScheduler(**STABLE_DIFFUSION_BETAS),
    "euler": diffusers.EulerDiscreteScheduler(**STABLE_DIFFUSION_BETAS),
    "ddim": diffusers.DDIMScheduler(**STABLE_DIFFUSION_BETAS, clip_sample=False),
}


def latents(rows: int) -> torch.Tensor:
    return torch.randn(rows, 4, 6, 6, generator=torch.Generator().manual_seed(rows))


def one_scheduler_per_branch(scheduler, steps, z, cond, fraction):
    """Every branch with a scheduler of its own, the mean, then branch 0's scheduler to the end."""
    noise = Noise(scheduler, steps)
    merge = merge_step(steps, fraction)
    schedulers, ends = [], []
    for branch in range(cond.rows):
        own, x = copy.deepcopy(scheduler), noise.start(z)
        own.set_timesteps(steps)
        for entry, t in enumerate(own.timesteps):
            if noise.step_of[entry] >= merge:
                break
            call = Call.plain(t, cond.take([branch]))
            x = own.step(wavy(own.scale_model_input(x, t), call), t, x).prev_sample
        schedulers.append(own)
        ends.append(x)
    x, own = torch.cat(ends).mean(0, keepdim=True), schedulers[0]
    for entry, t in enumerate(own.timesteps):
        if noise.step_of[entry] >= merge:
            x = own.step(wavy(own.scale_model_input(x, t), Call.plain(t, cond.take([0]))), t, x).prev_sample
    return x


@pytest.mark.parametrize("fraction", [0.0, 0.36, 0.5, 1.0])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_branches_equal_one_scheduler_per_branch(name, fraction):
    """Two samples with three branches and one branch; the history of branch 0 goes on after the merge."""
    rows, cond, z = Rows.branched([3, 1]), random_conditioning(4, 1), latents(2)
    noise = Noise(SCHEDULERS[name], 10)
    ours = sample_branches(wavy, noise, noise.start(z), cond, rows, fraction)
    first = one_scheduler_per_branch(SCHEDULERS[name], 10, z[:1], cond.take([0, 1, 2]), fraction)
    second = one_scheduler_per_branch(SCHEDULERS[name], 10, z[1:], cond.take([3]), fraction)
    assert ours.shape == z.shape
    assert torch.allclose(ours, torch.cat([first, second]), atol=1e-4)


def test_only_branch_zero_is_evaluated_after_the_merge():
    seen = []

    def recording(z, call):
        seen.append((call.step, call.branch_R))
        return wavy(z, call)

    sample_branches(
        recording,
        Noise(SCHEDULERS["pndm"], 4),
        latents(2),
        random_conditioning(5, 1),
        Rows.branched([3, 2]),
        0.5,
    )
    before, after = (0, 1, 2, 0, 1), (0, 0)
    assert seen == [(0, before), (0, before), (1, before), (2, after), (3, after)]


def test_no_branches_and_fraction_zero_are_the_plain_sampler():
    noise, cond, z = Noise(SCHEDULERS["pndm"], 6), random_conditioning(2, 1), latents(2)
    plain = sample(wavy, noise, z, cond)
    assert torch.equal(sample_branches(wavy, noise, z, cond, Rows.plain(2), 0.5), plain)
    more = random_conditioning(4, 1).take([0, 2, 1, 3])
    alone = sample(wavy, noise, z, more.take([0, 2]))
    assert torch.allclose(sample_branches(wavy, noise, z, more, Rows.branched([2, 2]), 0.0), alone, atol=1e-6)


def test_branches_share_the_negative_prompt_and_the_noise_of_their_sample():
    scheduler = diffusers.EulerAncestralDiscreteScheduler(**STABLE_DIFFUSION_BETAS)
    noise, negative = Noise(scheduler, 5), random_conditioning(2, 2)
    cond = random_conditioning(2, 1).take([0, 0, 0, 1])
    z = noise.start(latents(2))

    def generators():
        return [torch.Generator().manual_seed(i) for i in range(2)]

    denoise = guided(wavy, 3.0, negative)
    ours = sample_branches(denoise, noise, z, cond, Rows.branched([3, 1]), 0.6, generators=generators())
    plain = sample(denoise, noise, z, cond.take([0, 3]), generators=generators())
    assert torch.allclose(ours, plain, atol=1e-3)


def test_merge_steps_count_sampler_steps():
    assert [merge_step(50, f) for f in (0.0, 0.36, 0.58, 1.0)] == [0, 18, 29, 50]
    with pytest.raises(InputError, match="merge fraction"):
        merge_step(10, 1.2)
