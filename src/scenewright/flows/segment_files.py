"""The files of a segmented picture.

``NAME.labels.png``   ids of the vocabulary, 8 bits where they fit, else 16
``NAME.score.png``    probability of the class chosen, 16 bits, 65535 is 1
``NAME.entropy.png``  entropy of all classes as a share of even odds, likewise
``NAME.overlay.png``  the picture under the colours of its classes, with a legend
``NAME.segment.json`` what was asked, by what, and the area of every class that was found

The JSON is written last: a picture that has one is finished.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.flows.segment import FULL, Segmented
from scenewright.flows.segment_options import SegmentOptions
from scenewright.scene import Vocabulary
from scenewright.scene import io as picture_files
from scenewright.scene.sheet import with_list

REPORT_END = ".segment.json"
"""How the name of a picture's report ends."""

OVERLAY_PX = 960
"""Longer side of an overlay: smaller pictures are enlarged by a whole factor, larger ones shrunk."""

TINT = 0.6
"""Share of the class colours in an overlay."""

LISTED = 24
"""Classes in a legend, the largest."""


@dataclass(frozen=True)
class SegmentFiles:
    """Where the files of one picture are."""

    labels: Path
    score: Path
    entropy: Path
    overlay: Path
    report: Path

    @classmethod
    def of(cls, out: Path, name: str) -> SegmentFiles:
        """Those of the picture `name` in the folder `out`."""
        ends = (".labels.png", ".score.png", ".entropy.png", ".overlay.png", REPORT_END)
        return cls(*(out / f"{name}{end}" for end in ends))

    def all(self) -> dict[str, Path]:
        """By what they are."""
        return dict(vars(self))

    def complete(self) -> bool:
        """Whether all of them are there."""
        return all(path.is_file() for path in self.all().values())


def write_files(
    image_HW3: NDArray[np.uint8],
    found: Segmented,
    options: SegmentOptions,
    files: SegmentFiles,
    asked: Mapping[str, Any],
) -> None:
    """Write the files of a picture, the report last; `asked` is what the report says beside the areas.

    Raises StorageError.
    """
    known = options.vocabulary
    overlay = overlay_picture(image_HW3, found.labels, known)
    contents = {
        files.labels: label_bytes(found.labels, known, options.empty),
        files.score: picture_files.grey_png_bytes(found.scores),
        files.entropy: picture_files.grey_png_bytes(found.entropy),
        files.overlay: picture_files.png_bytes(overlay),
        files.report: picture_files.to_json_bytes({**asked, **areas(found, options)}, indent=1),
    }
    for path, content in contents.items():
        picture_files.atomic_write(path, content)


def label_bytes(labels_HW: NDArray[np.uint16], known: Vocabulary, empty: int = 0) -> bytes:
    """A label map as a PNG that `read_labels` reads; 8 bits where every id of the vocabulary fits."""
    most = max(known.ignore, empty, *(one.id for one in known))
    return picture_files.grey_png_bytes(labels_HW.astype(np.uint8) if most <= 255 else labels_HW)


def areas(found: Segmented, options: SegmentOptions) -> dict[str, Any]:
    """Size, and every class that was found, the largest first: pixels, share, mean probability."""
    height, width = found.labels.shape
    names = {one.id: one.name for one in options.vocabulary}
    names.setdefault(options.empty, "background")
    entries = []
    for id, pixels in found.areas().items():
        sure = float(found.scores[found.labels == id].mean()) / FULL
        share = round(pixels / (height * width), 6)
        entries.append(
            {"name": names[id], "id": id, "pixels": pixels, "share": share, "score": round(sure, 4)}
        )
    mean = round(float(found.entropy.mean()) / FULL, 4)
    return {"size_wh": [width, height], "entropy": mean, "found": entries}


def overlay_picture(
    image_HW3: NDArray[np.uint8], labels_HW: NDArray[np.uint16], known: Vocabulary
) -> NDArray[np.uint8]:
    """The picture tinted by class, dark lines between classes, and a legend of those it has."""
    from PIL import Image

    names = {one.id: (one.name, one.colour) for one in known}
    if known.background is not None:
        names.setdefault(known.background.id, (known.background.name, known.background.colour))
    scale = OVERLAY_PX / max(labels_HW.shape)
    scale = float(max(1, round(scale))) if scale > 1 else scale
    size_wh = (max(1, round(labels_HW.shape[1] * scale)), max(1, round(labels_HW.shape[0] * scale)))
    rows = np.minimum((np.arange(size_wh[1]) / scale).astype(int), labels_HW.shape[0] - 1)
    columns = np.minimum((np.arange(size_wh[0]) / scale).astype(int), labels_HW.shape[1] - 1)
    labels_HW = labels_HW[rows[:, None], columns]
    image = Image.fromarray(image_HW3).resize(size_wh, Image.Resampling.BICUBIC)
    picture_HW3 = (1 - TINT) * np.asarray(image, np.float32) + TINT * known.colours(labels_HW)
    edge_HW = np.zeros(labels_HW.shape, bool)
    edge_HW[:, 1:] |= labels_HW[:, 1:] != labels_HW[:, :-1]
    edge_HW[1:] |= labels_HW[1:] != labels_HW[:-1]
    picture_HW3[edge_HW] *= 0.35
    ids, counts = np.unique(labels_HW, return_counts=True)
    order = [int(ids[k]) for k in np.argsort(-counts, kind="stable")[:LISTED]]
    entries = [names.get(id, ("not labelled", (255, 255, 255))) for id in order]
    page = with_list(Image.fromarray(picture_HW3.round().astype(np.uint8)), entries, 16)
    return np.asarray(page, np.uint8).copy()


def told_before(files: SegmentFiles) -> dict[str, Any] | None:
    """What the report of a finished picture says; None if there is none, or it is damaged."""
    try:
        value = json.loads(files.report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
