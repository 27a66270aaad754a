"""Pictures per second, and how that compares with diffusers' GLIGEN pipeline and with training everything.

    python benchmarks/generate.py                        nano+gligen, all parts
    python benchmarks/generate.py --model FOLDER+gligen:FILE --quick

Parts: ``batches`` pictures/s for several batch sizes; ``pipeline`` a batch of different layouts against the
pipeline called once per layout with the same weights, steps and starting noise (in float32 the latents must
agree to 1e-4 before anything is timed); ``training`` an adapter step against the whole UNet in the optimiser.
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapter_step import measure as measure_training
from command import carried_out, other_work
from measuring import machine, turns
from one_by_one import build_pipeline, decode_one_by_one, fits_pipeline, one_by_one

from scenewright.backbone.latents import decode
from scenewright.errors import ScenewrightError
from scenewright.flows.generate import latents
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Scene

PARTS = ("batches", "pipeline", "training")
BATCHES = (1, 4, 16)
TOLERANCE = 1e-4
LAYOUTS = 8
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "pink", "purple")
THINGS = ("car", "cat", "house", "boat", "bird", "mug", "dog", "tree")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def layouts(count: int, size_wh: tuple[int, int], most: int = 5) -> list[Scene]:
    """Scenes with 1 to `most` boxes each, all different, the same for the same arguments."""
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(count):
        instances = []
        for _ in range(int(rng.integers(1, most + 1))):
            x0, y0 = rng.uniform(0, 0.6, 2)
            wide, high = rng.uniform(0.2, 0.4, 2)
            phrase = f"a {rng.choice(COLOURS)} {rng.choice(THINGS)}"
            instances.append(Instance(phrase=phrase, box=Box(x0, y0, x0 + wide, y0 + high)))
        prompt = " and ".join(one.phrase for one in instances[:3])
        scenes.append(Scene(prompt=prompt, size_wh=size_wh, instances=tuple(instances)))
    return scenes


def as_dtype(bundle: Bundle, dtype: torch.dtype) -> Bundle:
    """A copy of the model with its networks in `dtype`."""
    held = bundle.backbone
    parts = {name: copy.deepcopy(getattr(held, name)) for name in ("unet", "text_encoder", "vae")}
    adapter = copy.deepcopy(bundle.adapter)
    for module in (*parts.values(), adapter):
        for parameter in module.parameters():
            parameter.data = parameter.data.to(dtype)
    backbone = type(held)(held.name, held.tokenizer, scheduler=held.scheduler, **parts)
    return Bundle(backbone, adapter, bundle.name, bundle.kind)


def picturing(bundle: Bundle, scenes: list[Scene], options: GenerateOptions) -> Callable[[], Any]:
    """Work: all scenes in batches of ``options.batch``, pictures included."""
    backbone: Any = bundle.backbone

    def work() -> None:
        for first in range(0, len(scenes), options.batch):
            part = scenes[first : first + options.batch]
            seeds = list(range(first, first + len(part)))
            decode(backbone, latents(backbone, bundle.adapter, part, seeds, options))

    return work


def batches(bundle: Bundle, options: GenerateOptions, repeats: int) -> dict[str, Any]:
    """Pictures per second with layout and guidance for batches of `BATCHES`."""
    works = {}
    for size in BATCHES:
        scenes = layouts(size, bundle.backbone.native_wh)
        works[str(size)] = picturing(bundle, scenes, GenerateOptions(steps=options.steps, batch=size))
    found = turns(works, repeats, bundle.backbone.device)
    return {name: {**found[name], "pictures_per_s": int(name) / found[name]["wall_s"]} for name in found}


def agreement(bundle: Bundle, pipeline: Any, scenes: list[Scene], options: GenerateOptions) -> float:
    """The largest difference between our latents in one batch and those of the pipeline one by one."""
    ours = latents(bundle.backbone, bundle.adapter, scenes, range(len(scenes)), options)
    theirs = one_by_one(pipeline, scenes, range(len(scenes)), options, bundle.adapter.config.slots)
    return float((ours - theirs).abs().max())


def against_pipeline(bundle: Bundle, options: GenerateOptions, repeats: int) -> dict[str, Any]:
    """The ratio in float32 (after checking that latents agree) and bfloat16."""
    scenes = layouts(LAYOUTS, bundle.backbone.native_wh)
    result: dict[str, Any] = {
        "layouts": LAYOUTS,
        "reference": "StableDiffusionGLIGENPipeline, one call per layout"
        if fits_pipeline(bundle.backbone, bundle.adapter)
        else "the steps of StableDiffusionGLIGENPipeline (which takes 30 slots and 4 channels only), "
        "one run per layout",
    }
    for name, dtype in DTYPES.items():
        held = as_dtype(bundle, dtype)
        pipeline = build_pipeline(held.backbone, held.adapter)
        if name == "float32":
            result["largest_difference"] = agreement(held, pipeline, scenes, options)
            if not result["largest_difference"] <= TOLERANCE:
                raise ScenewrightError(
                    f"latents differ from the pipeline's by {result['largest_difference']:.2g}, "
                    f"at most {TOLERANCE:g} expected"
                )
        slots, seeds = held.adapter.config.slots, range(LAYOUTS)

        def reference(pipeline: Any = pipeline, slots: int = slots, seeds: Any = seeds) -> None:
            decode_one_by_one(pipeline, one_by_one(pipeline, scenes, seeds, options, slots))

        single = GenerateOptions(steps=options.steps, batch=1)
        together = GenerateOptions(steps=options.steps, batch=LAYOUTS)
        works = {
            "together": picturing(held, scenes, together),
            "singly": picturing(held, scenes, single),
            "pipeline": reference,
        }
        found = turns(works, repeats, held.backbone.device)
        result[name] = {
            **found,
            "ratio": found["pipeline"]["wall_s"] / found["together"]["wall_s"],
            "ratio_processor": found["pipeline"]["processor_s"] / found["together"]["processor_s"],
            "ratio_singly": found["pipeline"]["wall_s"] / found["singly"]["wall_s"],
        }
    return result


def sizes(bundle: Bundle, options: GenerateOptions) -> dict[str, Any]:
    """What was run."""
    backbone, adapter = bundle.backbone, bundle.adapter
    count = {name: getattr(backbone, name) for name in ("unet", "text_encoder", "vae")} | {"adapter": adapter}
    return {
        "model": bundle.name,
        "size_wh": backbone.native_wh,
        "latents": [backbone.channels, *(side // backbone.stride for side in backbone.native_wh[::-1])],
        "slots": adapter.config.slots,
        "steps": options.steps,
        "guidance": options.guidance,
        "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in count.items()},
    }


def report(result: dict[str, Any]) -> list[str]:
    """The result in lines to read."""
    lines = [f"{key:13} {value}" for key, value in {**result["machine"], **result["sizes"]}.items()]
    for size, one in result.get("batches", {}).items():
        lines.append(f"batch {size:>3}     {one['pictures_per_s']:6.2f} pictures/s   ({one['wall_s']:.2f} s)")
    pipeline = result.get("pipeline", {})
    if pipeline:
        lines += [f"reference     {pipeline['reference']}"]
        lines += [f"difference    {pipeline['largest_difference']:.1e} at most between the latents, float32"]
    for name in DTYPES:
        if name in pipeline:
            one = pipeline[name]
            lines.append(
                f"{name:13} {one['ratio']:.2f} times the pipeline's pictures/s "
                f"({one['pipeline']['wall_s']:.2f} s against {one['together']['wall_s']:.2f} s; "
                f"processor time {one['ratio_processor']:.2f}; our own one by one {one['ratio_singly']:.2f})"
            )
    if "training" in result:
        one = result["training"]
        lines.append(
            f"adapter step  {one['ratio_samples_per_s']:.2f} times the samples/s of the whole UNet "
            f"({one['adapter']['samples_per_s']:.1f} against {one['whole']['samples_per_s']:.1f}), "
            f"optimiser memory {one['ratio_optimiser_bytes']:.2f}, file {one['ratio_checkpoint_bytes']:.2f}"
        )
    return [*lines, *(f"limit         {line}" for line in result["limits"])]


def limits(result: dict[str, Any]) -> list[str]:
    """What bounds the figures."""
    found = other_work(result)
    if "float32" in result.get("pipeline", {}):
        one = result["pipeline"]["float32"]
        gain = one["singly"]["wall_s"] / one["together"]["wall_s"]
        found.append(
            f"sharing a batch alone gives {gain:.2f} in float32: what is left is arithmetic "
            "(convolutions and matrix products), which no batch shortens"
        )
    if "training" in result:
        found.append(
            "an adapter step still runs forward and backward through the frozen UNet; it saves the gradients "
            "of its weights and their moments. The file's share is that of the fusers in the whole network"
        )
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="nano+gligen", help="BASE+ADAPTER, as scenewright generate takes it"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are timed")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves them as they are")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=16, help="samples in a training step")
    parser.add_argument("--part", action="append", choices=PARTS, help="run only this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="8 steps, 3 rounds: a look, no result")
    parser.add_argument("--out", type=Path, default=Path("runs/out/benchmarks/generate.json"))
    return parser.parse_args()


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All parts that were asked for."""
    bundle = load_bundle(given.model, given.device, torch.float32)
    if bundle.kind != "gligen":
        raise ScenewrightError(f"{given.model} has no GLIGEN adapter", "name one: BASE+gligen:FILE")
    options = GenerateOptions(steps=8 if given.quick else given.steps)
    repeats = 3 if given.quick else given.repeats
    parts = given.part or PARTS
    result: dict[str, Any] = {"machine": machine(), "sizes": sizes(bundle, options), "repeats": repeats}
    if "batches" in parts:
        result["batches"] = batches(bundle, options, repeats)
    if "pipeline" in parts:
        result["pipeline"] = against_pipeline(bundle, options, repeats)
    if "training" in parts:
        scenes = layouts(given.batch, bundle.backbone.native_wh)
        result["training"] = measure_training(
            bundle.backbone, bundle.adapter, scenes, repeats, autocast=False
        )
    return {**result, "limits": limits(result)}


def main() -> int:
    """Runs, prints, writes the JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return carried_out(arguments(), run, report)


if __name__ == "__main__":
    sys.exit(main())
