"""The parts of the loop, each against an oracle of its own: streams, averages, learning rate, checkpoints."""

from __future__ import annotations

import math
import os
import random
from collections import namedtuple
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from scenewright.errors import InputError, StorageError
from scenewright.train import LoopConfig, checkpoint, randomness
from scenewright.train.data import batches, epoch_indices, stream_rng, stream_seed, to_device
from scenewright.train.ema import Ema, trainable
from scenewright.train.optimise import (
    enable_checkpointing,
    lr_factor,
    make_optimiser,
    parameter_groups,
    set_lr,
)
from scenewright.train.progress import Display, JsonLines, Means

CPU = torch.device("cpu")
Pair = namedtuple("Pair", "a b")


@dataclass(frozen=True)
class Batch:
    x_B: torch.Tensor
    names: tuple[str, ...]


class Squares:
    def batch(self, step, rank, size):
        return torch.tensor([step**2, rank, size])


# Streams and batches.


def test_streams_differ_by_every_key_and_repeat():
    seeds = {
        stream_seed(s, k, r, i) for s in (0, 1) for k in ("data", "noise") for r in (0, 1) for i in range(50)
    }
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed(3, "a", 1) == stream_seed(3, "a", 1)
    assert (stream_rng(3, "a").random(4) == stream_rng(3, "a").random(4)).all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_item_once_per_epoch_over_all_processes(size):
    count, batch_size = 12, 2
    steps = count // (batch_size * size)
    epochs = []
    for epoch in range(3):
        run = range(epoch * steps, (epoch + 1) * steps)
        epochs.append(
            [i for s in run for r in range(size) for i in epoch_indices(count, s, r, size, batch_size, 5)]
        )
    assert all(sorted(items) == list(range(count)) for items in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_batches_may_cross_epochs():
    found = [i for step in range(10) for i in epoch_indices(5, step, 0, 1, 3, 0)]
    assert all(sorted(found[k : k + 5]) == list(range(5)) for k in range(0, 30, 5))
    assert sorted(epoch_indices(2, 0, 0, 1, 8, 0)) == [0] * 4 + [1] * 4


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_leave_the_random_state(workers):
    before = torch.get_rng_state()
    found = [b.tolist() for b in batches(Squares(), range(3, 9), 1, 2, workers=workers)]
    assert found == [[step**2, 1, 2] for step in range(3, 9)]
    assert torch.equal(before, torch.get_rng_state())


def test_to_device_walks_structures_and_keeps_types():
    x = torch.zeros(2)
    moved = to_device({"a": [x, 1], "b": Pair(x, "t"), "c": Batch(x, ("n",))}, torch.device("meta"))
    assert moved["a"][0].is_meta and moved["b"].a.is_meta and moved["c"].x_B.is_meta
    assert (moved["a"][1], moved["b"].b, moved["c"].names) == (1, "t", ("n",))
    assert not x.is_meta


# Random states.


def test_preserved_restores_all_states():
    draws = [
        lambda: random.random(),
        lambda: np.random.standard_normal(3).tolist(),
        lambda: torch.rand(3).tolist(),
    ]
    randomness.seed_everything(2**40 + 1, CPU)
    np.random.standard_normal(1)  # leaves a second normal number in the state
    with randomness.preserved(CPU):
        inside = [draw() for draw in draws]
    assert [draw() for draw in draws] == inside


def test_captured_state_passes_the_restricted_reader(tmp_path):
    randomness.seed_everything(1, CPU)
    torch.save(randomness.capture(CPU), tmp_path / "state.pt")
    expected = (random.random(), np.random.random(), torch.rand(2).tolist())
    randomness.restore(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert (random.random(), np.random.random(), torch.rand(2).tolist()) == expected


# Averaged weights.


def test_ema_equals_the_formula_and_swaps_exactly():
    module = nn.Linear(1, 1, bias=False)
    ema, expected = Ema({"m": module}, 0.9), module.weight.item()
    for n in range(200):
        with torch.no_grad():
            module.weight.fill_(math.sin(n))
        ema.update(n)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * math.sin(n)
    assert ema.shadow["m.weight"].item() == pytest.approx(expected, rel=1e-5)
    before = module.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), ema.swapped():
        assert module.weight.item() == pytest.approx(expected, rel=1e-5)
        raise ZeroDivisionError
    assert torch.equal(before, module.weight)


def test_ema_is_float32_even_for_half_weights():
    module = nn.Linear(2, 2).bfloat16()
    ema = Ema({"m": module}, 0.999)
    ema.update(10**6)
    assert {value.dtype for value in ema.shadow.values()} == {torch.float32}
    with ema.swapped():
        assert module.weight.dtype == torch.bfloat16


def test_no_ema_is_nothing():
    module = nn.Linear(2, 2)
    ema = Ema({"m": module}, None)
    ema.update(0)
    with ema.swapped():
        pass
    assert ema.shadow == {}


def test_trainable_leaves_out_frozen_and_counts_shared_once():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.weight = a.weight
    b.bias.requires_grad_(False)
    assert list(trainable({"a": a, "b": b})) == ["a.weight", "a.bias"]


# Optimiser.


def test_warm_up_rises_then_decays():
    loop = LoopConfig(steps=110, warmup_steps=10, schedule="linear", final_lr=0.1)
    factors = [lr_factor(loop, step) for step in range(110)]
    assert factors[:11] == pytest.approx([(k + 1) / 11 for k in range(11)])
    assert np.diff(factors[11:]) == pytest.approx(-0.9 / 100)
    assert lr_factor(loop, 110) == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_schedules_warm_up_and_end(schedule):
    loop = LoopConfig(steps=100, warmup_steps=20, schedule=schedule, decay_steps=60)
    factors = [lr_factor(loop, step) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 21) and max(factors) == factors[20] == 1
    end = 1.0 if schedule == "constant" else 0.0
    assert factors[60:] == pytest.approx([end] * 40)
    if schedule == "cosine":
        assert factors[40] == pytest.approx(0.5)


def test_groups_scale_the_rate_and_split_the_decay():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2))
    gate = nn.ParameterDict({"g": nn.Parameter(torch.zeros(()))})
    groups = [*parameter_groups({"m": module}), {"params": gate.parameters(), "lr_scale": 5.0}]
    loop = LoopConfig(lr=0.1, schedule="constant", weight_decay=0.3)
    optimiser = make_optimiser(groups, {"m": module, "g": gate}, loop)
    assert set_lr(optimiser, loop, 0) == 0.1
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.1, 0.1, 0.5])
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.3, 0.0, 0.3]
    assert [len(group["params"]) for group in optimiser.param_groups] == [1, 3, 1]


