"""``scenewright dataset build``: from its options to what is asked for, of scenes or classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scenewright.cli.given import named, refuse

if TYPE_CHECKING:
    from scenewright.flows.dataset.request import BuildRequest
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice

Given = Mapping[str, Any]
"""Values of the command's options by their names, and `size_wh`."""


OF_MAPS = ("weather", "template", "crop", "temperature", "doubtful")
"""Options about label maps."""

OF_SCENES = (
    "classes", "grammar", "split", "per_picture", "fmt", "count", "verifier", "policy", "least_score",
    "most_area",
)  # fmt: skip
"""Options about scenes or classes, and what is found in their pictures."""


def check_partners(context: typer.Context, given: Given) -> None:
    """Raises InputError for options that would be ignored beside the others."""
    from scenewright.flows.options import check_given

    if given["scenes"] and given["vocabulary"]:
        refuse(context, OF_SCENES, "with label maps, which say what is in their pictures,")
        if not given["labeller"]:
            words = "--labeller FOLDER names a segmenter that judges pictures"
            refuse(context, ("doubtful", "least_agreement"), "without --labeller", words)
        if given["weather"] == "none":
            refuse(context, ("template",), "without --weather", "--weather even puts words into prompts")
        if not any(Path(place).is_dir() for place in given["scenes"]):
            refuse(context, ("temperature",), "without a folder of label maps", "name the folder")
    else:
        refuse(context, OF_MAPS, "without label maps", "MAPS --vocabulary cityscapes draws them")
        if given["scenes"]:
            refuse(
                context,
                ("split", "per_picture", "total"),
                "with scene files",
                "--count tells how many",
            )
        else:
            refuse(context, ("fmt", "count"), "without scene files")
            if not given["grammar"]:
                refuse(context, ("split",), "without --grammar", "--grammar seen draws its classes")
        if given["verifier"] == "none":
            refuse(context, ("least_agreement",), "with --verifier none", "name a verifier")
    if given["dry_run"]:
        refuse(context, ("retry_failed",), "with --dry-run, which writes nothing,")
    check_given(options_asked(given), named(context))


def options_asked(given: Given) -> GenerateOptions:
    """How pictures are sampled. Raises InputError."""
    from scenewright.flows.options import GenerateOptions, parse_gate

    names = (
        "steps", "guidance", "negative", "scheduler", "overflow", "batch",
        "control", "windows", "window_stride", "fusion", "fusion_share",
    )  # fmt: skip
    same = {name: given[name] for name in names}
    return GenerateOptions(**same, gate=parse_gate(given["gate"]), layout=not given["no_layout"])


def scenes_asked(given: Given, options: GenerateOptions, model: ModelChoice) -> BuildRequest:
    """A data set of scene files or classes. Raises InputError."""
    from scenewright.flows.dataset.request import BuildRequest
    from scenewright.flows.dataset.rules import LabelRules
    from scenewright.flows.dataset.sources import source_of

    names = ("per_picture", "fmt", "count", "seed", "size_wh")
    source = source_of(
        given["scenes"], given["grammar"], given["split"], given["classes"], given["vocabulary"],
        total=500 if given["total"] is None else given["total"], **{name: given[name] for name in names},
    )  # fmt: skip
    agreement = given["least_agreement"]
    rules = LabelRules(
        policy=given["policy"], score=given["least_score"], area=given["least_area"],
        most_area=given["most_area"], agreement=0.5 if agreement is None else agreement,
    )  # fmt: skip
    return BuildRequest(
        source=source, size_wh=given["size_wh"], model=model, options=options,
        labeller=given["labeller"], checker=given["verifier"], rules=rules,
    )  # fmt: skip
