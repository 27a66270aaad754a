"""What heads are measured with: pictures, readers, counts that are made once.

Letters: as in `grounding_scores`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scenewright.data.record_files import record_files
from scenewright.evaluate.grounding import PictureCounts
from scenewright.flows.evaluate import Progress
from scenewright.flows.head_inputs import HeadReader
from scenewright.flows.head_scores import Shown, score_head
from scenewright.flows.masked import MaskedPicture, read_masked
from scenewright.flows.reproduce.grounding_plan import ATTENTION, SET, HeadCell, HeadsOptions, TrainHead
from scenewright.flows.reproduce.grounding_scores import (
    BATCH,
    CHECKED,
    attention_scored,
    best_threshold,
    held_out_pictures,
    read_counts,
    write_counts,
)
from scenewright.ground.head import GroundingHead
from scenewright.models.heads import load_head

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle

HEADS: Final = "heads"
SCORES: Final = "scores.json"
"""Folder of the trainings; file of counts in a training's folder."""

RENDERS: Final = "renders"
GENERATED: Final = "generated"
SETS: Final = {RENDERS: "real renders, exact masks", GENERATED: "generated pictures, the labeller's masks"}
"""Sets of pictures that heads are measured on."""

SHOWN: Final = 6
"""Pictures on the sheet where no generated ones are measured."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What heads are measured with: the model, and the pictures of every set; renders are `named` if their
    prompts name their classes only; `mark` names it all."""

    bundle: Bundle
    sets: Mapping[str, Sequence[MaskedPicture]]
    named: bool
    mark: str

    @classmethod
    def of(cls, bundle: Bundle, options: HeadsOptions, tested: Sequence[Path]) -> Bench:
        """The first renders of the held-out set, and the kept pictures of the folders."""
        sets: dict[str, Sequence[MaskedPicture]] = {RENDERS: held_out_pictures(options.scenes, options.named)}
        files: list[tuple[str, int]] = []
        if tested:
            sets[GENERATED] = read_masked(tested)
            files = [(path.name, path.stat().st_size) for path in record_files(tested)]
        told = f"{SET.id} {options.scenes} {options.named} {files} {bundle.backbone.fingerprint}"
        return cls(bundle, sets, options.named, hashlib.sha256(told.encode()).hexdigest()[:16])

    def head(self, file: Path) -> GroundingHead:
        """The head in a file, in single precision."""
        net: GroundingHead = load_head(str(file), self.bundle.name, self.bundle.backbone).net.float()
        return net

    def reader(self, head: GroundingHead) -> HeadReader:
        """What reads the features of the model for a head."""
        return HeadReader(self.bundle.backbone, head.config)

    def bare_reader(self) -> HeadReader:
        """A reader for the attention alone. ModelError for a model that does not attend to its text."""
        head = GroundingHead.for_unet(self.bundle.backbone.unet, stride=self.bundle.backbone.stride)
        return self.reader(head)


def cell_counts(
    cell: HeadCell, train: TrainHead, out: Path, bench: Bench, told: Progress
) -> dict[str, list[PictureCounts]]:
    """Counts of a cell on every set: kept ones, or of the head that is trained first."""
    folder = out / HEADS / cell.name
    key = f"{cell.digest} {bench.mark}"
    if (kept := read_counts(key, folder / SCORES)) is not None:
        return kept[0]
    file = train(cell, folder)
    head = bench.head(file)
    reader = bench.reader(head)
    found = {}
    for name, pictures in bench.sets.items():
        words = f"{SETS[name]}: {cell.title}"
        found[name] = score_head(
            head, reader, pictures, batch=BATCH,
            on_progress=lambda done, total, words=words: told(words, done, total),  # type: ignore[misc]
        ).counts  # fmt: skip
    write_counts(key, found, folder / SCORES, head=file.relative_to(folder).as_posix())
    return found


def attention_counts(out: Path, bench: Bench, told: Progress) -> tuple[dict[str, list[PictureCounts]], float]:
    """Counts of the attention alone on every set, and its threshold; kept as those of heads are."""
    path = out / ATTENTION / SCORES
    if (kept := read_counts(bench.mark, path)) is not None and "threshold" in kept[1]:
        return kept[0], float(kept[1]["threshold"])
    reader = bench.bare_reader()
    told("threshold of the attention alone", 0, 1)
    threshold = best_threshold(reader, min(CHECKED, len(bench.sets[RENDERS])), bench.named)
    found = {}
    for name, pictures in bench.sets.items():
        words = f"{SETS[name]}: attention alone"
        found[name] = attention_scored(
            reader, pictures, threshold,
            on_progress=lambda done, total, words=words: told(words, done, total),  # type: ignore[misc]
        ).counts  # fmt: skip
    write_counts(bench.mark, found, path, threshold=threshold)
    return found, threshold


def sheet_columns(cell: HeadCell, bench: Bench, threshold: float, out: Path) -> dict[str, list[Shown]]:
    """The same pictures with true masks, a head's and the attention's.

    They are the first of every test folder (one and two classes; seen, unseen, long tail), or the first
    renders where there are none.
    """
    pictures = _first_of_each(bench.sets.get(GENERATED, ())) or list(bench.sets[RENDERS][:SHOWN])
    columns = {"true": [Shown(one, one.truth()) for one in pictures]}
    kept = read_counts(f"{cell.digest} {bench.mark}", out / HEADS / cell.name / SCORES)
    file = out / HEADS / cell.name / str(kept[1].get("head", "")) if kept else None
    if file is not None and file.is_file():
        head = bench.head(file)
        columns["head"] = score_head(head, bench.reader(head), pictures, keep=len(pictures)).shown
    columns["attention alone"] = attention_scored(
        bench.bare_reader(), pictures, threshold, keep=len(pictures)
    ).shown
    return columns


def _first_of_each(pictures: Sequence[MaskedPicture]) -> list[MaskedPicture]:
    """The first picture of every folder."""
    found: dict[Path, MaskedPicture] = {}
    for one in pictures:
        if one.path is not None:
            found.setdefault(one.path.parent, one)
    return list(found.values())
