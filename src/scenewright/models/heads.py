"""Heads by name or file, the networks that read a backbone's features: grounding heads and segmenters."""

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
    from torch import nn

    from scenewright.ground.head import GroundingHead
    from scenewright.segment.one_pass import OnePass

KIND = "grounding"
"""Kind of adapter that a head is, and its word in names: ``nano+grounding``."""

SEGMENTER = "segmenter"
"""The same of one-pass segmenters: ``nano+segmenter``."""

WORDS = {
    KIND: ("a grounding head", "scenewright ground", "--head"),
    SEGMENTER: ("a segmenter", "scenewright segment", "--segmenter"),
}
"""Per kind: what it is called, the command that reads pictures with it, and the option that names one."""


@dataclass(frozen=True, eq=False)
class Head:
    """A loaded head: the network (frozen, in eval mode), what it is called, its file's header, and 16 hex
    digits that name its weights."""

    net: GroundingHead
    name: str
    header: AdapterHeader
    fingerprint: str


@dataclass(frozen=True, eq=False)
class LoadedSegmenter:
    """A loaded one-pass segmenter; fields as in `Head`."""

    net: OnePass
    name: str
    header: AdapterHeader
    fingerprint: str


def load_head(name: str, model: str, backbone: Backbone, *, allow_other: bool = False) -> Head:
    """The head called `name` for the backbone of the model called `model`.

    `name` is a file, a word after a backbone (``grounding``, ``nano+grounding``), or empty for the head that
    belongs to the backbone. `allow_other` accepts a backbone with other weights of the same layout. Raises
    ModelError if there is none, if it is another kind of adapter, or of another backbone or tap set.
    """
    net, file, header = _loaded(name, model, backbone, KIND, allow_other)
    from scenewright.ground.head import GroundingHead

    assert isinstance(net, GroundingHead)
    return Head(net, file.name, header, fingerprint(net))


def load_one_pass(name: str, model: str, backbone: Backbone, *, allow_other: bool = False) -> LoadedSegmenter:
    """The one-pass segmenter called `name`; as `load_head`, with the word ``segmenter``."""
    net, file, header = _loaded(name, model, backbone, SEGMENTER, allow_other)
    from scenewright.segment.one_pass import OnePass

    assert isinstance(net, OnePass)
    return LoadedSegmenter(net, file.name, header, fingerprint(net))


def _loaded(
    name: str, model: str, backbone: Backbone, kind: str, allow_other: bool
) -> tuple[nn.Module, Path, AdapterHeader]:
    file, anywhere = head_file(name, model, kind)
    header = read_header(file)
    if header.kind != kind:
        raise ModelError(
            f"{file} is an adapter of the kind {header.kind}, not {WORDS[kind][0]}",
            f"{WORDS[kind][0]} is trained by `scenewright train`; layout adapters are named in --model",
        )
    return load_adapter(file, backbone, allow_other=allow_other or anywhere), file, header


def head_file(name: str, model: str, kind: str = KIND) -> tuple[Path, bool]:
    """The file of a head (see `load_head`), and whether it may run on weights it was not trained on."""
    path = Path(name).expanduser()
    if name and path.is_file():
        return path, False
    what, _, option = WORDS[kind]
    if name.endswith(SINGLE) or "/" in name:
        raise ModelError(f"there is no {what[2:]} at {name}", "check the path")
    base = split(model)[0]
    word = name.removeprefix(f"{base}+") or kind
    try:
        place = resolve(f"{base}+{word}")
    except ModelError as fault:
        if name:
            raise
        raise ModelError(
            f"there is no {what[2:]} for {base}: {fault.message}",
            f"{option} FILE names one; `scenewright train --list` shows the recipes that train one",
        ) from fault
    assert place.adapter is not None
    return place.adapter, place.any_backbone
