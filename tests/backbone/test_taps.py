"""Taps read the rows that were asked for, at the steps that were asked for, into named slots."""

from __future__ import annotations

import diffusers
import pytest
import torch

from scenewright.backbone.call import Call
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import sample
from scenewright.backbone.network import chunked, network
from scenewright.backbone.noise import Noise
from scenewright.backbone.taps import Taps
from scenewright.backbone.windows import windowed
from scenewright.errors import InputError, ModelError
from scenewright.testing.networks import random_conditioning, tiny_unet

BLOCKS = ("up_blocks.1", "down_blocks.0.attentions.0")
PNDM = diffusers.PNDMScheduler(skip_prk_steps=True)


def latents(rows: int, size: int = 8) -> torch.Tensor:
    return torch.randn(rows, 4, size, size, generator=torch.Generator().manual_seed(rows))


def test_taps_hold_what_the_block_gave_for_conditional_rows():
    unet, cond, negative = tiny_unet(), random_conditioning(2, 0), random_conditioning(2, 1)
    seen = []
    with Taps(unet, BLOCKS, steps=[2]) as taps:
        hook = unet.up_blocks[1].register_forward_hook(lambda module, args, out: seen.append(out))
        sample(guided(taps.watch(network(unet)), 3.0, negative), Noise(PNDM, 4), latents(2), cond)
        hook.remove()
    tapped = taps.read(2, "up_blocks.1")
    assert torch.equal(tapped.features_R, seen[3][2:])
    assert [(row.sample, row.half) for row in tapped.rows] == [(0, "cond"), (1, "cond")]
    assert taps.read(2, BLOCKS[1]).features_R.shape[0] == 2


def test_slots_are_named_and_repeated_entries_and_runs_overwrite_them():
    unet, cond = tiny_unet(), random_conditioning(2, 0)
    taps = Taps(unet, BLOCKS[:1], steps=[0, 3])
    for _ in range(2):
        infos = []
        sample(taps.watch(network(unet)), Noise(PNDM, 4), latents(2), cond, on_step=infos.append)
    assert taps.read(0, BLOCKS[0]).features_R.shape[0] == 2
    second_entry = infos[1]
    with torch.no_grad():
        taps.watch(network(unet))(second_entry.z_RChw, Call.plain(second_entry.t, cond, step=3, steps=4))
    assert torch.allclose(taps.read(3, BLOCKS[0]).features_R, taps.read(0, BLOCKS[0]).features_R, atol=1e-5)
    with pytest.raises(InputError, match="nothing was tapped at step 1"):
        taps.read(1, BLOCKS[0])
    taps.clear()
    with pytest.raises(InputError):
        taps.read(0, BLOCKS[0])
    taps.close()


def test_chunks_and_windows_fill_one_slot_row_by_row():
    unet, cond = tiny_unet(), random_conditioning(3, 0)
    call = Call.plain(torch.tensor(10), cond)
    with Taps(unet, BLOCKS[:1]) as taps, torch.no_grad():
        taps.watch(network(unet))(latents(3), call)
        whole = taps.read(0, BLOCKS[0])
        taps.clear()
        chunked(taps.watch(network(unet)), 2)(latents(3), call)
        assert torch.allclose(taps.read(0, BLOCKS[0]).features_R, whole.features_R, atol=1e-5)
        taps.clear()
        windowed(taps.watch(network(unet)), (8, 8), (4, 4), max_rows=4)(latents(3, 12), call)
    rows = taps.read(0, BLOCKS[0]).rows
    assert len(rows) == 12 and [row.sample for row in rows] == [0] * 4 + [1] * 4 + [2] * 4
    assert [(row.window.y0, row.window.x0) for row in rows[:4]] == [(0, 0), (0, 4), (4, 0), (4, 4)]


def test_closed_taps_and_other_uses_of_the_network_write_nothing():
    unet, call = tiny_unet(), Call.plain(torch.tensor(10), random_conditioning(1, 0))
    taps = Taps(unet, BLOCKS[:1])
    with torch.no_grad():
        network(unet)(latents(1), call)
        with pytest.raises(InputError):
            taps.read(0, BLOCKS[0])
        taps.close()
        taps.watch(network(unet))(latents(1), call)
    with pytest.raises(InputError):
        taps.read(0, BLOCKS[0])
    assert not unet.up_blocks[1]._forward_hooks


def test_tapping_changes_no_output():
    unet, call = tiny_unet(), Call.plain(torch.tensor(10), random_conditioning(2, 0))
    with torch.no_grad():
        base = network(unet)(latents(2), call)
        with Taps(unet, BLOCKS) as taps:
            assert torch.equal(taps.watch(network(unet))(latents(2), call), base)


def test_unknown_blocks_and_compiled_networks_are_refused():
    unet = tiny_unet()
    with pytest.raises(ModelError, match=r"up_block\.1") as caught:
        Taps(unet, ["up_block.1"])
    assert "up_blocks.1" in caught.value.hint
    with pytest.raises(ModelError, match="compiled"):
        Taps(torch.compile(unet), ["up_blocks.1"])
    assert not unet.up_blocks[1]._forward_hooks


def test_taps_around_a_limit_of_rows_are_refused_instead_of_mixed_up():
    unet, call = tiny_unet(), Call.plain(torch.tensor(10), random_conditioning(4, 0))
    with torch.no_grad(), Taps(unet, BLOCKS) as taps:
        with pytest.raises(InputError, match="gave 2 rows for 4"):
            taps.watch(chunked(network(unet), 2))(latents(4), call)
        chunked(taps.watch(network(unet)), 2)(latents(4), call)
        assert len(taps.read(0, BLOCKS[0]).rows) == 4
