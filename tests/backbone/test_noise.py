"""Noise levels, predictions and step maps against the schedulers themselves."""

from __future__ import annotations

import diffusers
import pytest
import torch

from scenewright.backbone.loop import sample
from scenewright.backbone.noise import Noise
from scenewright.backbone.schedulers import SCHEDULERS, make_scheduler
from scenewright.errors import InputError, ModelError
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS, oracle, random_conditioning

DIFFUSION = [
    ("DDIMScheduler", {"clip_sample": False}),
    ("PNDMScheduler", {"skip_prk_steps": True}),
    ("PNDMScheduler", {}),
    ("EulerDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    ("UniPCMultistepScheduler", {}),
    ("DEISMultistepScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
]
FLOW = [("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}), ("FlowMatchHeunDiscreteScheduler", {})]


def build(name: str, prediction: str = "epsilon", **config: object) -> object:
    if name == "LMSDiscreteScheduler":
        pytest.importorskip("scipy")
    if "FlowMatch" in name:
        return getattr(diffusers, name)(**config)
    return getattr(diffusers, name)(**STABLE_DIFFUSION_BETAS, prediction_type=prediction, **config)


def latents(seed: int, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, 4, 6, 6, generator=torch.Generator().manual_seed(seed))


def test_step_numbers_below_one_and_unknown_schedulers_are_refused():
    with pytest.raises(InputError, match="at least 1, got 0"):
        Noise(diffusers.DDIMScheduler(), 0)
    with pytest.raises(ModelError, match="EDMEulerScheduler"):
        Noise(diffusers.EDMEulerScheduler(), 4)
    with pytest.raises(ModelError, match="'sample'"):
        Noise(diffusers.DDIMScheduler(prediction_type="sample"), 4)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1000, 1001])
def test_more_steps_than_noise_levels_are_refused_before_sampling(name, steps):
    """The offset 1 of Stable Diffusion makes 1000 steps start at level 1000, which nobody trained."""
    if name == "lms":
        pytest.importorskip("scipy")
    like = diffusers.PNDMScheduler(**STABLE_DIFFUSION_BETAS, skip_prk_steps=True, steps_offset=1)
    with pytest.raises(InputError, match=f"cannot do {steps} steps"):
        Noise(make_scheduler(name, like), steps)
    assert Noise(make_scheduler(name, like), 998).steps == 998


def test_the_given_scheduler_is_never_changed():
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=True)
    noise = Noise(scheduler, 10)
    assert scheduler.num_inference_steps is None
    before = noise.timesteps.clone()
    noise.copy().set(5)
    assert torch.equal(noise.timesteps, before) and noise.steps == 10


@pytest.mark.parametrize(
    ("name", "config", "entries", "steps"),
    [
        ("DDIMScheduler", {}, 10, 10),
        ("PNDMScheduler", {"skip_prk_steps": True}, 11, 10),
        ("PNDMScheduler", {}, 19, 10),
        ("HeunDiscreteScheduler", {}, 19, 10),
        ("KDPM2DiscreteScheduler", {}, 19, 10),
        ("EulerDiscreteScheduler", {}, 10, 10),
        ("DPMSolverMultistepScheduler", {}, 10, 10),
        ("UniPCMultistepScheduler", {}, 10, 10),
    ],
)
def test_entries_and_steps(name, config, entries, steps):
    noise = Noise(build(name, **config), 10)
    assert (len(noise.timesteps), noise.steps, sum(noise.starts)) == (entries, steps, steps)
    assert len(noise.step_of) == entries


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["PNDMScheduler", "HeunDiscreteScheduler", "DDIMScheduler"])
def test_very_few_steps(name, steps):
    config = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    noise = Noise(build(name, **config), steps)
    assert noise.steps == steps and noise.starts[0]


