"""The loop against plain loops over each scheduler, and its promises about edits and stopping."""

from __future__ import annotations

import copy

import diffusers
import pytest
import torch

from scenewright.backbone.call import Call, Rows
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import StepInfo, Stopped, sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.products import lend, lendable
from scenewright.backbone.schedulers import SCHEDULERS, make_scheduler
from scenewright.errors import InputError
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS, random_conditioning, tiny_unet, wavy

PLMS = diffusers.PNDMScheduler(
    **STABLE_DIFFUSION_BETAS, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False
)


def named(name: str) -> object:
    if name == "lms":
        pytest.importorskip("scipy")
    return make_scheduler(name, PLMS)


def latents(*seeds: int) -> torch.Tensor:
    return torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in seeds])


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(100 + i) for i in seeds]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_equals_a_plain_loop_with_diffusers_own_calls(name):
    scheduler, unet, cond = named(name), tiny_unet(), random_conditioning(2, 1)
    noise = Noise(scheduler, 10)
    ours = sample(network(unet), noise, noise.start(latents(0, 1)), cond, generators=generators(0, 1))
    scheduler.set_timesteps(10)
    z, given = latents(0, 1) * scheduler.init_noise_sigma, {}
    if name == "euler-ancestral":
        given["generator"] = generators(0, 1)
    with torch.no_grad(), lend(lendable(unet)):  # the same products, so that the bits can be compared
        for t in scheduler.timesteps:
            output = unet(scheduler.scale_model_input(z, t), t, encoder_hidden_states=cond.text_RLD).sample
            z = scheduler.step(output, t, z, **given).prev_sample
    assert torch.equal(ours, z)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_picture_does_not_depend_on_its_batch_neighbours(name):
    unet, cond, negative = tiny_unet(), random_conditioning(4, 1), random_conditioning(4, 2)
    noise = Noise(named(name), 6)
    start = noise.start(latents(0, 1, 2, 3))
    denoise = guided(network(unet), 3.0, negative)
    together = sample(denoise, noise, start, cond, generators=generators(0, 1, 2, 3))
    denoise = guided(network(unet), 3.0, negative.take([2]))
    alone = sample(denoise, noise, start[2:3], cond.take([2]), generators=generators(2))
    assert torch.allclose(together[2:3], alone, atol=1e-4)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_leaves_no_trace(name):
    noise, z, cond = Noise(named(name), 7), latents(0, 1), random_conditioning(2, 1)
    z = noise.start(z)
    before = z.clone()
    first = sample(wavy, noise, z, cond, generators=generators(0, 1))
    stop_after = iter([False, False, False, True])
    with pytest.raises(Stopped):
        sample(wavy, noise, z, cond, generators=generators(0, 1), should_stop=lambda: next(stop_after))
    assert torch.equal(sample(wavy, noise, z, cond, generators=generators(0, 1)), first)
    assert torch.equal(z, before)


