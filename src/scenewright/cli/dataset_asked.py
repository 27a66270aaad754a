"""``scenewright dataset build``: from its options to what is asked for, of scenes or classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenewright.flows.dataset.request import BuildRequest
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice

Given = Mapping[str, Any]
"""Values of the command's options by their names, and `size_wh`."""


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
