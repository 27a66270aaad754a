"""The whole of ``scenewright generate``: read, check, load, draw, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenewright.errors import InputError
from scenewright.flows.ground_words import check_wanted, with_classes
from scenewright.flows.jobs import Request, jobs, read, sized
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions, GroundOptions
from scenewright.flows.write import Outcome, Written, check_folder, write
from scenewright.scene import Scene
from scenewright.scene.advice import advice
from scenewright.scene.io import read_png_document

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model draws, and where it runs; see `models.load.load_bundle`."""

    name: str = "nano+gligen"
    device: str = "auto"
    dtype: str = "auto"
    allow_other_backbone: bool = False


def produce(
    request: Request,
    model: ModelChoice,
    options: GenerateOptions,
    out: Path,
    *,
    ground: GroundOptions | None = None,
    overwrite: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_done: Callable[[Outcome], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Written:
    """Draw what is asked for into the folder `out`; with `ground`, masks of what is in the pictures too.

    `on_note` is told what the user should know (a size that was changed); `on_done` and `on_progress` as in
    `write.write`. Scenes, folder, model and their fit are checked in this order before anything is written;
    raises InputError or StorageError.
    """
    from scenewright.flows.windows import check_whole, trained_wh

    scenes = read(request)
    check_folder(out)
    if request.vocabulary:
        check_maps(model.name, request.vocabulary, options)
    if ground:
        check_whole(options, "masks")
    classes = ground.classes if ground else ()
    told = (
        check_wanted([(one.name, with_classes(one.scene, classes)) for one in scenes], classes)
        if ground
        else []
    )
    bundle = Model.load(
        model.name, device=model.device, dtype=model.dtype, allow_other_backbone=model.allow_other_backbone
    ).bundle
    scenes, notes = sized(scenes, request, trained_wh(bundle.backbone, bundle.adapter))
    unwise = [words for one in scenes for words in advice(one.scene, one.name)]
    made = () if request.vocabulary else request.files
    for note in (*notes, *unwise, *told, *remade(made, bundle, options)):
        if on_note:
            on_note(note)
    grounder = None
    if ground is not None:
        from scenewright.flows.ground import Grounder

        grounder = Grounder.load(bundle, ground, allow_other=model.allow_other_backbone)
    work = [replace(job, scene=with_classes(job.scene, classes)) for job in jobs(scenes, request)]
    return write(
        bundle,
        work,
        options,
        out,
        ground=grounder,
        overwrite=overwrite,
        on_done=on_done,
        on_progress=on_progress,
    )


def check_maps(model: str, vocabulary: str, options: GenerateOptions) -> None:
    """Raises InputError for a model that would draw label maps from their prompts alone, unasked, or follows
    maps of other classes than those of `vocabulary`; ModelError as `registry.resolve` does. Of the model only
    what its adapter's file says of itself is read."""
    from scenewright.condition.semantic import KIND, SemanticConfig, space_of
    from scenewright.models.adapter import read_header
    from scenewright.models.registry import resolve

    if not options.layout:
        return
    place = resolve(model)
    header = None if place.adapter is None else read_header(place.adapter)
    if header is None or header.kind != KIND:
        raise InputError(
            f"{model} does not follow label maps",
            "--model nano+dginstyle does; --no-layout draws from the prompts alone",
        )
    space_of(vocabulary, SemanticConfig.from_json(header.config))


def remade(files: Sequence[Path], bundle: Bundle, options: GenerateOptions) -> list[str]:
    """A note for every record among `files` that was made in another way: it leads to another picture now."""
    from scenewright.flows.provenance import differences, provenance

    notes = []
    for path in files:
        document = read_png_document(path) if path.suffix.lower() == ".png" else None
        made = document.get("provenance") if isinstance(document, dict) else None
        if not document or not isinstance(made, dict) or "steps" not in made:  # a drawing, or no record
            continue
        scene, seed = Scene.from_json(document["scene"]), made.get("seed", 0)
        if other := differences(made, provenance(bundle, options, scene, seed), ("grounding",)):
            notes.append(f"{path} was made with {'; '.join(other[:4])}: expect another picture")
    return notes
