"""One change to a picture, or a chain of scenes as rounds of one picture: from files to files.

Beside the usual files (`flows.write`) every changed picture has ``NAME.strip.png``: before, after, difference
and layout; several rounds have ``chain.gif``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.flows.ground_files import overlay_picture
from scenewright.flows.jobs import Job, Request, jobs, read, sized, slug
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions, GroundOptions, check_given
from scenewright.flows.produce import check_maps
from scenewright.flows.provenance import UNCOMPARED, differences, provenance
from scenewright.flows.rounds import Round, Rounds, begun, chained, draw
from scenewright.flows.write import (
    ELSEWHERE,
    Files,
    Outcome,
    Written,
    check_folder,
    check_jobs,
    document_in,
    save,
    write_sheet,
)
from scenewright.scene import Record, contact_sheet
from scenewright.scene import io as picture_files
from scenewright.scene.advice import advice
from scenewright.scene.edits import Edit, apply, told

if TYPE_CHECKING:
    from scenewright.flows.ground import Grounder
    from scenewright.flows.produce import ModelChoice
    from scenewright.models.bundle import Bundle

CHAIN = "chain.gif"
CELL_PX = 256
"""Longer side of a picture on a strip and in an animation; smaller ones are enlarged to about it."""

GAIN = 3
"""How much stronger a strip shows differences."""

FROM_RECORD = (
    *("steps", "guidance", "gate", "negative", "mis", "merge", "attention", "missing"),
    *("control", "windows", "window_stride", "fusion", "fusion_share"),
)
"""Options that an edit takes from the record that it starts from, unless they are given."""

EACH = "each its own"
"""What records say where every instance is placed by what it has."""

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """A change to the picture in `start`; `prompt` None keeps its prompt. `keep` as in `rounds.Round`."""

    start: Path
    edits: tuple[Edit, ...] = ()
    prompt: str | None = None
    keep: float = 1.0

    def __post_init__(self) -> None:
        if not self.edits and self.prompt is None:
            raise InputError(
                f"nothing is to be changed in {self.start}",
                "--move, --resize, --replace, --add or --remove an instance, or give another --prompt",
            )


@dataclass(frozen=True, kw_only=True)
class Telling:
    """Whom to tell: `note` what the user should know, `done` each outcome, `progress` (pictures, in all)."""

    note: Note | None = None
    done: Callable[[Outcome], None] | None = None
    progress: Callable[[float, int], None] | None = None


def edit(
    request: EditRequest,
    model: ModelChoice,
    options: GenerateOptions,
    out: Path,
    *,
    given: Collection[str] = (),
    ground: GroundOptions | None = None,
    overwrite: bool = False,
    tell: Telling | None = None,
) -> Written:
    """Change a picture and write the result into `out`, as ``NAME-edit``, with its strip.

    Options that are not among `given` (names of fields) are those of the record. Raises InputError (also for
    one that is given and changes nothing), SceneError (no such instance), StorageError.
    """
    tell = tell or Telling()
    record = Record.load(request.start)
    last = last_round(record, request.edits, request.prompt, request.keep)
    check_folder(out)
    bundle, grounder = _loaded(model, ground)
    options = options_of(record, bundle, options, given)
    check_given(options, given)
    rounds, notes = begun(record, bundle, options)
    names = [""] * len(rounds.rounds) + [edited_name(request.start)]
    for note in (*notes, *advice(last.scene)):
        _say(tell.note, note)
    rounds = replace(rounds, rounds=(*rounds.rounds, last))
    return _written(bundle, rounds, names, options, out, grounder, overwrite, tell)


def last_round(record: Record, edits: Sequence[Edit], prompt: str | None, keep: float) -> Round:
    """The round that a change to a record makes. Raises SceneError, and InputError if nothing changes."""
    if not 0 <= keep <= 1:
        raise InputError(f"keep is {keep}; expected a share of the steps from 0 to 1", "1 keeps all of it")
    scene = apply(record.scene, edits)
    words = [told(one) for one in edits]
    if prompt is not None and prompt != scene.prompt:
        scene = scene.replace(prompt=prompt)
        words.append("another prompt")
    if scene == record.scene:
        raise InputError("the picture already is as asked for: nothing would change")
    return Round(scene, keep, tuple(words))


def chain(
    request: Request,
    keep: float,
    model: ModelChoice,
    options: GenerateOptions,
    out: Path,
    *,
    ground: GroundOptions | None = None,
    overwrite: bool = False,
    tell: Telling | None = None,
) -> Written:
    """Draw the scenes of a request, in order, as rounds of one picture, and an animation of them.

    All start from the noise of the first scene's seed. Raises as `produce` does.
    """
    tell = tell or Telling()
    named = read(request)
    check_folder(out)
    if request.vocabulary:
        check_maps(model.name, request.vocabulary, options)
    bundle, grounder = _loaded(model, ground)
    named, notes = sized(named, request, bundle.backbone.native_wh)
    if len(named) < 2 or request.count != 1:
        raise InputError(
            f"a chain of {len(named)} scenes, {request.count} pictures each, was asked for",
            "a chain is at least two scene files, one picture each, in their order",
        )
    seed = jobs(named[:1], request)[0].seed
    rounds = Rounds(chained([one.scene.replace(seed=None) for one in named], keep), seed)
    for note in (*notes, *_unchanged(rounds)):
        _say(tell.note, note)
    return _written(bundle, rounds, [one.name for one in named], options, out, grounder, overwrite, tell)


def options_of(
    record: Record, bundle: Bundle, options: GenerateOptions, given: Collection[str]
) -> GenerateOptions:
    """`options` with those that a record was made with in place of those that are not `given`."""
    from scenewright.backbone.schedulers import SCHEDULERS

    made = record.provenance
    if "steps" not in made:
        return options
    found: dict[str, Any] = {key: made[key] for key in FROM_RECORD if made.get(key) is not None}
    found = {"mis": 0.0, "scaleu": made.get("scaleu", True), **found}
    found["use"] = "" if made.get("use") == EACH else made.get("use", "")
    if "gate" in found:
        found["gate"] = tuple(found["gate"])
    own = type(bundle.backbone.scheduler).__name__
    kind = made.get("scheduler", own)
    found["scheduler"] = "" if kind == own else {of: name for name, of in SCHEDULERS.items()}.get(kind, "")
    if made.get("dropped") and "overflow" not in given:
        found["overflow"] = "largest"
    return replace(options, **{key: value for key, value in found.items() if key not in given})


def edited_name(start: Path) -> str:
    """ "street" becomes "street-edit", that "street-edit-2", and so on."""
    stem = slug(start.name.removesuffix(".scene.json").removesuffix(".png")) or "picture"
    found = re.fullmatch(r"(.+-edit)(?:-(\d+))?", stem)
    return f"{found[1]}-{int(found[2] or 1) + 1}" if found else f"{stem}-edit"


def strip(before: Record, after: Record, words: Sequence[str]) -> NDArray[np.uint8]:
    """A picture before and after a change, what differs (darker: more), and the new layout."""
    gap_HW3 = np.abs(before.image.astype(np.int16) - after.image.astype(np.int16))
    grey_HW = (255 - np.clip(GAIN * gap_HW3.max(axis=2), 0, 255)).astype(np.uint8)
    outside = after.scores.get("edit", {}).get("outside")
    kept = f"difference; beside the change {outside['mean']:g} of 255 on average" if outside else "difference"
    pictures = [before.image, after.image, np.repeat(grey_HW[..., None], 3, axis=2)]
    layout = overlay_picture(after, size_px=CELL_PX)
    captions = ["before", f"after: {'; '.join(words)}"[:120], kept, "layout"]
    return contact_sheet([*pictures, layout], captions, 4, cell_px=CELL_PX)


def animation(records: Sequence[Record]) -> bytes:
    """The rounds one after another, as a GIF."""
    factor = max(1, CELL_PX // max(records[0].size_hw))
    return picture_files.gif_bytes(
        [record.image.repeat(factor, axis=0).repeat(factor, axis=1) for record in records]
    )


def _written(
    bundle: Bundle,
    rounds: Rounds,
    names: Sequence[str],
    options: GenerateOptions,
    out: Path,
    grounder: Grounder | None,
    overwrite: bool,
    tell: Telling,
) -> Written:
    """Draw the rounds and write those that have a name, unless all of them are there, made in this way."""
    from scenewright.flows.generate import stepwise

    shown = [k for k, name in enumerate(names) if name]
    work = {k: Job(names[k], rounds.scenes[k], rounds.seed) for k in shown}
    check_jobs(bundle, [Job(f"round {k + 1}", one, 0) for k, one in enumerate(rounds.scenes)], options)
    files = {k: _files(out, work[k], grounder, strips=k > 0) for k in shown}
    there = not overwrite and [
        k
        for k in shown
        if _is_there(files[k], rounds, k, provenance_of(bundle, options, rounds, k, grounder))
    ]
    if there != shown:
        progress = stepwise(tell.progress, 0, len(rounds.rounds), len(rounds.rounds))
        records = draw(bundle, rounds, options, progress, ground=grounder)
        for k in shown:
            _save(records, k, files[k], rounds.rounds[k].words)
        if len(shown) > 1:
            picture_files.atomic_write(out / CHAIN, animation([records[k] for k in shown]))
    outcomes = tuple(Outcome(work[k], files[k], "kept" if there == shown else "made") for k in shown)
    for one in outcomes:
        if tell.done:
            tell.done(one)
    sheet = write_sheet(outcomes, out) if len(shown) > 1 else None
    return Written(outcomes, sheet, None, out / CHAIN if len(shown) > 1 else None)


def provenance_of(
    bundle: Bundle, options: GenerateOptions, rounds: Rounds, k: int, grounder: Grounder | None
) -> dict[str, Any]:
    """What the record of round `k` will say about its making."""
    made = provenance(bundle, options, rounds.scenes[k], rounds.seed, grounder)
    return {**made, **rounds.facts(k)}


def _files(out: Path, job: Job, grounder: Grounder | None, *, strips: bool) -> Files:
    found = Files.of(out, job.name, **({} if grounder is None else grounder.files(job.scene)))
    return replace(found, strip=out / f"{job.name}.strip.png") if strips else found


def _is_there(files: Files, rounds: Rounds, k: int, asked: dict[str, Any]) -> bool:
    """Whether the picture of a round is there as asked for. InputError if another one is in its place."""
    if not files.png.is_file():
        return False
    document = document_in(files.png)
    if document is None:
        return False
    other = differences(document.get("provenance") or {}, asked, UNCOMPARED)
    if document.get("scene") != rounds.scenes[k].to_json():
        other.insert(0, "another scene")
    if other:
        raise InputError(
            f"{files.png} is there already, made in another way: {'; '.join(other[:3])}", ELSEWHERE
        )
    return files.complete()


def _save(records: Sequence[Record], k: int, files: Files, words: Sequence[str]) -> None:
    if files.strip is not None:
        strip_HW3 = strip(records[k - 1], records[k], words)
        picture_files.atomic_write(files.strip, picture_files.png_bytes(strip_HW3))
    save(records[k], files)


def _loaded(model: ModelChoice, ground: GroundOptions | None) -> tuple[Bundle, Grounder | None]:
    bundle = Model.load(
        model.name, device=model.device, dtype=model.dtype, allow_other_backbone=model.allow_other_backbone
    ).bundle
    if ground is None:
        return bundle, None
    from scenewright.flows.ground import Grounder

    return bundle, Grounder.load(bundle, ground, allow_other=model.allow_other_backbone)


def _unchanged(rounds: Rounds) -> list[str]:
    return [
        f"round {k + 1} asks for the same as the round before"
        for k, one in enumerate(rounds.rounds)
        if k and not one.words
    ]


def _say(note: Note | None, words: str) -> None:
    if note:
        note(words)
