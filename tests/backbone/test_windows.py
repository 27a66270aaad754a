"""Windows cover everything, share batches, and one window is the plain network."""

from __future__ import annotations

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.backbone.call import Call, Window
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.windows import cover, weights, window_starts, windowed
from scenewright.errors import InputError
from scenewright.testing.networks import random_conditioning, tiny_unet, wavy

T = torch.tensor(300)


def latents(rows: int, h: int, w: int) -> torch.Tensor:
    return torch.randn(rows, 4, h, w, generator=torch.Generator().manual_seed(h * w))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16), st.integers(1, 16))
def test_windows_always_reach_both_borders(h, w, size, stride):
    stride = min(stride, size)
    covered = torch.zeros(h, w)
    views = cover((h, w), (size, size), (stride, stride))
    for view in views:
        assert covered[view.slices].shape == (min(size, h), min(size, w))
        covered[view.slices] += 1
    assert covered.min() >= 1 and len(set(views)) == len(views)


def test_the_last_window_is_flush_with_the_end():
    assert window_starts(20, 8, 5) == [0, 5, 10, 12]
    assert window_starts(16, 8, 4) == [0, 4, 8] and window_starts(5, 8, 4) == [0]
    assert cover((8, 12), (8, 8), (8, 8)) == [Window(0, 0, 8, 8), Window(0, 4, 8, 12)]


def test_strides_that_leave_cells_out_are_refused():
    for stride in (0, 9):
        with pytest.raises(InputError, match="stride"):
            cover((16, 16), (8, 8), (stride, 8))
    with pytest.raises(InputError, match="max_rows"):
        windowed(wavy, (8, 8), (4, 4), max_rows=0)


@pytest.mark.parametrize("taper", [False, True])
def test_one_window_is_the_plain_network(taper):
    unet, call = tiny_unet(), Call.plain(T, random_conditioning(3, 0))
    denoise = windowed(network(unet), (8, 8), (8, 8), taper=taper)
    with torch.no_grad():
        plain, output = network(unet)(latents(3, 8, 8), call), denoise(latents(3, 8, 8), call)
    assert torch.allclose(output, plain, atol=1e-5)
    assert windowed(wavy, (64, 64), (64, 64))(latents(3, 5, 9), call).shape == (3, 4, 5, 9)


@pytest.mark.parametrize("taper", [False, True])
@pytest.mark.parametrize("max_rows", [1, 4, 100])
def test_overlaps_are_weighted_means_of_each_windows_output(taper, max_rows):
    z, call = latents(2, 11, 13), Call.plain(T, random_conditioning(2, 0))
    output = windowed(wavy, (6, 5), (4, 3), taper=taper, max_rows=max_rows)(z, call)
    weight = weights((6, 5), taper)
    total, count = torch.zeros_like(z), torch.zeros(11, 13)
    for view in cover((11, 13), (6, 5), (4, 3)):
        y, x = view.slices
        total[..., y, x] += weight * wavy(z[..., y, x], call)
        count[y, x] += weight
    assert torch.allclose(output, total / count, atol=1e-5)


def test_rows_and_windows_share_batches_of_at_most_the_maximum():
    seen = []

    def recording(z, call):
        seen.append(call)
        assert z.shape == (call.rows, 4, 6, 6)
        return wavy(z, call)

    windowed(recording, (6, 6), (6, 6), max_rows=5)(
        latents(3, 12, 12), Call.plain(T, random_conditioning(3, 0))
    )
    assert [call.rows for call in seen] == [5, 5, 2]
    pairs = {(i, window) for call in seen for i, window in zip(call.sample_R, call.window_R, strict=True)}
    assert len(pairs) == 12


def test_tapered_weights_are_positive_and_highest_in_the_middle():
    weight = weights((5, 7), taper=True)
    assert weight.min() > 0 and weight.max() == weight[2, 3]
    assert torch.allclose(weight, weight.flip(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"]
)
def test_guidance_goes_inside_or_outside_and_any_scheduler_runs(name):
    noise = Noise(getattr(diffusers, name)(), 4)
    cond, negative = random_conditioning(2, 0), random_conditioning(2, 1)
    outside = guided(windowed(wavy, (8, 8), (5, 5)), 4.0, negative)
    inside = windowed(guided(wavy, 4.0, negative), (8, 8), (5, 5))
    start = noise.start(latents(2, 12, 10))
    first, second = (sample(denoise, noise, start, cond) for denoise in (outside, inside))
    assert torch.allclose(first, second, atol=1e-3 * float(first.abs().max()))


def test_the_feet_of_the_hill_survive_half_precision():
    """At the corner of 128 cells the weight is 2e-8, below the smallest number of half precision."""
    z = latents(1, 128, 128).half()
    call = Call.plain(T, random_conditioning(1, 0))
    result = windowed(lambda z, call: z, (128, 128), (128, 128), taper=True)(z, call)
    assert result.dtype == torch.float16 and torch.equal(result, z)