def plms_of_the_original(denoise, z, steps):
    """PLMS as in the latent diffusion code: history of raw outputs, a second evaluation in the first step."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1 - betas, 0)
    stride = 1000 // steps
    timesteps = [1 + i * stride for i in range(steps)][::-1]
    history: list[torch.Tensor] = []

    def move(z, e, index):
        a = alpha_bar[timesteps[index]]
        before = alpha_bar[timesteps[index + 1]] if index + 1 < steps else alpha_bar[0]
        clean = (z - (1 - a).sqrt() * e) / a.sqrt()
        return before.sqrt() * clean + (1 - before).sqrt() * e

    for index, t in enumerate(timesteps):
        e = denoise(z, t)
        if len(history) == 0:
            following = denoise(move(z, e, index), timesteps[min(index + 1, steps - 1)])
            mixed = (e + following) / 2
        elif len(history) == 1:
            mixed = (3 * e - history[-1]) / 2
        elif len(history) == 2:
            mixed = (23 * e - 16 * history[-1] + 5 * history[-2]) / 12
        else:
            mixed = (55 * e - 59 * history[-1] + 37 * history[-2] - 9 * history[-3]) / 24
        z = move(z, mixed, index)
        history.append(e)
    return timesteps, z


@pytest.mark.parametrize("steps", [4, 10, 50])
def test_pndm_with_offset_one_is_the_original_plms(steps):
    """Skipping Runge-Kutta steps, offset 1 and alpha not set to one: same timesteps, same latents."""
    noise, cond, z = Noise(PLMS, steps), random_conditioning(2, 1), latents(0, 1)
    ours = sample(wavy, noise, z, cond)

    def raw(z, t):
        return wavy(z, Call.plain(torch.tensor(t), cond))

    timesteps, expected = plms_of_the_original(raw, z.double(), steps)
    repeated = [timesteps[0], timesteps[1], *timesteps[1:]]
    assert noise.timesteps.tolist() == repeated and timesteps[-1] == 1
    assert torch.allclose(ours.double(), expected, atol=1e-4)


@pytest.mark.parametrize("steps", [4, 10, 50])
def test_ddim_with_offset_one_is_the_original_ddim(steps):
    noise, cond, z = Noise(named("ddim"), steps), random_conditioning(2, 1), latents(0, 1)
    infos: list[StepInfo] = []
    ours = sample(wavy, noise, z, cond, on_step=infos.append)
    alpha_bar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0)
    x = z.double()
    timesteps = [1 + i * (1000 // steps) for i in range(steps)][::-1]
    for index, t in enumerate(timesteps):
        e = wavy(x, infos[index].call)
        before = alpha_bar[timesteps[index + 1]] if index + 1 < steps else alpha_bar[0]
        clean = (x - (1 - alpha_bar[t]).sqrt() * e) / alpha_bar[t].sqrt()
        x = before.sqrt() * clean + (1 - before).sqrt() * e
    assert noise.timesteps.tolist() == timesteps
    assert torch.allclose(ours.double(), x, atol=1e-4)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_edits_run_once_per_sampler_step_and_once_after_the_last(name):
    noise, cond = Noise(named(name), 5), random_conditioning(2, 1)
    calls, entries = [], []

    def edit(z, call):
        calls.append((call.step, call.final, len(entries)))
        return z

    sample(
        wavy,
        noise,
        noise.start(latents(0, 1)),
        cond,
        generators=generators(0, 1),
        edits=[edit],
        on_step=lambda info: entries.append(info.step),
    )
    assert [step for step, _, _ in calls] == [0, 1, 2, 3, 4, 5]
    assert [final for _, final, _ in calls] == [False] * 5 + [True]
    assert entries == list(noise.step_of) and calls[-1][2] == len(noise.timesteps)
    assert all(noise.step_of[at] == step and noise.starts[at] for step, _, at in calls[:-1])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_an_edit_writes_is_where_the_step_starts_from(name):
    noise, cond = Noise(named(name), 5), random_conditioning(1, 1)
    z = noise.start(latents(0))
    infos: list[StepInfo] = []
    replaced = torch.full_like(z, 0.25)
    sample(
        wavy,
        noise,
        z,
        cond,
        generators=generators(0),
        edits=[lambda z, call: replaced if call.step == 3 else z],
        on_step=infos.append,
    )
    first = next(info for info in infos if info.step == 3)
    assert torch.equal(first.z_RChw, replaced)


def test_step_info_has_the_predicted_clean_latent():
    noise, cond, z = Noise(named("heun"), 4), random_conditioning(2, 1), latents(0, 1)
    infos: list[StepInfo] = []
    end = sample(wavy, noise, noise.start(z), cond, on_step=infos.append)
    assert [info.entry for info in infos] == list(range(7)) and {info.steps for info in infos} == {4}
    last = infos[-1]
    assert torch.equal(last.predicted_RChw, noise.predicted(last.z_RChw, last.output_RChw, last.t))
    assert torch.allclose(last.predicted_RChw, end, atol=1e-4)


@pytest.mark.parametrize("name", ["pndm", "heun", "ddim"])
def test_should_stop_is_asked_before_every_evaluation(name):
    noise, cond = Noise(named(name), 5), random_conditioning(2, 1)
    asked, evaluated = [], []

    def counting(z, call):
        evaluated.append(call.entry)
        return wavy(z, call)

    def ask():
        asked.append(len(evaluated))
        return len(asked) == 4

    with pytest.raises(Stopped, match="of 5") as caught:
        sample(counting, noise, noise.start(latents(0, 1)), cond, should_stop=ask)
    assert asked == [0, 1, 2, 3] and evaluated == [0, 1, 2] and caught.value.step == noise.step_of[3]


def test_calls_name_step_entry_and_rows():
    noise, seen = Noise(PLMS, 3), []

    def recording(z, call):
        seen.append(call)
        return wavy(z, call)

    rows = Rows.branched([2, 1])
    sample(recording, noise, latents(0, 0, 1), random_conditioning(3, 1), rows=rows)
    assert [(call.entry, call.step, call.steps) for call in seen] == [
        (0, 0, 3),
        (1, 0, 3),
        (2, 1, 3),
        (3, 2, 3),
    ]
    assert [float(call.t) for call in seen] == [667, 334, 334, 1]
    assert seen[0].sample_R == (0, 0, 1) and seen[0].branch_R == (0, 1, 0)
    assert seen[0].half_R == ("cond",) * 3 and seen[0].window_R == (None,) * 3


def test_wrong_row_counts_and_missing_generators_are_refused():
    noise, cond = Noise(named("euler-ancestral"), 3), random_conditioning(2, 1)
    with pytest.raises(InputError, match="3 rows, the latent 2"):
        sample(wavy, noise, latents(0, 1), random_conditioning(3, 1))
    with pytest.raises(InputError, match="no generators"):
        sample(wavy, noise, latents(0, 1), cond)
    with pytest.raises(InputError, match="1 for 2 rows"):
        sample(wavy, noise, latents(0, 1), cond, generators=generators(0))
    with pytest.raises(InputError, match=r"\[rows, channels, h, w\]"):
        sample(wavy, noise, latents(0, 1)[0], cond)


def test_no_rows_at_all_is_valid():
    empty = random_conditioning(2, 1).take([])
    noise = Noise(named("ddim"), 2)
    assert sample(lambda z, call: z, noise, torch.zeros(0, 4, 8, 8), empty).shape == (0, 4, 8, 8)


def test_conditioning_is_not_changed_by_a_run():
    cond = random_conditioning(2, 1, grounded=True)
    before = copy.deepcopy(cond)
    sample(wavy, Noise(PLMS, 3), latents(0, 1), cond)
    assert torch.equal(cond.text_RLD, before.text_RLD)
    assert torch.equal(cond.grounding.tokens_RMD, before.grounding.tokens_RMD)
