"""Killed, interrupted, out of room: what is left on the disk can always be continued."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_tasks

from scenewright.errors import StorageError
from scenewright.train import checkpoint, run

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["scenewright.train.loop", "tiny_tasks"])  # children then start in milliseconds


def recipe(**task):
    base = tiny_tasks.conv()
    loop = replace(base.loop, steps=30, save_every=3, validate_every=9, keep=2)
    return replace(base, task=replace(base.task, **task), loop=loop)


def train(recipe, out, limit_bytes=None, pipe=None):
    """What a child process does; sends its summary, or its error, through `pipe`."""
    multiprocessing.set_start_method("fork", force=True)  # for the workers, as in an ordinary process
    if limit_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing more then fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    try:
        answer = run(recipe, out, resume=True)
    except StorageError as error:
        answer = f"{error} hint: {error.hint}"
    if pipe is not None:
        pipe.send(answer)


def child(*arguments):
    """A process that trains, and the end of the pipe on which it answers."""
    here, there = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=train, args=(*arguments, there))
    process.start()
    there.close()
    return process, here


def newest(out):
    """The step of the newest complete checkpoint; 0 if there is none."""
    return max(checkpoint.steps(out / "checkpoints"), default=0)


def result(out: Path):
    folder = checkpoint.place(out / "checkpoints", checkpoint.steps(out / "checkpoints")[-1])
    return {
        path.name: path.read_bytes()
        for path in (
            out / "log.jsonl",
            folder / "net.safetensors",
            folder / "ema.safetensors",
            folder / "state.json",
        )
    }


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def test_killed_at_random_moments(tmp_path):
    """Wherever the kills hit, every restart continues, and the end is the same, byte for byte."""
    slow = recipe(slow_seconds=0.003)
    run(slow, tmp_path / "whole")
    out, kills, rng, reached = tmp_path / "killed", 0, random.Random(4), [0]
    while kills < 8 and reached[-1] < 24:
        process, _ = child(slow, out, None)
        wait_for(lambda known=reached[-1], child=process: newest(out) > known or not child.is_alive())
        time.sleep(rng.uniform(0, 0.05))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        reached.append(newest(out))
    assert kills >= 3 and reached == sorted(reached)
    run(slow, out, resume=True)
    assert result(out) == result(tmp_path / "whole")
    assert not list(out.rglob(".*")), "nothing half-written is left"


def test_interrupted_by_ctrl_c_in_a_worker_loop(tmp_path):
    """SIGINT goes to the whole group, workers included: a checkpoint is saved, the run continues exactly."""
    base = recipe(slow_seconds=0.01)
    slow = replace(base, loop=replace(base.loop, workers=2, save_every=1000))
    process, answer = child(slow, tmp_path / "stopped", None)
    wait_for(
        lambda: (tmp_path / "stopped/log.jsonl").exists() and (tmp_path / "stopped/log.jsonl").stat().st_size
    )
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [process.pid, *map(int, workers)]:
        os.kill(pid, signal.SIGINT)
    summary = answer.recv()
    process.join(30)
    assert process.exitcode == 0 and len(workers) == 2
    assert summary["stopped"] == "interrupted" and not summary["finished"] and summary["export"] is None
    assert checkpoint.steps(tmp_path / "stopped/checkpoints") == [summary["step"]]
    for part in ("whole", "stopped"):
        assert run(slow, tmp_path / part, resume=True)["finished"]
    assert result(tmp_path / "stopped") == result(tmp_path / "whole")


def test_out_of_room_leaves_the_checkpoint_before(tmp_path):
    """Files may not grow beyond 2 kB: weights of the wide network do not fit."""
    process, answer = child(recipe(width=64), tmp_path, 2000)
    message = answer.recv()
    process.join(30)
    assert "cannot write a checkpoint" in message and "make room" in message
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert run(recipe(width=64), tmp_path, resume=True)["finished"]


@pytest.mark.slow
def test_command_line_interrupted(tmp_path):
    """The real command, Ctrl-C, its advice, and the advice followed."""
    command = [
        sys.executable, "-c", "import typer; from scenewright.cli.train import command; typer.run(command)",
        f"{tiny_tasks.__file__}:conv", "--set", "task.slow_seconds=0.02", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    process = subprocess.Popen([*command, "--set", "loop.steps=1000"], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "out/log.jsonl").exists() and (tmp_path / "out/log.jsonl").stat().st_size)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to continue: scenewright train" in err and err.strip().endswith(
        f"--out {tmp_path / 'out'} --resume"
    )
    done = checkpoint.steps(tmp_path / "out/checkpoints")[-1]
    more = [*command, "--set", f"loop.steps={done + 2}", "--resume", "--json"]
    finished = subprocess.run(more, capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout)["step"] == done + 2
