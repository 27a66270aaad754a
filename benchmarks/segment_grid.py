"""One pass against mask denoising: seconds and mIoU of every setting, on held-out toys.

Every picture is asked for as many classes, those that it shows and others, drawn from its seed; both methods
are asked for the same. Texts are encoded before. A setting that would take too long for all pictures is run
on the first ones, with the mIoU of one pass on just these beside it; one that would take too long for a
single picture is not run: its seconds follow from those of one map with one and with four steps.

Letters: K classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from measuring import seconds
from numpy.typing import NDArray

from scenewright.backbone.model import Backbone
from scenewright.errors import ModelError
from scenewright.evaluate.semantic import semantic_score
from scenewright.evaluate.splits import SEEN
from scenewright.flows.held_out import drawings
from scenewright.flows.reproduce.results import Verdict
from scenewright.flows.reproduce.segdiffusion_plan import SETS, TOYS, SegOptions
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions, spoken
from scenewright.models.load import load_bundle
from scenewright.models.mask_denoiser import MaskDenoiser, load_mask_denoiser
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.label_space import load
from scenewright.segment.denoise import DenoiseOptions, denoised, labels_of
from scenewright.segment.mask_denoiser import MaskRules, class_text, rescheduled, widened
from scenewright.train.recipes import find
from scenewright.world.drawn import Drawn

MEMBERS, STEPS, SCALES, DTYPES = (1, 5, 10), (1, 4, 10, 50), (0.5, 1.0, 1.5), ("float32", "bfloat16")
ONE_PASS, BASELINE = "one pass", "10 x 10"
TIMES = 50
"""So many times faster than `BASELINE` one pass should be."""

Labels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A picture, its true outputs of the toybox, and the classes that it is asked for."""

    image: NDArray[np.uint8]
    truth: Labels
    asked: Vocabulary

    @property
    def names(self) -> list[str]:
        """The first names of the classes."""
        return [spoken(one)[0] for one in self.asked]


def cases(pictures: int, asked: int) -> list[Case]:
    """The first held-out toys, each with `asked` classes: all that it shows, and others; 0: every class."""
    return [case(one, asked) for one in drawings(SETS["toys"].set, max(1, pictures))]


def case(drawn: Drawn, asked: int) -> Case:
    """See `cases`."""
    known, ids = load("toybox"), np.unique(drawn.semantic)
    chosen = [one for one in known if one.id in ids]
    others = [one for one in known if one.id not in ids]
    more = max(0, min(asked or len(known.names), len(known.names)) - len(chosen))
    places = np.random.default_rng(drawn.scene.seed or 0).permutation(len(others))[:more]
    classes = sorted([*chosen, *(others[k] for k in places)], key=lambda one: one.id)
    return Case(drawn.image, TOYS.outputs(drawn.semantic), replace(known, classes=tuple(classes)))


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


