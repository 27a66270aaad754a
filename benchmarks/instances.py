"""What instances cost: the multi-instance sampler against the published form of it, and masked attention.

    python benchmarks/instances.py                       nano+gligen, both parts
    python benchmarks/instances.py --model BASE+ADAPTER --device cuda
    python benchmarks/instances.py --quick               few steps and rounds: a look, no result

Parts: ``sampler`` pictures of 8 instances with latents of their own in 36 % of the steps, all branches in one
batch, against one branch after the other with two forwards each and tokens computed anew in every step (the
latents must agree to 1e-4 before anything is timed); ``attention`` one fuser at 64x64 latents with 30
instances, masked and not: time, and memory at the peak.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command import carried_out, other_work
from measuring import machine, turns
from torch import Tensor

from scenewright.backbone.branches import merge_step
from scenewright.backbone.call import Call, Conditioning, Grounding
from scenewright.backbone.guidance import gate_schedule
from scenewright.backbone.latents import initial
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.condition.fuser import GatedFuser
from scenewright.condition.membership import memberships
from scenewright.errors import InputError, ScenewrightError
from scenewright.flows.branched import branch_scenes
from scenewright.flows.generate import condition, latents
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Scene

PARTS = ("sampler", "attention")
INSTANCES = 8
PICTURES = 4
FRACTION = 0.36
TOLERANCE = 1e-4
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "pink", "purple")
THINGS = ("car", "cat", "house", "boat", "bird", "mug", "dog", "tree")

SLOTS, CELLS, WIDTH, HEADS, TEXT, MAP_TOKENS = 30, 64, 320, 8, 768, 64
"""The finest fuser of the released network."""


def scenes(count: int, size_wh: tuple[int, int]) -> list[Scene]:
    """Scenes of `INSTANCES` boxes in two rows, different in colours."""
    found = []
    for k in range(count):
        things = []
        for i in range(INSTANCES):
            x0, y0 = 0.25 * (i % 4) + 0.01, 0.5 * (i // 4) + 0.05
            phrase = f"a {COLOURS[(i + k) % len(COLOURS)]} {THINGS[i]}"
            things.append(Instance(phrase, box=Box(x0, y0, x0 + 0.23, y0 + 0.4)))
        found.append(Scene("things in two rows", size_wh, tuple(things)))
    return found


class Recomputed:
    """Conditioning of one scene whose grounding tokens are made anew whenever it is asked for."""

    def __init__(self, bundle: Bundle, scene: Scene, options: GenerateOptions) -> None:
        self._adapter: Any = bundle.adapter
        self._inputs: list[Any] = []
        own = self._adapter.grounding
        self._adapter.grounding = lambda *given, **more: (
            self._inputs.append((given, more)) or own(*given, **more)
        )
        try:
            self._cond, self._negative, _ = condition(bundle.backbone, self._adapter, [scene], options)
        finally:
            del self._adapter.grounding

    def halves(self) -> tuple[Conditioning, Conditioning]:
        """The conditional half and the negative one."""
        given, more = self._inputs[0]
        grounding: Grounding = self._adapter.grounding(*given, **more)
        null: Grounding = self._adapter.null_grounding(grounding)
        return replace(self._cond, grounding=grounding), replace(self._negative, grounding=null)


@torch.no_grad()
def as_published(bundle: Bundle, scene: Scene, seed: int, options: GenerateOptions) -> Tensor:
    """The latent [1, C, h, w] of the multi-instance sampler as its authors run it."""
    backbone, adapter = bundle.backbone, bundle.adapter
    noise = Noise(backbone.scheduler, options.steps)
    gates, merge = gate_schedule(noise.steps, options.gate), merge_step(noise.steps, options.mis)
    width, height = scene.size_wh
    shape = (backbone.channels, height // backbone.stride, width // backbone.stride)
    start = noise.start(initial([seed], shape, backbone.device))
    main = replace(options, mis=0.0)
    branches = [Recomputed(bundle, one, main) for one in (scene, *branch_scenes([scene], [()])[0])]
    net, runs, ends = network(backbone.unet), [noise.copy() for _ in branches], []

    def step(branch: int, entry: int, z: Tensor) -> Tensor:
        t, run = noise.timesteps[entry], runs[branch]
        cond, negative = branches[branch].halves()
        index = noise.step_of[entry]
        halves = []
        for half in (cond, negative):
            call = Call.plain(t, half, entry=entry, step=index, steps=noise.steps)
            halves.append(net(run.scale(z, t), replace(call, gate=gates[index])))
        output = halves[1] + options.guidance * (halves[0] - halves[1])
        return run.step(output, t, z)

    with adapter.attach(backbone.unet):  # type: ignore[union-attr, operator]
        for branch in range(len(branches)):
            z = start
            for entry in range(len(noise.timesteps)):
                if noise.step_of[entry] < merge:
                    z = step(branch, entry, z)
            ends.append(z)
        z = torch.cat(ends).mean(0, keepdim=True) if merge else start
        for entry in range(len(noise.timesteps)):
            if noise.step_of[entry] >= merge:
                z = step(0, entry, z)
    return z


def sampler(bundle: Bundle, options: GenerateOptions, repeats: int) -> dict[str, Any]:
    """The ratio for one picture, and for `PICTURES` together."""
    wanted = scenes(PICTURES, bundle.backbone.native_wh)
    result: dict[str, Any] = {"instances": INSTANCES, "fraction": options.mis, "pictures": PICTURES}
    gap = 0.0
    for k, scene in enumerate(wanted[:2]):
        ours = latents(bundle.backbone, bundle.adapter, [scene], [k], options)
        gap = max(gap, float((ours - as_published(bundle, scene, k, options)).abs().max()))
    result["largest_difference"] = gap
    if bundle.backbone.dtype == torch.float32 and not gap <= TOLERANCE:
        raise ScenewrightError(f"latents differ by {gap:.2g}, at most {TOLERANCE:g} expected")
    seeds = range(PICTURES)
    works = {
        "published": lambda: as_published(bundle, wanted[0], 0, options),
        "one": lambda: latents(bundle.backbone, bundle.adapter, wanted[:1], [0], options),
        "together": lambda: latents(bundle.backbone, bundle.adapter, wanted, seeds, options),
        "plain": lambda: latents(bundle.backbone, bundle.adapter, wanted[:1], [0], replace(options, mis=0.0)),
    }
    found = turns(works, repeats, bundle.backbone.device)
    for key in ("wall_s", "processor_s"):
        published = found["published"][key]
        result[f"ratio_{key}"] = published / found["one"][key]
        result[f"ratio_together_{key}"] = published * PICTURES / found["together"][key]
    return {**result, **found, "over_plain": found["one"]["wall_s"] / found["plain"]["wall_s"]}


def check_room(bundle: Bundle) -> None:
    """Raises InputError for a model with fewer slots than the scenes have instances."""
    slots = getattr(getattr(bundle.adapter, "config", None), "slots", INSTANCES)
    if slots < INSTANCES:
        raise InputError(
            f"{bundle.name} has room for {slots} instances; pictures of {INSTANCES} are timed",
            "name another model, or --part attention, which needs none",
        )


def attention(device: torch.device, repeats: int) -> dict[str, Any]:
    """Time and memory of one fuser with and without the mask."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fuser = GatedFuser(WIDTH, TEXT, HEADS, WIDTH // HEADS).to(device).requires_grad_(False)
    for gate in (fuser.alpha_attn, fuser.alpha_dense):
        gate.fill_(0.5)
    x = torch.randn(1, CELLS * CELLS, WIDTH, generator=generator).to(device)
    tokens = torch.randn(1, 4 * SLOTS + MAP_TOKENS, TEXT, generator=generator).to(device)
    corners = torch.rand(1, SLOTS, 2, generator=generator) * 0.6
    boxes = torch.cat([corners, corners + 0.1 + 0.3 * torch.rand(1, SLOTS, 2, generator=generator)], dim=2)
    kept, gate_R = torch.ones(1, SLOTS, device=device), torch.ones(1)

    def plain() -> Tensor:
        done: Tensor = fuser(x, Grounding(tokens, gate_R))
        return done

    def masked() -> Tensor:
        extra = memberships(boxes.to(device), kept, [(CELLS, CELLS)])
        done: Tensor = fuser(x, Grounding(tokens, gate_R, extra))
        return done

    works: dict[str, Callable[[], Tensor]] = {"plain": plain, "masked": masked}
    if torch.equal(plain(), masked()):
        raise ScenewrightError("the mask changes nothing")
    found: dict[str, Any] = turns(works, repeats, device)
    for name, work in works.items():
        found[name]["peak_bytes"] = peak_bytes(work, device)
    return {
        **found,
        "extra_bytes": found["masked"]["peak_bytes"] - found["plain"]["peak_bytes"],
        "published_bytes": 4 * SLOTS * CELLS**4,
        "ratio": found["masked"]["wall_s"] / found["plain"]["wall_s"],
    }


