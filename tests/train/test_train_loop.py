"""The loop as a whole, on small real tasks, against a plain PyTorch loop and against itself interrupted."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_tasks
import torch
from safetensors.torch import load_file

from scenewright.errors import InputError, ScenewrightError, StorageError
from scenewright.train import checkpoint, run
from scenewright.train.data import stream_seed
from scenewright.train.launch import StopSignal
from scenewright.train.optimise import lr_factor


def recipe(task=None, **loop):
    base = tiny_tasks.conv()
    return replace(base, task=replace(base.task, **(task or {})), loop=replace(base.loop, **loop))


def lines(out: Path):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def result(out: Path):
    """Everything that must not depend on interruptions: log, newest weights and averages, export."""
    newest = checkpoint.place(out / "checkpoints", checkpoint.steps(out / "checkpoints")[-1])
    files = [out / "log.jsonl", *sorted(newest.glob("*.safetensors")), newest / "state.json"]
    files += sorted((out / "export").iterdir())
    return {file.name: file.read_bytes() for file in files}


def plain_loop(recipe, ranks=1):
    """The same training without this package's loop, optimiser groups, averages or Accelerate."""
    loop, task = recipe.loop, recipe.task.build(recipe.loop)
    torch.manual_seed(stream_seed(loop.seed, "weights"))
    task = recipe.task.build(loop)
    net, gate = task.modules["net"].train(), task.modules["gate"]
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": loop.weight_decay, "scale": 1},
         {"params": vectors, "weight_decay": 0.0, "scale": 1},
         {"params": gate.parameters(), "weight_decay": 0.0, "scale": 10}],
        lr=loop.lr,
    )  # fmt: skip
    everything = [*net.parameters(), *gate.parameters()]
    shadow = [p.detach().clone() for p in everything]
    for step in range(loop.steps):
        optimiser.zero_grad()
        for rank in range(ranks):
            for index in range(step * loop.accumulate, (step + 1) * loop.accumulate):
                generator = torch.Generator().manual_seed(stream_seed(loop.seed, "noise", rank, index))
                loss, _ = task.loss(task.batch(index, rank, ranks), generator)
                (loss / (loop.accumulate * ranks)).backward()
        torch.nn.utils.clip_grad_norm_(everything, loop.clip_norm)
        for group in optimiser.param_groups:
            group["lr"] = loop.lr * group["scale"] * lr_factor(loop, step)
        optimiser.step()
        decay = min(loop.ema_decay, (1 + step) / (10 + step))
        shadow = [decay * s + (1 - decay) * p.detach() for s, p in zip(shadow, everything, strict=True)]
    return dict(net.state_dict()), shadow


@pytest.mark.parametrize("accumulate", [1, 3])
def test_equals_a_plain_loop(tmp_path, accumulate):
    wanted = recipe({"dropout": 0.0}, accumulate=accumulate, steps=12, clip_norm=0.3)
    run(wanted, tmp_path)
    weights, shadow = plain_loop(wanted)
    folder = checkpoint.place(tmp_path / "checkpoints", 12)
    found = load_file(folder / "net.safetensors")
    assert all(torch.allclose(found[key], weights[key], rtol=1e-5, atol=1e-7) for key in weights)
    averages = load_file(folder / "ema.safetensors")
    names = [*(f"net.{key}" for key in weights), "gate.value"]
    assert all(
        torch.allclose(averages[n], s, rtol=1e-5, atol=1e-7) for n, s in zip(names, shadow, strict=True)
    )
    exported = load_file(tmp_path / "export" / "net.safetensors")
    assert all(torch.equal(exported[key], averages[f"net.{key}"].half()) for key in weights)


def test_the_loss_falls_and_the_log_is_complete(tmp_path, capsys):
    summary = run(recipe(steps=60), tmp_path)
    log = lines(tmp_path)
    losses = [line["loss"] for line in log if "loss" in line]
    assert summary["finished"] and summary["loss"] == losses[-1] < 0.7 * losses[0]
    assert [line["step"] for line in log if "loss" in line] == list(range(3, 61, 3))
    assert [line["step"] for line in log if "validation" in line] == [*range(7, 60, 7), 60]
    assert set(log[0]) == {"step", "loss", "lr", "grad_norm", "gate"}
    timing = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert all(line["samples_per_s"] > 0 for line in timing) and len(timing) == len(losses)
    out, err = capsys.readouterr()
    assert out == "" and "conv: finished at step 60 of 60" in err


