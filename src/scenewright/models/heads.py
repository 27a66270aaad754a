"""Grounding heads by name or file: the networks that read masks out of a backbone's features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenewright.backbone.model import Backbone
from scenewright.errors import ModelError
from scenewright.models.adapter import AdapterHeader, load_adapter, read_header
from scenewright.models.bundle import fingerprint
from scenewright.models.registry import SINGLE, resolve, split

if TYPE_CHECKING:
    from scenewright.ground.head import GroundingHead

KIND = "grounding"
"""Kind of adapter that a head is, and its word in names: ``nano+grounding``."""


@dataclass(frozen=True, eq=False)
class Head:
    """A loaded head: the network (frozen, in eval mode), what it is called, its file's header, and 16 hex
    digits that name its weights."""

    net: GroundingHead
    name: str
    header: AdapterHeader
    fingerprint: str


def load_head(name: str, model: str, backbone: Backbone, *, allow_other: bool = False) -> Head:
    """The head called `name` for the backbone of the model called `model`.

    `name` is a file, a word after a backbone (``grounding``, ``nano+grounding``), or empty for the head that
    belongs to the backbone. `allow_other` accepts a backbone with other weights of the same layout. Raises
    ModelError if there is none, if it is another kind of adapter, or of another backbone or tap set.
    """
    file, anywhere = head_file(name, model)
    header = read_header(file)
    if header.kind != KIND:
        raise ModelError(
            f"{file} is an adapter of the kind {header.kind}, not a grounding head",
            "a grounding head is trained by `scenewright train`; layout adapters are named in --model",
        )
    net = load_adapter(file, backbone, allow_other=allow_other or anywhere)
    from scenewright.ground.head import GroundingHead

    assert isinstance(net, GroundingHead)
    return Head(net, file.name, header, fingerprint(net))


def head_file(name: str, model: str) -> tuple[Path, bool]:
    """The file of a head (see `load_head`), and whether it may run on weights it was not trained on."""
    path = Path(name).expanduser()
    if name and path.is_file():
        return path, False
    if name.endswith(SINGLE) or "/" in name:
        raise ModelError(f"there is no grounding head at {name}", "check the path")
    base = split(model)[0]
    word = name.removeprefix(f"{base}+") or KIND
    try:
        place = resolve(f"{base}+{word}")
    except ModelError as fault:
        if name:
            raise
        raise ModelError(
            f"there is no grounding head for {base}: {fault.message}",
            "--head FILE names one; `scenewright train --list` shows the recipes that train one",
        ) from fault
    assert place.adapter is not None
    return place.adapter, place.any_backbone