def grid(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for one pass and for every setting of mask denoising, in every size and number type."""
    drawn = cases(given.pictures, given.asked)
    rows: list[dict[str, Any]] = []
    for dtype in DTYPES[:1] if given.quick else DTYPES:
        ours, trained = segmenter_of(given.model, given.segmenter, given.device, dtype)
        other, other_trained = denoiser_of(given.model, given.denoiser, given.device, dtype)
        texts = [class_text(other.backbone, one.names, other.rules) for one in drawn]
        side = max(ours.backbone.native_wh)
        for scale in SCALES[1:2] if given.quick else SCALES:
            size = round(side * scale / 32) * 32
            same = {"dtype": dtype, "size": size}
            took, labels = timed(one_pass(ours, size), drawn, ours.backbone, warm=True)
            scored = labels if trained and given.pictures else []
            rows.append({"what": ONE_PASS, **same, **row(took, drawn, scored, [])})
            print(line(rows[-1]), flush=True)
            shown = scored if other_trained else []
            rows += [{**one, **same} for one in denoising(given, other, texts, size, drawn, shown)]
    return rows


def one_pass(ours: PictureSegmenter, size: int) -> Callable[[int, Case], Callable[[], Labels]]:
    """What labels a picture in one pass, its texts encoded before."""

    def work(k: int, one: Case) -> Callable[[], Labels]:
        asked = SegmentOptions(vocabulary=one.asked, size=size)
        ours.texts([spoken(each) for each in asked.vocabulary])
        return lambda: TOYS.outputs(ours.segment([one.image], asked)[0].labels)

    return work


def by_denoising(
    other: MaskDenoiser, options: DenoiseOptions, texts: Sequence[Any]
) -> Callable[[int, Case], Callable[[], Labels]]:
    """What labels a picture out of one mask for each class."""

    def work(k: int, one: Case) -> Callable[[], Labels]:
        ids = [each.id for each in one.asked]

        def labels() -> Labels:
            maps = denoised(
                other.backbone, other.rules, one.image, one.names, options, text_MLD=texts[k]
            ).maps_KHW
            return TOYS.outputs(labels_of(maps, ids, IGNORE, 0.0))

        return labels

    return work


def denoising(
    given: argparse.Namespace,
    other: MaskDenoiser,
    texts: Sequence[Any],
    size: int,
    drawn: Sequence[Case],
    ours: Sequence[Labels],
) -> list[dict[str, Any]]:
    """The rows of mask denoising at one size; with the labels of one pass (`ours`) mIoU of both."""
    rows: list[dict[str, Any]] = []
    for members in MEMBERS[:1] if given.quick else MEMBERS:
        for steps in STEPS[:2] if given.quick else STEPS:
            options = DenoiseOptions(steps=steps, members=members, size=size)
            guess = guessed(rows, members, steps)
            count = len(drawn) if guess is None else min(len(drawn), int(given.longest // max(guess, 1e-6)))
            took, labels = guess or 0.0, list[Labels]()
            if count:
                work = by_denoising(other, options, texts)
                took, labels = timed(work, drawn[:count], other.backbone, warm=guess is None)
            found = row(took, drawn[:count], labels if ours else [], ours[:count])
            rows.append({"what": f"{members} x {steps}", "guessed": not count, **found})
            print(line({"size": size, "dtype": str(other.backbone.dtype), **rows[-1]}), flush=True)
    return rows


def guessed(rows: list[dict[str, Any]], members: int, steps: int) -> float | None:
    """Seconds of a setting, from those of one map with one and with four steps; None before these."""
    known = {one["what"]: one["seconds"] for one in rows}
    if "1 x 1" not in known or "1 x 4" not in known:
        return None
    step = max(0.0, (known["1 x 4"] - known["1 x 1"]) / 3)
    return float(members * (known["1 x 1"] - step + steps * step))


def timed(
    work: Callable[[int, Case], Callable[[], Labels]],
    drawn: Sequence[Case],
    backbone: Backbone,
    *,
    warm: bool,
) -> tuple[float, list[Labels]]:
    """Seconds a picture, and the labels; with `warm` the first one is labelled once before."""
    labels: list[Labels] = []
    took = 0.0
    if warm:
        work(0, drawn[0])()
    for k, one in enumerate(drawn):
        label = work(k, one)
        took += seconds(lambda label=label: labels.append(label()), backbone.device)[0]
    return took / len(drawn), labels


def row(
    took: float, drawn: Sequence[Case], labels: Sequence[Labels], ours: Sequence[Labels]
) -> dict[str, Any]:
    """Seconds, pictures, mIoU where there are labels, and that of one pass on the same pictures."""
    truth = [one.truth for one in drawn]
    return {
        "seconds": took,
        "pictures": len(drawn),
        "miou": miou(labels, truth) if labels else None,
        "one_pass_miou": miou(ours, truth) if labels and ours else None,
    }


def miou(labels: Sequence[Labels], truth: Sequence[Labels]) -> dict[str, float]:
    """mIoU of seen and unseen toys and of all classes, from outputs of the toybox."""
    score = semantic_score(zip(truth, labels, strict=True), TOYS.scored(), background=False)
    once = np.ones((1, score.pictures))
    parts = SegOptions().parts().items()
    return {name: round(float(score.mean_iou_of(names)(once)[0]), 4) for name, names in parts}


def line(one: dict[str, Any]) -> str:
    """A row for a terminal."""
    words = f"{one['what']:9} {one['dtype'].removeprefix('torch.'):9} {one['size']:4} px"
    words += f" {one['seconds']:9.3f} s a picture" + ", guessed" * one.get("guessed", False)
    if one["miou"]:
        words += f", mIoU {one['miou']['miou']:.3f} of {one['pictures']} pictures"
    return words


def middle(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows at the middle size in single precision, by setting."""
    sizes = sorted({one["size"] for one in rows})
    size = sizes[len(sizes) // 2]
    return {one["what"]: one for one in rows if one["dtype"] == DTYPES[0] and one["size"] == size}


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How many times longer mask denoising takes than one pass, at the middle size in single precision."""
    same = {what: one["seconds"] for what, one in middle(rows).items()}
    once = same.pop(ONE_PASS)
    return {what: round(took / once, 1) for what, took in same.items()}


def claims(rows: Sequence[dict[str, Any]]) -> list[Verdict]:
    """What should hold of one pass and of the denoiser, at the middle size in single precision."""
    one = middle(rows).get(BASELINE)
    if one is None:
        return []
    times = ratios(rows)[BASELINE]
    told = ", its seconds guessed" if one.get("guessed") else ""
    made = [Verdict(f"one pass is {TIMES} times as fast as {BASELINE}", times >= TIMES, f"{times:.0f}{told}")]
    own, ours, on = one["miou"], one["one_pass_miou"], f"{one['pictures']} pictures"
    if own and ours:
        words = f"{100 * ours['miou']:.1f} % against {100 * own['miou']:.1f} %, {on}"
        made.append(Verdict(f"at no lower mIoU than {BASELINE}", ours["miou"] >= own["miou"], words))
        words = f"{100 * own[SEEN]:.1f} %, {on}"
        made.append(Verdict(f"{BASELINE} finds seen classes, mIoU at least 50 %", own[SEEN] >= 0.5, words))
    return made


def plot(rows: Sequence[dict[str, Any]]) -> bytes:
    """mIoU over all classes against seconds a picture, as PNG: colours are steps, marks are members, their
    size that of the picture; hollow in half precision, faint where not all pictures were drawn."""
    from scenewright.flows.reproduce.plots import figure

    scored = [one for one in rows if one["miou"]]
    every = max(one["pictures"] for one in scored)
    sizes = sorted({one["size"] for one in scored})
    colours = dict(zip(map(str, STEPS), ("#56B4E9", "#0072B2", "#009E73", "#CC79A7"), strict=True))
    marks = dict(zip(map(str, MEMBERS), ("o", "s", "^"), strict=True))

    def draw(axes: Any) -> None:
        for one in scored:
            members, _, steps = one["what"].partition(" x ")
            colour, mark = colours.get(steps, "#D55E00"), marks.get(members, "*")
            where = one["seconds"], one["miou"]["miou"]
            area = (18, 36, 60)[min(2, sizes.index(one["size"]))] * (1 if steps else 3)
            fill = colour if one["dtype"] == DTYPES[0] else "none"
            faint = 1.0 if one["pictures"] == every else 0.35
            axes[0].scatter(*where, s=area, marker=mark, facecolors=fill, edgecolors=colour, alpha=faint)
        for words, mark, colour in (
            (ONE_PASS, "*", "#D55E00"),
            *((f"{steps} step{'s' * (steps != '1')}", "o", colour) for steps, colour in colours.items()),
            *(
                (f"{members} member{'s' * (members != '1')}", mark, "#777777")
                for members, mark in marks.items()
            ),
        ):
            axes[0].scatter([], [], marker=mark, color=colour, label=words)
        axes[0].set_xscale("log")
        axes[0].set_xlabel(f"seconds a picture; {', '.join(map(str, sizes))} px, hollow: half precision")
        axes[0].set_ylabel("mIoU, toybox-1, all classes")
        axes[0].legend(fontsize=7, frameon=False)

    return figure(draw, 1, (7.2, 4.8))
