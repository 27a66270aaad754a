"""Pasting keeps known cells, at the noise level of each step, per sample."""

from __future__ import annotations

import diffusers
import pytest
import torch

from scenewright.backbone.call import Call, Rows
from scenewright.backbone.loop import sample
from scenewright.backbone.noise import Noise
from scenewright.backbone.paste import drawn, paste
from scenewright.backbone.schedulers import SCHEDULERS, make_scheduler
from scenewright.errors import InputError
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS, random_conditioning, wavy

LIKE = diffusers.DDIMScheduler(**STABLE_DIFFUSION_BETAS, clip_sample=False)


def latents(seed: int, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, 4, 6, 6, generator=torch.Generator().manual_seed(seed))


def keep_left() -> torch.Tensor:
    keep = torch.zeros(2, 1, 6, 6)
    keep[..., :3] = 1
    return keep


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(2)]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_cells_are_at_each_steps_level_and_end_as_given(name):
    if name == "lms":
        pytest.importorskip("scipy")
    noise, known, unit = Noise(make_scheduler(name, LIKE), 5), latents(1), latents(2)
    infos = []
    end = sample(
        wavy,
        noise,
        noise.start(latents(3)),
        random_conditioning(2, 0),
        generators=generators(),
        edits=[paste(noise, known, keep_left(), lambda step: unit)],
        on_step=infos.append,
    )
    assert torch.equal(end[..., :3], known[..., :3]) and not torch.equal(end[..., 3:], known[..., 3:])
    for info in infos:
        if noise.starts[info.entry]:
            expected = noise.add(known, unit, info.t)[..., :3]
            assert torch.allclose(info.z_RChw[..., :3], expected, atol=1e-5)


def test_an_empty_mask_changes_nothing():
    noise, z, cond = Noise(LIKE, 4), latents(3), random_conditioning(2, 0)
    edit = paste(noise, latents(1), torch.zeros(2, 1, 6, 6), lambda step: latents(2))
    assert torch.equal(sample(wavy, noise, z, cond, edits=[edit]), sample(wavy, noise, z, cond))


def test_without_finish_the_last_step_is_left_as_it_is():
    noise, known = Noise(LIKE, 4), latents(1)
    edit = paste(noise, known, keep_left(), lambda step: latents(2), finish=False)
    end = sample(wavy, noise, latents(3), random_conditioning(2, 0), edits=[edit])
    assert not torch.allclose(end[..., :3], known[..., :3], atol=1e-4)


def test_branches_of_a_sample_get_that_samples_picture():
    noise, known = Noise(LIKE, 3), latents(1)
    edit = paste(noise, known, keep_left(), lambda step: latents(2))
    rows = Rows.branched([1, 2])
    end = sample(wavy, noise, latents(3, 3), random_conditioning(3, 0), rows=rows, edits=[edit])
    assert torch.equal(end[..., :3], known[[0, 1, 1]][..., :3])


def test_drawn_noise_depends_on_the_sample_alone():
    both = drawn((4, 6, 6), generators())
    alone = drawn((4, 6, 6), generators()[1:])
    for step in range(3):
        assert torch.equal(both(step)[1:], alone(step))


def test_masks_of_another_size_are_refused():
    with pytest.raises(InputError, match="do not belong together"):
        paste(Noise(LIKE, 3), latents(1), torch.zeros(2, 1, 48, 48), lambda step: latents(2))


def test_known_latents_and_noise_may_lie_on_another_device():
    """The meta device takes no tensors of the CPU, just as an accelerator does not."""
    noise = Noise(LIKE, 3)
    edit = paste(noise, latents(1).to("meta"), keep_left().to("meta"), lambda step: latents(2))
    call = Call.plain(noise.timesteps[0], random_conditioning(2, 0), steps=3)
    assert edit(latents(3).to("meta"), call).is_meta
