"""SegFormer: segmenters of transformers' own class, in transformers' own folders.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", NeurIPS 2021
(arXiv 2105.15203). A folder holds ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``, so
that transformers reads it, and ours hold ``scenewright.json`` besides: the vocabulary, and what is known of
the training. Pictures are prepared here, without transformers' image processors, which need torchvision.

Letters: B pictures, H W pixels, K classes, h w cells of the logits.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.imports import without_collection
from scenewright.backbone.parts import quiet
from scenewright.errors import ModelError, StorageError
from scenewright.models.judges.pictures import Picture, as_signal, in_batches, resized
from scenewright.models.registry import HUB_ID
from scenewright.models.store import snapshot
from scenewright.scene import IGNORE, SemanticMap
from scenewright.scene.files import atomic_write, read_json, to_json_bytes
from scenewright.scene.io import check_image
from scenewright.scene.label_space import LabelSpace

ABOUT = "scenewright.json"
"""What a folder says besides transformers' files: "vocabulary", "things", "notes", "scores"."""

BATCH = 8
"""Pictures of one size that are labelled together."""

HALF = 0.5, 0.5, 0.5


@dataclass(frozen=True, kw_only=True)
class SegformerSize:
    """Sizes of a fresh network, of its four stages from the finest on.

    The defaults make 1.6 M parameters with 39 classes, for pictures of 128 px; the published B0 has channels
    32, 64, 160, 256, heads 1, 2, 5, 8, reductions 8, 4, 2, 1 and a decoder of 256.
    """

    channels: tuple[int, ...] = (32, 64, 128, 160)
    depths: tuple[int, ...] = (2, 2, 2, 2)  # blocks per stage
    heads: tuple[int, ...] = (1, 2, 4, 5)
    reductions: tuple[int, ...] = (4, 2, 1, 1)  # keys and values are taken from maps so many times smaller
    patches: tuple[int, ...] = (7, 3, 3, 3)
    strides: tuple[int, ...] = (4, 2, 2, 2)  # their first is the side of a cell of the logits, in pixels
    decoder: int = 128
    drop_path: float = 0.05  # largest rate of skipped residual branches
    dropout: float = 0.1  # before the classifier


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is done to a picture first: the size that it is stretched to (None: its own), then the mean and
    the standard deviation per channel, of values in [0,1]."""

    size_wh: tuple[int, int] | None = None
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF

    def __call__(self, signal_BCHW: Tensor) -> Tensor:
        """Pictures in [-1,1] as the network takes them, at the size that they have."""
        mean_C11 = signal_BCHW.new_tensor(self.mean)[:, None, None]
        std_C11 = signal_BCHW.new_tensor(self.std)[:, None, None]
        return ((signal_BCHW + 1) / 2 - mean_C11) / std_C11

    def to_json(self) -> dict[str, Any]:
        """As transformers' ``preprocessor_config.json``."""
        width, height = self.size_wh or (512, 512)
        return {
            "image_processor_type": "SegformerImageProcessor",
            "do_resize": self.size_wh is not None,
            "size": {"height": height, "width": width},
            "resample": 2,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_reduce_labels": False,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preparation:
        """From ``preprocessor_config.json``; what it leaves out is as in transformers (ImageNet's mean)."""
        size, given = None, value.get("size", 512)
        if value.get("do_resize", True):
            size = (given["width"], given["height"]) if isinstance(given, dict) else (given, given)
        mean = value.get("image_mean", (0.485, 0.456, 0.406))
        return cls(size_wh=size, mean=tuple(mean), std=tuple(value.get("image_std", (0.229, 0.224, 0.225))))


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A segmenter that is ready to use.

    net        SegformerForSemanticSegmentation, or another of transformers' classes with ``logits``
    names      of its K outputs
    prepare    what is done to pictures first
    space      the classes of our vocabulary that the outputs are; None for a foreign folder
    about      ``scenewright.json``, empty for a foreign folder
    """

    net: Any
    names: tuple[str, ...]
    prepare: Preparation = field(default_factory=Preparation)
    space: LabelSpace | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def logits(self, images_BHW3: NDArray[np.uint8]) -> Tensor:
        """Float32 logits [B,K,H,W] of pictures of one size (uint8), at that size."""
        place = next(self.net.parameters())
        height, width = images_BHW3.shape[1:3]
        signal_BCHW = resized(as_signal(images_BHW3), self.prepare.size_wh or (width, height))
        prepared_BCHW = self.prepare(signal_BCHW).to(place.device, place.dtype)
        return full_size(self.net(pixel_values=prepared_BCHW).logits, (height, width))

    def labels(self, images: Sequence[Picture]) -> list[NDArray[np.uint16]]:
        """The likeliest output [H,W] in each pixel of each picture (HW3 uint8, any sizes).

        Raises InputError for arrays that are no pictures.
        """
        for image in images:
            check_image(image)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for k, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(k)
        found: dict[int, NDArray[np.uint16]] = {}
        for places in by_size.values():
            for batch in in_batches(places, BATCH):
                labels_BHW = self.logits(np.stack([images[k] for k in batch])).argmax(1)
                found |= dict(zip(batch, labels_BHW.cpu().numpy().astype(np.uint16), strict=True))
        return [found[k] for k in range(len(images))]

    def maps(self, images: Sequence[Picture]) -> list[SemanticMap]:
        """The semantic map of each picture. Raises ModelError for a folder without a vocabulary."""
        if self.space is None:
            raise ModelError(f"this segmenter has no vocabulary: its folder has no {ABOUT}")
        return [self.space.labels(labels_HW) for labels_HW in self.labels(images)]


def full_size(logits_BKhw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Logits in float32 at the size of the picture, bilinear."""
    return nnf.interpolate(logits_BKhw.float(), size_hw, mode="bilinear", align_corners=False)


def fresh(names: Sequence[str], size: SegformerSize) -> Any:
    """A SegformerForSemanticSegmentation of that size with random weights."""
    with without_collection():
        from transformers import SegformerConfig, SegformerForSemanticSegmentation
    config = SegformerConfig(
        num_encoder_blocks=len(size.channels),
        hidden_sizes=list(size.channels),
        depths=list(size.depths),
        num_attention_heads=list(size.heads),
        sr_ratios=list(size.reductions),
        patch_sizes=list(size.patches),
        strides=list(size.strides),
        mlp_ratios=[4] * len(size.channels),
        decoder_hidden_size=size.decoder,
        drop_path_rate=size.drop_path,
        classifier_dropout_prob=size.dropout,
        **_named(names),
    )
    return SegformerForSemanticSegmentation(config)


def begin_from(name: str | Path, names: Sequence[str]) -> tuple[Any, Preparation]:
    """A segmenter to be trained further: a folder or a hub id that is on this machine, with as many outputs
    as `names`; the classifier starts anew if it had another number. See `load_segmenter` for errors."""
    folder = _folder(name)
    return _from_pretrained(folder, ignore_mismatched_sizes=True, **_named(names)), _preparation(folder)


def load_segmenter(name: str | Path, *, device: torch.device | str = "cpu") -> Segmenter:
    """The segmenter in a folder, or of a hub id whose files are on this machine: frozen, in float32.

    Raises ModelError if it is not there or no SegFormer, or its ``scenewright.json`` does not fit.
    """
    folder = _folder(name)
    net = _from_pretrained(folder).requires_grad_(False).eval().to(device)
    names = tuple(net.config.id2label[k] for k in range(net.config.num_labels))
    file = folder / ABOUT
    if not file.is_file():
        return Segmenter(net, names, _preparation(folder))
    about = read_json(file)
    if not isinstance(about, dict) or not isinstance(about.get("vocabulary"), str):
        raise ModelError(f"{file}: expected an object with a vocabulary")
    space = LabelSpace.of(about["vocabulary"], things=bool(about.get("things")))
    if space.names != names:
        raise ModelError(
            f"{file} says that the outputs are {len(space)} classes of {space.vocabulary!r}, config.json "
            f"names {len(names)} others",
            "both are written together: copy the whole folder",
        )
    return Segmenter(net, names, _preparation(folder), space, about)


def save_segmenter(segmenter: Segmenter, folder: str | Path) -> Path:
    """Write a segmenter as a folder that transformers and `load_segmenter` read, in half precision.

    Raises StorageError if it cannot be written.
    """
    folder = Path(folder)
    half = copy.deepcopy(segmenter.net).half()
    try:
        with _quiet():
            half.save_pretrained(folder)
    except OSError as fault:
        raise StorageError(f"cannot write {folder}: {fault}", "choose another folder") from fault
    prepare = to_json_bytes(segmenter.prepare.to_json(), indent=2)
    atomic_write(folder / "preprocessor_config.json", prepare)
    if segmenter.space is not None:
        own = {"vocabulary": segmenter.space.vocabulary, "things": bool(segmenter.space.behind)}
        atomic_write(folder / ABOUT, to_json_bytes({**own, **segmenter.about}, indent=1))
    return folder


def _named(names: Sequence[str]) -> dict[str, Any]:
    """The outputs as transformers' configurations hold them."""
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: k for k, name in enumerate(names)},
        "semantic_loss_ignore_index": IGNORE,
    }


