"""The whole of ``scenewright ground``: masks of picture files, written as records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, ScenewrightError, ignored
from scenewright.flows.ground import Grounder
from scenewright.flows.ground_pictures import BATCH, facts, ground_pictures, picture_record
from scenewright.flows.ground_words import check_wanted, with_classes
from scenewright.flows.head_inputs import STEPS
from scenewright.flows.jobs import Job, Named, slug, unique
from scenewright.flows.model import Model
from scenewright.flows.options import GroundOptions
from scenewright.flows.produce import ModelChoice
from scenewright.flows.samples import picture_paths
from scenewright.flows.write import ELSEWHERE, Files, Outcome, Written, check_folder, save, write_sheet
from scenewright.scene import Record, Scene
from scenewright.scene import io as picture_files


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """Which pictures are looked at.

    files    pictures, or folders of them: records or photographs
    prompt   what the photographs show, if it is the same for all
    steps    sampler steps whose last one a picture is brought to
    batch    pictures shown to the network together
    """

    files: tuple[Path, ...]
    prompt: str = ""
    steps: int = STEPS
    batch: int = BATCH

    def __post_init__(self) -> None:
        if not self.files:
            raise InputError("no picture was given", "scenewright ground PICTURE.png --classes cat,dog")
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least 1", "the default suits")


def ground_files(
    request: PictureRequest,
    model: ModelChoice,
    options: GroundOptions,
    out: Path,
    *,
    overwrite: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_done: Callable[[Outcome], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Written:
    """Find masks in pictures and write them into `out`, as `write.write` does for pictures that are drawn.

    Every picture is read before the first is looked at, so that a damaged one is known at once. What is there
    already with just these masks is kept. Raises InputError, ModelError or StorageError.
    """
    paths = picture_paths(request.files)
    jobs = _jobs(paths, request, options)
    check_folder(out)
    for note in check_wanted([(one.name, one.scene) for one in jobs], options.classes):
        if on_note:
            on_note(note)
    bundle = Model.load(model.name, device=model.device, dtype=model.dtype).bundle
    grounder = Grounder.load(bundle, options, allow_other=model.allow_other_backbone)
    grounder.check([one.scene for one in jobs])
    files = [Files.of(out, one.name, **grounder.files(one.scene)) for one in jobs]
    outcomes = {} if overwrite else _kept(paths, jobs, files, grounder, request)
    for one in outcomes.values():
        if on_done:
            on_done(one)
    missing = [k for k in range(len(jobs)) if k not in outcomes]
    for start in range(0, len(missing), request.batch):
        rows = missing[start : start + request.batch]
        records = [_record(paths[k], request, options) for k in rows]
        found = ground_pictures(records, grounder, steps=request.steps, batch=request.batch)
        for k, record in zip(rows, found, strict=True):
            save(record, files[k])
            outcomes[k] = Outcome(jobs[k], files[k], "made")
            if on_done:
                on_done(outcomes[k])
        if on_progress:
            on_progress(start + len(rows), len(missing))
    results = tuple(outcomes[k] for k in range(len(jobs)))
    return Written(results, write_sheet(results, out), None)


def _record(path: Path, request: PictureRequest, options: GroundOptions) -> Record:
    return picture_record(path, prompt=request.prompt, classes=options.classes)


def _jobs(paths: Sequence[Path], request: PictureRequest, options: GroundOptions) -> list[Job]:
    """Name and scene of every picture; reads all of them once. Raises InputError for a prompt of none."""
    named, told = [], False
    for path in paths:
        scene = _record(path, request, options).scene
        told = told or scene.prompt == request.prompt
        named.append(Named(slug(path.stem) or "picture", with_classes(scene, options.classes)))
    if request.prompt and not told:
        raise ignored(["--prompt"], "with records alone, which have their prompts,", "add a photograph")
    return [Job(one.name, one.scene, _seed(one.scene)) for one in unique(named)]


def _seed(scene: Scene) -> int:
    return scene.auto_seed() if scene.seed is None else scene.seed


def _kept(
    paths: Sequence[Path],
    jobs: Sequence[Job],
    files: Sequence[Files],
    grounder: Grounder,
    request: PictureRequest,
) -> dict[int, Outcome]:
    """The pictures that are there with just these masks. Raises InputError for others in their place."""
    kept = {}
    for k, (job, place) in enumerate(zip(jobs, files, strict=True)):
        if not place.png.is_file():
            continue
        record = _record(paths[k], request, grounder.options).replace(scene=job.scene)
        asked = facts(record, grounder, request.steps).get("grounding")
        if _told(place.png) != asked:
            raise InputError(f"{place.png} is there already, without these masks", ELSEWHERE)
        if place.complete():
            kept[k] = Outcome(job, place, "kept")
    return kept


def _told(png: Path) -> Any:
    """What a picture's record says about how its masks were found; None if it has none or is damaged."""
    try:
        document = picture_files.read_png_document(png)
    except ScenewrightError:
        return None
    return document.get("provenance", {}).get("grounding") if isinstance(document, dict) else None
