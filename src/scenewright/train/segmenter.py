"""Training the town segmenter: the 19 street classes in every pixel, in all six looks.

Cross-entropy with classes weighted by the inverse root of their frequency (rare ones count by mIoU as much as
the road), plus one minus the soft Jaccard index per class over the batch (Rahman and Wang, "Optimizing
Intersection-Over-Union in Deep Neural Networks for Image Segmentation", 2016), which is what is measured.

Letters: B pictures, H W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.models.judges.segmenter import SegmenterConfig, SegmenterNet
from scenewright.models.judges.store import load_judge, save_judge
from scenewright.train.annotated import CHECK_SEED, Annotated, AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.ceilings import class_iou, confusion, drawn_held_out
from scenewright.train.data import stream_rng
from scenewright.train.looks import TOWN
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.world.town import CLASSES
from scenewright.world.town_classes import TOWN_CLASSES

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig
    from scenewright.world.drawn import Drawn


@dataclass(frozen=True, kw_only=True)
class SegmenterTaskConfig:
    """The network's sizes and what it sees."""

    net: SegmenterConfig = field(default_factory=SegmenterConfig)
    source: AnnotatedSource = TOWN
    cache: Path = Path("runs/out/judge-cache")
    start: Path | None = None  # an earlier export to continue from; None: random weights
    disturbance: Disturbance = field(default_factory=Disturbance)
    jaccard_weight: float = 0.5  # of the soft Jaccard term beside the cross-entropy
    probe: int = 240  # pictures of the validation
    held_out: int = 1000  # pictures of the frozen set town-1 for the ceilings

    def build(self, loop: LoopConfig) -> SegmenterTask:
        """The task of this configuration."""
        return SegmenterTask(self, loop)


