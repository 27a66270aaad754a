"""Training the verifier: good, bad and wrong boxes in pictures that the detector has never seen.

Letters: B pictures, H W pixels, G things per picture (padded), R boxes per picture, N = B * R crops, S pixels
along a side of a crop, K classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.models.judges.layers import signal
from scenewright.models.judges.store import save_judge
from scenewright.models.judges.verifier import Answers, Verifier, VerifierConfig, crops
from scenewright.train.annotated import CHECK_SEED, VERIFIER_SEED, Annotated, AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.ceilings import calibration_error, drawn_held_out
from scenewright.train.data import stream_rng
from scenewright.train.detector import toy_labels
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.targets import anywhere, overlaps, shaken, truth

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

ABOUT = 0.25
"""Least IoU of a box with the thing that it is about."""
HERE = 0.5
"""IoU from which a thing fits a box; within `DOUBT` of it, neither answer is wrong."""
DOUBT = 0.05
ANSWERS = ("here", "classes", "colours", "textures")


@dataclass(frozen=True, kw_only=True)
class VerifierTraining:
    """The network and what it sees; `loop.batch_size` counts pictures."""

    net: VerifierConfig = field(default_factory=VerifierConfig)
    sources: tuple[AnnotatedSource, ...] = (
        AnnotatedSource(count=9000, things=(2, 8), first_seed=VERIFIER_SEED),
    )
    disturbance: Disturbance = field(default_factory=lambda: Disturbance(blur=0.8, noise=0.08, tint=0.05))
    boxes: int = 4  # per picture: half of them good, a quarter bad, the rest of wrong sizes or anywhere
    answer_lr_scale: float = 0.3  # of the last layers, which otherwise follow single batches
    covered: float = 0.3  # share of crops of which a rectangle is painted over
    cache: Path = Path("runs/out/judge-cache")
    checked: int = 300  # pictures of the validation
    held_out: int = 1000  # pictures of the frozen set toybox-1 for the ceilings

    def build(self, loop: LoopConfig) -> VerifierTask:
        """The task of this configuration."""
        return VerifierTask(self, loop)


class VerifierTask:
    """See `VerifierTraining`; `export` fits the temperatures and measures the ceilings."""

    def __init__(self, config: VerifierTraining, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.net = Verifier(config.net, toy_labels())
        self.modules = {"verifier": self.net}
        self.pictures: Annotated
        self.check: Annotated

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Draws or maps the pictures; from here on denormal numbers count as 0."""
        torch.set_flush_denormal(True)  # they cost far more time than they say
        source = replace(self.config.sources[0], count=self.config.checked, first_seed=CHECK_SEED)
        self.pictures = open_annotated(self.config.sources, self.config.cache, say)
        self.check = open_annotated([source], self.config.cache, say)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices only; the last layers learn more slowly."""
        answers = self.net.answers
        body = nn.ModuleList(part for part in self.net.children() if part is not answers)
        slow = parameter_groups({"answers": answers}, lr_scale=self.config.answer_lr_scale)
        return [*parameter_groups({"body": body}), *slow]

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """Pictures and boxes with what is true of them; see `asked_boxes`."""
        rng = stream_rng(self.loop.seed, "verifier", step, rank)
        index_B = rng.integers(len(self.pictures), size=self.loop.batch_size)
        return asked_boxes(self.pictures, index_B, self.config.boxes, rng)

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """The sum of all losses, and each of them."""
        image_B3HW = disturbed(signal(batch["image_BHW3"]), self.config.disturbance, generator)
        crops_N4SS = crops(image_B3HW, batch["boxes_BR4"], self.config.net)
        crops_N4SS = _covered(crops_N4SS, self.config.covered, generator)
        parts = answer_losses(self.net(crops_N4SS), batch)
        return torch.stack(list(parts.values())).sum(), {key: value.detach() for key, value in parts.items()}

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Accuracies on good boxes, accuracy of "here", error of the fit; a sheet of crops with verdicts."""
        answers, asked, seen = self._answers(self.check)
        _sheet(self.net, answers, seen, out / f"crops-{step:07d}.png")
        return verifier_figures(answers, asked)

    @torch.no_grad()
    def _answers(self, pictures: Annotated) -> tuple[Answers, dict[str, Tensor], Tensor]:
        """Answers about boxes of all `pictures`, what is true of the boxes, and the first crops."""
        rng = np.random.default_rng(CHECK_SEED)
        rows: list[Answers] = []
        asked: list[dict[str, Tensor]] = []
        seen: list[Tensor] = []
        device = next(self.net.parameters()).device
        for start in range(0, len(pictures), 32):
            index_B = np.arange(start, min(start + 32, len(pictures)))
            batch = asked_boxes(pictures, index_B, self.config.boxes, rng, cut=0.0)
            crops_N4SS = crops(
                signal(batch.pop("image_BHW3")).to(device), batch["boxes_BR4"].to(device), self.config.net
            )
            rows.append(Answers(*(one.cpu() for one in self.net(crops_N4SS))))
            asked.append({key: value.flatten(0, 1) for key, value in batch.items()})
            seen.append(crops_N4SS.cpu() if start == 0 else crops_N4SS[:0].cpu())
        found = Answers(*(torch.cat(column) for column in zip(*rows, strict=True)))
        return found, {key: torch.cat([one[key] for one in asked]) for key in asked[0]}, torch.cat(seen)

    def export(self, folder: Path) -> None:
        """``verifier.safetensors`` with fitted temperatures and the ceilings on toybox-1."""
        device = next(self.net.parameters()).device
        with torch.autocast(device.type, enabled=False):
            answers, asked, _ = self._answers(self.check)
            fitted = replace(self.config.net, temperatures=fitted_temperatures(answers, asked))
            self.net.config = fitted
            ceilings = verifier_figures(*self._held_out(), fitted.temperatures)
        save_judge(
            folder / "verifier.safetensors",
            self.net,
            kind="verifier",
            config=fitted,
            labels=self.net.labels,
            notes={
                "recipe": "judge-verifier",
                "samples": self.loop.steps * self.loop.batch_size * self.loop.accumulate * self.config.boxes,
                "seed": self.loop.seed,
                "pictures": [asdict(source) for source in self.config.sources],
                "held_out": f"toybox-1, first {self.config.held_out}",
            },
            ceilings={key: round(value, 4) for key, value in ceilings.items()},
        )

    def _held_out(self) -> tuple[Answers, dict[str, Tensor]]:
        """As `_answers`, on the frozen set."""
        held = Annotated.of(list(drawn_held_out("toybox-1", self.config.held_out)))
        return self._answers(held)[:2]


