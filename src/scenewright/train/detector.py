"""Training the detector on renders: places, then what is in slightly wrong boxes, then masks.

The loss of a cell's score is the quality focal loss (Li et al. 2020, "Generalized Focal Loss", equation 3),
that of boxes is 1 - GIoU. Boxes that are read a second time are the true ones, moved and resized at random,
and some at random places, so that the reader knows good boxes from bad ones.

Letters: B batch, H W pixels, G things per picture (padded), R boxes that are read per picture, 4 corners
(pixels), h w cells at stride 4, y x cells at stride 2, P prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.models.judges.detector import Detector, DetectorConfig, Maps, Readings, cell_middles
from scenewright.models.judges.geometry import area, giou, inside, iou
from scenewright.models.judges.layers import signal
from scenewright.models.judges.store import save_judge
from scenewright.train.annotated import CHECK_SEED, Annotated, AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.ceilings import drawn_held_out
from scenewright.train.data import epoch_indices, stream_rng
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.targets import moved_boxes, truth

if TYPE_CHECKING:
    from scenewright.evaluate.findings import Finding
    from scenewright.train.recipe import LoopConfig
    from scenewright.world.drawn import Drawn


@dataclass(frozen=True, kw_only=True)
class DetectorTraining:
    """The network and what it sees."""

    net: DetectorConfig = field(default_factory=DetectorConfig)
    sources: tuple[AnnotatedSource, ...] = (
        AnnotatedSource(count=12_000, things=(1, 5)),
        AnnotatedSource(count=12_000, things=(3, 8), first_seed=2_500_000),
    )
    disturbance: Disturbance = field(default_factory=Disturbance)
    cut: float = 0.25  # share of pictures of which a part is enlarged
    read: int = 8  # boxes read per picture, a quarter of them anywhere
    radius: float = 1.5  # cells around the middle of a box that are trained to see it
    colour_weight: float = 0.5
    texture_weight: float = 1.5
    mask_weight: float = 1.0
    cache: Path = Path("runs/out/judge-cache")
    checked: int = 200  # pictures of the validation
    held_out: int = 1000  # pictures of the frozen set toybox-1 for the ceilings

    def build(self, loop: LoopConfig) -> DetectorTask:
        """The task of this configuration."""
        return DetectorTask(self, loop)


class DetectorTask:
    """See `DetectorTraining`."""

    def __init__(self, config: DetectorTraining, loop: LoopConfig) -> None:
        self.config = config
        self.loop = loop
        self.net = Detector(config.net, toy_labels())
        self.modules = {"detector": self.net}
        self.pictures: Annotated

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Draws or maps the pictures; from here on denormal numbers count as 0."""
        torch.set_flush_denormal(True)  # they cost far more time than they say
        self.pictures = open_annotated(self.config.sources, self.config.cache, say)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """Pictures, what is true of them, and boxes to read; see `scenewright.train.targets`."""
        rng = stream_rng(self.loop.seed, "detector", step, rank)
        indices = epoch_indices(len(self.pictures), step, rank, size, self.loop.batch_size, self.loop.seed)
        found = truth(self.pictures, np.array(indices), self.config.cut, rng)
        boxes_BR4, thing_BR = moved_boxes(found, self.config.read, rng)
        made = {
            "image_BHW3": torch.from_numpy(found.images_BHW3),
            "numbers_BHW": torch.from_numpy(found.numbers_BHW),
            "boxes_BR4": torch.from_numpy(boxes_BR4),
            "thing_BR": torch.from_numpy(thing_BR),
        }
        return made | {key: torch.from_numpy(value) for key, value in found.rows().items()}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """The sum of all losses, and each of them."""
        image_BCHW = disturbed(signal(batch["image_BHW3"]), self.config.disturbance, generator)
        maps = self.net.maps(image_BCHW)
        read = self.net.read(maps, batch["boxes_BR4"])
        parts = place_losses(maps, batch["true_BG4"], batch["class_BG"] >= 0, self.config.radius)
        parts |= reading_losses(read, batch)
        parts["mask"] = mask_loss(maps.prototypes_BPyx, read.coefficients_BRP, batch)
        weights = {key: getattr(self.config, f"{key}_weight", 1.0) for key in parts}
        total = torch.stack([weights[key] * value for key, value in parts.items()]).sum()
        return total, {key: value.detach() for key, value in parts.items()}

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """AP, attribute accuracies and mask AP on pictures apart, and a sheet of what is found."""
        from scenewright.train.annotated import draw
        from scenewright.train.toy_figures import detector_sheet

        source = AnnotatedSource(count=self.config.checked, first_seed=CHECK_SEED)
        drawn = [draw(source, i) for i in range(self.config.checked)]
        figures, found = self._figures(drawn)
        detector_sheet(drawn[:16], found[:16], out / f"found-{step:07d}.png")
        return figures

    def _figures(self, drawn: Sequence[Drawn]) -> tuple[dict[str, float], list[tuple[Finding, ...]]]:
        """In full precision, whatever the training's."""
        from scenewright.train.toy_figures import detector_figures

        with torch.autocast(next(self.net.parameters()).device.type, enabled=False):
            return detector_figures(self.net, drawn)

    def export(self, folder: Path) -> None:
        """``detector.safetensors`` with its ceilings on toybox-1."""
        ceilings, _ = self._figures(list(drawn_held_out("toybox-1", self.config.held_out)))
        save_judge(
            folder / "detector.safetensors",
            self.net,
            kind="detector",
            config=self.config.net,
            labels=self.net.labels,
            notes={
                "recipe": "judge-detector",
                "samples": self.loop.steps * self.loop.batch_size * self.loop.accumulate,
                "seed": self.loop.seed,
                "pictures": [asdict(source) for source in self.config.sources],
                "held_out": f"toybox-1, first {self.config.held_out}",
            },
            ceilings={key: round(value, 4) for key, value in ceilings.items()},
        )