def test_groups_must_hold_every_trained_parameter_once():
    module = nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"1 trainable parameters are in no group: m\.bias"):
        make_optimiser([{"params": [module.weight]}], {"m": module}, LoopConfig())
    with pytest.raises(InputError, match="hold 3 parameters, but 2"):
        extra = nn.Parameter(torch.zeros(1))
        make_optimiser([{"params": [*module.parameters(), extra]}], {"m": module}, LoopConfig())


def test_gradient_checkpointing_needs_someone_who_can():
    class Can:
        on = False

        def enable_gradient_checkpointing(self):
            self.on = True

    class Cannot:
        def enable_gradient_checkpointing(self):
            raise ValueError("not supported")

    can = Can()
    enable_checkpointing([object(), Cannot(), can])
    assert can.on
    with pytest.raises(InputError, match="nothing in this task supports it"):
        enable_checkpointing([object(), Cannot()])


# Checkpoints.


def _write(folder, step, module):
    new = checkpoint.being_written(folder, step)
    checkpoint.begin(new)
    checkpoint.write_process(new, 0, {"a": 1})
    checkpoint.write(new, {"m": module}, {}, {"optimiser": {}}, {"step": step})
    return checkpoint.commit(new)


def test_nothing_yet(tmp_path):
    assert checkpoint.steps(tmp_path / "none") == []


