"""``scenewright ground``: masks of pictures that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli import options as its
from scenewright.cli.grounding import asked
from scenewright.cli.outcomes import finish, tell
from scenewright.cli.progress import Bar

Pictures = Annotated[
    list[Path], typer.Argument(metavar="PICTURE", help="Records, photographs, or folders of them.")
]
Prompt = Annotated[str, typer.Option("--prompt", help="What the photographs show; else the classes.")]
Steps = Annotated[int, typer.Option("--steps", help="Sampler steps; a picture is brought to the last.")]


def command(
    pictures: Pictures,
    classes: its.Classes = [],  # noqa: B006
    prompt: Prompt = "",
    model: its.Model = "nano",
    head: its.Head = "",
    ground_rule: its.GroundRule = "argmax",
    ground_threshold: its.GroundThreshold = 0.5,
    cutouts: its.Cutouts = False,
    compare_detector: its.CompareDetector = False,
    steps: Steps = 20,
    batch: its.Batch = 8,
    device: its.Device = "auto",
    dtype: its.Dtype = "auto",
    other_backbone: its.OtherBackbone = False,
    out: its.Out = Path("out"),
    overwrite: its.Overwrite = False,
    as_json: its.Json = False,
) -> None:
    """Masks of things in pictures, by a model that could have drawn them: one call of its network for each.

    Of every picture a PNG with its record inside, a scene file, an overlay and a PNG for each class.
    """
    from scenewright.flows.ground_folder import PictureRequest, ground_files
    from scenewright.flows.produce import ModelChoice

    found = asked(classes, head, ground_rule, ground_threshold, cutouts, compare_detector)
    request = PictureRequest(files=tuple(pictures), prompt=prompt, steps=steps, batch=batch)
    chosen = ModelChoice(name=model, device=device, dtype=dtype, allow_other_backbone=other_backbone)
    with Bar("pictures") as bar:
        written = ground_files(
            request, chosen, found, out, overwrite=overwrite,
            on_note=bar.note, on_done=lambda one: tell(one, as_json), on_progress=bar,
        )  # fmt: skip
    if code := finish(written, as_json):
        raise typer.Exit(code)
