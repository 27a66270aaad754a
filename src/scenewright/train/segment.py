"""Training a one-pass segmenter: the drawing network is frozen, its content attention and decoder learn.

Every picture is asked for a list of classes: those it shows, and others that it does not (negatives), each
told by one of its names, or by the mean of all. Cross-entropy over the list, plus one minus Dice's
coefficient of the classes shown; pixels of which nothing is known, or whose class is not in the list, count
for nothing. Of some classes the vector is hidden, so that the network's own attention, which knows every
word, has to serve (see `segment.content`).

Classes that are not among the seen ones are never named, and their pixels count for nothing.

Letters: B pictures, K classes that are learnt, J of them that a picture is asked for, D text width, H W
pixels, y x cells of the logits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.words import TEMPLATE
from scenewright.errors import InputError
from scenewright.evaluate.semantic import SemanticScore, semantic_score
from scenewright.flows.segment_options import SegmentOptions, spoken
from scenewright.models.judges.pictures import in_batches
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.label_space import LabelSpace, load
from scenewright.train.annotated import AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.closed_set import figures, groups
from scenewright.train.data import stream_rng
from scenewright.train.labelled import Hidden, Joined, Labelled, RenderSet, batch, drawn_checks, open_records
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.segmenter import soft_dice_loss

if TYPE_CHECKING:
    from scenewright.segment.one_pass import OnePass
    from scenewright.train.recipe import LoopConfig

SEGMENT_SEED = 9_000_000
"""First seed of the drawings that segmenters are trained on."""

COUNTED = 200
"""Training views in which the frequency of the classes is counted."""

BATCH = 8
"""Pictures that are validated together."""

SHOWN = 6
"""Pictures on the sheet of a validation."""


@dataclass(frozen=True, kw_only=True)
class OnePassSizes:
    """A fresh segmenter; see `segment.config.SegmentConfig`."""

    layout: Literal["blocks", "all"] = "blocks"
    timestep: float = 0.0  # noise level that the network is told; 0: the last of twenty sampler steps
    reduced: tuple[int, ...] = ()  # per level; empty: 32 each
    width: int = 64
    own: int = 8
    learnt: int = 4
    looks: int = 4
    cost: int = 16
    rounds: int = 2
    doublings: int = 1
    templates: tuple[str, ...] = (TEMPLATE,)

    def fresh(self, backbone: Any, seed: int) -> OnePass:
        """An untrained segmenter of these sizes for a backbone."""
        from scenewright.segment.one_pass import OnePass

        return OnePass.for_unet(backbone.unet, stride=backbone.stride, seed=seed, **vars(self))


@dataclass(frozen=True, kw_only=True)
class SegmentTraining:
    """Which segmenter, on which pictures, of which classes."""

    backbone: str = "nano"  # folder or name of the model whose features are read
    start: str = ""  # a segmenter of that model to train further; "": a fresh one
    net: OnePassSizes = field(default_factory=OnePassSizes)
    vocabulary: str = "toybox"
    data: tuple[Path, ...] = ()  # folders of Records with masks or label maps
    renders: AnnotatedSource | None = None  # pictures that are drawn, beside them
    seen: tuple[str, ...] = ()  # things that are learnt; none: all classes
    unseen: tuple[str, ...] = ()  # classes that are scored apart
    asked: int = 0  # classes that each picture is asked for; 0: all that are learnt
    names: Literal["any", "first"] = "any"  # a class is told by any of its names, or always by the first
    text_dropout: float = 0.2  # share of classes whose vector is hidden in a step
    size_wh: tuple[int, int] = (128, 128)
    zoom: tuple[float, float] = (0.8, 1.6)
    disturbance: Disturbance = field(default_factory=Disturbance)
    class_weights: Literal["root", "none"] = "root"  # inverse root of the frequency, or all equal
    dice_weight: float = 0.5  # of the Dice term beside the cross-entropy
    sparse: int = 2  # losses are taken at every so many-th pixel across and down
    cache: Path = Path("runs/out/judge-cache")
    checked: int = 160  # pictures of the validation: renders of the vocabulary's world
    check: tuple[Path, ...] = ()  # folders of Records to validate on instead; the first `checked` of them

    def __post_init__(self) -> None:
        """Raises InputError for values out of range."""
        if self.sparse < 1 or self.asked < 0 or self.checked < 1:
            raise InputError("task.sparse and task.checked are at least 1, task.asked is not negative")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise InputError(f"zoom is {self.zoom}; expected two factors above 0, the smaller first")
        if not 0 <= self.text_dropout < 1:
            raise InputError(f"text_dropout is {self.text_dropout}; expected a share from 0 to below 1")

    def build(self, loop: LoopConfig) -> SegmentTask:
        """The task of this configuration. Raises InputError if there is nothing to train on."""
        if not self.data and self.renders is None:
            raise InputError(
                "there are no pictures to train on", "--set task.data=FOLDER names Records with label maps"
            )
        return SegmentTask(self, loop)


class SegmentTask:
    """See `SegmentTraining`; exports ``segmenter.safetensors``."""

    def __init__(self, config: SegmentTraining, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.space = LabelSpace.of(config.vocabulary)
        self.learnt = learnt_classes(self.space, config.seen)
        hidden = [k for k in range(len(self.space)) if k not in self.learnt]
        self.hidden = tuple(k for k in hidden if k != self.space.background)
        told = tuple(self.space.names[k] for k in self.learnt)
        self.groups_of = groups(self.space, told, config.unseen) if config.seen else {}
        self.modules: dict[str, nn.Module] = {}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the frozen model, makes the segmenter, encodes the names and opens the pictures."""
        from scenewright.backbone.tap_layout import tap_layout
        from scenewright.models.heads import load_one_pass
        from scenewright.models.load import load_bundle

        config = self.config
        self.backbone = load_bundle(config.backbone, device=device, dtype=torch.float32).backbone
        if config.start:
            self.net = load_one_pass(config.start, config.backbone, self.backbone).net
            self.net.requires_grad_(True).train()
        else:
            self.net = config.net.fresh(self.backbone, self.loop.seed).to(device)
        self.modules["net"] = self.net
        self.layout = tap_layout(self.backbone.unet, self.net.config.layout)
        self.pictures = self._pictures()
        self.checks = self._checks()
        self.vectors = self._vectors()
        self.weight_K = self._weights().to(device)

    def _pictures(self) -> Labelled:
        config = self.config
        found: list[Labelled] = [open_records(config.data, self.space)] if config.data else []
        if config.renders is not None:
            found.append(RenderSet(open_annotated([config.renders], config.cache, say), self.space))
        joined = found[0] if len(found) == 1 else Joined(tuple(found))
        return Hidden(joined, self.hidden) if self.hidden else joined

    def _checks(self) -> Labelled:
        config = self.config
        if config.check:
            return open_records(config.check, self.space, config.checked)
        size_wh = config.size_wh if config.renders is None else config.renders.size_wh
        return drawn_checks(config.checked, size_wh, self.space, config.cache)

    def _vectors(self) -> tuple[Tensor, ...]:
        """Of every class that is learnt the vectors [names times templates, D]."""
        from scenewright.segment.see import class_texts

        known, found = load(self.space.vocabulary), []
        for k in self.learnt:
            names = spoken(known.by_id(self.space.ids[k]))
            told = names[:1] if self.config.names == "first" else names
            parts = [
                class_texts(self.backbone, list(told), [one]).vectors_KD for one in self.net.config.templates
            ]
            found.append(torch.cat(parts))
        return tuple(found)

    def _weights(self) -> Tensor:
        """Of the classes that are learnt; their mean over pixels is 1."""
        size = len(self.learnt)
        if self.config.class_weights == "none":
            return torch.ones(size)
        labels_BHW = self._views(stream_rng(self.loop.seed, "weights"), COUNTED)["labels"]
        places = self._places(labels_BHW)
        share_K = np.bincount(places[places != IGNORE], minlength=size) / max(1, places.size)
        weight_K = 1 / np.sqrt(share_K + 1e-3)
        return torch.tensor(weight_K / (weight_K * share_K).sum() * share_K.sum(), dtype=torch.float32)

    def _views(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        return batch([self.pictures], [1.0], count, self.config.size_wh, self.config.zoom, rng)

    def _places(self, labels_BHW: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Outputs of the label space as places among the learnt classes (`IGNORE`: none of them)."""
        table = np.full(IGNORE + 1, IGNORE, np.int64)
        table[list(self.learnt)] = np.arange(len(self.learnt))
        found: np.ndarray[Any, np.dtype[np.int64]] = table[labels_BHW]
        return found

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and convolutions."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """images_BHW3 (uint8), labels_BHW (places in the picture's list, `IGNORE`), the lists asked_BJ
        (places among the learnt classes), told_K (which vector; -1: the mean) and hidden_K."""
        rng = stream_rng(self.loop.seed, "segment", step, rank)
        made = self._views(rng, self.loop.batch_size)
        places_BHW = self._places(made["labels"])
        asked = [self._asked(places_HW, rng) for places_HW in places_BHW]
        counts = [len(one) for one in self.vectors]
        told = [int(rng.integers(n)) if n > 1 and rng.random() < 0.5 else -1 for n in counts]
        labels_BHW = np.full(places_BHW.shape, IGNORE, np.int32)
        for row, own in zip(range(len(asked)), asked, strict=True):
            for place, k in enumerate(own):
                labels_BHW[row][places_BHW[row] == k] = place
        return {
            "images": torch.from_numpy(made["images"]),
            "labels": torch.from_numpy(labels_BHW),
            "asked": torch.tensor(asked),
            "told": torch.tensor(told),
            "hidden": torch.from_numpy(rng.random(len(counts)) < self.config.text_dropout),
        }

    def _asked(self, places_HW: Any, rng: np.random.Generator) -> list[int]:
        """Classes that are shown, the largest first if there are too many, and others; in random order."""
        size = len(self.learnt)
        count = min(self.config.asked or size, size)
        pixels_K = np.bincount(places_HW[places_HW != IGNORE].ravel(), minlength=size)
        shown = [int(k) for k in np.argsort(-pixels_K, kind="stable") if pixels_K[k]][:count]
        others = [k for k in range(size) if k not in shown]
        more = rng.permutation(others)[: count - len(shown)]
        return [int(k) for k in rng.permutation([*shown, *more.tolist()])]

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy over the lists, weighted by class, and the Dice term; logs the share of right
        pixels."""
        label_BHW = batch["labels"].long()
        first = self.config.sparse // 2
        label_BHW = label_BHW[:, first :: self.config.sparse, first :: self.config.sparse]
        logits_BJyx = self._logits(batch, generator)
        logits_BJHW = nnf.interpolate(logits_BJyx, label_BHW.shape[1:], mode="bilinear", align_corners=False)
        known_BHW = label_BHW != IGNORE
        weight_BJ = self.weight_K[batch["asked"]]
        place_BHW = torch.where(known_BHW, label_BHW, 0)
        weight_BHW = weight_BJ.gather(1, place_BHW.flatten(1)).view_as(place_BHW) * known_BHW
        entropy_BHW = nnf.cross_entropy(logits_BJHW, label_BHW, ignore_index=IGNORE, reduction="none")
        entropy = (entropy_BHW * weight_BHW).sum() / known_BHW.sum().clamp(min=1)
        pairs = zip(logits_BJHW, label_BHW, strict=True)
        dice = torch.stack([soft_dice_loss(one[None], own[None], IGNORE) for one, own in pairs]).mean()
        right = (logits_BJHW.detach().argmax(1) == label_BHW)[known_BHW].float().mean()
        found = entropy + self.config.dice_weight * dice
        return found, {"right": torch.nan_to_num(right), "entropy": entropy.detach(), "dice": dice.detach()}

    def _logits(self, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        """Logits [B, J, y, x] of the classes that each picture is asked for."""
        from scenewright.segment.see import see_signal, with_keys

        signal_BCHW = batch["images"].permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
        signal_BCHW = disturbed(signal_BCHW, self.config.disturbance, generator)
        seen = see_signal(self.backbone, signal_BCHW, self.layout, timestep=self.net.config.timestep)
        union, chosen_BJ = batch["asked"].unique(return_inverse=True)
        told = batch["told"].tolist()
        vectors = [
            self.vectors[k].mean(0) if told[k] < 0 else self.vectors[k][told[k]] for k in union.tolist()
        ]
        texts = with_keys(self.backbone.unet, torch.stack(vectors))
        found: Tensor = self.net(seen, texts, batch["hidden"][union], chosen_BJ)
        return found

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """With the whole vocabulary as prompts: mIoU, that of each group, pixel accuracy; and a sheet."""
        from scenewright.flows.segment import PictureSegmenter
        from scenewright.scene.draw import contact_sheet
        from scenewright.scene.io import write_png

        segmenter = PictureSegmenter(self.backbone, self.net)
        scored, cells, captions = self.space.scored(), list[Any](), list[str]()
        pairs: list[tuple[Any, Any]] = []
        for rows in in_batches(range(len(self.checks)), BATCH):
            items = [self.checks.item(k) for k in rows]
            maps = labelled(segmenter, [image for image, _ in items], load(self.space.vocabulary), self.space)
            pairs += [(truth, found) for (_, truth), found in zip(items, maps, strict=True)]
            for (image, truth), found in list(zip(items, maps, strict=True))[: SHOWN - len(cells) // 3]:
                cells += [image, scored.colours(truth), scored.colours(found)]
                captions += ["", "truth", "labels"]
        write_png(out / "labels.png", contact_sheet(cells, captions, columns=6))
        score = semantic_score(pairs, scored, background=False)
        lines = [f"{k} {'-' if v is None else f'{v:.4f}'}\n" for k, v in score.class_iou().items()]
        (out / "classes.txt").write_text("".join(lines), encoding="utf-8")
        return self._figures(score)

    def _figures(self, score: SemanticScore) -> dict[str, float]:
        return {name: round(value, 6) for name, value in figures(score, self.groups_of).items()}

    def export(self, folder: Path) -> None:
        """``segmenter.safetensors`` in half precision, tied to the backbone."""
        from scenewright.models.adapter import save_adapter

        save_adapter(
            folder / "segmenter.safetensors",
            self.net,
            self.net.config,
            "segmenter",
            self.backbone.fingerprint,
            backbone_name=self.backbone.name,
            text_fingerprint=self.backbone.text_fingerprint,
            dtype=torch.float16,
            notes=self.notes(),
        )

    def notes(self) -> dict[str, Any]:
        """What the file says of its training."""
        return {
            "vocabulary": self.space.vocabulary,
            "seen": [self.space.names[k] for k in self.learnt],
            "unseen": list(self.config.unseen),
            "pictures": len(self.pictures),
            "samples": self.loop.steps * self.loop.batch_size * self.loop.accumulate,
            "seed": self.loop.seed,
        }


def learnt_classes(space: LabelSpace, seen: tuple[str, ...]) -> tuple[int, ...]:
    """Outputs of a label space that are learnt: the things named in `seen` and all stuff; everything where
    none is named. The background is never one. Raises InputError for a name that is no class."""
    known = load(space.vocabulary)
    every = [k for k in range(len(space)) if k != space.background]
    if not seen:
        return tuple(every)
    chosen = set(space.positions(seen))
    return tuple(k for k in every if k in chosen or not known.by_id(space.ids[k]).thing)


def labelled(segmenter: Any, images: Any, vocabulary: Vocabulary, space: LabelSpace) -> list[Any]:
    """Maps of outputs of a label space that a `PictureSegmenter` finds with all of a vocabulary asked for."""
    found = segmenter.segment(images, SegmentOptions(vocabulary=vocabulary))
    return [space.outputs(one.labels) for one in found]
