"""Attaching changes nothing without grounding and leaves nothing behind; gates act per row."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from scenewright.backbone.attach import attach_fusers, transformer_blocks
from scenewright.backbone.call import Call, Conditioning, Grounding
from scenewright.backbone.network import network
from scenewright.errors import InputError, ModelError
from scenewright.testing.networks import mean_fusers, random_conditioning, tiny_unet

T = torch.tensor(400)


def latents(rows: int) -> torch.Tensor:
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(rows))


@torch.no_grad()
def run(unet, cond: Conditioning) -> torch.Tensor:
    return network(unet)(latents(cond.rows), Call.plain(T, cond))


def with_gates(cond: Conditioning, gates: list[float]) -> Conditioning:
    return replace(cond, grounding=replace(cond.grounding, gate_R=torch.tensor(gates)))


def test_detaching_restores_outputs_keys_and_attributes_exactly():
    unet, cond = tiny_unet(), random_conditioning(2, 0, grounded=True)
    text_only = Conditioning(cond.text_RLD)
    base, keys, names = run(unet, text_only), list(unet.state_dict()), set(vars(unet))
    handle = attach_fusers(unet, mean_fusers(unet), "means")
    assert torch.equal(run(unet, text_only), base)
    assert not torch.equal(run(unet, cond), base)
    handle.close()
    handle.close()
    assert not handle.is_open
    assert torch.equal(run(unet, text_only), base)
    assert list(unet.state_dict()) == keys and set(vars(unet)) == names
    assert not any(hasattr(block, "fuser") for block in transformer_blocks(unet).values())


def test_the_handle_closes_with_its_block_even_after_an_error():
    unet = tiny_unet()
    with pytest.raises(ZeroDivisionError), attach_fusers(unet, mean_fusers(unet), "means"):
        1 / 0  # noqa: B018
    attach_fusers(unet, mean_fusers(unet), "again").close()


def test_rows_with_gate_zero_are_exactly_the_base():
    unet, cond = tiny_unet(), random_conditioning(3, 0, grounded=True)
    base = run(unet, Conditioning(cond.text_RLD))
    with attach_fusers(unet, mean_fusers(unet), "means"):
        mixed = run(unet, with_gates(cond, [0.0, 1.0, 0.5]))
        full = run(unet, cond)
    assert torch.equal(mixed[0], base[0])
    assert torch.allclose(mixed[1], full[1], atol=1e-6)
    assert not torch.allclose(mixed[2], full[2], atol=1e-4) and not torch.allclose(
        mixed[2], base[2], atol=1e-4
    )


def test_fusers_are_skipped_when_no_row_has_a_gate():
    unet, cond = tiny_unet(), random_conditioning(2, 0, grounded=True)
    fusers = mean_fusers(unet)
    counted = []
    for fuser in fusers.values():
        fuser.register_forward_hook(lambda *_: counted.append(1))
    with attach_fusers(unet, fusers, "means"), torch.no_grad():
        off = run(unet, with_gates(cond, [0.0, 0.0]))
        stopped = network(unet)(latents(2), replace(Call.plain(T, cond), gate=0.0))
        assert not counted
        run(unet, cond)
        assert len(counted) == len(fusers) == 4
    assert torch.equal(off, run(unet, Conditioning(cond.text_RLD))) and torch.equal(off, stopped)


def test_a_layout_without_an_adapter_is_an_error():
    with pytest.raises(InputError, match="no adapter is attached"):
        run(tiny_unet(), random_conditioning(1, 0, grounded=True))


def test_only_one_adapter_at_a_time():
    unet = tiny_unet()
    with attach_fusers(unet, mean_fusers(unet), "first"):
        with pytest.raises(ModelError, match="cannot attach second: first is attached"):
            attach_fusers(unet, mean_fusers(unet), "second")
    attach_fusers(unet, mean_fusers(unet), "second").close()


def test_a_unet_with_gated_attention_of_its_own_is_refused():
    from diffusers import UNet2DConditionModel

    unet = tiny_unet()
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    gated = UNet2DConditionModel(**{**config, "attention_type": "gated"})
    with pytest.raises(ModelError, match="gated attention of its own"):
        attach_fusers(gated, mean_fusers(unet), "means")


def test_fusers_must_match_the_blocks_one_to_one():
    unet = tiny_unet()
    fusers = mean_fusers(unet)
    path = next(iter(fusers))
    with pytest.raises(ModelError, match="missing") as caught:
        attach_fusers(unet, {name + ("x" if name == path else ""): f for name, f in fusers.items()}, "means")
    assert path in caught.value.hint
    with pytest.raises(ModelError, match="no transformer blocks"):
        attach_fusers(torch.nn.Linear(1, 1), {}, "means")
    assert not hasattr(unet, "position_net")


def test_saving_is_refused_while_attached_and_works_after(tmp_path):
    unet = tiny_unet()
    with attach_fusers(unet, mean_fusers(unet), "means"):
        with pytest.raises(ModelError, match="cannot save the UNet while means is attached"):
            unet.save_pretrained(tmp_path)
        assert not list(tmp_path.iterdir())
    unet.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").exists()


def test_compiled_networks_are_refused():
    unet = tiny_unet()
    compiled = torch.compile(unet)
    with pytest.raises(ModelError, match="compiled"):
        attach_fusers(compiled, mean_fusers(unet), "means")
    in_place = tiny_unet()
    in_place.compile()
    with pytest.raises(ModelError, match="compiled"):
        attach_fusers(in_place, mean_fusers(unet), "means")
    part = tiny_unet()
    part.mid_block.compile()
    with pytest.raises(ModelError, match="compiled"):
        attach_fusers(part, mean_fusers(unet), "means")
    replaced = tiny_unet()
    replaced.forward = torch.compile(replaced.forward)
    with pytest.raises(ModelError, match="compiled"):
        attach_fusers(replaced, mean_fusers(unet), "means")


def test_gradients_reach_fusers_and_tokens_also_with_checkpointing():
    grads = []
    for checkpointing in (False, True):
        unet = tiny_unet().requires_grad_(False).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        fusers = mean_fusers(unet)
        cond = random_conditioning(2, 0)
        tokens = torch.ones(2, 5, 16, requires_grad=True)
        cond = replace(cond, grounding=Grounding(tokens, torch.ones(2)))
        with attach_fusers(unet, fusers, "means"):
            network(unet)(latents(2), Call.plain(torch.tensor([7, 900]), cond)).square().mean().backward()
        assert tokens.grad.abs().sum() > 0
        grads.append([fuser.linear.weight.grad for fuser in fusers.values()])
    for plain, again in zip(*grads, strict=True):
        assert plain.abs().sum() > 0 and torch.allclose(plain, again, atol=1e-6)


def test_half_precision_networks_take_and_return_the_loops_dtype():
    unet = tiny_unet().to(torch.bfloat16)
    with attach_fusers(unet, {k: v.bfloat16() for k, v in mean_fusers(unet).items()}, "means"):
        output = run(unet, random_conditioning(2, 0, grounded=True))
    assert output.dtype == torch.float32


def test_rows_have_their_own_timesteps_in_training():
    unet, cond = tiny_unet(), random_conditioning(2, 0)
    with torch.no_grad():
        both = network(unet)(latents(2), Call.plain(torch.tensor([3, 800]), cond))
        one = network(unet)(latents(2)[1:], Call.plain(torch.tensor([800]), cond.take([1])))
    assert torch.allclose(both[1:], one, atol=1e-5)


def test_a_copy_of_an_attached_network_works():
    unet, cond = tiny_unet(), random_conditioning(1, 0, grounded=True)
    with attach_fusers(unet, mean_fusers(unet), "means"):
        twin = copy.deepcopy(unet)
        assert torch.equal(run(twin, cond), run(unet, cond))
