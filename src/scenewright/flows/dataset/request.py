"""From what a user asks for to a data set: load the model and the labeller, check everything, then build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.flows.dataset.rules import LabelRules
from scenewright.flows.dataset.sources import ClassSource, named, of_files
from scenewright.flows.jobs import Request, jobs, read, sized
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.flows.write import check_folder, check_jobs

if TYPE_CHECKING:
    from scenewright.flows.dataset.build import Built, Done, Progress
    from scenewright.flows.dataset.map_request import MapRequest
    from scenewright.flows.dataset.orders import Order
    from scenewright.flows.dataset.work import Maker
    from scenewright.flows.jobs import Job


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """A data set as it is asked for.

    source    class lists, or scene files
    size_wh   canvas in pixels of class lists; None takes the model's own
    labeller  see `models.labellers.load.load_labeller`
    checker   second opinion: "" takes the package's verifier for toys, "none" none
    device    where labeller and second opinion run; the model says its own
    """

    source: ClassSource | Request
    size_wh: tuple[int, int] | None = None
    model: ModelChoice = field(default_factory=ModelChoice)
    options: GenerateOptions = field(default_factory=GenerateOptions)
    labeller: str = ""
    checker: str = ""
    rules: LabelRules = field(default_factory=LabelRules)


@dataclass(frozen=True)
class Prepared:
    """A request with everything loaded and checked; `notes` are what the user should know."""

    tools: Maker
    orders: tuple[Order, ...]
    source: dict[str, Any]
    notes: tuple[str, ...] = ()


def prepare(request: BuildRequest | MapRequest, out: Path) -> Prepared:
    """Load and check in this order: scene files, the folder `out`, model, labeller, their fit.

    Raises InputError or StorageError; nothing is written. For label maps see `map_request.prepare_maps`.
    """
    if not isinstance(request, BuildRequest):
        from scenewright.flows.dataset.map_request import prepare_maps

        return prepare_maps(request, out)
    from scenewright.flows.dataset.build import check_place, describe
    from scenewright.flows.dataset.orders import orders, unmentioned
    from scenewright.flows.dataset.work import Tools
    from scenewright.models.labellers.load import load_checker, load_labeller

    scenes = read(request.source) if isinstance(request.source, Request) else None
    check_folder(out)
    choice = request.model
    labeller = load_labeller(request.labeller, choice.device)
    checker = load_checker(request.checker, labeller, choice.device)
    bundle = Model.load(
        choice.name,
        device=choice.device,
        dtype=choice.dtype,
        allow_other_backbone=choice.allow_other_backbone,
    ).bundle
    notes: tuple[str, ...] = ()
    work: list[Job]
    if isinstance(request.source, Request):
        fitted, notes = sized(scenes or [], request.source, bundle.backbone.native_wh)
        work, source = named(jobs(fitted, request.source)), of_files(request.source)
    else:
        size_wh = request.size_wh or bundle.backbone.native_wh
        work, source = request.source.jobs(size_wh), request.source.to_json()
    check_jobs(bundle, work, request.options)
    tools = Tools(bundle, labeller, checker, request.options, request.rules)
    wanted = orders(work, labeller.vocabulary)
    check_place(out, describe(tools, wanted, source))
    notes = (*notes, *unmentioned(wanted, labeller.vocabulary), *_scores_too(labeller.id))
    return Prepared(tools, tuple(wanted), source, notes)


def build_dataset(
    request: BuildRequest | MapRequest,
    out: Path,
    *,
    retry_failed: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_done: Done | None = None,
    on_progress: Progress | None = None,
) -> Built:
    """`prepare`, then `build.build`; of label maps manifest and report too."""
    from scenewright.flows.dataset.build import build

    ready = prepare(request, out)
    for note in ready.notes:
        if on_note:
            on_note(note)
    built = build(
        ready.tools,
        ready.orders,
        out,
        ready.source,
        retry_failed=retry_failed,
        on_done=on_done,
        on_progress=on_progress,
    )
    if not isinstance(request, BuildRequest):
        from scenewright.flows.dataset.map_request import finish_maps

        finish_maps(ready.orders, out)
    return built


def _scores_too(labeller: str) -> tuple[str, ...]:
    """A note when the labels come from the judge that `evaluate` scores with."""
    if not labeller.startswith("detector@"):
        return ()
    return (
        f"{labeller} is also what `evaluate` scores with: figures of a model trained on these labels say "
        "how well it copies the judge",
    )