@pytest.mark.parametrize(("name", "config"), [case for case in DIFFUSION if "Singlestep" not in case[0]])
def test_an_edit_survives_exactly_at_step_starts(name, config):
    """The oracle is the scheduler: a latent changed before `step` changes what comes out, or not."""
    noise = Noise(build(name, **config), 8)
    for changed in range(len(noise.timesteps)):
        ends = []
        for shift in (0.0, 5.0):
            run, z = noise.copy(), noise.start(latents(0))
            generators = [torch.Generator().manual_seed(i) for i in range(2)]
            for entry, t in enumerate(run.timesteps[: changed + 1]):
                run.scale(z, t)
                if entry == changed:
                    z = z + shift
                    run.edited()
                z = run.step(torch.ones_like(z), t, z, generators if run.draws else None)
            ends.append(z)
        survives = not torch.allclose(ends[0], ends[1], atol=1e-4)
        assert survives == noise.starts[changed], f"entry {changed}"


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("name", "config"), [case for case in DIFFUSION if "KDPM2" not in case[0]])
def test_levels_agree_with_the_schedulers_own_noising(name, config, prediction):
    scheduler = build(name, prediction, **config)
    noise = Noise(scheduler, 10)
    z0, n = latents(1), latents(2)
    for t in noise.timesteps[::3]:
        run = noise.copy()
        expected = run._scheduler.add_noise(z0, n, t.reshape(1).repeat(2))
        assert torch.allclose(noise.add(z0, n, t), expected, atol=2e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_the_predicted_latent_is_the_schedulers(name, prediction):
    noise = Noise(build(name, prediction, **({"clip_sample": False} if "DDIM" in name else {})), 10)
    run = noise.copy()
    z, output = noise.start(latents(3)), latents(4)
    t = run.timesteps[0]
    run.scale(z, t)
    expected = run._scheduler.step(output, t, z).pred_original_sample
    assert torch.allclose(noise.predicted(z, output, t), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "config", "prediction"),
    [(*case, prediction) for case in DIFFUSION for prediction in ("epsilon", "v_prediction")]
    + [(*case, "flow") for case in FLOW],
)
def test_target_and_predicted_are_inverse_and_a_perfect_network_reaches_the_clean_latent(
    name, config, prediction
):
    noise = Noise(build(name, prediction, **config), 10)
    z0, n = latents(5), latents(6)
    for t in noise.timesteps:
        z = noise.add(z0, n, t)
        assert torch.allclose(noise.predicted(z, noise.target(z0, n, t), t), z0, atol=2e-3)
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    end = sample(
        oracle(noise, z0), noise, noise.start(latents(7)), random_conditioning(2, 0), generators=generators
    )
    extrapolates_v = name == "PNDMScheduler" and prediction == "v_prediction"
    assert torch.allclose(end, z0, atol=0.3 if extrapolates_v else 0.1)


def test_singlestep_solvers_start_a_step_where_their_order_is_one():
    noise = Noise(build("DPMSolverSinglestepScheduler", lower_order_final=True), 8)
    orders = noise._scheduler.order_list
    assert noise.starts == tuple(order == 1 for order in orders) and 2 in orders


def test_zero_terminal_signal_works_with_v_prediction():
    """Lin et al. 2024: at the last training timestep no signal is left, so a is 0 there."""
    config = {"clip_sample": False, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    noise, z0 = Noise(build("DDIMScheduler", "v_prediction", **config), 8), latents(5)
    assert float(noise.levels(noise.timesteps[:1])[0]) == 0
    end = sample(oracle(noise, z0), noise, latents(7), random_conditioning(2, 0))
    assert torch.allclose(end, z0, atol=0.1)


def test_levels_of_many_timesteps_at_once_serve_training():
    noise = Noise(build("DDIMScheduler", "v_prediction"), 1)
    t = torch.tensor([0, 500, 999])
    z0, n = latents(8, 3), latents(9, 3)
    together = noise.target(z0, n, t)
    for i in range(3):
        assert torch.equal(together[i], noise.target(z0[i : i + 1], n[i : i + 1], t[i])[0])
        one = noise.add(z0[i : i + 1], n[i : i + 1], t[i])
        assert torch.equal(noise.add(z0, n, t)[i : i + 1], one)
    assert noise.train_timesteps == 1000


def test_exploding_schedulers_scale_rows_of_different_timesteps():
    noise = Noise(build("EulerDiscreteScheduler"), 10)
    z = latents(10, 3)
    t = noise.timesteps[[0, 4, 9]]
    rows = noise.scale(z, t)
    for i in range(3):
        assert torch.allclose(rows[i], noise.copy().scale(z[i : i + 1], t[i])[0], atol=1e-5)


def test_flow_matching_schedulers_need_no_noising_functions_of_their_own():
    noise = Noise(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), 4)
    assert (noise.prediction, noise.family) == ("flow", "flow")
    z = latents(0)
    assert torch.equal(noise.start(z), z) and torch.equal(noise.scale(z, noise.timesteps[0]), z)
    a, s = noise.levels(noise.timesteps)
    assert torch.allclose(a + s, torch.ones(4)) and torch.allclose(s * 1000, noise.timesteps)


def test_schedulers_by_name_keep_noise_levels_and_never_clip():
    like = diffusers.PNDMScheduler(
        **STABLE_DIFFUSION_BETAS, prediction_type="v_prediction", skip_prk_steps=True
    )
    for name in SCHEDULERS:
        if name == "lms":
            pytest.importorskip("scipy")
        made = make_scheduler(name, like)
        assert type(made).__name__ == SCHEDULERS[name]
        assert not made.config.get("clip_sample")
        assert made.config.prediction_type == "v_prediction"
        assert torch.allclose(made.alphas_cumprod, like.alphas_cumprod)


def test_unknown_scheduler_names_get_a_suggestion():
    with pytest.raises(InputError) as caught:
        make_scheduler("eulr", diffusers.DDIMScheduler())
    assert caught.value.hint == "did you mean euler?"
    with pytest.raises(ModelError):
        make_scheduler("ddim", diffusers.FlowMatchEulerDiscreteScheduler())
