"""SIGKILL at any moment: what is left can be continued, to the same bytes, every picture exactly once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import halves
from halves import SOURCE, contents, tools, wanted

from scenewright.flows.dataset import journal
from scenewright.flows.dataset.build import build
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.verify import verify

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["scenewright.flows.dataset.work", "scenewright.testing", "halves"])

TOTAL = 15


def child(out: Path) -> multiprocessing.process.BaseProcess:
    process = SERVER.Process(target=halves.main, args=(str(out), str(TOTAL)))
    process.start()
    return process


def done(out: Path) -> int:
    """Whole lines in the journal."""
    return len(journal.read(out / "journal.jsonl").entries)


def kill_soon(process, out: Path, before: int, wait: float) -> bool:
    """Kill the child `wait` seconds after its first new picture; whether it was still alive."""
    end = time.monotonic() + 120
    while process.is_alive() and done(out) <= before:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
    time.sleep(wait)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


def test_killed_at_random_moments(tmp_path: Path) -> None:
    rng, out, kills = random.Random(5), tmp_path / "killed", 0
    while kills < 4 and (before := done(out)) < TOTAL - 3:
        kills += kill_soon(child(out), out, before, rng.uniform(0, 0.12))
    assert kills >= 2
    last = child(out)
    last.join()
    assert last.exitcode == 0
    build(tools(), wanted(TOTAL), tmp_path / "whole", SOURCE.to_json())
    assert contents(out) == contents(tmp_path / "whole")
    data = Dataset.open(out)
    assert Counter(one.name for one in data.journal) == Counter(one.name for one in wanted(TOTAL))
    assert not list(out.glob(".*")) and verify(data).problems == ()


def test_killed_before_anything_is_there(tmp_path: Path) -> None:
    process = child(tmp_path / "out")
    while not (tmp_path / "out").exists() and process.is_alive():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    again = child(tmp_path / "out")
    again.join()
    assert again.exitcode == 0 and done(tmp_path / "out") == TOTAL
