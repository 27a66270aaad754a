"""How a picture was made, as plain JSON: enough to make it again, without clock, paths or secrets."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from scenewright.models.version import version

if TYPE_CHECKING:
    from scenewright.flows.ground import Grounder
    from scenewright.flows.options import GenerateOptions
    from scenewright.models.bundle import Bundle
    from scenewright.scene import Scene

UNCOMPARED = ("versions", "dropped", "history")
"""Keys in which two runs of the same request may differ; an edit's digest stands for its history."""


def provenance(
    bundle: Bundle, options: GenerateOptions, scene: Scene, seed: int, ground: Grounder | None = None
) -> dict[str, Any]:
    """What a record says about its making; equal for equal requests."""
    from scenewright.backbone.schedulers import SCHEDULERS
    from scenewright.flows.layouts import facts as reading
    from scenewright.flows.windows import windows_facts

    backbone = bundle.backbone
    layout = bundle.adapter is not None and options.layout
    adapter = {"kind": bundle.kind, "fingerprint": bundle.adapter_fingerprint} if layout else None
    return {
        "model": without_folders(bundle.name),
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "adapter": adapter,
        "scheduler": SCHEDULERS.get(options.scheduler) or type(backbone.scheduler).__name__,
        "steps": options.steps,
        "guidance": float(options.guidance),
        "gate": [float(share) for share in options.gate] if layout else None,
        **(reading(bundle.adapter, options) if layout else {}),
        **({"null_layout": True} if layout and options.null_layout else {}),
        **({"mis": float(options.mis), "merge": options.merge} if layout and options.mis else {}),
        **windows_facts(options),
        "negative": options.negative if scene.negative is None else scene.negative,
        "seed": seed,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        **({"grounding": facts} if ground and (facts := ground.facts(scene)) else {}),
        "versions": {"scenewright": version(), **_installed("torch", "diffusers", "transformers")},
    }


def differences(found: dict[str, Any], expected: dict[str, Any], uncompared: Sequence[str] = ()) -> list[str]:
    """Where an existing picture's provenance differs from the one expected: "steps 20, now 5"."""
    keys = [key for key in {**expected, **found} if key not in (*UNCOMPARED, *uncompared)]
    return [
        f"{key} {_short(found.get(key))}, now {_short(expected.get(key))}"
        for key in keys
        if found.get(key) != expected.get(key)
    ]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(
            _short(value[key]) if key == "classes" else str(value[key]) for key in sorted(value, reverse=True)
        )
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    return "none" if value is None else repr(value) if isinstance(value, str) else str(value)


def _installed(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


def without_folders(name: str) -> str:
    """A model's name without the folders in it: "/home/me/mine+gligen:/tmp/a.bin" is "mine+gligen:a.bin"."""
    parts = []
    for part in name.split("+"):
        kind, colon, place = part.rpartition(":")
        local = place.startswith(("/", ".", "~")) or place.count("/") > 1
        parts.append(f"{kind}{colon}{PurePath(place).name if local else place}")
    return "+".join(parts)
