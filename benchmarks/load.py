"""How long a fresh process takes to load a model, and one picture after that.

    python benchmarks/load.py [--model nano+gligen] [--repeats 7] [--out FILE]

Fresh processes run in turns, so that a busy machine slows all of them alike; every figure is a median, less
the bare interpreter's. Processor time is user and system time together; wall-clock time is what a user waits
for. `libraries` is the floor: the foreign classes that a backbone is made of, and none of our code. The floor
of each library alone says what it would take to get below: both import torch's compiler and much of each
other's ground, so they do not add up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from measuring import machine, seconds, write

import scenewright as sw

DIFFUSERS = (
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.schedulers.scheduling_ddim",
)
TRANSFORMERS = (
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
)


def programs(model: str) -> dict[str, str]:
    """Python code per name, each for a process of its own; `interpreter` is taken off the others."""
    imports = f"import torch, {', '.join(DIFFUSERS + TRANSFORMERS)}"
    return {
        "interpreter": "pass",
        "torch": "import torch",
        "libraries": imports,
        "libraries, no collection": f"import gc; gc.disable(); {imports}",
        "diffusers' alone": f"import gc; gc.disable(); import torch, {', '.join(DIFFUSERS)}",
        "transformers' alone": f"import gc; gc.disable(); import torch, {', '.join(TRANSFORMERS)}",
        "load": f"import scenewright as sw; sw.load({model!r})",
        "load, with collection": f"from scenewright.models.load import load_bundle; load_bundle({model!r})",
    }


def fresh(code: str) -> tuple[float, float]:
    """Wall-clock and processor seconds of a process that runs `code`; it does not tidy up when it ends."""
    ending = "\nimport os; os._exit(0)"
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code + ending]) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"error: this failed in a fresh process: {code}")
    return wall, used.ru_utime + used.ru_stime


def loading(model: str, repeats: int) -> dict[str, dict[str, Any]]:
    """Per program the medians `wall_s` and `processor_s`, less the interpreter's; one round warms up."""
    codes = programs(model)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for turn in range(repeats + 1):
        for name, code in codes.items():
            taken = fresh(code)
            if turn:
                times[name].append(taken)
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }
    bare = medians["interpreter"]
    return {
        name: {"wall_s": wall - bare[0], "processor_s": busy - bare[1], "all_s": times[name]}
        for name, (wall, busy) in medians.items()
        if name != "interpreter"
    }


def picture(model: str, repeats: int) -> dict[str, Any]:
    """One picture of 20 steps, guidance and layout, in this process: the first, and the others' median."""
    loaded = sw.load(model)
    scene = sw.Scene(
        prompt="a red car and a blue house",
        size_wh=loaded.bundle.backbone.native_wh,
        instances=(
            sw.Instance("a red car", box=sw.Box(0.05, 0.55, 0.45, 0.85)),
            sw.Instance("a blue house", box=sw.Box(0.55, 0.25, 0.95, 0.8)),
        ),
    )
    device = loaded.bundle.backbone.device
    taken = [seconds(lambda: loaded.generate([scene], [7]), device) for _ in range(repeats + 1)]
    wall, busy = (statistics.median(column) for column in zip(*taken[1:], strict=True))
    return {"first_wall_s": taken[0][0], "wall_s": wall, "processor_s": busy, "all_s": taken}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="nano+gligen")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("runs/out/benchmark-load.json"))
    chosen = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "model": chosen.model}
    print(", ".join(f"{name} {value}" for name, value in result["machine"].items() if value is not None))
    result["fresh"] = loading(chosen.model, chosen.repeats)
    for name, row in result["fresh"].items():
        print(f"{name:>24}: {row['wall_s']:.2f} s, processor {row['processor_s']:.2f} s")
    result["picture"] = row = picture(chosen.model, chosen.repeats)
    print(
        f"{'one picture, 20 steps':>24}: {row['wall_s']:.2f} s, processor {row['processor_s']:.2f} s, "
        f"the first {row['first_wall_s']:.2f} s, threads {torch.get_num_threads()}"
    )
    write(chosen.out, result)
    print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