def test_one_step_at_a_time_equals_one_run(tmp_path):
    """Stopped after every single step, with other counts of steps, and resumed: the same bytes."""
    wanted = recipe(accumulate=2, keep=2)
    run(wanted, tmp_path / "whole")
    stopping = replace(wanted, loop=replace(wanted.loop, stop_after_minutes=1e-9))
    summaries = []
    while not summaries or not summaries[-1]["finished"]:
        summaries.append(run(stopping, tmp_path / "pieces", resume=True))
    assert len(summaries) == wanted.loop.steps
    assert {s["stopped"] for s in summaries[:-1]} == {"time"} and summaries[0]["export"]
    assert result(tmp_path / "whole") == result(tmp_path / "pieces")
    states = [
        checkpoint.read_torch(tmp_path / p / "checkpoints/step-00000020/optimiser.pt")
        for p in ("whole", "pieces")
    ]
    assert str(states[0]) == str(states[1])


def test_validation_does_not_disturb_training(tmp_path):
    logs = []
    for every, first in ((None, False), (1, True), (4, False)):
        out = tmp_path / str(every)
        run(recipe(validate_every=every, validate_first=first), out)
        logs.append([line for line in lines(out) if "loss" in line])
    assert logs[0] == logs[1] == logs[2]
    assert lines(tmp_path / "1")[0]["step"] == 0


def test_validation_sees_averages_in_eval_mode_and_repeats(tmp_path):
    run(recipe(validate_every=10), tmp_path)
    assert json.loads((tmp_path / "validation/step-00000010/modes.json").read_text()) == [False, False]
    averaged = lines(tmp_path)[-1]["validation"]["gate"]
    averages = load_file(checkpoint.place(tmp_path / "checkpoints", 20) / "ema.safetensors")
    assert averaged == averages["gate.value"].item()


def test_workers_make_no_difference(tmp_path):
    for workers in (0, 2):
        run(recipe(workers=workers, accumulate=2), tmp_path / str(workers))
    assert result(tmp_path / "0") == result(tmp_path / "2")


def test_the_caller_is_left_alone(tmp_path):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    threads = torch.get_num_threads()
    run(recipe(steps=2), tmp_path)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert threads == torch.get_num_threads()