def peak_bytes(work: Callable[[], Any], device: torch.device) -> int:
    """Most bytes that `work` has of its own at any moment."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    kineto: Any = profile.profiler.kineto_results  # type: ignore[union-attr]
    changes = [(one.start_ns(), one.nbytes()) for one in kineto.events() if one.name() == "[memory]"]
    if not changes:
        raise InputError("this torch does not tell what memory is taken", "run it with --device cuda")
    return int(max(np.cumsum([size for _, size in sorted(changes, key=lambda pair: pair[0])])))


def report(result: dict[str, Any]) -> list[str]:
    """The result in lines to read."""
    lines = [f"{key:13} {value}" for key, value in {**result["machine"], **result["sizes"]}.items()]
    if "sampler" in result:
        one = result["sampler"]
        lines += [
            f"difference    {one['largest_difference']:.1e} at most between the latents",
            f"sampler       {one['ratio_wall_s']:.2f} times the published form's pictures/s "
            f"({one['published']['wall_s']:.2f} s against {one['one']['wall_s']:.2f} s a picture of "
            f"{one['instances']} instances; processor time {one['ratio_processor_s']:.2f}; "
            f"{one['pictures']} pictures together {one['ratio_together_wall_s']:.2f})",
            f"beside plain  {one['over_plain']:.2f} times the time of a picture without branches",
        ]
    if "attention" in result:
        one = result["attention"]
        lines.append(
            f"attention     {one['extra_bytes'] / 1e6:.1f} MB more at the peak with the mask, a picture of "
            f"{SLOTS} instances at {CELLS}x{CELLS} (published form: {one['published_bytes'] / 1e6:.0f} MB); "
            f"{one['ratio']:.2f} times the fuser's time"
        )
    return [*lines, *(f"limit         {line}" for line in result["limits"])]


def limits(result: dict[str, Any]) -> list[str]:
    """What bounds the figures."""
    found = other_work(result)
    if "sampler" in result:
        found.append(
            "sampler: the arithmetic of all branches stays; saved are tokens, small batches and, after the "
            "merge, one of two forwards"
        )
    if "attention" in result:
        found.append("attention: mask and scores of a chunk of queries, instead of all pairs")
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano+gligen", help="as scenewright generate takes it")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are timed")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves them as they are")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--part", action="append", choices=PARTS, help="run only this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="6 steps, 2 rounds: a look, no result")
    parser.add_argument("--out", type=Path, default=Path("runs/out/benchmarks/instances.json"))
    return parser.parse_args()


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All parts that were asked for."""
    bundle = load_bundle(given.model, given.device, given.dtype)
    if bundle.adapter is None:
        raise ScenewrightError(f"{given.model} places no instances", "name an adapter: nano+gligen")
    options = GenerateOptions(steps=6 if given.quick else given.steps, guidance=given.guidance, mis=FRACTION)
    repeats = 2 if given.quick else given.repeats
    parts = given.part or PARTS
    if "sampler" in parts:
        check_room(bundle)
    sizes = {
        "model": bundle.name,
        "size_wh": bundle.backbone.native_wh,
        "steps": options.steps,
        "guidance": options.guidance,
        "dtype": str(bundle.backbone.dtype),
    }
    result: dict[str, Any] = {"machine": machine(), "sizes": sizes, "repeats": repeats}
    if "sampler" in parts:
        result["sampler"] = sampler(bundle, options, repeats)
    if "attention" in parts:
        result["attention"] = attention(bundle.backbone.device, repeats)
    return {**result, "limits": limits(result)}


def main() -> int:
    """Runs, prints, writes the JSON."""
    return carried_out(arguments(), run, report)


if __name__ == "__main__":
    sys.exit(main())
