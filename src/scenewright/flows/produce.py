"""The whole of ``scenewright generate``: read, check, load, draw, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scenewright.flows.jobs import Request, jobs, read, sized
from scenewright.flows.options import GenerateOptions
from scenewright.flows.write import Outcome, Written, check_folder, write


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
    overwrite: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_done: Callable[[Outcome], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Written:
    """Draw what is asked for into the folder `out`.

    `on_note` is told what the user should know (a size that was changed); `on_done` and `on_progress` as in
    `write.write`. Scenes, folder, model and their fit are checked in this order before anything is written;
    raises InputError or StorageError.
    """
    scenes = read(request)
    check_folder(out)
    from scenewright.models.load import load_bundle

    bundle = load_bundle(
        model.name, model.device, model.dtype, allow_other_backbone=model.allow_other_backbone
    )
    scenes, notes = sized(scenes, request, bundle.backbone.native_wh)
    for note in notes:
        if on_note:
            on_note(note)
    return write(
        bundle,
        jobs(scenes, request),
        options,
        out,
        overwrite=overwrite,
        on_done=on_done,
        on_progress=on_progress,
    )