def asked_boxes(
    pictures: Annotated, index_B: NDArray[np.int64], count: int, rng: np.random.Generator, cut: float = 0.2
) -> dict[str, Tensor]:
    """Pictures, `count` boxes in each, and what is true of every box.

    image_BHW3 uint8; boxes_BR4 in [0,1]; class_BR, colour_BR, texture_BR (0 is plain) of the thing that the
    box is about, -1 where it is about none; fit_BR its IoU; here_BRK 1 where a thing of the class fits, 0
    where none does, -1 in doubt.
    """
    found = truth(pictures, index_B, cut, rng)
    height, width = found.images_BHW3.shape[1:3]
    kinds = len(toy_labels()["classes"])
    boxes_BR4 = np.zeros((len(index_B), count, 4), np.float32)
    rows_3BR = np.full((3, len(index_B), count), -1, np.int64)
    fit_BR = np.zeros((len(index_B), count), np.float32)
    here_BRK = np.zeros((len(index_B), count, kinds), np.float32)
    for b in range(len(index_B)):
        real = np.flatnonzero(found.class_BG[b] >= 0)
        true_G4, class_G = found.true_BG4[b, real], found.class_BG[b, real]
        boxes_BR4[b] = _boxes(true_G4, count, (height, width), rng)
        if not len(real):
            continue
        iou_RG = overlaps(boxes_BR4[b, :, None], true_G4[None])
        about_R = real[iou_RG.argmax(1)]
        fit_BR[b] = iou_RG.max(1)
        facts = np.stack([found.class_BG[b], found.colour_BG[b], found.texture_BG[b] + 1])[:, about_R]
        rows_3BR[:, b] = np.where(fit_BR[b] >= ABOUT, facts, -1)
        for k in np.unique(class_G):
            best_R = iou_RG[:, class_G == k].max(1)
            here_BRK[b, :, k] = np.where(np.abs(best_R - HERE) < DOUBT, -1.0, best_R > HERE)
    boxes_BR4 /= np.array([width, height, width, height], np.float32)
    arrays = (found.images_BHW3, boxes_BR4, *rows_3BR, fit_BR, here_BRK)
    names = ("image_BHW3", "boxes_BR4", "class_BR", "colour_BR", "texture_BR", "fit_BR", "here_BRK")
    return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}


