"""Features of a run: right rows, any scheduler and size, and the same again from the latent alone."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from scenewright.backbone.branches import sample_branches
from scenewright.backbone.call import Conditioning, Rows
from scenewright.backbone.features import (
    Features,
    FeatureTaps,
    extract,
    from_picture,
    picture_latent,
    tap_layout,
    tap_step,
)
from scenewright.backbone.guidance import gated, guided
from scenewright.backbone.latents import initial
from scenewright.backbone.loop import sample
from scenewright.backbone.network import chunked, network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.backbone.windows import windowed
from scenewright.condition.gligen import Gligen, GligenConfig, inputs_from_scenes
from scenewright.errors import InputError
from scenewright.scene import Box, Instance, Scene
from scenewright.testing import tiny_backbone

BACKBONE = tiny_backbone(0)
LAYOUT = tap_layout(BACKBONE.unet)
STEPS = 3

SCHEDULERS = {
    "ddim": BACKBONE.scheduler,
    "ddim without offset": diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False),
    "ddim trailing": diffusers.DDIMScheduler(timestep_spacing="trailing"),
    "pndm": diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
    "euler": diffusers.EulerDiscreteScheduler(),
    "heun": diffusers.HeunDiscreteScheduler(),
    "dpm": diffusers.DPMSolverMultistepScheduler(),
    "unipc": diffusers.UniPCMultistepScheduler(),
    "lms": diffusers.LMSDiscreteScheduler(),
}


def conds(count: int) -> tuple[Conditioning, Conditioning]:
    words = ["a red car", "a blue cat on grass", "the dog"][:count]
    text, none = embed(BACKBONE, words).tokens_BLD, embed(BACKBONE, [""] * count).tokens_BLD
    return Conditioning(text), Conditioning(none)


def run(noise: Noise, count: int, hw: tuple[int, int], scale: float = 4.0, step: int | None = None):
    """A run of `count` pictures with taps at `step` (default: the last)."""
    cond, negative = conds(count)
    z_BChw = noise.start(initial(range(count), (4, *hw)))
    taps = FeatureTaps(BACKBONE.unet, LAYOUT, noise.steps - 1 if step is None else step)
    with taps:
        z_BChw = sample(guided(taps.watch(network(BACKBONE.unet)), scale, negative), noise, z_BChw, cond)
    return z_BChw, taps, cond, negative


def far(left: Features, right: Features) -> float:
    """The largest difference between features, against their size."""
    pairs = [pair for a, b in zip(left.levels, right.levels, strict=True) for pair in zip(a, b, strict=True)]
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in pairs)


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_every_scheduler_has_a_last_step_and_the_latent_gives_it_again(name: str) -> None:
    noise = Noise(SCHEDULERS[name], STEPS)
    _, taps, cond, negative = run(noise, 2, (8, 16))
    features = taps.features([0, 1])
    assert features.widths == LAYOUT.widths() and features.size_hw == (8, 16) and features.batch == 2
    latent = taps.latent([0, 1])
    again = extract(BACKBONE, latent.z_BChw, latent.t, cond, negative, LAYOUT)
    assert far(features, again) < 1e-6
    half = extract(BACKBONE, latent.z_BChw.half().float(), float(latent.t), cond, negative, LAYOUT)
    assert far(features, half) < 5e-3


@pytest.mark.parametrize("hw", [(8, 8), (16, 8), (8, 24), (12, 20)])
def test_sizes_and_pairs_in_a_batch(hw: tuple[int, int]) -> None:
    """The channels of a sample are its own two halves: those of the sample drawn alone."""
    noise = Noise(SCHEDULERS["ddim"], STEPS)
    _, taps, cond, negative = run(noise, 3, hw)
    together = taps.features([2, 0])
    for place, sample_id in enumerate((2, 0)):
        z_BChw = taps.latent([sample_id]).z_BChw
        t = taps.latent([0]).t
        own = cond.take([sample_id]), negative.take([sample_id])
        alone = extract(BACKBONE, z_BChw, t, *own, LAYOUT)
        assert far(together.take([place]), alone) < 1e-5
        for half, given in (("uncond", own[1]), ("cond", own[0])):
            one = extract(BACKBONE, z_BChw, t, given, own[1], LAYOUT, halves=("cond",))
            widths = [maps[0].shape[1] for maps in one.levels]
            for level, maps, width in zip(alone.levels, one.levels, widths, strict=True):
                part = level[0][:, :width] if half == "uncond" else level[0][:, width:]
                assert torch.allclose(part, maps[0], atol=1e-5)


def test_taps_change_nothing_and_read_the_step_asked_for() -> None:
    noise = Noise(SCHEDULERS["pndm"], 4)
    plain = sample(
        guided(network(BACKBONE.unet), 4.0, conds(1)[1]),
        noise,
        noise.start(initial([0], (4, 8, 8))),
        conds(1)[0],
    )
    for step in (0, 2, 3):
        z_BChw, taps, cond, negative = run(noise, 1, (8, 8), step=step)
        assert torch.equal(z_BChw, plain)
        latent = taps.latent([0])
        assert float(latent.t) == float(
            noise.timesteps[max(i for i, s in enumerate(noise.step_of) if s == step)]
        )
        again = extract(BACKBONE, latent.z_BChw, latent.t, cond, negative, LAYOUT)
        assert far(taps.features([0]), again) < 1e-6


def test_a_run_without_guidance_has_one_half() -> None:
    noise = Noise(SCHEDULERS["ddim"], STEPS)
    _, taps, cond, negative = run(noise, 2, (8, 8), scale=1.0)
    assert taps.has("cond") and not taps.has("uncond")
    with pytest.raises(InputError, match="no 'uncond' row of sample 0") as caught:
        taps.features([0, 1])
    assert "extract" in caught.value.hint
    latent = taps.latent([0, 1])
    whole = extract(BACKBONE, latent.z_BChw, latent.t, cond, negative, LAYOUT)
    one = FeatureTaps(BACKBONE.unet, LAYOUT, STEPS - 1, halves=["cond"])
    with one:
        z_BChw = noise.start(initial(range(2), (4, 8, 8)))
        sample(one.watch(network(BACKBONE.unet)), noise, z_BChw, cond)
    for level, alone in zip(whole.levels, one.features([0, 1]).levels, strict=True):
        width = alone[0].shape[1]
        assert torch.allclose(level[0][:, width:], alone[0], atol=1e-5)


def test_with_a_layout_adapter_attached() -> None:
    adapter = Gligen.for_unet(BACKBONE.unet, GligenConfig(slots=4)).requires_grad_(False)
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.8)
    scenes = [
        Scene(
            prompt="a red car", size_wh=(32, 32), instances=(Instance("a car", box=Box(0.1, 0.1, 0.6, 0.9)),)
        )
    ]
    layout = adapter.grounding(inputs_from_scenes(scenes, BACKBONE, adapter.config))
    cond, negative = conds(1)
    cond = Conditioning(cond.text_RLD, layout)
    negative = Conditioning(negative.text_RLD, adapter.null_grounding(layout))
    noise = Noise(SCHEDULERS["ddim"], STEPS)
    found = {}
    with adapter.attach(BACKBONE.unet):
        for gate in (1.0, 0.0):
            taps = FeatureTaps(BACKBONE.unet, LAYOUT, STEPS - 1)
            denoise = gated(taps.watch(network(BACKBONE.unet)), [1.0, 1.0, gate])
            z_BChw = noise.start(initial([0], (4, 8, 8)))
            with taps:
                sample(guided(denoise, 4.0, negative), noise, z_BChw, cond)
            latent = taps.latent([0])
            again = extract(BACKBONE, latent.z_BChw, latent.t, cond, negative, LAYOUT, gate=gate)
            assert far(taps.features([0]), again) < 1e-6
            found[gate] = again
    assert far(found[1.0], found[0.0]) > 1e-3


def test_branches_chunks_and_windows() -> None:
    noise, (cond, negative) = Noise(SCHEDULERS["ddim"], STEPS), conds(2)
    rows = Rows.branched([2, 1])
    taps = FeatureTaps(BACKBONE.unet, LAYOUT, STEPS - 1)
    with taps:
        denoise = guided(chunked(taps.watch(network(BACKBONE.unet)), 2), 3.0, negative)
        z_BChw = noise.start(initial(range(2), (4, 8, 8)))
        sample_branches(denoise, noise, z_BChw, cond.take(rows.sample_R), rows, 0.4)
    latent = taps.latent([0, 1])
    again = extract(BACKBONE, latent.z_BChw, latent.t, cond, negative, LAYOUT, max_rows=1)
    assert far(taps.features([0, 1]), again) < 1e-5
    taps = FeatureTaps(BACKBONE.unet, LAYOUT, 0, halves=["cond"])
    with taps, torch.no_grad():
        inner = windowed(taps.watch(network(BACKBONE.unet)), (8, 8), (4, 4))
        sample(inner, Noise(BACKBONE.scheduler, 1), initial([0], (4, 8, 12)), conds(1)[0])
    with pytest.raises(InputError, match="windows"):
        taps.features([0])


def test_samples_and_steps_that_were_not_there() -> None:
    _, taps, _, _ = run(Noise(SCHEDULERS["ddim"], STEPS), 1, (8, 8))
    with pytest.raises(InputError, match="sample 1"):
        taps.features([1])
    with pytest.raises(InputError, match=r"samples \[1\]"):
        taps.latent([0, 1])
    with pytest.raises(InputError, match="nothing was tapped"):
        FeatureTaps(BACKBONE.unet, LAYOUT, 7).features([0])
    with pytest.raises(InputError, match="halves"):
        FeatureTaps(BACKBONE.unet, LAYOUT, 0, halves=["both"])


def test_take_and_cat() -> None:
    _, taps, _, _ = run(Noise(SCHEDULERS["ddim"], STEPS), 3, (8, 8))
    features = taps.features([0, 1, 2])
    parts = Features.cat([features.take([2]), features.take([0, 1])])
    assert far(parts.take([1, 2, 0]), features) == 0
    assert features.to(dtype=torch.float16).levels[0][0].dtype == torch.float16
    _, other, _, _ = run(Noise(SCHEDULERS["ddim"], STEPS), 1, (8, 16))
    with pytest.raises(InputError, match="2 different forms"):
        Features.cat([features, other.features([0])])


def test_the_step_nearest_to_a_timestep() -> None:
    noise = Noise(BACKBONE.scheduler, 50)
    assert tap_step(noise) == 49 and tap_step(noise, 1) == 49
    assert tap_step(noise, 21) == 48 and tap_step(noise, 12) == 48 and tap_step(noise, 11) == 49
    assert tap_step(noise, 5000) == 0
    assert tap_step(Noise(SCHEDULERS["heun"], 5)) == 4


def test_a_real_picture_at_the_tapped_noise_level() -> None:
    """The latent of a drawn picture, noised with the run's own noise, is what the run's step looked like."""
    rng = np.random.default_rng(0)
    image_BHW3 = rng.integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)
    for scheduler in ("ddim", "euler"):
        backbone = type(BACKBONE)(
            "x", BACKBONE.tokenizer, BACKBONE.text_encoder, BACKBONE.unet, BACKBONE.vae, SCHEDULERS[scheduler]
        )
        latent = picture_latent(backbone, image_BHW3, [3, 4], 10, timestep=300)
        noise = Noise(backbone.scheduler, 10)
        a, s = noise.levels(latent.t)
        z0_BChw = picture_latent(backbone, image_BHW3, [3, 4], 10).z_BChw
        assert latent.z_BChw.shape == (2, 4, 8, 16) and abs(float(latent.t) - 300) < 60
        shown = (latent.z_BChw * (1 + s**2).sqrt() if scheduler == "euler" else latent.z_BChw) - s * initial(
            [3, 4], (4, 8, 16)
        )
        low, high = noise.levels(noise.timestep_of(9))
        near = z0_BChw * (1 + high**2).sqrt() if scheduler == "euler" else z0_BChw
        assert torch.allclose(shown / a, (near - high * initial([3, 4], (4, 8, 16))) / low, atol=1e-4)
        features = from_picture(backbone, image_BHW3, ["a cat", "a dog"], [3, 4], 10, LAYOUT, timestep=300)
        alone = from_picture(backbone, image_BHW3[1:], ["a dog"], [4], 10, LAYOUT, timestep=300)
        assert far(features.take([1]), alone) < 1e-5
    with pytest.raises(InputError, match="uint8"):
        picture_latent(BACKBONE, image_BHW3.astype(np.float32), [0, 1], 10)
    with pytest.raises(InputError, match="one each"):
        from_picture(BACKBONE, image_BHW3, ["a"], [0, 1], 10, LAYOUT)
    with pytest.raises(InputError, match="multiples of 4"):
        picture_latent(BACKBONE, image_BHW3[:, :30], [0, 1], 10)


def test_extract_needs_as_many_rows() -> None:
    cond, negative = conds(2)
    with pytest.raises(InputError, match="1 latents"):
        extract(BACKBONE, torch.zeros(1, 4, 8, 8), 1, cond, negative, LAYOUT)
    timesteps = torch.tensor([1, 400])
    z_BChw = initial([0, 1], (4, 8, 8))
    both = extract(BACKBONE, z_BChw, timesteps, cond, negative, LAYOUT)
    second = extract(BACKBONE, z_BChw[1:], 400, cond.take([1]), negative.take([1]), LAYOUT)
    assert far(both.take([1]), second) < 1e-5
