"""What label maps cost: any number of classes in one pass, and mask denoising beside it.

    python benchmarks/segment.py                                 nano, one pass, 20 to 800 classes
    python benchmarks/segment.py --segmenter FILE --denoiser FOLDER --pictures 24
    python benchmarks/segment.py --quick                         a look, no result

Parts: ``classes`` seconds a picture for 20 to 800 classes, their texts encoded before, and the seconds of
encoding them; ``grid`` one pass against mask denoising with ensembles of 1, 5 and 10 maps and 1, 4, 10 and 50
steps, in three sizes and two number types; with ``--pictures`` held-out toys, mIoU against seconds in one
plot. Without a trained segmenter (or denoiser) a fresh one of the recipe's size is timed: the same work,
meaningless labels, and no mIoU.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from command import carried_out, other_work
from measuring import machine, seconds, turns
from numpy.typing import NDArray

from scenewright.backbone.model import Backbone
from scenewright.errors import ModelError
from scenewright.evaluate.semantic import semantic_score
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.segdiffusion_plan import SETS, TOYS, SegOptions
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions, spoken, wanted_classes
from scenewright.models.load import load_bundle, pick_device
from scenewright.models.mask_denoiser import MaskDenoiser, load_mask_denoiser
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.files import atomic_write
from scenewright.scene.vocabulary import fold
from scenewright.segment.denoise import DenoiseOptions, denoised, labels_of
from scenewright.segment.mask_denoiser import MaskRules, class_text, rescheduled, widened
from scenewright.train.recipes import find

PARTS = ("classes", "grid")
CLASSES = (20, 50, 100, 200, 400, 800)
MEMBERS, STEPS, SCALES, DTYPES = (1, 5, 10), (1, 4, 10, 50), (0.5, 1.0, 1.5), ("float32", "bfloat16")

Picture = NDArray[np.uint8]
Label = Callable[[Picture], NDArray[Any]]


def segmenter_of(model: str, file: str, device: str, dtype: str) -> tuple[PictureSegmenter, bool]:
    """The segmenter that was asked for, else the model's own, else a fresh one; and whether it is trained."""
    try:
        return PictureSegmenter.load(model, file, device=device, dtype=dtype), True
    except ModelError:
        if file:
            raise
    backbone = load_bundle(model, device, dtype).backbone
    net = find("segmenter-nano").task.net.fresh(backbone, seed=0)
    return PictureSegmenter(backbone, net.requires_grad_(False).eval().to(backbone.device), "fresh"), False


def denoiser_of(model: str, folder: str, device: str, dtype: str) -> tuple[MaskDenoiser, bool]:
    """The mask denoiser in a folder, else the model's network with a fresh input layer."""
    if folder:
        return load_mask_denoiser(folder, device=device, dtype=dtype), True
    base = load_bundle(model, device, dtype).backbone
    scheduler = rescheduled(base.scheduler, spacing="trailing", zero_snr=True, prediction="v_prediction")
    made = replace(base, unet=widened(base.unet).eval(), scheduler=scheduler, name="fresh")
    return MaskDenoiser(made, MaskRules(), {}), False


