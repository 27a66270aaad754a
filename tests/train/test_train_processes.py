"""Many processes: torchrun, accelerate launch, a notebook. Slow: each process imports everything anew."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_tasks
import torch
from safetensors.torch import load_file
from test_train_loop import lines, plain_loop

from scenewright.errors import InputError
from scenewright.train import checkpoint, run

pytestmark = pytest.mark.slow
CODE = "import typer; from scenewright.cli.train import command; typer.run(command)"


def launch(tmp_path, launcher, settings, *, expect=0, environment=None):
    """Run the train command under `launcher` with a free port; returns its standard error."""
    script = tmp_path / "train_command.py"
    script.write_text(CODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.format(port=port) for word in launcher]
    changes = [word for setting in settings for word in ("--set", setting)]
    rest = [str(script), f"{tiny_tasks.__file__}:conv", *changes, "--out", str(tmp_path / "out"), "--resume"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    done = subprocess.run(
        [sys.executable, "-m", *words, *rest],
        capture_output=True,
        text=True,
        timeout=240,
        env=variables,
        check=False,
    )
    assert (done.returncode == 0) == (expect == 0), done.stderr
    return done.stderr


TORCHRUN = ["torch.distributed.run", "--nproc-per-node=2", "--master-port={port}"]
ACCELERATE = [
    "accelerate.commands.launch", "--cpu", "--num_processes=1", "--num_machines=1", "--dynamo_backend=no",
    "--mixed_precision=bf16",
]  # fmt: skip


@pytest.mark.sample
def test_two_processes_equal_a_plain_loop_over_both_ranks(tmp_path):
    """Each process has its own data and noise, gradients are averaged, stopping changes nothing."""
    settings = ["task.dropout=0", "loop.accumulate=2", "loop.steps=8", "loop.save_every=4"]
    launch(tmp_path, TORCHRUN, [*settings, "loop.stop_after_minutes=1e-9"])
    assert checkpoint.steps(tmp_path / "out/checkpoints") == [1]
    launch(tmp_path, TORCHRUN, settings)
    base = tiny_tasks.conv()
    loop = replace(base.loop, accumulate=2, steps=8)
    weights, _ = plain_loop(replace(base, task=replace(base.task, dropout=0.0), loop=loop), ranks=2)
    folder = checkpoint.place(tmp_path / "out/checkpoints", 8)
    found = load_file(folder / "net.safetensors")
    assert all(torch.allclose(found[key], weights[key], rtol=1e-4, atol=1e-6) for key in weights)
    assert len([line for line in lines(tmp_path / "out") if "validation" in line]) == 2
    states = [checkpoint.read_torch(folder / f"process-{rank}.pt")["random"]["torch"] for rank in (0, 1)]
    assert not torch.equal(*states), "each process has, and saves, a random state of its own"
    with pytest.raises(InputError, match=r"launch\.processes: 2 -> 1"):
        run(replace(base, task=replace(base.task, dropout=0.0), loop=loop), tmp_path / "out", resume=True)


def test_resumed_on_two_processes_equals_uninterrupted(tmp_path):
    """With dropout, which depends on every process' own random state."""
    outs = []
    for part, pieces in (("whole", [[]]), ("pieces", [["loop.stop_after_minutes=1e-9"]] * 2 + [[]])):
        folder = tmp_path / part
        folder.mkdir()
        for piece in pieces:
            launch(folder, TORCHRUN, ["loop.steps=6", "loop.unused_parameters=true", *piece])
        outs.append(folder / "out")
    logs = [(out / "log.jsonl").read_bytes() for out in outs]
    assert logs[0] == logs[1]
    for name in ("net.safetensors", "ema.safetensors"):
        files = [(checkpoint.place(out / "checkpoints", 6) / name).read_bytes() for out in outs]
        assert files[0] == files[1]


def test_accelerate_launch_decides_precision_and_accumulation(tmp_path):
    launch(
        tmp_path, ACCELERATE, ["loop.steps=2"], environment={"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "3"}
    )
    whole = json.loads((tmp_path / "out/recipe.json").read_text())
    assert whole["launch"] == {"processes": 1, "precision": "bf16", "accumulate": 3}


def test_an_error_of_the_main_process_ends_all(tmp_path):
    launch(tmp_path, TORCHRUN, ["loop.steps=2"])
    err = launch(tmp_path, TORCHRUN, ["loop.steps=2", "task.width=3"], expect=1)
    assert err.count("task.width: 8 -> 3") >= 2


def test_notebook_launcher(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import tiny_tasks\n"
        "from accelerate import notebook_launcher\n"
        "from scenewright.train import run\n"
        "notebook_launcher(run, (tiny_tasks.conv(), sys.argv[2]), num_processes=1)\n"
    )
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", code, here, str(tmp_path)], check=True, timeout=120)
    assert checkpoint.steps(tmp_path / "checkpoints")[-1] == 20
