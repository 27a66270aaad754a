"""The merge of the original multi-instance sampler, from its recorded branch latents."""

from __future__ import annotations

import diffusers
import numpy as np
import torch

from scenewright.backbone.branches import merge_mean, merge_step
from scenewright.backbone.call import Call, Rows
from scenewright.backbone.noise import Noise
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS, random_conditioning


def test_merging_recorded_branches_gives_the_recorded_mean(golden_dir):
    scheduler = diffusers.PNDMScheduler(
        **STABLE_DIFFUSION_BETAS, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False
    )
    checked = 0
    for path in sorted(golden_dir.glob("instancediffusion/*/plms.npz")):
        with np.load(path) as arrays:
            branches, merged = arrays["mis_branch_latents"], arrays["mis_merged"]
            steps = len(arrays["plms_steps"])
        noise = Noise(scheduler, steps)
        count, samples = branches.shape[:2]
        rows = Rows.branched([count] * samples)
        z_RChw = torch.from_numpy(branches).transpose(0, 1).flatten(0, 1)
        step = merge_step(steps, 0.5)
        cond = random_conditioning(len(rows.sample_R), 0)
        call = Call.plain(noise.timestep_of(step), cond, step=step, steps=steps, rows=rows)
        ours = merge_mean(step)(z_RChw, call)
        assert torch.allclose(ours, torch.from_numpy(merged).repeat_interleave(count, 0), atol=1e-5)
        assert torch.equal(merge_mean(step + 1)(z_RChw, call), z_RChw)
        checked += 1
    assert checked >= 1
