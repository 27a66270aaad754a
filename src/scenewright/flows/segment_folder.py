"""The whole of ``scenewright segment``: pictures in any format to label maps, one batch after the other.

A picture that cannot be read does not stop the others: it is a line of ``failed.jsonl``. What is there
already, made in the same way, is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, ScenewrightError
from scenewright.flows.jobs import RESERVED, slug
from scenewright.flows.produce import ModelChoice
from scenewright.flows.samples import PHOTOGRAPHS, picture_paths
from scenewright.flows.segment import Picture, PictureSegmenter
from scenewright.flows.segment_files import SegmentFiles, told_before, write_files
from scenewright.flows.segment_options import SegmentOptions
from scenewright.flows.segment_refine import RefineOptions, Refiner
from scenewright.flows.write import CELL_PX, ELSEWHERE, FAILED, ON_SHEET, SHEET, State, check_folder
from scenewright.scene import contact_sheet
from scenewright.scene import io as picture_files


@dataclass(frozen=True, kw_only=True)
class Refine:
    """A mask denoiser's folder, and how it is used."""

    folder: Path
    options: RefineOptions = field(default_factory=RefineOptions)

    @classmethod
    def of(cls, folder: Path | None, steps: int, strength: float) -> Refine | None:
        """From the options of the command line; None without a folder. Raises InputError."""
        return cls(folder=folder, options=RefineOptions(steps=steps, strength=strength)) if folder else None

    def load(self, model: ModelChoice) -> Refiner:
        """The mask denoiser, where the model is. Raises ModelError."""
        return Refiner.load(self.folder, self.options, device=model.device, dtype=model.dtype)


@dataclass(frozen=True)
class SegmentOutcome:
    """What became of a picture: segmented now, there already, or failed (with the reason)."""

    picture: Path
    files: SegmentFiles
    state: State
    report: dict[str, Any] | None = None
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        told = {"picture": str(self.picture), "state": self.state}
        if self.state == "failed":
            return {**told, "error": self.error, "hint": self.hint}
        return {
            **told,
            **{kind: str(path) for kind, path in self.files.all().items()},
            "found": (self.report or {}).get("found", []),
        }


@dataclass(frozen=True)
class Segmentation:
    """All outcomes in the order of the pictures, the sheet, the list of failures (None: there is none)."""

    outcomes: tuple[SegmentOutcome, ...]
    sheet: Path | None
    failures: Path | None

    @property
    def failed(self) -> int:
        """Number of pictures that failed."""
        return sum(one.state == "failed" for one in self.outcomes)