def _folder(name: str | Path) -> Path:
    """The folder of a segmenter: itself, or where the hub cache has that id."""
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise ModelError(f"{name} has no config.json", "give the folder that transformers wrote")
        return Path(name)
    if not HUB_ID.fullmatch(str(name)) or str(name).count("/") != 1:
        raise ModelError(f"there is no folder {name}", "a folder of transformers, or a hub id, is expected")
    found = snapshot(str(name))
    if found is None:
        raise ModelError(f"{name} is not on this machine", f"run: scenewright models pull {name}")
    return found


def _from_pretrained(folder: Path, **changes: Any) -> Any:
    from safetensors import SafetensorError

    with without_collection():
        from transformers import SegformerForSemanticSegmentation
    kind = read_json(folder / "config.json")
    if not isinstance(kind, dict) or kind.get("model_type") != "segformer":
        said = kind.get("model_type") if isinstance(kind, dict) else kind
        raise ModelError(f"{folder} is a {said}, expected a segformer")
    try:
        with _quiet():
            return SegformerForSemanticSegmentation.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, **changes
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as fault:
        first = str(fault).strip().partition("\n")[0]
        raise ModelError(f"no segmenter could be read from {folder}: {first}") from fault


def _preparation(folder: Path) -> Preparation:
    """What the folder says about pictures."""
    file = folder / "preprocessor_config.json"
    value = read_json(file) if file.is_file() else {}
    return Preparation.from_json(value if isinstance(value, dict) else {})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers without advice and progress bars, as it was before afterwards."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with quiet():
            yield
    finally:
        if shown:
            logging.enable_progress_bar()