def _boxes(
    true_G4: NDArray[np.float32], count: int, size_hw: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Half of the boxes good, a quarter bad, the rest parts of a thing, around two, or anywhere."""
    good, bad = (count // 2, count // 4) if len(true_G4) else (0, 0)
    other = int(rng.binomial(count - good - bad, 0.5)) if len(true_G4) else 0
    made = [anywhere(count - good - bad - other, size_hw, rng)]
    if good:
        pick = rng.integers(len(true_G4), size=good + bad)
        made.append(shaken(true_G4[pick[:good]], rng, 0.5))
        made.append(shaken(true_G4[pick[good:]], rng, 3.0))
    for _ in range(other):
        a, b = true_G4[rng.integers(len(true_G4))], true_G4[rng.integers(len(true_G4))]
        if (a == b).all():
            middle = (a[:2] + a[2:]) / 2
            made.append(np.concatenate([a[:2], middle] if rng.random() < 0.5 else [middle, a[2:]])[None])
        else:
            made.append(np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])[None])
    return np.concatenate(made).astype(np.float32)


def answer_losses(answers: Answers, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cross entropies of "here" (summed over classes), class, colour, texture and fit, means over boxes."""
    here_NK = batch["here_BRK"].flatten(0, -2)
    sure_NK = (here_NK >= 0).float()
    cross_NK = nnf.binary_cross_entropy_with_logits(
        answers.here_NK, here_NK.clamp(min=0), weight=sure_NK, reduction="none"
    )
    fit_N = answers.fit_N.clamp(1e-4, 1 - 1e-4)
    want_N = batch["fit_BR"].flatten()
    parts = {
        "here": cross_NK.sum(-1).mean(),
        "fit": -(want_N * fit_N.log() + (1 - want_N) * (1 - fit_N).log()).mean(),
    }
    for name, logits in zip(
        ("class", "colour", "texture"),
        (answers.classes_NK, answers.colours_NK, answers.textures_NK),
        strict=True,
    ):
        wanted_N = batch[f"{name}_BR"].flatten()
        cross_N = nnf.cross_entropy(logits, wanted_N, ignore_index=-1, reduction="sum")
        parts[name] = cross_N / (wanted_N >= 0).sum().clamp(min=1)
    return parts


def verifier_figures(
    answers: Answers,
    asked: dict[str, Tensor],
    temperatures: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> dict[str, float]:
    """class, colour, texture and plain: shares of right ones in boxes that fit a thing; here: share of right
    answers for the classes of the things the boxes are about (yes or no); *_calibration: expected
    calibration errors; fit_error: mean |estimated - true IoU|."""
    good_N = asked["fit_BR"] > HERE + DOUBT
    figures: dict[str, float] = {}
    logits = (answers.classes_NK, answers.colours_NK, answers.textures_NK)
    for name, rows_NK, divisor in zip(("class", "colour", "texture"), logits, temperatures[1:], strict=True):
        wanted_N = asked[f"{name}_BR"]
        used_N = good_N & (wanted_N > 0) if name == "texture" else good_N
        sure_N, said_N = (rows_NK / divisor).softmax(-1).max(-1)
        figures[name] = _mean((said_N == wanted_N)[used_N])
        figures[f"{name}_calibration"] = calibration_error(
            sure_N[good_N].numpy(), (said_N == wanted_N)[good_N].numpy()
        )
        if name == "texture":
            figures["plain"] = _mean((said_N == 0)[good_N & (wanted_N == 0)])
    about_N = asked["class_BR"] >= 0
    kind_N1 = asked["class_BR"].clamp(min=0)[:, None]
    here_N = asked["here_BRK"].gather(1, kind_N1)[:, 0]
    chance_N = (answers.here_NK.gather(1, kind_N1)[:, 0] / temperatures[0]).sigmoid()
    used_N = about_N & (here_N >= 0)
    figures["here"] = _mean(((chance_N > 0.5) == (here_N > 0.5))[used_N])
    sure_N = torch.maximum(chance_N, 1 - chance_N)[used_N]
    figures["here_calibration"] = calibration_error(
        sure_N.numpy(), ((chance_N > 0.5) == (here_N > 0.5))[used_N].numpy()
    )
    figures["fit_error"] = _mean((answers.fit_N - asked["fit_BR"]).abs()[about_N])
    return figures


def _mean(values: Tensor) -> float:
    return float(values.float().mean()) if len(values) else 0.0


def fitted_temperatures(answers: Answers, asked: dict[str, Tensor]) -> tuple[float, float, float, float]:
    """Divisors of the logits that minimise the log loss (Guo et al. 2017): here, class, colour, texture."""
    scales = np.geomspace(0.3, 4.0, 53)
    losses = []
    for scale in scales:
        scaled = Answers(*(one / float(scale) for one in answers[:4]), answers.fit_N)
        parts = answer_losses(scaled, asked)
        losses.append([float(parts[key]) for key in ("here", "class", "colour", "texture")])
    best = np.array(losses).argmin(0)
    here, kind, colour, texture = (round(float(scales[k]), 4) for k in best)
    return here, kind, colour, texture


def _covered(crops_N4SS: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """In a share of the crops a rectangle of up to half the side is painted in one colour."""
    number, side = len(crops_N4SS), crops_N4SS.shape[-1]

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=crops_N4SS.device)

    at_S = (torch.arange(side, device=crops_N4SS.device) + 0.5) / side
    first_N2, size_N2 = draw(number, 2), 0.15 + 0.35 * draw(number, 2)
    within = [(at_S >= first_N2[:, k : k + 1]) & (at_S < (first_N2 + size_N2)[:, k : k + 1]) for k in (0, 1)]
    hit_N1SS = (within[0][:, :, None] & within[1][:, None, :])[:, None]
    hit_N1SS &= (draw(number) < share)[:, None, None, None]
    paint_N3 = 2 * draw(number, 3) - 1
    painted = torch.where(hit_N1SS, paint_N3[:, :, None, None], crops_N4SS[:, :3])
    return torch.cat([painted, crops_N4SS[:, 3:]], dim=1)


def _sheet(net: Verifier, answers: Answers, seen_N4SS: Tensor, path: Path, count: int = 48) -> None:
    """Crops with the verdicts on them."""
    from scenewright.models.judges.verifying import PLAIN
    from scenewright.scene.draw import contact_sheet
    from scenewright.scene.io import write_png

    images, captions = [], []
    textures = (PLAIN, *net.labels["textures"])
    for n, crop_4SS in enumerate(seen_N4SS[:count]):
        pixels = ((crop_4SS[:3] + 1) * 127.5 * (0.75 + 0.25 * crop_4SS[3:])).clamp(0, 255)
        images.append(pixels.byte().permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1))
        kind = int(answers.classes_NK[n].argmax())
        words = (
            net.labels["colours"][int(answers.colours_NK[n].argmax())],
            textures[int(answers.textures_NK[n].argmax())],
            net.labels["classes"][kind],
        )
        here = float(answers.here_NK[n, kind].sigmoid())
        captions.append(f"{' '.join(words)} {here:.2f} fit {float(answers.fit_N[n]):.2f}")
    write_png(path, contact_sheet(images, captions, columns=8))
