"""Trackers beside the JSONL log: tensorboard, wandb, trackio; imported only when asked for.

A tracker gets the numbers of the log under flat names (``loss``, ``validation/iou``) and the pictures of a
validation. Keys and accounts are the tracker's own business (its environment variables); nothing is passed
on here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scenewright.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
PROJECT = "scenewright"


class Tracker(Protocol):
    """Where numbers and pictures of a run go."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Record flat numbers of `step`."""

    def pictures(self, folder: Path, step: int) -> None:
        """Record the picture files of `folder`."""

    def close(self) -> None:
        """Send what is left and stop."""


def _module(name: str, tracker: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = f"pip install 'scenewright[track]', or leave {tracker} out of loop.trackers"
        raise InputError(f"the tracker {tracker} is not installed ({error})", hint) from error


def picture_files(folder: Path) -> list[Path]:
    """The picture files directly in `folder`, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


class Tensorboard:
    """Event files in ``OUT/tensorboard``; on resuming, events after the checkpoint are hidden."""

    def __init__(self, name: str, key: str, out: Path, config: Mapping[str, Any], step: int) -> None:
        summary = _module("torch.utils.tensorboard", "tensorboard")
        self.writer = summary.SummaryWriter(str(out / "tensorboard"), purge_step=step or None)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write one scalar per value."""
        for key, value in values.items():
            self.writer.add_scalar(key, value, step)

    def pictures(self, folder: Path, step: int) -> None:
        """Write every picture under its file name."""
        import numpy as np
        from PIL import Image

        for path in picture_files(folder):
            with Image.open(path) as image:
                array_HW3 = np.asarray(image.convert("RGB"))
            self.writer.add_image(f"validation/{path.stem}", array_HW3, step, dataformats="HWC")

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


class _Hosted:
    """What wandb and trackio share: ``init`` gives a run with ``log``; pictures are ``Image(path)``."""

    def __init__(self, module: Any, run: Any) -> None:
        self.module, self.run = module, run

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send the values as one entry of `step`."""
        self.run.log(dict(values), step=step)

    def pictures(self, folder: Path, step: int) -> None:
        """Send every picture under its file name."""
        found = {f"validation/{path.stem}": self.module.Image(str(path)) for path in picture_files(folder)}
        if found:
            self.run.log(found, step=step)

    def close(self) -> None:
        """Finish the run."""
        self.module.finish()  # that of the run would leave trackio's exit handler to finish it again


class Wandb(_Hosted):
    """A wandb run, files in ``OUT/wandb``; ``WANDB_MODE=offline`` keeps it on this machine."""

    def __init__(self, name: str, key: str, out: Path, config: Mapping[str, Any], step: int) -> None:
        wandb = _module("wandb", "wandb")
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=os.environ.get("WANDB_NAME", name),
            config=dict(config),
            dir=str(out),
            id=key,
            resume="allow",
            reinit="finish_previous",
        )
        super().__init__(wandb, run)


class Trackio(_Hosted):
    """A trackio run in its local database (``TRACKIO_DIR``), or on the space ``TRACKIO_SPACE_ID``."""

    def __init__(self, name: str, key: str, out: Path, config: Mapping[str, Any], step: int) -> None:
        trackio = _module("trackio", "trackio")
        space = os.environ.get("TRACKIO_SPACE_ID")
        run = trackio.init(
            project=PROJECT, name=f"{name}-{key}", config=dict(config), resume="allow", space_id=space
        )
        super().__init__(trackio, run)


_TRACKERS: dict[str, type[Tensorboard] | type[Wandb] | type[Trackio]] = {
    "tensorboard": Tensorboard,
    "wandb": Wandb,
    "trackio": Trackio,
}


def start(names: Sequence[str], name: str, out: Path, config: Mapping[str, Any], step: int) -> list[Tracker]:
    """Start the trackers `names` for run `name` with results in `out`, continuing at `step`.

    A resumed run continues the same run of the tracker, whose key is kept in ``OUT/tracking.txt``. What they
    print goes to stderr. Raises InputError, naming the extra to install, for a tracker that is not there.
    """
    if not names:
        return []
    path = out / "tracking.txt"
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:8])
    with contextlib.redirect_stdout(sys.stderr):
        return [_TRACKERS[kind](name, path.read_text().strip(), out, config, step) for kind in names]


def stop(started: Sequence[Tracker]) -> None:
    """Close all of `started`; what they print goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        for tracker in started:
            tracker.close()


def flatten(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a log line under flat names: ``{"validation": {"iou": 1}}`` gives ``validation/iou``."""
    found: dict[str, float] = {}
    for key, value in line.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and key != "step":
            found[f"{prefix}{key}"] = value
    return found
