"""What label maps cost: any number of classes in one pass, and mask denoising beside it.

    python benchmarks/segment.py                                 nano, one pass, 20 to 800 classes
    python benchmarks/segment.py --segmenter FILE --denoiser FOLDER --pictures 24
    python benchmarks/segment.py --quick                         a look, no result

Parts: ``classes`` seconds a picture for 20 to 800 classes, their texts encoded before, and the seconds of
encoding them; ``grid`` one pass against mask denoising with ensembles of 1, 5 and 10 maps and 1, 4, 10 and 50
steps, in three sizes and two number types, every picture asked for ``--asked`` classes; with ``--pictures``
held-out toys, mIoU against seconds in one plot (`segment_grid`). Without a trained segmenter (or denoiser) a
fresh one of the recipe's size is timed: the same work, meaningless labels, and no mIoU.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path
from typing import Any

from command import carried_out, other_work
from measuring import machine, seconds, turns
from segment_grid import claims, grid, plot, ratios, segmenter_of

from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.results import Verdict
from scenewright.flows.reproduce.segdiffusion_plan import SETS
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions, spoken, wanted_classes
from scenewright.models.load import pick_device
from scenewright.scene import Vocabulary
from scenewright.scene.files import atomic_write
from scenewright.scene.vocabulary import fold

PARTS = ("classes", "grid")
CLASSES = (20, 50, 100, 200, 400, 800)


def classes_part(segmenter: PictureSegmenter, image: Any, repeats: int, most: int) -> dict[str, Any]:
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


def growth(part: dict[str, Any]) -> Verdict:
    """Whether seconds grow less than the number of classes does."""
    words = f"{part['times_seconds']:.1f} times the seconds for {part['times_classes']:.0f} times the classes"
    return Verdict("cost grows less than classes do", part["times_seconds"] < part["times_classes"], words)


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
    if "ratios" in result:
        shown = ", ".join(f"{what} {times:.0f}" for what, times in result["ratios"].items())
        lines.append(f"one pass      is so many times faster than members x steps: {shown}")
    lines += [
        f"claim         {Verdict(one['claim'], one['holds'], one['figures']).line()}"
        for one in result["claims"]
    ]
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
    parser.add_argument("--asked", type=int, default=20, help="classes of every picture; 0: all of them")
    parser.add_argument("--most", type=int, default=800, help="most classes of the part classes")
    parser.add_argument(
        "--longest",
        type=float,
        default=120.0,
        help="seconds of a setting; fewer pictures are drawn where all take more, none where one does",
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
    held: list[Verdict] = []
    if "classes" in parts:
        repeats = 2 if given.quick else given.repeats
        result["classes"] = classes_part(segmenter, image, repeats, 100 if given.quick else given.most)
        held.append(growth(result["classes"]))
    if "grid" in parts:
        result["grid"] = grid(given)
        result["ratios"] = ratios(result["grid"])
        held += claims(result["grid"])
    return {**result, "claims": [one.to_json() for one in held], "limits": limits(result)}


def main() -> int:
    """Runs, prints, writes the JSON and, with mIoU, the plot."""
    given = arguments()

    def draw(result: dict[str, Any]) -> None:
        if any(row["miou"] for row in result.get("grid", ())):
            atomic_write(given.out.with_suffix(".png"), plot(result["grid"]))

    return carried_out(given, run, report, draw)


if __name__ == "__main__":
    sys.exit(main())
