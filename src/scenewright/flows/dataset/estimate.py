"""What a data set will cost, before it is built: one batch is drawn, measured, and thrown away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenewright.flows.dataset.build import file_contents, todo
from scenewright.flows.dataset.folder import DESCRIPTION, Dataset
from scenewright.flows.dataset.request import Prepared
from scenewright.flows.dataset.work import Failed, Made, attempt
from scenewright.flows.generate import stepwise

ENTRY_BYTES = 420
"""About so long is a line of the journal."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one batch says about all of them.

    pictures, done       of the data set; of it already in the journal
    measured, kept       pictures of the batch; of it kept by the filter
    failed               pictures of the batch that could not be made
    seconds_each         to draw, label and filter a picture
    bytes_each           of the files of a kept picture
    seconds_left, bytes_left  for what is missing
    bytes_free           on that disk
    """

    pictures: int
    done: int
    measured: int
    kept: int
    failed: int
    seconds_each: float
    bytes_each: int
    seconds_left: float
    bytes_left: int
    bytes_free: int

    @property
    def fits(self) -> bool:
        """Whether the disk has room for it."""
        return self.bytes_left <= self.bytes_free

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {**asdict(self), "fits": self.fits}


def estimate(ready: Prepared, out: Path, on_progress: Callable[[float, int], None] | None = None) -> Estimate:
    """Draw the first batch that is missing, and reckon. Writes nothing."""
    done = {one.name: one for one in Dataset.open(out).journal} if (out / DESCRIPTION).is_file() else {}
    work = todo(ready.orders, done, ready.tools.options.batch)
    left = sum(one.name not in done for one in ready.orders)
    members = work[0] if work else ()
    began = time.perf_counter()
    results = (
        attempt(
            ready.tools,
            [ready.orders[k] for k in members],
            stepwise(on_progress, 0, len(members), len(members)),
        )
        if members
        else []
    )
    each = (time.perf_counter() - began) / max(1, len(members))
    made = [one for one in results if isinstance(one, Made)]
    kept = [one for one in made if not one.reasons]
    sizes = [sum(map(len, file_contents(one, out, "000000-name").values())) for one in made]
    size = round(sum(sizes) / len(sizes)) if sizes else 0
    share = len(kept) / len(members) if members else 0.0
    return Estimate(
        pictures=len(ready.orders),
        done=len(ready.orders) - left,
        measured=len(members),
        kept=len(kept),
        failed=sum(isinstance(one, Failed) for one in results),
        seconds_each=round(each, 4),
        bytes_each=size,
        seconds_left=round(each * sum(map(len, work)), 1),
        bytes_left=round(left * (share * size + ENTRY_BYTES)),
        bytes_free=shutil.disk_usage(_existing(out)).free,
    )


def lines(found: Estimate) -> list[str]:
    """As the command line prints it."""
    if not found.measured:
        return [f"{found.pictures} pictures, all of them done"]
    told = [
        f"{found.pictures} pictures, {found.done} done",
        f"time   {duration(found.seconds_left)} "
        f"({found.seconds_each:.2f} s each, measured on {found.measured})",
        f"disk   {size(found.bytes_left)} ({size(found.bytes_each)} each kept one); "
        f"{size(found.bytes_free)} are free",
        f"kept   {found.kept} of {found.measured} in the batch that was measured",
    ]
    if found.failed:
        told.append(f"failed {found.failed} of {found.measured}")
    if not found.fits:
        told.append("the disk is too small for it")
    return told


def duration(seconds: float) -> str:
    """ "2 h 05 min", "3 min 20 s", "12 s"."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def size(count: float) -> str:
    """ "1.2 MB": decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def _existing(out: Path) -> Path:
    return next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