def classes_part(segmenter: PictureSegmenter, image: Picture, repeats: int, most: int) -> dict[str, Any]:
    """Seconds by the number of classes, and how much steeper than nothing they grow."""
    counts = [count for count in CLASSES if count <= most]
    device = segmenter.backbone.device
    names = list({fold(name): name for name in Vocabulary.load("ade20k-full").names}.values())
    asked = {n: SegmentOptions(vocabulary=wanted_classes(names[:n])) for n in counts}
    encoded = {}
    for n, options in asked.items():
        known = [spoken(one) for one in options.vocabulary]
        encoded[str(n)] = seconds(lambda known=known: segmenter.texts(known), device)[0]
    found = {}
    for n, options in asked.items():
        work = {str(n): lambda options=options: segmenter.segment([image], options)}
        found |= turns(work, repeats, device)
    first, last = str(counts[0]), str(counts[-1])
    return {
        "seconds": found,
        "encoding_s": encoded,
        "times_classes": counts[-1] / counts[0],
        "times_seconds": found[last]["wall_s"] / found[first]["wall_s"],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def miou(labels: list[NDArray[Any]], truth: list[NDArray[Any]]) -> dict[str, float]:
    """mIoU of seen and unseen toys and of all classes, from outputs of the toybox."""
    score = semantic_score(zip(truth, labels, strict=True), TOYS.scored(), background=False)
    once = np.ones((1, score.pictures))
    return {
        name: round(float(score.mean_iou_of(names)(once)[0]), 4)
        for name, names in SegOptions().parts().items()
    }


def denoised_labels(
    denoiser: MaskDenoiser,
    image: Picture,
    options: DenoiseOptions,
    text: Any,
    names: list[str],
    ids: list[int],
) -> NDArray[Any]:
    """Outputs of the toybox out of one mask for each class."""
    maps = denoised(denoiser.backbone, denoiser.rules, image, names, options, text_MLD=text)
    return TOYS.outputs(labels_of(maps.maps_KHW, ids, IGNORE, 0.0))


def grid_part(given: argparse.Namespace, quick: bool) -> list[dict[str, Any]]:
    """A row for one pass and for every setting of mask denoising: seconds a picture, mIoU where trained."""
    drawn = list(drawings(SETS["toys"].set, max(1, given.pictures)))
    images, truth = [one.image for one in drawn], [TOYS.outputs(one.semantic) for one in drawn]
    rows: list[dict[str, Any]] = []
    for dtype in DTYPES[:1] if quick else DTYPES:
        ours, trained = segmenter_of(given.model, given.segmenter, given.device, dtype)
        other, other_trained = denoiser_of(given.model, given.denoiser, given.device, dtype)
        side = max(ours.backbone.native_wh)
        for scale in SCALES[1:2] if quick else SCALES:
            size = round(side * scale / 32) * 32
            asked = SegmentOptions(vocabulary=Vocabulary.load("toybox"), size=size)
            one_pass = _one_pass(ours, asked)
            one_pass(images[0])
            took, labels = timed(one_pass, images, ours.backbone)
            rows.append(_row("one pass", dtype, size, took, trained, labels, truth, given))
            rows += _denoising(given, quick, other, other_trained, dtype, size, images, truth)
    return rows


def _denoising(
    given: argparse.Namespace,
    quick: bool,
    other: MaskDenoiser,
    trained: bool,
    dtype: str,
    size: int,
    images: list[Picture],
    truth: list[NDArray[Any]],
) -> list[dict[str, Any]]:
    """The rows of mask denoising. A setting that would take longer than ``--longest`` seconds a picture is
    not run: its seconds follow from those of one map with one and with four steps."""
    known = Vocabulary.load("toybox")
    names, ids = [spoken(one)[0] for one in known], [one.id for one in known]
    text = class_text(other.backbone, names, other.rules)
    rows: list[dict[str, Any]] = []
    for members in MEMBERS[:1] if quick else MEMBERS:
        for steps in STEPS[:2] if quick else STEPS:
            options = DenoiseOptions(steps=steps, members=members, size=size)
            guess = guessed(rows, members, steps)
            long = guess is not None and guess > given.longest
            labels: list[NDArray[Any]] = []
            took = guess or 0.0
            if not long:
                took, labels = timed(_many(other, options, text, names, ids), images, other.backbone)
            what = f"{members} x {steps}"
            row = _row(what, dtype, size, took, trained and not long, labels, truth, given)
            rows.append({**row, "guessed": long})
            print(f"{what:9} {dtype:9} {size:4} px {took:9.3f} s a picture{', guessed' * long}", flush=True)
    return rows


def guessed(rows: list[dict[str, Any]], members: int, steps: int) -> float | None:
    """Seconds of a setting, from those of one map with one and with four steps; None before these."""
    known = {row["what"]: row["seconds"] for row in rows}
    if "1 x 1" not in known or "1 x 4" not in known:
        return None
    step = max(0.0, (known["1 x 4"] - known["1 x 1"]) / 3)
    return float(members * (known["1 x 1"] - step + steps * step))


def _one_pass(ours: PictureSegmenter, asked: SegmentOptions) -> Label:
    return lambda image: TOYS.outputs(ours.segment([image], asked)[0].labels)


def _many(other: MaskDenoiser, options: DenoiseOptions, text: Any, names: list[str], ids: list[int]) -> Label:
    return lambda image: denoised_labels(other, image, options, text, names, ids)


def timed(label: Label, images: list[Picture], backbone: Backbone) -> tuple[float, list[NDArray[Any]]]:
    """Seconds a picture, and the labels of all."""
    labels: list[NDArray[Any]] = []
    took, _ = seconds(lambda: labels.extend(label(one) for one in images), backbone.device)
    return took / len(images), labels


def _row(
    what: str,
    dtype: str,
    size: int,
    took: float,
    trained: bool,
    labels: list[NDArray[Any]],
    truth: list[NDArray[Any]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    scores = miou(labels, truth) if trained and given.pictures else None
    return {"what": what, "dtype": dtype, "size": size, "seconds": took, "miou": scores}


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times longer mask denoising takes than one pass, at the middle size in single precision."""
    sizes = sorted({row["size"] for row in rows})
    middle = sizes[len(sizes) // 2]
    same = {
        row["what"]: row["seconds"] for row in rows if row["dtype"] == DTYPES[0] and row["size"] == middle
    }
    once = same.pop("one pass")
    return {what: round(took / once, 1) for what, took in same.items()}


def plot(rows: list[dict[str, Any]]) -> bytes:
    """mIoU over all classes against seconds a picture, as PNG."""
    from scenewright.flows.reproduce.plots import figure

    def draw(axes: Any) -> None:
        for what in dict.fromkeys(row["what"] for row in rows):
            own = [row for row in rows if row["what"] == what and row["miou"]]
            if own:
                style = {"marker": "*", "s": 140} if what == "one pass" else {"marker": "o", "s": 26}
                axes[0].scatter(
                    [r["seconds"] for r in own], [r["miou"]["miou"] for r in own], label=what, **style
                )
        axes[0].set_xscale("log")
        axes[0].set_xlabel("seconds a picture", fontsize=9)
        axes[0].set_ylabel("mIoU, toybox-1, all classes", fontsize=9)
        axes[0].legend(fontsize=7, frameon=False, title="members x steps")

    return figure(draw, 1, (7.2, 4.8))


def report(result: dict[str, Any]) -> list[str]:
    """The result in lines to read."""
    lines = [f"{key:13} {value}" for key, value in {**result["machine"], **result["sizes"]}.items()]
    if "classes" in result:
        one = result["classes"]
        for count, times in one["seconds"].items():
            lines.append(
                f"classes       {count:>4}: {times['wall_s']:.3f} s a picture, "
                f"texts {one['encoding_s'][count]:.2f} s once"
            )
        lines.append(
            f"growth        {one['times_seconds']:.1f} times the seconds for "
            f"{one['times_classes']:.0f} times the classes"
        )
    if "ratios" in result:
        shown = ", ".join(f"{what} {times:.0f}" for what, times in result["ratios"].items())
        lines.append(f"one pass      is so many times faster than members x steps: {shown}")
    return [*lines, *(f"limit         {words}" for words in result["limits"])]


def limits(result: dict[str, Any]) -> list[str]:
    """What bounds the figures."""
    found = [
        "one pass: the VAE's encoder and the network once; then the decoder's convolutions for each class"
    ]
    if "ratios" in result:
        found.append(
            "mask denoising: a pass of the network for each class, member and step, and the VAE's decoder"
        )
    found += other_work(result)
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument(
        "--segmenter", default="", help="a segmenter's file; else the model's own, or a fresh one"
    )
    parser.add_argument("--denoiser", default="", help="a mask denoiser's folder; else a fresh one")
    parser.add_argument("--pictures", type=int, default=0, help="held-out toys for mIoU; 0: time one picture")
    parser.add_argument("--most", type=int, default=800, help="most classes of the part classes")
    parser.add_argument(
        "--longest", type=float, default=120.0, help="settings that take more seconds a picture are guessed"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are timed")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves them as they are")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", action="append", choices=PARTS, help="run only this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few settings and rounds: a look, no result")
    parser.add_argument("--out", type=Path, default=Path("runs/out/benchmarks/segment.json"))
    return parser.parse_args()


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All parts that were asked for."""
    pick_device(given.device)
    parts = given.part or PARTS
    segmenter, trained = segmenter_of(given.model, given.segmenter, given.device, "float32")
    image = next(iter(drawings(SETS["toys"].set, 1))).image
    sizes = {
        "model": given.model,
        "segmenter": segmenter.name if trained else "a fresh one of the recipe's size",
        "parameters": sum(one.numel() for one in segmenter.net.parameters()),
        "size_wh": segmenter.backbone.native_wh,
    }
    result: dict[str, Any] = {"machine": machine(), "sizes": sizes}
    if "classes" in parts:
        repeats = 2 if given.quick else given.repeats
        result["classes"] = classes_part(segmenter, image, repeats, 100 if given.quick else given.most)
    if "grid" in parts:
        result["grid"] = grid_part(given, given.quick)
        result["ratios"] = ratios(result["grid"])
    return {**result, "limits": limits(result)}


def main() -> int:
    """Runs, prints, writes the JSON and, with mIoU, the plot."""
    given = arguments()

    def draw(result: dict[str, Any]) -> None:
        if any(row["miou"] for row in result.get("grid", ())):
            atomic_write(given.out.with_suffix(".png"), plot(result["grid"]))

    return carried_out(given, run, report, draw)


if __name__ == "__main__":
    sys.exit(main())
