"""Training a segmenter of a fixed list of classes on real pictures, synthetic ones, or both in a ratio.

Real pictures are renders of a drawn world, Records of any folder, or datasets of streets; synthetic ones were
drawn by a model, with masks or label maps. Rare classes of real pictures can be shown more often, and colours
changed (the usual baseline for looks that were never labelled). Cross-entropy with classes weighted by the
inverse root of their frequency, plus one minus the soft Jaccard index (`scenewright.train.segmenter`), which
is close to what is measured: dataset-level mIoU, over all classes and over seen, unseen and all others apart.

What is trained is a matter of the tasks that are made of `ClosedSetTask`: `scenewright.train.segformer`,
`scenewright.train.convolutional`.

Letters: B pictures, H W pixels, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.errors import InputError
from scenewright.evaluate.semantic import SemanticScore, semantic_score
from scenewright.models.segformer import full_size
from scenewright.scene import IGNORE
from scenewright.scene.label_space import LabelSpace
from scenewright.train.annotated import AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, Photometric, disturbed, recoloured
from scenewright.train.data import stream_rng
from scenewright.train.labelled import Hidden, Joined, Labelled, RenderSet, batch, drawn_checks
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.segmenter import soft_jaccard_loss
from scenewright.train.streets import open_pictures, rare

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

COUNTED = 200
"""Training views in which the frequency of the classes is counted."""

SHOWN = 6
"""Pictures on the sheet of a validation."""


@dataclass(frozen=True, kw_only=True)
class ClosedSetTraining:
    """The classes and the pictures; the network is added by those made of it."""

    vocabulary: str = "toybox"
    things: bool = True  # only countable classes; stuff is background
    real: tuple[Path, ...] = ()  # folders of Records, or datasets of streets, that count as real
    renders: AnnotatedSource | None = None  # real pictures that are drawn
    synthetic: tuple[Path, ...] = ()  # folders of Records that a model drew
    real_count: int = 0  # the first so many Records of `real`; 0: all of them
    synthetic_count: int = 0
    mix: tuple[float, float] = (0.0, 1.0)  # synthetic : real, in every batch on the average
    hidden: tuple[str, ...] = ()  # classes whose pixels count for nothing in real pictures
    seen: tuple[str, ...] = ()  # classes that are scored apart
    unseen: tuple[str, ...] = ()
    size_wh: tuple[int, int] = (128, 128)
    zoom: tuple[float, float] = (0.8, 1.4)
    synthetic_zoom: tuple[float, float] | None = None  # of synthetic pictures; None: the same
    rare: float = 0.0  # temperature of rare-class sampling of real pictures; 0 switches it off
    rare_least: tuple[float, float] = (
        0.0015,
        0.003,
    )  # share of a picture, of a view, to be drawn for a class
    disturbance: Disturbance = field(default_factory=Disturbance)
    colour: Photometric = field(default_factory=Photometric)  # colours from picture to picture; off
    class_weights: Literal["root", "none"] = "root"  # inverse root of the frequency, or all equal
    jaccard_weight: float = 0.5  # of the soft Jaccard term beside the cross-entropy
    sparse: int = 2  # losses are taken at every so many-th pixel across and down, at others each time
    cache: Path = Path("runs/out/judge-cache")
    checked: int = 200  # renders of the validation, of the world that the vocabulary is of
    check: tuple[Path, ...] = ()  # folders of Records to validate on instead; the first `checked` of them

    def check_pictures(self) -> None:
        """Raises InputError for a mix of pictures that are not named, and for values out of range."""
        synthetic, real = self.mix
        words = f"mix {synthetic:g}:{real:g}"
        if min(self.mix) < 0 or not sum(self.mix) > 0:
            raise InputError(f"{words} of synthetic and real pictures; expected one above 0, none below")
        if synthetic > 0 and not self.synthetic:
            raise InputError(
                f"{words} wants synthetic pictures, and task.synthetic names no folder",
                "`scenewright dataset build` makes one",
            )
        if real > 0 and not self.real and self.renders is None:
            raise InputError(
                f"{words} wants real pictures, and task.real names no folder",
                "a folder of Records with masks or label maps",
            )
        if self.sparse < 1:
            raise InputError(f"sparse is {self.sparse}; expected 1 (every pixel) or more")
        for zoom in (self.zoom, self.synthetic_zoom or self.zoom):
            if not 0 < zoom[0] <= zoom[1]:
                raise InputError(f"zoom is {zoom}; expected two factors above 0, the smaller first")
        if not self.rare >= 0 or not 0 <= self.colour.chance <= 1:
            raise InputError(
                f"rare is {self.rare}, colour.chance {self.colour.chance}; expected a temperature from 0, "
                "and a chance from 0 to 1"
            )


class ClosedSetTask(ABC):
    """See `ClosedSetTraining`."""

    def __init__(self, config: Any, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.space = LabelSpace.of(config.vocabulary, things=config.things)
        self.hidden = self.space.positions(config.hidden)
        self.groups_of = groups(self.space, config.seen, config.unseen)
        self.net = self.network()
        self.modules = {"net": self.net}

    @abstractmethod
    def network(self) -> Any:
        """The network to train: a module."""

    @abstractmethod
    def logits(self, signal_BCHW: Tensor) -> Tensor:
        """Logits [B,K,h,w] of pictures in [-1,1], at any size of their own."""

    @abstractmethod
    def labels(self, images: Sequence[Any]) -> list[Any]:
        """The likeliest output [H,W] in each pixel of each picture (HW3 uint8)."""

    @abstractmethod
    def save(self, folder: Path, notes: dict[str, Any], scores: dict[str, float]) -> None:
        """Write the network into a folder, with what it learnt from and the figures of the validation."""

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Opens the folders, draws or maps the renders, counts classes; denormal numbers count as 0."""
        torch.set_flush_denormal(True)  # they cost far more time than they say
        config = self.config
        parts = {"synthetic": self._synthetic(), "real": self._real()}
        sized = zip(parts, parts.values(), config.mix, strict=True)
        used = [(name, part, odds) for name, part, odds in sized if odds > 0 and part is not None]
        self.names = tuple(name for name, *_ in used)
        self.sets = tuple(part for _, part, _ in used)
        self.odds = tuple(odds for *_, odds in used)
        self.counts = {name: len(part) for name, part, _ in used}
        self.checks = self._checks()
        self.weight_K = self._weights().to(device)

    def _synthetic(self) -> Labelled | None:
        config = self.config
        if not config.mix[0] > 0:
            return None
        return open_pictures(config.synthetic, self.space, config.synthetic_count)

    def _real(self) -> Labelled | None:
        config = self.config
        if not config.mix[1] > 0:
            return None
        found: list[Labelled] = []
        if config.real:
            found.append(open_pictures(config.real, self.space, config.real_count))
        if config.renders is not None:
            found.append(RenderSet(open_annotated([config.renders], config.cache, say), self.space))
        joined = found[0] if len(found) == 1 else Joined(tuple(found))
        shown = Hidden(joined, self.hidden) if self.hidden else joined
        return rare(shown, config.rare, *config.rare_least) if config.rare else shown

    def _checks(self) -> Labelled:
        config = self.config
        if config.check:
            return open_pictures(config.check, self.space, config.checked)
        size_wh = config.size_wh if config.renders is None else config.renders.size_wh
        return drawn_checks(config.checked, size_wh, self.space, config.cache)

    def _weights(self) -> Tensor:
        """Of the classes; their mean over pixels is 1."""
        size = len(self.space)
        if self.config.class_weights == "none":
            return torch.ones(size)
        labels_N = self._views(stream_rng(self.loop.seed, "weights"), COUNTED)["labels"].reshape(-1)
        share_K = np.bincount(labels_N[labels_N != IGNORE], minlength=size) / max(1, labels_N.size)
        weight_K = 1 / np.sqrt(share_K + 1e-3)
        return torch.tensor(weight_K / (weight_K * share_K).sum() * share_K.sum(), dtype=torch.float32)

    def _views(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        config = self.config
        zooms = {"real": config.zoom, "synthetic": config.synthetic_zoom or config.zoom}
        each = [zooms[name] for name in self.names]
        return batch(self.sets, self.odds, count, config.size_wh, config.zoom, rng, each)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """images_BHW3 (uint8), labels_BHW (int32, `IGNORE` where nothing is known), sets_B (of `names`)."""
        made = self._views(stream_rng(self.loop.seed, "segformer", step, rank), self.loop.batch_size)
        return {key: torch.from_numpy(value) for key, value in made.items()}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """Weighted cross-entropy and the soft Jaccard term, over pixels of which something is known."""
        signal_BCHW = batch["images"].permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
        signal_BCHW = recoloured(signal_BCHW, self.config.colour, generator)
        signal_BCHW = disturbed(signal_BCHW, self.config.disturbance, generator)
        label_BHW = batch["labels"].long()
        logits_BKhw = self.logits(signal_BCHW)
        logits_BKHW = full_size(logits_BKhw, (label_BHW.shape[1], label_BHW.shape[2]))
        logits_BKHW, label_BHW = self._thinned(logits_BKHW, label_BHW, generator)
        known_BHW = label_BHW != IGNORE
        entropy_BHW = nnf.cross_entropy(
            logits_BKHW, label_BHW, self.weight_K, ignore_index=IGNORE, reduction="none"
        )
        entropy = entropy_BHW.sum() / known_BHW.sum().clamp(min=1)
        jaccard = soft_jaccard_loss(logits_BKHW, label_BHW, IGNORE)
        right = (logits_BKHW.detach().argmax(1) == label_BHW)[known_BHW].float().mean()
        found = entropy + self.config.jaccard_weight * jaccard
        numbers = {"right": torch.nan_to_num(right), "entropy": entropy.detach()}
        if "synthetic" in self.names:
            numbers["synthetic"] = (batch["sets"] == self.names.index("synthetic")).float().mean()
        return found, numbers

    def _thinned(
        self, logits_BKHW: Tensor, label_BHW: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Every n-th pixel, with n = `sparse`, from a random one of the first n on."""
        n = self.config.sparse
        if n == 1:
            return logits_BKHW, label_BHW
        down, right = torch.randint(n, (2,), generator=generator, device=label_BHW.device).tolist()
        return logits_BKHW[:, :, down::n, right::n], label_BHW[:, down::n, right::n]

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """mIoU over all classes and each group of them, pixel accuracy, a file of IoUs, and a sheet: picture,
        truth, labels."""
        from scenewright.scene.draw import contact_sheet
        from scenewright.scene.io import write_png

        items = [self.checks.item(k) for k in range(len(self.checks))]
        labels = self.labels([image for image, _ in items])
        scored = self.space.scored()
        cells, captions = [], []
        for (image, truth), found in list(zip(items, labels, strict=True))[:SHOWN]:
            cells += [image, scored.colours(truth), scored.colours(found)]
            captions += ["", "truth", "labels"]
        write_png(out / "labels.png", contact_sheet(cells, captions, columns=6))
        pairs = [(truth, found) for (_, truth), found in zip(items, labels, strict=True)]
        score = semantic_score(pairs, scored)
        lines = [f"{k} {'-' if v is None else f'{v:.4f}'}\n" for k, v in score.class_iou().items()]
        (out / "classes.txt").write_text("".join(lines), encoding="utf-8")
        return figures(score, self.groups_of)

    def export(self, folder: Path) -> None:
        """What was learnt, in half precision, with what it learnt from and figures of the validation."""
        pairs = []
        for k in range(len(self.checks)):
            image, truth = self.checks.item(k)
            pairs.append((truth, self.labels([image])[0]))
        score = figures(semantic_score(pairs, self.space.scored()), self.groups_of)
        notes = {
            "pictures": self.counts,
            "mix": list(self.config.mix),
            "rare": self.config.rare,
            "colour": self.config.colour.chance,
            "hidden": list(self.config.hidden),
            "samples": self.loop.steps * self.loop.batch_size * self.loop.accumulate,
            "seed": self.loop.seed,
        }
        rounded = {name: round(value, 4) for name, value in score.items() if np.isfinite(value)}
        self.save(folder, notes, rounded)


def groups(space: LabelSpace, seen: tuple[str, ...], unseen: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Classes that are scored apart, by group: "seen", "unseen", and "other" if there are others.

    Raises InputError for names that are none of the classes, or in both.
    """
    if not seen and not unseen:
        return {}
    outputs = {"seen": space.positions(seen), "unseen": space.positions(unseen)}
    if both := set(outputs["seen"]) & set(outputs["unseen"]):
        raise InputError(f"{space.names[min(both)]!r} is both seen and unseen")
    found = {name: tuple(space.names[k] for k in chosen) for name, chosen in outputs.items()}
    told = {*found["seen"], *found["unseen"]}
    found["other"] = tuple(name for name in space.classes if name not in told)
    return {name: names for name, names in found.items() if names}


def figures(score: SemanticScore, parts: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """ "miou" of all classes but the background, the same of each group under its name, and "pixels"."""
    once = np.ones((1, score.pictures))
    every = tuple(name for name in score.names if name != "background")
    found = {"miou": every, **parts}
    values = {name: float(score.mean_iou_of(names)(once)[0]) for name, names in found.items()}
    return {**values, "pixels": float(score.pixel_accuracy(once)[0])}