def test_checkpoint_round_trip_with_shared_weights(tmp_path):
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    folder = _write(tmp_path, 5, module)
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    checkpoint.read_weights(folder, {"m": other}, Ema({}, None))
    assert all(
        torch.equal(a, b)
        for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True)
    )
    assert checkpoint.read_state(folder) == {"step": 5}
    with pytest.raises(StorageError, match="does not fit the module"):
        checkpoint.read_weights(folder, {"m": nn.Sequential(nn.Linear(2, 3))}, Ema({}, None))


def test_prune_keeps_the_newest_and_the_best(tmp_path):
    for step in range(1, 7):
        _write(tmp_path, step, nn.Linear(1, 1))
    checkpoint.prune(tmp_path, 2, best=3)
    assert checkpoint.steps(tmp_path) == [3, 5, 6]
    checkpoint.prune(tmp_path, 2, best=None)
    assert checkpoint.steps(tmp_path) == [5, 6]


def test_half_written_and_half_removed_do_not_count_and_are_swept(tmp_path):
    final = _write(tmp_path, 1, nn.Linear(1, 1))
    checkpoint.begin(checkpoint.being_written(tmp_path, 2))
    final.rename(tmp_path / f".old-{final.name}")
    assert checkpoint.steps(tmp_path) == []
    checkpoint.sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_same_step_is_replaced(tmp_path):
    _write(tmp_path, 1, nn.Linear(1, 1))
    folder = _write(tmp_path, 1, nn.Linear(2, 2))
    checkpoint.read_weights(folder, {"m": nn.Linear(2, 2)}, Ema({}, None))
    assert checkpoint.steps(tmp_path) == [1]


@pytest.mark.parametrize("name", ["m.safetensors", "optimiser.pt", "state.json"])
def test_a_damaged_checkpoint_is_named(tmp_path, name):
    folder = _write(tmp_path, 1, nn.Linear(1, 1))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match=name.replace(".", r"\.")):
        checkpoint.read_state(folder)
        checkpoint.read_torch(folder / "optimiser.pt")
        checkpoint.read_weights(folder, {"m": nn.Linear(1, 1)}, Ema({}, None))


def test_code_in_a_pickle_is_refused(tmp_path):
    torch.save({"optimiser": os.system}, tmp_path / "optimiser.pt")
    with pytest.raises(StorageError, match="cannot read"):
        checkpoint.read_torch(tmp_path / "optimiser.pt")


# What a run writes and shows.


def test_means_forget_after_taking_and_survive_saving():
    means = Means()
    for value in (1.0, 2.0):
        means.add({"loss": torch.tensor(value), "n": value})
    other = Means()
    other.load(means.state())
    for each in (means, other):
        each.add({"loss": torch.tensor(6.0), "rare": 5})
    assert means.take() == other.take() == {"loss": 3.0, "n": 1.5, "rare": 5.0}
    assert means.take() == {}


def test_json_lines_cut_back_and_know_no_infinity(tmp_path):
    lines = JsonLines(tmp_path / "log.jsonl", 0)
    lines.write({"step": 1, "norm": math.inf})
    length = lines.length()
    lines.write({"step": 2, "validation": {"x": math.nan}})
    lines.close()
    JsonLines(tmp_path / "log.jsonl", length).close()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "norm": null}\n'
    with pytest.warns(UserWarning, match="lost lines"):
        JsonLines(tmp_path / "log.jsonl", 1000).close()


def test_display_writes_to_stderr_only(capsys):
    display = Display("toy", 10, 0, every_seconds=0)
    display.advance(5, "loss 1")
    display.say("note [x]")
    display.close()
    Display("hidden", 10, 0, shown=False).say("nothing")
    out, err = capsys.readouterr()
    assert out == ""
    assert "toy: step 5 of 10, loss 1, about" in err and "note [x]" in err and "nothing" not in err


def test_loop_config_is_hashable_and_replaceable():
    assert hash(replace(LoopConfig(), steps=5)) != hash(LoopConfig())
