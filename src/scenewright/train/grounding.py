"""Training a grounding head on pictures whose classes have masks.

Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv 2301.05221), section
3.4, and the re-implementation grounded-diffusers: the drawing network is frozen, its features at one sampling
step and the class names go into the head, its logits against the masks into a loss per class.

Pictures are a folder of Records, as ``scenewright dataset build`` writes it: the features are computed again
from the stored latents, one call of the network per batch, and never stored. Or they are drawn, with exact
masks, and encoded on the fly. Only classes of the split's seen part are trained on: a picture that shows
another known class is left out altogether, so that nothing of that class enters the training, not even as
background.

Differences from the released trainings: every batch has several pictures; losses are averaged over masks, not
summed over the classes of a picture; pictures are shuffled; an epoch sees each of them once.

Letters: B pictures, K classes of a picture, N masks, H W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.errors import InputError
from scenewright.evaluate.grounding import grounding
from scenewright.evaluate.measures import values
from scenewright.evaluate.splits import SEEN, ClassSplit, class_split
from scenewright.flows.head_inputs import Gathered, HeadReader, gather, logits
from scenewright.flows.head_scores import score_head, sheet
from scenewright.flows.masked import MaskedPicture, drawn_masked, read_masked
from scenewright.ground.head import GroundingHead
from scenewright.train.annotated import CHECK_SEED
from scenewright.train.data import epoch_indices, stream_rng
from scenewright.train.mask_losses import MaskLoss, mask_loss
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

HEAD_SEED = 8_000_000
"""First seed of the drawings that heads are trained on."""


@dataclass(frozen=True, kw_only=True)
class HeadSizes:
    """The head; see `ground.config.GroundingConfig`, whose defaults (the released sizes) these are."""

    layout: Literal["blocks", "all"] = "blocks"  # where the network is tapped
    timestep: int = 0  # the sampler step nearest to it is tapped; 0: the last one
    reduced: tuple[int, ...] = ()  # per level: channels after the first convolution; empty: 16, 32, 64, 128
    patch: int = 4  # side of a token in latent cells
    width: int = 512
    heads: int = 8
    layers: int = 3
    hidden: int = 2048
    dropout: float = 0.2
    bn_mode: Literal["running", "batch"] = "running"
    query_mode: Literal["joint", "single"] = "joint"
    text_mode: Literal["template", "joint", "subtract", "prompt"] = "template"
    attention: bool = False  # whether it also reads the cross-attention maps of the class's own words
    attention_detail: Literal["depth", "head"] = "depth"  # one map per depth of the network, or per head
    text_dropout: float = 0.0  # share of class vectors hidden in training, so that attention must serve

    def fresh(self, backbone: Any, seed: int) -> GroundingHead:
        """An untrained head of these sizes for a backbone."""
        names = (
            "timestep", "patch", "width", "heads", "layers", "hidden", "dropout", "bn_mode", "query_mode",
            "text_mode", "attention_detail", "text_dropout",
        )  # fmt: skip
        return GroundingHead.for_unet(
            backbone.unet,
            layout=self.layout,
            stride=backbone.stride,
            seed=seed,
            reduced=self.reduced or None,
            attention=self.attention or 0,
            **{name: getattr(self, name) for name in names},
        )


@dataclass(frozen=True, kw_only=True)
class HeadProbe:
    """What a training is validated on: a folder of Records, and drawings of all toys with exact masks."""

    data: tuple[Path, ...] = ()  # folders of Records
    renders: int = 0  # drawings, from a seed of their own, beside them
    batch: int = 8  # pictures read together
    shown: int = 6  # pictures on the sheet of panels


@dataclass(frozen=True, kw_only=True)
class GroundingTaskConfig:
    """Which head, on which pictures, with which loss."""

    backbone: str = "nano"  # folder or name of the model whose features are read
    data: tuple[Path, ...] = ()  # folders of Records with masks, best with their latents
    renders: int = 0  # drawings with exact masks in place of `data`
    first_seed: int = HEAD_SEED  # of the drawings
    split: int = 1  # published split of the VOC names whose seen part is trained on
    seen: tuple[str, ...] = ()  # names that are trained on in place of the split's
    loss: MaskLoss = "bce_dice"
    absent: int = 0  # seen classes per picture that are asked for though it does not show them: empty masks
    named: bool = False  # prompts of drawings: the names of their classes, not their captions
    steps: int = 20  # sampler steps that say which noise level an encoded picture has
    head: HeadSizes = field(default_factory=HeadSizes)
    probe: HeadProbe = field(default_factory=HeadProbe)

    def __post_init__(self) -> None:
        if self.absent < 0 or self.renders < 0 or self.probe.renders < 0:
            raise InputError("task.absent, task.renders and task.probe.renders must not be negative")
        if self.data and self.renders:
            raise InputError("task.data and task.renders are both given", "train on one of them")
        self.classes()

    def classes(self) -> ClassSplit:
        """What is seen and what is not. Raises InputError for an unknown split."""
        return ClassSplit(0, self.seen) if self.seen else class_split(self.split)

    def build(self, loop: LoopConfig) -> GroundingTask:
        """The task of this configuration. Raises InputError if there is nothing to train on."""
        if not self.data and not self.renders:
            raise InputError(
                "there are no pictures to train on",
                "--set task.data=FOLDER (`scenewright dataset build` makes one) or --set task.renders=2000",
            )
        return GroundingTask(self, loop)


class GroundingTask:
    """The task for the training loop; `export` writes ``grounding.safetensors``."""

    def __init__(self, config: GroundingTaskConfig, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.split = config.classes()
        self.modules: dict[str, nn.Module] = {}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the frozen model, makes the head and lists the pictures."""
        from scenewright.models.load import load_bundle

        config = self.config
        self.device = device
        self.backbone = load_bundle(config.backbone, device=device, dtype=torch.float32).backbone
        self.fingerprint = self.backbone.fingerprint
        self.head = config.head.fresh(self.backbone, self.loop.seed)
        self.modules["head"] = self.head
        self.reader = HeadReader(self.backbone, self.head.config, config.steps)
        self.pictures = self._seen(read_masked(config.data)) if config.data else ()
        self.probes = self._probes()

    @property
    def _where(self) -> str:
        return ", ".join(map(str, self.config.data))

    def _seen(self, pictures: Sequence[MaskedPicture]) -> tuple[MaskedPicture, ...]:
        """The pictures of seen classes alone. Raises InputError if none is left, or their sizes differ."""
        other = Counter(name for one in pictures for name in one.classes if self.split.part(name) != SEEN)
        kept = tuple(one for one in pictures if not any(name in other for name in one.classes))
        if other:
            names = ", ".join(name for name, _ in other.most_common(4))
            say(f"{len(pictures) - len(kept)} of {len(pictures)} pictures show unseen classes ({names}, …)")
        if not kept:
            raise InputError(
                f"none of the {len(pictures)} pictures in {self._where} shows seen classes alone",
                f"seen are {', '.join(self.split.seen[:6])}, …",
            )
        sizes = sorted({one.size_wh for one in kept})
        if len(sizes) > 1:
            raise InputError(f"the pictures in {self._where} have different sizes: {sizes[0]}, {sizes[1]}")
        return kept

    def _probes(self) -> tuple[MaskedPicture, ...]:
        """What is validated on."""
        probe = self.config.probe
        drawn = drawn_masked(range(CHECK_SEED, CHECK_SEED + probe.renders))
        return (*(read_masked(probe.data) if probe.data else ()), *(self._told(one) for one in drawn))

    def _told(self, one: MaskedPicture) -> MaskedPicture:
        """A drawing with its prompt."""
        return one.named() if self.config.named else one

    @property
    def count(self) -> int:
        """Number of pictures in an epoch."""
        return len(self.pictures) or self.config.renders

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and convolutions."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> Any:
        """A `Gathered` with targets [B, K, H, W] (uint8) of the classes that are asked for."""
        places = epoch_indices(self.count, step, rank, size, self.loop.batch_size, self.loop.seed)
        rng = stream_rng(self.loop.seed, "grounding", step, rank)
        pictures = [self._picture(place) for place in places]
        asked = [self._asked(one, rng) for one in pictures]
        seeds = [int(seed) for seed in rng.integers(2**31, size=len(pictures))]
        gathered = gather(pictures, self.head.config, self.fingerprint, classes=asked, seeds=seeds)
        return _Batch(gathered, _targets(pictures, asked))

    def _picture(self, place: int) -> MaskedPicture:
        if self.pictures:
            return self.pictures[place]
        seeds = (self.config.first_seed + place,)
        try:
            return self._told(next(drawn_masked(seeds, classes=self.split.seen, count=(1, 3))))
        except InputError:  # no layout of this seed showed all of its toys
            return self._told(next(drawn_masked(seeds, classes=self.split.seen, count=(1, 1))))

    def _asked(self, one: MaskedPicture, rng: np.random.Generator) -> tuple[str, ...]:
        """The picture's classes in random order, and some that it does not show."""
        others = [name for name in self.split.seen if name not in one.classes]
        absent = rng.permutation(others)[: self.config.absent]
        return tuple(str(name) for name in rng.permutation([*one.classes, *absent]))

    def loss(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of the masks; logs their mean IoU as ``iou`` and the epoch."""
        inputs = self.reader.read(batch.gathered)
        found_BKHW = logits(self.head, inputs)
        target_BKHW = batch.targets.to(found_BKHW.device).float()
        if target_BKHW.shape[-2:] != found_BKHW.shape[-2:]:
            target_BKHW = nnf.interpolate(target_BKHW, found_BKHW.shape[-2:], mode="nearest-exact")
        found_NHW, target_NHW = found_BKHW[inputs.used_BK], target_BKHW[inputs.used_BK]
        loss = mask_loss(self.config.loss, found_NHW, target_NHW).mean()
        return loss, {"iou": _iou(found_NHW.detach(), target_NHW)}

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """The figures of the benchmark `grounding` on the probe pictures, and ``panels.png``."""
        probe = self.config.probe
        if not self.probes:
            return {}
        reader = HeadReader(self.backbone, self.head.config, self.config.steps)
        scored = score_head(self.head, reader, self.probes, batch=probe.batch, keep=probe.shown)
        sheet(scored, out / "panels.png")
        measured = grounding(scored.counts, self.split)
        return {
            name: round(value, 6) for name, value in values(measured.measures, len(scored.counts)).items()
        }

    def export(self, folder: Path) -> None:
        """``grounding.safetensors``, tied to the backbone; in half precision where that holds its values."""
        from scenewright.models.adapter import save_adapter

        save_adapter(
            folder / "grounding.safetensors",
            self.head,
            self.head.config,
            "grounding",
            self.fingerprint,
            backbone_name=self.backbone.name,
            text_fingerprint=self.backbone.text_fingerprint,
            dtype=_narrow(self.head),
            notes=self.notes(),
        )

    def notes(self) -> dict[str, Any]:
        """What the file says of its training."""
        config = self.config
        return {
            "seen": list(self.split.seen),
            "unseen": list(self.split.unseen),
            "loss": config.loss,
            "pictures": self.count,
            "data": "labelled pictures" if config.data else f"toybox, seeds from {config.first_seed}",
            "samples": self.loop.steps * self.loop.batch_size,
            "seed": self.loop.seed,
        }


class _Batch:
    """A batch whose parts the loop leaves where they are: texts and arrays go to the device in `loss`."""

    def __init__(self, gathered: Gathered, targets: Tensor) -> None:
        self.gathered, self.targets = gathered, targets


def _targets(pictures: Sequence[MaskedPicture], asked: Sequence[Sequence[str]]) -> Tensor:
    """True masks [B, K, H, W], uint8, of the classes asked for; empty where one is not shown or padding."""
    width, height = pictures[0].size_wh
    target_BKHW = np.zeros((len(pictures), max(map(len, asked)), height, width), dtype=np.uint8)
    for b, (one, names) in enumerate(zip(pictures, asked, strict=True)):
        masks = dict(zip(one.classes, one.masks, strict=True))
        for k, name in enumerate(names):
            if name in masks:
                target_BKHW[b, k] = masks[name].array()
    return torch.from_numpy(target_BKHW)


def _iou(logits_NHW: Tensor, target_NHW: Tensor) -> float:
    """Mean IoU of the masks that are not empty; 0 if all are."""
    found_NHW, true_NHW = logits_NHW > 0, target_NHW > 0.5
    union_N = (found_NHW | true_NHW).flatten(1).sum(1)
    there_N = true_NHW.flatten(1).any(1)
    iou_N = (found_NHW & true_NHW).flatten(1).sum(1) / union_N.clamp_min(1)
    return float(iou_N[there_N].mean()) if bool(there_N.any()) else 0.0


def _narrow(head: nn.Module) -> torch.dtype:
    """Half precision if it holds every value of the head, otherwise single (variances can be large)."""
    fine = all(bool(torch.isfinite(one.half()).all()) for one in head.state_dict().values())
    return torch.float16 if fine else torch.float32
