"""What masks cost beside a picture, and how fast a head in training gets its samples.

    python benchmarks/ground.py                          nano+gligen, both parts
    python benchmarks/ground.py --model FOLDER+gligen:FILE --head FILE --device cuda
    python benchmarks/ground.py --quick                  few steps and rounds: a look, no result

Parts: ``masks`` the same pictures with and without masks, out of one batch, and the same with all files
written; ``delivery`` samples/s from disk to the head: records whose features are computed again from stored
latents, against pickles that hold the same features as grounded-diffusers writes them (its README: about
54 MB for a picture of Stable Diffusion). Without a trained head a fresh one of a recipe's size is timed.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command import carried_out, other_work
from measuring import machine, turns

from scenewright.backbone.features import Features
from scenewright.backbone.loop import StepInfo
from scenewright.backbone.noise import Noise
from scenewright.data.latents import LATENT_SUFFIX, StoredLatent
from scenewright.errors import ModelError, ScenewrightError
from scenewright.flows import write as files
from scenewright.flows.generate import render
from scenewright.flows.ground import Grounder
from scenewright.flows.head_inputs import HeadInputs, HeadReader, gather
from scenewright.flows.jobs import Job
from scenewright.flows.masked import MaskedPicture, read_masked
from scenewright.flows.options import GenerateOptions, GroundOptions
from scenewright.models.adapter import AdapterHeader
from scenewright.models.bundle import Bundle
from scenewright.models.heads import Head
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Record, Scene
from scenewright.train.recipes import find

PARTS = ("masks", "delivery")
PICTURES = 8
LEVELS = ("low", "mid", "high", "highest")
NAMES = ("car", "cat", "house", "boat", "bird", "mug", "dog", "tree")
RECIPES = ("grounding-nano", "grounding-sd15")
"""Recipes that a fresh head may have the size of."""

ALIKE = 0.02
"""Largest difference of features out of stored latents (half precision) and out of the run, as a share of
the largest value, that is let through."""


class PromptsMultiClassSegmentationSample:
    """What the published samples are pickles of: its name and attributes."""

    def __init__(self, image: Any, masks: Any, unet_features: Any, labels: list[str]) -> None:
        self.image, self.masks, self.unet_features, self.labels = image, masks, unet_features, labels
        self.visual_labels = self.camera_parameters = None


def scenes(size_wh: tuple[int, int], count: int = PICTURES) -> list[Scene]:
    """Scenes of two things each, as the published prompts have them."""
    found = []
    for k in range(count):
        left, right = NAMES[k % len(NAMES)], NAMES[(k + 3) % len(NAMES)]
        boxes = Box(0.05, 0.3, 0.45, 0.9), Box(0.55, 0.3, 0.95, 0.9)
        things = tuple(Instance(f"a {one}", box=box) for one, box in zip((left, right), boxes, strict=True))
        found.append(Scene(f"a photograph of a {left} and a {right}", size_wh, things))
    return found


def load_grounder(bundle: Bundle, head: str) -> tuple[Grounder, str]:
    """The head that was asked for, else the model's own, else a fresh one of the size of a recipe (`head` may
    name one); and which it is, in words."""
    try:
        if head not in RECIPES:
            return Grounder.load(bundle, GroundOptions(head=head)), head or "the model's own"
    except ModelError:
        if head:
            raise
    name = head or RECIPES[0]
    net = find(name).task.head.fresh(bundle.backbone, seed=0)
    net = net.requires_grad_(False).eval().to(bundle.backbone.device)
    header = AdapterHeader("grounding", net.config.to_json(), bundle.backbone.fingerprint, "", "", "{}")
    reader = HeadReader(bundle.backbone, net.config)
    grounder = Grounder(Head(net, "fresh", header, "0" * 16), GroundOptions(), reader)
    return grounder, f"a fresh one of the size of {name}: the same work, meaningless masks"


def masks(bundle: Bundle, grounder: Grounder, options: GenerateOptions, repeats: int) -> dict[str, Any]:
    """The time of pictures with masks over that of the same pictures without."""
    asked = scenes(bundle.backbone.native_wh)
    seeds = list(range(len(asked)))
    jobs = [Job(f"p{k}", scene, k) for k, scene in enumerate(asked)]
    with tempfile.TemporaryDirectory() as folder:

        def written(name: str, ground: Grounder | None) -> Callable[[], Any]:
            out = Path(folder) / name
            return lambda: files.write(bundle, jobs, options, out, ground=ground, overwrite=True)

        works = {
            "without": lambda: render(bundle, asked, seeds, options),
            "with": lambda: render(bundle, asked, seeds, options, ground=grounder),
            "files_without": written("a", None),
            "files_with": written("b", grounder),
        }
        found = turns(works, repeats, bundle.backbone.device)
    plain, masked = works["without"](), works["with"]()
    if not all(np.array_equal(a.image, b.image) and b.masks for a, b in zip(plain, masked, strict=True)):
        raise ScenewrightError("pictures with masks are not the pictures without")
    return {
        "pictures": len(asked),
        **found,
        "ratio": found["with"]["wall_s"] / found["without"]["wall_s"],
        "ratio_processor": found["with"]["processor_s"] / found["without"]["processor_s"],
        "ratio_files": found["files_with"]["wall_s"] / found["files_without"]["wall_s"],
    }


def store(bundle: Bundle, grounder: Grounder, options: GenerateOptions, folder: Path) -> list[Path]:
    """Draw the pictures once and keep them in both ways; returns the pickles in the order of the records."""
    backbone, seen = bundle.backbone, []
    asked = scenes(backbone.native_wh)

    def last(info: StepInfo) -> None:
        seen[:] = [info]

    heard: list[Features] = []
    drawn = [
        one
        for one in render(bundle, asked, range(len(asked)), options, last, ground=_Keeping(grounder, heard))
        if isinstance(one, Record)
    ]
    z_BChw = Noise(backbone.scheduler, options.steps).scale(seen[0].z_RChw, seen[0].t).float().cpu()
    pickles = []
    for b, record in enumerate(drawn):
        record.save(folder / "records", f"p{b}")
        latent = StoredLatent(
            z_Chw=z_BChw[b].numpy(), timestep=float(seen[0].t), step=seen[0].step, steps=seen[0].steps,
            seed=b, guidance=options.guidance, scheduler=type(backbone.scheduler).__name__,
            fingerprint=backbone.fingerprint,
        )  # fmt: skip
        latent.write(folder / "records" / f"p{b}{LATENT_SUFFIX}")
        maps = defaultdict(list)
        for name, level in zip(LEVELS[-len(heard[0].levels) :], heard[0].take([b]).levels, strict=True):
            maps[name] = [one.float().cpu().clone() for one in level]
        bits = [record.masks[id].array().astype(np.int64) for id in record.scene.ids]
        sample = PromptsMultiClassSegmentationSample(record.image, bits, maps, list(NAMES[:2]))
        pickles.append(folder / f"p{b}.pk")
        pickles[-1].write_bytes(pickle.dumps(sample))
    return pickles


class _Keeping:
    """A grounder that keeps what it heard."""

    def __init__(self, grounder: Grounder, heard: list[Features]) -> None:
        self._grounder, self._heard = grounder, heard

    def grounded(self, records: Any, heard: Any) -> Any:
        """As the grounder's own."""
        self._heard.append(heard.features)
        return self._grounder.grounded(records, heard)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grounder, name)


