"""Muon and AdamW behind one optimiser: each weight gets the one it should, and a resumed run is exact."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import tiny_tasks
import torch
from torch import nn

from scenewright.train import checkpoint, run
from scenewright.train.muon import MuonAdamW, is_matrix
from scenewright.train.optimise import make_optimiser
from scenewright.train.recipe import LoopConfig


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.Flatten(),
        nn.Linear(512, 20),
    )


def gradients(net: nn.Module, step: int) -> None:
    torch.manual_seed(100 + step)
    net(torch.randn(4, 3, 4, 4)).square().mean().backward()


def options(**changes) -> LoopConfig:
    return LoopConfig(optimiser="muon", lr=3e-3, weight_decay=0.1, betas=(0.9, 0.99), **changes)


def test_no_group_is_no_step():
    optimiser = MuonAdamW(
        [{"params": [], "lr_scale": 1.0}], [], lr=1e-3, weight_decay=0.0, betas=(0.9, 0.99), eps=1e-8
    )
    optimiser.step()
    assert optimiser.state_dict()["muon"]["state"] == {}


def test_each_weight_moves_as_its_own_optimiser_moves_it():
    net = network()
    alone = copy.deepcopy(net)
    together = make_optimiser([{"params": net.parameters()}], {"net": net}, options())
    kernel = nn.Parameter(alone[2].weight.detach().reshape(32, 144).clone())
    first = nn.Parameter(alone[0].weight.detach().reshape(16, 27).clone())
    matrices = [first, kernel, alone[4].weight]
    muon = torch.optim.Muon(
        matrices, lr=3e-3, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    biases = [alone[0].bias, alone[2].bias, alone[4].bias]
    adamw = torch.optim.AdamW(biases, lr=3e-3, weight_decay=0.1, betas=(0.9, 0.99))
    for step in range(4):
        gradients(net, step)
        together.step()
        together.zero_grad()
        gradients(alone, step)
        first.grad, kernel.grad = alone[0].weight.grad.reshape(16, 27), alone[2].weight.grad.reshape(32, 144)
        muon.step()
        adamw.step()
        alone.zero_grad()
        with torch.no_grad():
            alone[0].weight.copy_(first.view_as(alone[0].weight))
            alone[2].weight.copy_(kernel.view_as(alone[2].weight))
    for mine, other in zip(net.parameters(), alone.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)
    assert not torch.allclose(net[2].weight, network()[2].weight, atol=1e-3)


def test_embeddings_narrow_weights_and_vectors_are_left_to_adamw():
    table, narrow, wide = nn.Embedding(64, 32), nn.Linear(32, 4), nn.Linear(32, 16)
    parts = {"table": table, "narrow": narrow, "wide": wide}
    every = [p for part in parts.values() for p in part.parameters()]
    optimiser = make_optimiser([{"params": every}], parts, options())
    assert isinstance(optimiser, MuonAdamW)
    wide(narrow.weight.new_ones(1, 32)).sum().backward()
    narrow(table.weight[:3]).sum().backward()
    optimiser.step()
    assert len(optimiser.state_dict()["muon"]["state"]) == 1
    assert len(optimiser.state_dict()["adamw"]["state"]) == 4
    assert is_matrix(wide.weight) and not is_matrix(narrow.weight) and not is_matrix(wide.bias)


def test_a_rate_of_zero_moves_nothing():
    net = network()
    before = copy.deepcopy(net.state_dict())
    optimiser = make_optimiser([{"params": net.parameters()}], {"net": net}, options())
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    gradients(net, 0)
    optimiser.step()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("stop", [3, 5])
def test_an_interrupted_run_ends_in_the_same_weights(tmp_path, stop):
    base = tiny_tasks.unet()
    whole = replace(base, loop=replace(base.loop, optimiser="muon", steps=8, save_every=1, precision="no"))
    run(whole, tmp_path / "whole")
    part = replace(whole, loop=replace(whole.loop, steps=stop, decay_steps=8))
    again = replace(whole, loop=replace(whole.loop, decay_steps=8))
    run(part, tmp_path / "part")
    run(again, tmp_path / "part", resume=True)

    def newest(name):
        folder = tmp_path / name / "checkpoints"
        return sorted(checkpoint.place(folder, checkpoint.steps(folder)[-1]).glob("*.safetensors"))

    assert [one.read_bytes() for one in newest("whole")] == [one.read_bytes() for one in newest("part")]