def segment_files(
    pictures: Sequence[Path],
    model: ModelChoice,
    segmenter: str,
    options: SegmentOptions,
    out: Path,
    *,
    refine: Refine | None = None,
    overwrite: bool = False,
    on_done: Callable[[SegmentOutcome], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Segmentation:
    """Segment picture files, and those in folders, into `out`; `refine` names a mask denoiser for the edges.

    Raises InputError (no picture, one file alone that is none, others' files in the way), ModelError,
    StorageError.
    """
    paths = picture_paths(pictures, PHOTOGRAPHS)
    if len(paths) == 1:
        picture_files.read_image(paths[0])
    check_folder(out)
    loaded = PictureSegmenter.load(
        model.name, segmenter, device=model.device, dtype=model.dtype, allow_other=model.allow_other_backbone
    )
    refiner = refine.load(model) if refine else None
    asked = {**facts(loaded, options), **(refiner.facts() if refiner else {})}
    files = [SegmentFiles.of(out, name) for name in names_of(paths)]
    outcomes = {} if overwrite else dict(_kept(paths, files, asked))

    def ended(k: int, outcome: SegmentOutcome) -> None:
        outcomes[k] = outcome
        if on_done:
            on_done(outcome)

    for outcome in outcomes.values():
        if on_done:
            on_done(outcome)
    missing = [k for k in range(len(paths)) if k not in outcomes]
    for first in range(0, len(missing), options.batch):
        rows = missing[first : first + options.batch]
        images: dict[int, Picture] = {}
        for k in rows:
            try:
                images[k] = picture_files.read_image(paths[k])
            except ScenewrightError as fault:
                ended(k, SegmentOutcome(paths[k], files[k], "failed", None, fault.message, fault.hint))
        found = loaded.segment(list(images.values()), options)
        for (k, image), one in zip(images.items(), found, strict=True):
            if refiner:
                one = refiner.refined(image, one, options)
            told = {"picture": paths[k].name, "sha256": _sha256(paths[k]), **asked}
            write_files(image, one, options, files[k], told)
            ended(k, SegmentOutcome(paths[k], files[k], "made", told_before(files[k])))
        if on_progress:
            on_progress(first + len(rows), len(missing))
    return _ended(tuple(outcomes[k] for k in range(len(paths))), out)


def facts(loaded: PictureSegmenter, options: SegmentOptions) -> dict[str, Any]:
    """How label maps are made, for the report: equal facts and an equal picture give equal maps."""
    names = options.vocabulary.names
    listed = json.dumps([[one.name, one.id, *one.synonyms] for one in options.vocabulary])
    told: dict[str, Any] = {
        "model": loaded.backbone.name,
        "backbone": loaded.backbone.fingerprint,
        "segmenter": loaded.name,
        "fingerprint": loaded.fingerprint,
        "vocabulary": options.vocabulary.name,
        "classes": len(names),
        "classes_sha256": hashlib.sha256(listed.encode()).hexdigest()[:16],
        "background": options.background.policy,
        "dtype": str(loaded.backbone.dtype).removeprefix("torch."),
        "size": options.size,
        "tile": options.tile,
        "overlap": options.overlap if options.tile else 0,
    }
    if options.background.policy == "threshold":
        told["threshold"] = options.background.threshold
    if options.hidden:
        told["behind"] = [one[0] for one in options.hidden]
    return told


def names_of(paths: Sequence[Path]) -> Iterator[str]:
    """A plain and distinct name for each picture."""
    taken = set(RESERVED)
    for path in paths:
        base = slug(path.stem) or "picture"
        name, k = base, 2
        while name.lower() in taken:
            name, k = f"{base}-{k}", k + 1
        taken.add(name.lower())
        yield name


def _kept(
    paths: Sequence[Path], files: Sequence[SegmentFiles], asked: dict[str, Any]
) -> Iterator[tuple[int, SegmentOutcome]]:
    """Pictures that are there, made in this way. Raises InputError for others in their place."""
    for k, (path, place) in enumerate(zip(paths, files, strict=True)):
        if not place.report.is_file():
            continue
        told = told_before(place)
        same = told is not None and all(told.get(name) == value for name, value in asked.items())
        if told is None or not same or (path.is_file() and told.get("sha256") != _sha256(path)):
            raise InputError(f"{place.report} is there already, and was made in another way", ELSEWHERE)
        if place.complete():
            yield k, SegmentOutcome(path, place, "kept", told)


def _sha256(path: Path) -> str:
    return hashlib.sha256(picture_files.read_bytes(path)).hexdigest()


def _ended(outcomes: tuple[SegmentOutcome, ...], out: Path) -> Segmentation:
    """The sheet of overlays and the list of failures."""
    failures = sheet = None
    lines = [json.dumps(one.to_json()) + "\n" for one in outcomes if one.state == "failed"]
    if lines:
        failures = picture_files.atomic_write(out / FAILED, "".join(lines).encode())
    shown = [one for one in outcomes if one.state != "failed"][:ON_SHEET]
    if len(shown) > 1:
        cells = [picture_files.read_image(one.files.overlay) for one in shown]
        page = contact_sheet(cells, [one.picture.name for one in shown], cell_px=CELL_PX)
        sheet = picture_files.write_png(out / SHEET, page)
    return Segmentation(outcomes, sheet, failures)