def unpickled(pickles: list[Path], device: torch.device) -> tuple[Features, list[Any]]:
    """The features of published samples as one batch on `device`, and their masks."""
    samples = [pickle.loads(path.read_bytes()) for path in pickles]
    parts = [Features(tuple(tuple(level) for level in one.unet_features.values())) for one in samples]
    return Features.cat(parts).to(device), [one.masks for one in samples]


def computed(
    pictures: list[MaskedPicture], reader: HeadReader, fingerprint: str
) -> tuple[HeadInputs, list[Any]]:
    """The features of our records as one batch, from their latents, and their masks."""
    batch = gather(pictures, reader.config, fingerprint)
    return reader.read(batch), [one.truth() for one in pictures]


def delivery(bundle: Bundle, grounder: Grounder, options: GenerateOptions, repeats: int) -> dict[str, Any]:
    """Samples/s from disk to the head in both ways, and bytes on disk."""
    backbone = bundle.backbone
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = Bundle(backbone, None, bundle.name)  # features are those of the text, as in training
        pickles = store(plain, grounder, options, folder)
        pictures = list(read_masked([folder / "records"]))
        ours = computed(pictures, grounder.reader, backbone.fingerprint)[0].features
        theirs = unpickled(pickles, backbone.device)[0]
        gap = difference(ours, theirs)
        if gap > ALIKE:
            raise ScenewrightError(f"features differ by {gap:.2g} of their largest value, {ALIKE} expected")
        found = turns(
            {
                "pickles": lambda: unpickled(pickles, backbone.device),
                "records": lambda: computed(pictures, grounder.reader, backbone.fingerprint),
            },
            repeats,
            backbone.device,
        )
        sizes = {
            "pickle_bytes": int(np.mean([path.stat().st_size for path in pickles])),
            "record_bytes": sum(one.stat().st_size for one in (folder / "records").iterdir()) // len(pickles),
        }
    count = len(pickles)
    return {
        "samples": count,
        "largest_difference": gap,
        **sizes,
        "ratio_bytes": sizes["pickle_bytes"] / sizes["record_bytes"],
        **{key: {**one, "samples_per_s": count / one["wall_s"]} for key, one in found.items()},
        "ratio": found["pickles"]["wall_s"] / found["records"]["wall_s"],
        "disk_bytes_per_s_to_equal": sizes["pickle_bytes"] * count / found["records"]["wall_s"],
    }