def test_seeds_matter_and_repeat(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(recipe(seed=seed), tmp_path / name)
    assert result(tmp_path / "a") == result(tmp_path / "b")
    assert lines(tmp_path / "a")[0]["loss"] != lines(tmp_path / "c")[0]["loss"]


def test_precisions_one_after_the_other(tmp_path, monkeypatch):
    seen = {}
    build = tiny_tasks.ConvConfig.build
    monkeypatch.setattr(tiny_tasks.ConvConfig, "build", lambda *a: seen.setdefault("task", build(*a)))
    for precision, dtype in (("bf16", "torch.bfloat16"), ("no", "torch.float32"), (None, "torch.float32")):
        seen.clear()
        run(recipe(precision=precision), tmp_path / str(precision))
        assert set(seen["task"].seen) == {dtype}
        assert str(seen["task"].dtype) == dtype
        assert {str(p.dtype) for m in seen["task"].modules.values() for p in m.parameters()} == {
            "torch.float32"
        }
    assert abs(lines(tmp_path / "bf16")[-2]["loss"] - lines(tmp_path / "no")[-2]["loss"]) < 0.02
    with pytest.raises(InputError, match="fp16 needs an accelerator"):
        run(recipe(precision="fp16", cpu=True), tmp_path / "fp16")


def test_the_best_checkpoint_is_kept_and_exported(tmp_path):
    wanted = recipe(
        {"width": 32}, steps=40, lr=0.3, schedule="constant", validate_every=2, save_every=20, keep=1,
        best_metric="error", best_mode="min", export_weights="best", ema_decay=0.3,
    )  # fmt: skip
    summary = run(wanted, tmp_path)
    errors = {line["step"]: line["validation"]["error"] for line in lines(tmp_path) if "validation" in line}
    best = min(errors, key=errors.get)
    assert best not in (2, 40), "the task should be best somewhere in the middle"
    assert summary["best"] == {"step": best, "metric": "error", "value": errors[best]}
    assert checkpoint.steps(tmp_path / "checkpoints") == [best, 40]
    averages = load_file(checkpoint.place(tmp_path / "checkpoints", best) / "ema.safetensors")
    exported = load_file(tmp_path / "export/net.safetensors")
    assert all(torch.equal(value, averages[f"net.{key}"].half()) for key, value in exported.items())
    again = run(wanted, tmp_path, resume=True)
    assert again["best"] == summary["best"] and again["finished"]


def test_best_metric_that_validation_does_not_give(tmp_path):
    with pytest.raises(InputError, match=r"no loop\.best_metric 'eror'") as caught:
        run(recipe(best_metric="eror"), tmp_path)
    assert caught.value.hint == "did you mean error?"


def test_gradient_checkpointing(tmp_path):
    base = tiny_tasks.unet()
    for on in (False, True):
        loop = replace(base.loop, steps=4, gradient_checkpointing=on)
        run(replace(base, loop=loop), tmp_path / str(on))
    first, second = lines(tmp_path / "False"), lines(tmp_path / "True")
    assert [a["loss"] for a in first] == pytest.approx([b["loss"] for b in second], rel=1e-5)
    with pytest.raises(InputError, match="nothing in this task supports it"):
        run(recipe(gradient_checkpointing=True), tmp_path / "conv")


# The result folder.


def test_resolved_recipe_is_there_before_training(tmp_path):
    with pytest.raises(ScenewrightError, match="the loss is nan at step 3"):
        run(recipe({"bad_step": 2}), tmp_path)
    whole = json.loads((tmp_path / "recipe.json").read_text())
    assert whole["task"]["bad_step"] == 2 and whole["loop"]["steps"] == 20
    assert whole["launch"] == {"processes": 1, "precision": "no", "accumulate": 1}
    assert whole["made_with"]["device"] == "cpu"


def test_an_old_run_is_not_overwritten(tmp_path):
    run(recipe(steps=3), tmp_path)
    with pytest.raises(InputError, match="already holds a run") as caught:
        run(recipe(steps=3), tmp_path)
    assert "--resume" in caught.value.hint


def test_resume_refuses_another_recipe_naming_the_keys(tmp_path):
    run(recipe(steps=3), tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(InputError) as caught:
        run(recipe({"width": 9}, lr=0.5), tmp_path, resume=True)
    assert "task.width: 8 -> 9; loop.lr: 0.01 -> 0.5" in str(caught.value)
    assert (tmp_path / "recipe.json").read_bytes() == before


def test_more_steps_may_be_asked_for(tmp_path):
    for part, steps in (("whole", (12,)), ("longer", (6, 12))):
        for count in steps:
            wanted = recipe(steps=count, decay_steps=12, validate_every=None)
            assert run(wanted, tmp_path / part, resume=True)["step"] == count
    assert result(tmp_path / "whole")["net.safetensors"] == result(tmp_path / "longer")["net.safetensors"]


def test_resume_of_nothing_begins_and_of_a_finished_run_exports(tmp_path):
    run(recipe(steps=3), tmp_path, resume=True)
    before = result(tmp_path)
    (tmp_path / "export/net.safetensors").unlink()
    summary = run(recipe(steps=3), tmp_path, resume=True)
    assert summary["finished"] and result(tmp_path) == before


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"):
        run(recipe(), tmp_path / "file" / "out")


def test_a_damaged_recipe_file(tmp_path):
    run(recipe(steps=3), tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(StorageError, match=r"recipe\.json"):
        run(recipe(steps=3), tmp_path, resume=True)


def test_nothing_to_train(tmp_path, monkeypatch):
    def frozen(self, device, dtype):
        for module in self.modules.values():
            module.requires_grad_(False)

    monkeypatch.setattr(tiny_tasks.Conv, "prepare", frozen)
    with pytest.raises(InputError, match="no trainable parameters"):
        run(recipe(), tmp_path)


def test_a_launch_that_accelerate_does_not_see(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        "scenewright.train.launch._accelerator", lambda *_: __import__("accelerate").Accelerator()
    )
    monkeypatch.setattr("accelerate.state.PartialState._prepare_backend", lambda *_, **__: (None, "NO"))
    with pytest.raises(InputError, match="2 processes were launched"):
        run(recipe(), tmp_path)


def test_the_first_signal_asks_and_the_second_interrupts():
    import signal

    before = signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


# The golden curve.


def test_golden_loss_curve(tmp_path):
    """Thirty steps of a small UNet denoiser. A change of this curve is a change of training: say why."""
    run(tiny_tasks.unet(), tmp_path)
    losses = [line["loss"] for line in lines(tmp_path)]
    golden = [float(line) for line in (Path(__file__).parent / "golden_loss.txt").read_text().split()]
    assert losses == pytest.approx(golden, rel=1e-4)


def test_a_broken_loss_never_replaces_the_good_checkpoints(tmp_path):
    wanted = recipe({"bad_step": 6}, log_every=100, save_every=2, keep=1, validate_every=None)
    with pytest.raises(ScenewrightError, match="no longer numbers at step 8"):
        run(wanted, tmp_path)
    assert checkpoint.steps(tmp_path / "checkpoints") == [6]
    weights = load_file(tmp_path / "checkpoints" / "step-00000006" / "net.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