def toy_labels() -> dict[str, tuple[str, ...]]:
    """Names of the toybox: classes, colours, textures."""
    from scenewright.world.palette import COLOURS, TEXTURES
    from scenewright.world.toybox import CLASSES

    return {"classes": CLASSES, "colours": tuple(COLOURS), "textures": TEXTURES}


def place_losses(maps: Maps, true_BG4: Tensor, real_BG: Tensor, radius: float) -> dict[str, Tensor]:
    """Losses of the cells: ``place`` (quality focal) and ``box`` (1 - GIoU), per positive cell.

    A cell is positive for the smallest true box that holds its middle within `radius` cells of the box's.
    """
    height, width = maps.middle_Bhw.shape[1:]
    middle_hw12 = cell_middles(height, width, true_BG4.device)[:, :, None]
    boxes_B11G4 = true_BG4[:, None, None]
    centre_B11G2 = (boxes_B11G4[..., 2:] + boxes_B11G4[..., :2]) / 2
    near_BhwG = ((middle_hw12 - centre_B11G2).abs() <= 4 * radius).all(-1)
    within_BhwG = ((middle_hw12 > boxes_B11G4[..., :2]) & (middle_hw12 < boxes_B11G4[..., 2:])).all(-1)
    good_BhwG = near_BhwG & within_BhwG & real_BG[:, None, None]
    size_BhwG = torch.where(good_BhwG, area(boxes_B11G4), torch.inf)
    least_Bhw, which_Bhw = size_BhwG.min(-1)
    positive_Bhw = least_Bhw.isfinite()
    batch_N = torch.nonzero(positive_Bhw)[:, 0]
    wanted_N4 = true_BG4[batch_N, which_Bhw[positive_Bhw]]
    seen_N4 = maps.boxes_Bhw4[positive_Bhw]
    quality_Bhw = torch.zeros_like(maps.middle_Bhw)
    quality_Bhw[positive_Bhw] = iou(seen_N4.detach(), wanted_N4).to(quality_Bhw.dtype)
    gap_Bhw = (maps.middle_Bhw.detach().sigmoid() - quality_Bhw).abs()
    cross_Bhw = nnf.binary_cross_entropy_with_logits(maps.middle_Bhw, quality_Bhw, reduction="none")
    count = max(len(batch_N), 1)
    place = (gap_Bhw**2 * cross_Bhw).sum() / count
    return {"place": place, "box": (1 - giou(seen_N4, wanted_N4)).sum() / count}


def reading_losses(read: Readings, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses of the boxes that were read: ``class``, ``colour``, ``texture``, ``fix`` (1 - GIoU after the
    correction) and ``quality`` (cross entropy with the corrected box's IoU, 0 where no thing is meant)."""
    real_BR = batch["thing_BR"] >= 0
    thing_BR = batch["thing_BR"].clamp(min=0)
    kind_N, colour_N, texture_N = (
        batch[key].gather(1, thing_BR)[real_BR] for key in ("class_BG", "colour_BG", "texture_BG")
    )
    wanted_BR4 = batch["true_BG4"].gather(1, thing_BR[..., None].expand(-1, -1, 4))
    fit_BR = iou(read.boxes_BR4.detach(), wanted_BR4) * real_BR
    count = max(int(real_BR.sum()), 1)
    return {
        "class": nnf.cross_entropy(read.classes_BRK[real_BR], kind_N, reduction="sum") / count,
        "colour": nnf.cross_entropy(read.colours_BRK[real_BR], colour_N, reduction="sum") / count,
        "texture": nnf.cross_entropy(read.textures_BRK[real_BR], texture_N + 1, reduction="sum") / count,
        "fix": (1 - giou(read.boxes_BR4[real_BR], wanted_BR4[real_BR])).sum() / count,
        "quality": nnf.binary_cross_entropy_with_logits(read.quality_BR, fit_BR),
    }


def mask_loss(prototypes_BPyx: Tensor, coefficients_BRP: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Mean cross entropy inside the true box plus the Dice loss (Milletari et al. 2016), per thing read."""
    real_BR = batch["thing_BR"] >= 0
    row_N = torch.nonzero(real_BR)[:, 0]
    if not len(row_N):
        return coefficients_BRP.sum() * 0.0
    thing_N = batch["thing_BR"][real_BR]
    logits_BRyx = torch.einsum("brp,bpyx->bryx", coefficients_BRP, prototypes_BPyx)
    numbers_NHW = batch["numbers_BHW"][row_N]
    seen_NHW = (numbers_NHW == (thing_N + 1)[:, None, None].to(numbers_NHW.dtype)).float()
    wanted_Nyx = nnf.avg_pool2d(seen_NHW[:, None], 2)[:, 0]
    box_Nyx = inside(batch["true_BG4"][row_N, thing_N], wanted_Nyx.shape[1:], 0.5)
    logits_Nyx = logits_BRyx[real_BR].float()
    cross_Nyx = nnf.binary_cross_entropy_with_logits(logits_Nyx, wanted_Nyx, reduction="none") * box_Nyx
    cross_N = cross_Nyx.sum((1, 2)) / box_Nyx.sum((1, 2)).clamp(min=1.0)
    chance_Nyx = logits_Nyx.sigmoid() * box_Nyx
    both_N = (chance_Nyx * wanted_Nyx).sum((1, 2))
    dice_N = 1 - (2 * both_N + 1) / ((chance_Nyx**2).sum((1, 2)) + (wanted_Nyx**2).sum((1, 2)) + 1)
    return (cross_N + dice_N).mean()