def difference(one: Features, other: Features) -> float:
    """The largest difference of two sets of features, as a share of the largest value of its map."""
    pairs = [
        (a.float(), b.float())
        for level, others in zip(one.levels, other.levels, strict=True)
        for a, b in zip(level, others, strict=True)
    ]
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-9)) for a, b in pairs)


def report(result: dict[str, Any]) -> list[str]:
    """The result in lines to read."""
    lines = [f"{key:13} {value}" for key, value in {**result["machine"], **result["sizes"]}.items()]
    if "masks" in result:
        one = result["masks"]
        more = {key: f"{(one[key] - 1) * 100:+.1f} %" for key in ("ratio", "ratio_processor", "ratio_files")}
        lines.append(
            f"masks         {more['ratio']} time ({one['with']['wall_s']:.3f} s against "
            f"{one['without']['wall_s']:.3f} s for {one['pictures']} pictures; processor time "
            f"{more['ratio_processor']}; with all files {more['ratio_files']})"
        )
    if "delivery" in result:
        one = result["delivery"]
        lines.append(
            f"on disk       {one['record_bytes'] / 1e3:.0f} kB against {one['pickle_bytes'] / 1e3:.0f} kB "
            f"a sample: {one['ratio_bytes']:.0f} times less"
        )
        lines.append(
            f"delivery      {one['ratio']:.2f} times the pickles' samples/s "
            f"({one['records']['samples_per_s']:.1f} against {one['pickles']['samples_per_s']:.1f}; features "
            f"differ by {one['largest_difference']:.1e} of their largest value at most)"
        )
    return [*lines, *(f"limit         {line}" for line in result["limits"])]


def limits(result: dict[str, Any]) -> list[str]:
    """What bounds the figures."""
    found = other_work(result)
    if "masks" in result:
        found.append("masks: the head's convolutions over all maps, once, beside the network's steps")
    if "delivery" in result:
        rate = result["delivery"]["disk_bytes_per_s_to_equal"] / 1e6
        found.append(
            f"delivery: one call of the network on two rows a sample; pickles come out of memory here, and "
            f"from a disk of {rate:.0f} MB/s they are just as fast"
        )
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano+gligen", help="as scenewright generate takes it")
    parser.add_argument(
        "--head", default="", help=f"a head's file, or {' or '.join(RECIPES)} for a fresh one of that size"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are timed")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves them as they are")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--part", action="append", choices=PARTS, help="run only this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="4 steps, 2 rounds: a look, no result")
    parser.add_argument("--out", type=Path, default=Path("runs/out/benchmarks/ground.json"))
    return parser.parse_args()


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All parts that were asked for."""
    bundle = load_bundle(given.model, given.device, given.dtype)
    grounder, words = load_grounder(bundle, given.head)
    options = GenerateOptions(steps=4 if given.quick else given.steps, guidance=given.guidance)
    repeats = 2 if given.quick else given.repeats
    parts = given.part or PARTS
    sizes = {
        "model": bundle.name,
        "head": words,
        "parameters": sum(p.numel() for p in grounder.head.net.parameters()),
        "taps": grounder.config.layout,
        "size_wh": bundle.backbone.native_wh,
        "steps": options.steps,
        "guidance": options.guidance,
        "dtype": str(bundle.backbone.dtype),
    }
    result: dict[str, Any] = {"machine": machine(), "sizes": sizes, "repeats": repeats}
    if "masks" in parts:
        result["masks"] = masks(bundle, grounder, options, repeats)
    if "delivery" in parts:
        result["delivery"] = delivery(bundle, grounder, options, repeats)
    return {**result, "limits": limits(result)}


def main() -> int:
    """Runs, prints, writes the JSON."""
    return carried_out(arguments(), run, report)


if __name__ == "__main__":
    sys.exit(main())
