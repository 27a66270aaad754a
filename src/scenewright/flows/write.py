"""Pictures on disk: draw what is missing, whole files only, resume by name, a sheet of everything at the end.

Each picture is ``NAME.png`` (its record inside), ``NAME.scene.json`` and ``NAME.overlay.png``; with masks
``NAME.CLASS.mask.png`` and ``NAME.CLASS.cutout.png``, with edits ``NAME.strip.png`` (`flows.edit`); beside
them ``sheet.png`` and, if something failed, ``failed.jsonl``. The unit of work is the batch with fixed
membership: a run that was interrupted and continued leaves the same bytes as one that was not.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenewright.errors import InputError, ScenewrightError, StorageError
from scenewright.flows.ground_files import (
    CUTOUT_END,
    MASK_END,
    class_files,
    contents,
    drawable,
    overlay_picture,
    tint_of,
)
from scenewright.flows.jobs import Job
from scenewright.flows.map_pictures import blend, has_map
from scenewright.scene import Record, contact_sheet, overlay
from scenewright.scene import io as picture_files
from scenewright.scene.reading import scene_text
from scenewright.scene.record import SCENE_SUFFIX

if TYPE_CHECKING:
    from scenewright.flows.ground import Grounder
    from scenewright.flows.options import GenerateOptions
    from scenewright.models.bundle import Bundle
    from scenewright.scene import Scene

SHEET, FAILED = "sheet.png", "failed.jsonl"
ON_SHEET = 40
"""The contact sheet shows at most this many pictures, the first ones."""

ELSEWHERE = "--overwrite replaces it; --out FOLDER puts the new one elsewhere"
"""Advice for files that are in the way."""

CELL_PX = 256
"""Longer side of a picture on the sheet."""

State = Literal["made", "kept", "failed"]


@dataclass(frozen=True)
class Files:
    """The files of one picture; `overlay` is None where none is wanted; `masks` and `cutouts` by class;
    `strip` shows what an edit changed."""

    png: Path
    scene: Path
    overlay: Path | None
    masks: Mapping[str, Path] = field(default_factory=dict)
    cutouts: Mapping[str, Path] = field(default_factory=dict)
    strip: Path | None = None

    @classmethod
    def of(
        cls, out: Path, name: str, *, overlay: bool = True, labels: Sequence[str] = (), cutouts: bool = False
    ) -> Files:
        """Those of the picture `name` in the folder `out`; `labels` are the classes that have masks."""
        return cls(
            out / f"{name}.png",
            out / f"{name}{SCENE_SUFFIX}",
            out / f"{name}.overlay.png" if overlay else None,
            class_files(out, name, labels, MASK_END),
            class_files(out, name, labels if cutouts else (), CUTOUT_END),
        )

    def complete(self) -> bool:
        """Whether all of them are there."""
        several = (*self.masks.values(), *self.cutouts.values())
        single = (self.png, self.scene, self.overlay, self.strip)
        return all(path is None or path.is_file() for path in (*single, *several))


@dataclass(frozen=True)
class Outcome:
    """What became of a job: drawn now, there already, or failed (with the reason)."""

    job: Job
    files: Files
    state: State
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        if self.state == "failed":
            return {"name": self.job.name, "state": "failed", "error": self.error, "hint": self.hint}
        return {
            "name": self.job.name,
            "state": self.state,
            "picture": str(self.files.png),
            "scene": str(self.files.scene),
            **({"overlay": str(self.files.overlay)} if self.files.overlay else {}),
            **({"strip": str(self.files.strip)} if self.files.strip else {}),
            **{
                kind: {label: str(path) for label, path in paths.items()}
                for kind, paths in (("masks", self.files.masks), ("cutouts", self.files.cutouts))
                if paths
            },
            "seed": self.job.seed,
            "prompt": self.job.scene.prompt,
        }


@dataclass(frozen=True)
class Written:
    """All outcomes in the order of the jobs, the contact sheet (None if there is no picture), where
    failures are listed (None if there are none), and the animation of rounds (None if there are none)."""

    outcomes: tuple[Outcome, ...]
    sheet: Path | None
    failures: Path | None
    animation: Path | None = None

    @property
    def failed(self) -> int:
        """Number of pictures that failed."""
        return sum(one.state == "failed" for one in self.outcomes)


def check_folder(out: Path) -> None:
    """Raises StorageError unless files can be written into `out`; leaves nothing behind."""
    made = [folder for folder in (out, *out.parents) if not os.path.exists(folder)]
    probe = out / f".{secrets.token_hex(6)}.tmp"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
    except OSError as fault:
        raise picture_files.cannot("write into", out, fault) from fault
    finally:
        try:
            probe.unlink(missing_ok=True)
        except OSError:
            pass  # there is no such file: the folder's path leads through a file
        _remove_empty(made)


def write(
    bundle: Bundle,
    jobs: Sequence[Job],
    options: GenerateOptions,
    out: Path,
    *,
    ground: Grounder | None = None,
    overwrite: bool = False,
    overlays: bool = True,
    on_done: Callable[[Outcome], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Written:
    """Draw all jobs that are not in `out` yet; with `ground`, masks come with the pictures.

    Everything is checked before the first picture is drawn: raises InputError when scenes and model do not
    fit together, or when a picture of that name was made in another way (unless `overwrite`). A picture that
    fails while it is drawn becomes an outcome and a line of ``failed.jsonl``; a full disk ends the run with
    StorageError. `overlays=False` leaves out the overlays, which are larger than small pictures. `on_done` is
    told about each outcome as it happens, `on_progress` (pictures done, in all).
    """
    from scenewright.flows.generate import batches

    check_jobs(bundle, jobs, options)
    if ground is not None:
        ground.check([job.scene for job in jobs])
    files = [
        Files.of(out, job.name, overlay=overlays, **({} if ground is None else ground.files(job.scene)))
        for job in jobs
    ]
    kept = [] if overwrite else _kept(bundle, jobs, options, files, ground)
    outcomes: dict[int, Outcome] = {k: Outcome(jobs[k], files[k], "kept") for k in kept}
    missing = [k for k in range(len(jobs)) if k not in outcomes]
    work = [
        members
        for members in batches([job.scene for job in jobs], options.batch)
        if any(k in missing for k in members)
    ]
    for k in kept:
        if on_done:
            on_done(outcomes[k])
    fresh = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        _draw(bundle, jobs, options, files, work, outcomes, ground, on_done, on_progress)
        results = tuple(outcomes[k] for k in range(len(jobs)))
        failures = _note_failures(results, out)
        return Written(results, write_sheet(results, out), failures)
    except StorageError:
        _remove_empty(fresh)
        raise


def check_jobs(bundle: Bundle, jobs: Sequence[Job], options: GenerateOptions) -> None:
    """Raises InputError when a scene's size, number of instances or label map, or an option, does not suit
    the model."""
    from scenewright.backbone.schedulers import make_scheduler
    from scenewright.flows.branched import check_branches
    from scenewright.flows.fusion import check_mapped
    from scenewright.flows.generate import check_size
    from scenewright.flows.layouts import check_fit

    check_branches(bundle.adapter, options)
    check_fit(bundle.adapter, [job.scene for job in jobs], options)
    if options.fusion > 1:
        check_mapped([job.scene for job in jobs])
    if options.scheduler:
        make_scheduler(options.scheduler, bundle.backbone.scheduler)
    slots = getattr(getattr(bundle.adapter, "config", None), "slots", None)
    for job in jobs:
        check_size(bundle.backbone, job.scene.size_wh)
        located = sum(one.location_box is not None for one in job.scene.instances)
        if slots is not None and options.layout and options.overflow == "error" and located > slots:
            raise InputError(
                f"{job.name}: {located} instances with a place; {bundle.name} has room for {slots}",
                "--overflow largest keeps the largest and records the ids of the others",
            )


def _kept(
    bundle: Bundle,
    jobs: Sequence[Job],
    options: GenerateOptions,
    files: Sequence[Files],
    ground: Grounder | None,
) -> list[int]:
    """Places of the jobs whose pictures are there, made in just this way."""
    from scenewright.flows.provenance import differences, provenance

    kept = []
    for k, (job, place) in enumerate(zip(jobs, files, strict=True)):
        scene = job.scene.replace(seed=job.seed)
        if not place.png.is_file():
            _check_scene_file(place.scene, scene)
            continue
        document = document_in(place.png)
        if document is None:
            continue
        made = document.get("provenance")
        asked = provenance(bundle, options, scene, job.seed, ground)
        other = differences(made if isinstance(made, dict) else {}, asked)
        if document.get("scene") != scene.to_json():
            other.insert(0, "another scene")
        if other:
            raise InputError(
                f"{place.png} is there already, made in another way: {'; '.join(other[:3])}", ELSEWHERE
            )
        if place.complete():
            kept.append(k)
    return kept


def _check_scene_file(path: Path, scene: Scene) -> None:
    """Raises InputError when a scene file stands where the picture's own would be, and says something else:
    it may be what the user wrote by hand."""
    if path.is_file() and picture_files.read_bytes(path) != scene_text(scene).encode():
        raise InputError(f"{path} is there already, and is not the scene of a picture drawn here", ELSEWHERE)


def document_in(png: Path) -> dict[str, Any] | None:
    """The record inside a picture, empty if it has none; None for a picture that is damaged."""
    try:
        document = picture_files.read_png_document(png)
    except StorageError:
        return None
    except ScenewrightError:
        return {}
    return document if isinstance(document, dict) else {}


def _draw(
    bundle: Bundle,
    jobs: Sequence[Job],
    options: GenerateOptions,
    files: Sequence[Files],
    work: Sequence[tuple[int, ...]],
    outcomes: dict[int, Outcome],
    ground: Grounder | None,
    on_done: Callable[[Outcome], None] | None,
    on_progress: Callable[[float, int], None] | None,
) -> None:
    """Draw and write the batches of `work`; fills in `outcomes`."""
    from scenewright.flows.generate import stepwise

    total, before = sum(len(members) for members in work), 0
    for members in work:
        tell = stepwise(on_progress, before, len(members), total)
        results = _rendered(bundle, [jobs[k] for k in members], options, ground, tell)
        for k, result in zip(members, results, strict=True):
            if k in outcomes:  # drawn again because its batch was not complete
                continue
            if isinstance(result, Record):
                save(result, files[k])
                outcomes[k] = Outcome(jobs[k], files[k], "made")
            else:
                hint = getattr(result, "hint", "")
                outcomes[k] = Outcome(jobs[k], files[k], "failed", str(result) or repr(result), hint)
            if on_done:
                on_done(outcomes[k])
        before += len(members)


def _rendered(
    bundle: Bundle, jobs: Sequence[Job], options: GenerateOptions, ground: Grounder | None, tell: Any
) -> Sequence[Record | Exception]:
    """The records of one batch, or why there is none."""
    from scenewright.flows.generate import render

    try:
        scenes, seeds = [job.scene for job in jobs], [job.seed for job in jobs]
        return render(bundle, scenes, seeds, options, tell, ground=ground)
    except StorageError:
        raise
    except ScenewrightError as fault:
        return [fault] * len(jobs)
    except (RuntimeError, MemoryError) as fault:  # torch reports exhausted memory so
        if "memory" not in f"{type(fault).__name__} {fault}".lower():
            raise
        words = str(fault).splitlines()[0] if str(fault) else "memory is exhausted"
        return [ScenewrightError(f"out of memory: {words}", "a smaller --batch or --size")] * len(jobs)


def save(record: Record, files: Files) -> None:
    """All files of a picture; the PNG appears last, so that it stands for a finished picture."""
    whole = record.files(files.png.parent, files.png.stem)
    ordered = {files.scene: whole[files.scene], files.png: whole[files.png]}
    if files.overlay is not None:
        ordered = {files.overlay: picture_files.png_bytes(overlay_picture(record)), **ordered}
    picture_files.atomic_write_all({**contents(record, files.masks, files.cutouts), **ordered})


def _note_failures(outcomes: Sequence[Outcome], out: Path) -> Path | None:
    """``failed.jsonl``, or none if nothing failed."""
    lines = [json.dumps(one.to_json(), sort_keys=True) + "\n" for one in outcomes if one.state == "failed"]
    if lines:
        return picture_files.atomic_write(out / FAILED, "".join(lines).encode())
    (out / FAILED).unlink(missing_ok=True)
    return None


def write_sheet(outcomes: Sequence[Outcome], out: Path) -> Path | None:
    """The contact sheet: each picture, and beside it the same with its layout if any scene has one."""
    shown = [one for one in outcomes if one.state != "failed"][:ON_SHEET]
    if not shown:
        return None
    layouts = any(one.job.scene.instances or one.job.scene.semantic_map for one in shown)
    pictures, captions = [], []
    for one in shown:
        record = Record.load(one.files.png)
        pictures.append(record.image)
        captions.append(one.job.scene.prompt)
        if layouts and has_map(record):
            pictures.append(blend(record))
            captions.append("with its map")
        elif layouts:
            pictures.append(
                overlay(record.image, drawable(record), record.masks, size_px=CELL_PX, tint=tint_of(record))
            )
            captions.append(", ".join(item.phrase for item in one.job.scene.instances))
    columns = (
        (2 if len(shown) < 2 else 4 if len(shown) < 7 else 6 if len(shown) < 16 else 8) if layouts else None
    )
    return picture_files.write_png(out / SHEET, contact_sheet(pictures, captions, columns, cell_px=CELL_PX))


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of the folders that are empty, the deepest first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
