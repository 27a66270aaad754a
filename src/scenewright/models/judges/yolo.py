"""YOLOv8 in a process of its own: Ultralytics' program is run, and the labels that it writes are read.

The program is ``yolo`` on the PATH, or the command in ``SCENEWRIGHT_YOLO``; it is neither imported nor
installed by this package. It writes a text file for every picture, a line for every thing: its class, then
either centre x, centre y, width, height, or the corners of an outline, all as fractions, then its score.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scenewright.errors import ModelError, SceneError
from scenewright.evaluate.findings import Finding
from scenewright.models.judges.foreign import coco_names
from scenewright.models.judges.pictures import Picture
from scenewright.scene import Box, Mask, write_png

COMMAND = "SCENEWRIGHT_YOLO"
"""Environment variable with the command, if it is another than ``yolo``."""

LEAST, MOST, SIDE_PX = 0.001, 100, 640
"""Least score, most findings of a picture, and the size at which pictures are read: as in the program's own
validation, with COCO's limit of findings."""


@dataclass(frozen=True, eq=False)
class YoloProcess:
    """YOLOv8 with the weights of a file."""

    weights: Path
    together: int = 512
    """Pictures that one run of the program reads."""

    def findings(self, images: Sequence[Picture]) -> list[tuple[Finding, ...]]:
        """What is seen in each picture, the surest first. Raises ModelError when the program is not there,
        fails, or writes something else."""
        if not images:
            return []
        with tempfile.TemporaryDirectory(prefix="scenewright-yolo-") as place:
            folder = Path(place)
            names = [f"{k:06d}" for k in range(len(images))]
            for name, image in zip(names, images, strict=True):
                write_png(folder / "pictures" / f"{name}.png", image)
            self._run(folder)
            labels = folder / "out" / "found" / "labels"
            return [
                read_labels(labels / f"{name}.txt", (image.shape[1], image.shape[0]))
                for name, image in zip(names, images, strict=True)
            ]

    def _run(self, folder: Path) -> None:
        settings = {
            "model": self.weights.resolve(), "source": folder / "pictures", "project": folder / "out",
            "name": "found", "exist_ok": True, "save": False, "save_txt": True, "save_conf": True,
            "conf": LEAST, "iou": 0.7, "max_det": MOST, "imgsz": SIDE_PX, "verbose": False,
        }  # fmt: skip
        command = [*_command(), "predict", *(f"{key}={value}" for key, value in settings.items())]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise ModelError(f"{command[0]} failed ({done.returncode}): {last}", "does it run by itself?")


def _command() -> list[str]:
    given = shlex.split(os.environ.get(COMMAND, "yolo"))
    if not given or shutil.which(given[0]) is None:
        raise ModelError(
            f"there is no program {given[0] if given else ''!r}",
            f"install Ultralytics in an environment of its own; {COMMAND} names its command",
        )
    return given


def read_labels(path: Path, size_wh: tuple[int, int]) -> tuple[Finding, ...]:
    """The findings in a label file, the surest first; none if there is no file. Raises ModelError for lines
    of another form."""
    if not path.is_file():
        return ()
    names, found = coco_names(), []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            values = [float(word) for word in line.split()]
            one = _finding(values, names, size_wh)
        except (ValueError, IndexError) as fault:
            raise ModelError(f"{path.name}, line {number} is no label: {line[:60]!r}") from fault
        if one is not None:
            found.append(one)
    return tuple(sorted(found, key=lambda one: -one.score)[:MOST])


def _finding(values: Sequence[float], names: Sequence[str], size_wh: tuple[int, int]) -> Finding | None:
    """A line as a finding; None if nothing of it is on the picture."""
    if len(values) < 6 or len(values) % 2:
        raise ValueError("neither a box nor an outline, with a score")
    name, score, places = names[int(values[0])], min(max(values[-1], 0.0), 1.0), values[1:-1]
    if len(places) == 4:
        cx, cy, wide, high = places
        box = _box(cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2)
        return None if box is None else Finding(name, score, box)
    width, height = size_wh
    outline = [side * (width, height)[k % 2] for k, side in enumerate(min(max(v, 0.0), 1.0) for v in places)]
    mask = Mask.from_polygons([outline], size_wh)
    around = mask.box() or _box(min(places[::2]), min(places[1::2]), max(places[::2]), max(places[1::2]))
    return None if around is None else Finding(name, score, around, None if mask.is_empty else mask)


def _box(*corners: float) -> Box | None:
    x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in corners)
    try:
        return Box(x0, y0, x1, y1)
    except SceneError:
        return None
