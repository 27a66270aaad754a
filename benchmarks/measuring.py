"""The machine, the clock and the result file of every benchmark.

Two ways of doing the same work are timed turn by turn in one run, so that a busy machine slows both; the
figure that counts is the ratio of the medians.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("scenewright", "torch", "diffusers", "transformers", "numpy")


def machine() -> dict[str, Any]:
    """Processor, cores, threads, accelerator and versions."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def seconds(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Wall-clock and processor seconds of one call; waits for an accelerator to finish."""
    _wait(device)
    wall, busy = time.perf_counter(), time.process_time()
    work()
    _wait(device)
    return time.perf_counter() - wall, time.process_time() - busy


def turns(
    works: Mapping[str, Callable[[], Any]], repeats: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Every work once to warm up, then `repeats` rounds of all of them in turn.

    Gives per work the medians ``wall_s`` and ``processor_s`` and all wall-clock times ``all_s``.
    """
    for work in works.values():
        work()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work, device))
    return {
        name: {
            "wall_s": statistics.median(wall for wall, _ in found),
            "processor_s": statistics.median(busy for _, busy in found),
            "all_s": [round(wall, 4) for wall, _ in found],
        }
        for name, found in times.items()
    }


def write(path: Path, result: Mapping[str, Any]) -> None:
    """The result as JSON; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
