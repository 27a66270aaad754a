"""Judges of other people, for real pictures: published detectors and CLIPs of transformers, and YOLOv8.

Named by a folder that transformers can read, by the hub id of a model that lies in the hub cache, or as
``yolo:WEIGHTS.pt``, which runs Ultralytics' program in a process of its own. Nothing is fetched from the
network. Identities are the name and the first eight hex digits of a SHA-256 over configuration and weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.errors import ModelError
from scenewright.models.registry import HUB_ID
from scenewright.models.store import snapshot
from scenewright.scene import Vocabulary

if TYPE_CHECKING:
    import torch

YOLO = "yolo:"
"""Begins the name of weights of Ultralytics' YOLOv8."""

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
NOT_A_CLASS = ("N/A",)
"""Names of outputs that stand for nothing."""


@dataclass(frozen=True, kw_only=True)
class ForeignJudge:
    """What a name leads to: `kind` "detector" or "clip", identity, labels, and the folder or file."""

    kind: str
    id: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    place: Path


@dataclass(frozen=True, eq=False)
class LoadedJudge:
    """A judge of other people, loaded: the network with the methods of our own, and its identity."""

    net: Any
    id: str


def is_foreign(name: str) -> bool:
    """Whether a name can only be that of a judge of other people."""
    if name.startswith(YOLO) or Path(name).expanduser().is_dir():
        return True
    return not Path(name).is_file() and HUB_ID.fullmatch(name) is not None


def foreign_judge(name: str) -> ForeignJudge:
    """The judge that `name` leads to, without loading it. Raises ModelError if it is not there, or is of a
    kind that judges nothing."""
    if name.startswith(YOLO):
        return _yolo(Path(name.removeprefix(YOLO)).expanduser())
    folder = _folder(name)
    config = _config(folder, name)
    kind = kind_of(config)
    if kind is None:
        what = config.get("model_type", "model of no known type")
        raise ModelError(
            f"{name} is a {what}; it neither detects nor embeds",
            "a judge is an instance segmenter, an object detector or a CLIP of transformers",
        )
    labels = {"classes": class_names(config.get("id2label", {}))} if kind == "detector" else {}
    short = folder.name if Path(name).expanduser().is_dir() else name.rpartition("/")[2]
    return ForeignJudge(kind=kind, id=f"{short}@{_digest(_files(folder))}", labels=labels, place=folder)


def load_foreign(place: Path, id: str, kind: str, device: torch.device) -> LoadedJudge:
    """The judge in a folder, or YOLOv8's weights in a file. Raises ModelError if it cannot be read."""
    if place.is_file():
        from scenewright.models.judges.yolo import YoloProcess

        return LoadedJudge(YoloProcess(place), id)
    if kind == "clip":
        from scenewright.models.judges.foreign_clip import load_clip

        return LoadedJudge(load_clip(place, device), id)
    from scenewright.models.judges.foreign_detector import load_detector

    return LoadedJudge(load_detector(place, device), id)


def kind_of(config: Mapping[str, Any]) -> str | None:
    """The kind of judge that a transformers configuration makes; None for none."""
    if config.get("model_type") == "clip":
        return "clip"
    made = " ".join(config.get("architectures") or ())
    wanted = ("Segmentation", "ObjectDetection")
    return "detector" if any(word in made for word in wanted) and "Semantic" not in made else None


def class_names(id2label: Mapping[Any, str]) -> list[str]:
    """The classes of a configuration in the order of their outputs, without those that stand for nothing."""
    names = [str(id2label[key]) for key in sorted(id2label, key=int)]
    return [name for name in dict.fromkeys(names) if name not in NOT_A_CLASS]


def coco_names() -> list[str]:
    """The 80 classes of COCO in their order, which is that of YOLOv8's outputs."""
    return list(Vocabulary.load("coco").names)


def _yolo(weights: Path) -> ForeignJudge:
    if not weights.is_file():
        raise ModelError(
            f"there are no weights {weights}",
            "yolo:FILE names a file of Ultralytics, such as yolov8m-seg.pt, that is here already",
        )
    return ForeignJudge(
        kind="detector",
        id=f"{weights.stem}@{_digest([weights])}",
        labels={"classes": coco_names()},
        place=weights,
    )


def _folder(name: str) -> Path:
    place = Path(name).expanduser()
    if place.is_dir():
        return place
    found = snapshot(name)
    if found is None:
        raise ModelError(f"{name} is not in the hub cache", f"run: scenewright models pull {name}")
    return found


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ModelError(f"{name} has no config.json that can be read", "transformers writes one") from fault
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> list[Path]:
    found = [folder / "config.json", *(path for ending in WEIGHTS for path in sorted(folder.glob(ending)))]
    if len(found) == 1:
        raise ModelError(f"{folder} has no weights", f"expected {' or '.join(WEIGHTS)}")
    return found


def _digest(files: Iterable[Path]) -> str:
    """Eight hex digits of a SHA-256 over the content of files."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(2**22):
                found.update(piece)
    return found.hexdigest()[:8]