class SegmenterTask:
    """Segmentation of whole pictures; `export` measures the ceilings.

    What is particular to the streets is in the members up to `prepare`; the labeller of toys has its own.
    """

    kind = "segmenter"
    held_out_id = "town-1"
    names: tuple[str, ...] = CLASSES
    colours: tuple[tuple[int, int, int], ...] = tuple(item.colour for item in TOWN_CLASSES)
    unscored = 0
    """So many of the first classes do not count in the mIoU."""

    def __init__(self, config: Any, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.net = self.network()
        self.before = 0  # samples seen by what it continues from
        if config.start is not None:
            begun = load_judge(config.start, kind=self.kind)
            self.net.load_state_dict(begun.net.state_dict())
            self.before = int(begun.header.notes.get("samples", 0))
        self.modules = {"net": self.net}

    def network(self) -> SegmenterNet:
        """A fresh network of the configured sizes."""
        return SegmenterNet(self.config.net, self.names)

    def sources(self) -> tuple[AnnotatedSource, ...]:
        """The pictures to train on; those of the validation are drawn like the first ones."""
        return (self.config.source,)

    def maps(self, pictures: Annotated, index_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The true class maps [N,H,W] of pictures; 255 counts for nothing."""
        return pictures.semantics(index_N)

    def map_of(self, drawn: Drawn) -> NDArray[np.uint8]:
        """The true class map [H,W] of a held-out drawing."""
        return drawn.semantic

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Draws or maps the pictures and counts their classes."""
        config, size = self.config, len(self.names)
        probe = replace(self.sources()[0], first_seed=CHECK_SEED, count=config.probe)
        self.pictures = open_annotated(self.sources(), config.cache, say)
        self.probe = open_annotated([probe], config.cache, say)
        counted = self.maps(self.pictures, np.arange(min(600, len(self.pictures))))
        share_K = np.bincount(counted.reshape(-1), minlength=size)[:size] / counted.size
        weight_K = 1 / np.sqrt(share_K + 1e-3)
        self.weight_K = torch.tensor(weight_K / (weight_K * share_K).sum(), dtype=torch.float32).to(device)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """image_BHW3 (uint8) and label_BHW, half of them mirrored."""
        rng = stream_rng(self.loop.seed, "segmenter", step, rank)
        index_B = rng.integers(len(self.pictures), size=self.loop.batch_size)
        images_BHW3, labels_BHW = self.pictures.images(index_B), self.maps(self.pictures, index_B)
        flipped_B = rng.random(len(index_B)) < 0.5
        images_BHW3[flipped_B] = images_BHW3[flipped_B, :, ::-1]
        labels_BHW[flipped_B] = labels_BHW[flipped_B, :, ::-1]
        return {"images": torch.from_numpy(images_BHW3), "labels": torch.from_numpy(labels_BHW)}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Weighted cross-entropy and the soft Jaccard term."""
        signal_BCHW = batch["images"].permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
        logits_BKHW = self.net(disturbed(signal_BCHW, self.config.disturbance, generator)).float()
        label_BHW = batch["labels"].long()
        entropy = nnf.cross_entropy(logits_BKHW, label_BHW, self.weight_K, ignore_index=255)
        jaccard = soft_jaccard_loss(logits_BKHW, label_BHW)
        right = (logits_BKHW.detach().argmax(1) == label_BHW).float().mean()
        return entropy + self.config.jaccard_weight * jaccard, {"right": float(right)}

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """mIoU and pixel accuracy on the validation pictures, and a sheet: picture, truth, labels."""
        from scenewright.scene.draw import contact_sheet
        from scenewright.scene.io import write_png

        index_N = np.arange(len(self.probe))
        images, truth = list(self.probe.images(index_N)), self.maps(self.probe, index_N)
        labels = self.net.labels(images)
        total_KK = sum(confusion(a, b, len(self.names)) for a, b in zip(truth, labels, strict=True))
        cells, captions = [], []
        for k in range(min(6, len(images))):
            cells += [images[k], self._painted(truth[k]), self._painted(labels[k])]
            captions += [self.probe.items[k].look, "truth", "labels"]
        write_png(out / "labels.png", contact_sheet(cells, captions, columns=6))
        lines = [f"{n} {v:.4f}\n" for n, v in zip(self.names, class_iou(total_KK), strict=True)]
        (out / "classes.txt").write_text("".join(lines))
        return {"miou": self._miou(total_KK), "right": float(np.trace(total_KK) / total_KK.sum())}

    def export(self, folder: Path) -> None:
        """``KIND.safetensors`` with its ceilings."""
        renders = [
            f"{one.world}, seeds {one.first_seed} to {one.first_seed + one.count - 1}"
            for one in self.sources()
        ]
        notes = {
            "recipe": f"judge-{self.kind}",
            "renders": "; ".join(renders),
            "samples": self.before + self.loop.steps * self.loop.batch_size,
            "seed": self.loop.seed,
            "held_out": f"{self.held_out_id}, first {self.config.held_out}",
        }
        save_judge(
            folder / f"{self.kind}.safetensors",
            self.net,
            kind=self.kind,
            config=self.config.net,
            labels={"classes": self.names},
            notes=notes,
            ceilings=self.ceilings(),
        )

    def ceilings(self) -> dict[str, float]:
        """Dataset-level mIoU over all, by look and IoU by class, and pixel accuracy, on the held-out set."""
        size = len(self.names)
        by_look: dict[str, NDArray[np.int64]] = {}
        for one in drawn_held_out(self.held_out_id, self.config.held_out):
            counts_KK = confusion(self.map_of(one), self.net.labels([one.image])[0], size)
            look = one.scene.style or ""
            by_look[look] = by_look.get(look, np.zeros((size, size), np.int64)) + counts_KK
        total_KK = sum(by_look.values(), np.zeros((size, size), np.int64))
        found = {"miou": self._miou(total_KK), "pixels": np.trace(total_KK) / total_KK.sum()}
        found |= {f"miou.{look}": self._miou(counts_KK) for look, counts_KK in by_look.items()}
        found |= {f"iou.{name}": iou for name, iou in zip(self.names, class_iou(total_KK), strict=True)}
        return {key: round(float(value), 4) for key, value in found.items() if np.isfinite(value)}

    def _miou(self, counts_KK: NDArray[np.int64]) -> float:
        """The mean IoU of the classes that count."""
        return float(np.nanmean(class_iou(counts_KK)[self.unscored :]))

    def _painted(self, labels_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The display colours of the classes."""
        table_K3 = np.zeros((256, 3), np.uint8)
        table_K3[: len(self.colours)] = self.colours
        return table_K3[labels_HW]


def soft_jaccard_loss(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int = 255) -> Tensor:
    """One minus the mean over the classes present of soft intersection over soft union in the batch.

    Pixels labelled `ignore` do not count; 0 where none does.
    """
    both_K, sum_K, present_K = soft_overlap(logits_BKHW, label_BHW, ignore)
    if not bool(present_K.any()):
        return logits_BKHW.sum() * 0.0
    return 1 - (both_K / (sum_K - both_K))[present_K].mean()


def soft_dice_loss(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int = 255) -> Tensor:
    """As `soft_jaccard_loss`, of Dice's coefficient: twice the intersection over the sum of both."""
    both_K, sum_K, present_K = soft_overlap(logits_BKHW, label_BHW, ignore)
    if not bool(present_K.any()):
        return logits_BKHW.sum() * 0.0
    return 1 - (2 * both_K / sum_K)[present_K].mean()


def soft_overlap(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int = 255) -> tuple[Tensor, Tensor, Tensor]:
    """Of every class: soft intersection of truth and softmax, the sum of both, and whether it is there."""
    share_BKHW = logits_BKHW.softmax(1)
    classes = logits_BKHW.shape[1]
    counted_BHW = label_BHW != ignore
    known_BHW = torch.where(counted_BHW, label_BHW, 0)
    right_BHW = share_BKHW.gather(1, known_BHW[:, None])[:, 0] * counted_BHW
    both_K = share_BKHW.new_zeros(classes).index_add(0, known_BHW.flatten(), right_BHW.flatten())
    true_K = torch.bincount(label_BHW[counted_BHW], minlength=classes).to(share_BKHW.dtype)
    found_K = (share_BKHW * counted_BHW[:, None]).sum((0, 2, 3))
    return both_K, true_K + found_K, true_K > 0
