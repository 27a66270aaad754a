"""Judges on disk: one safetensors file in half precision that says itself what it is.

The metadata holds kind, configuration, the label names of the outputs, what it was trained on and its
ceilings, the figures that it reaches on held-out renders. Judges come with the package
(``weights/NAME.safetensors``) or lie wherever the user keeps them. A judge's identity is ``name@`` and the
first eight hex digits of a SHA-256 over configuration, labels and weights: figures of different judges are
not comparable.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.backbone.parts import check_keys
from scenewright.backbone.weights import read_metadata, read_tensors, replace_tensors
from scenewright.errors import ModelError, nearest

MARK = "scenewright"
"""Metadata key with our version; files without it are not ours."""

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the judges that come with the package."""

BUILDERS: dict[str, str] = {
    "detector": "scenewright.models.judges.detector:build",
    "verifier": "scenewright.models.judges.verifier:build",
    "clip": "scenewright.models.judges.clip:build",
    "segmenter": "scenewright.models.judges.segmenter:build",
    "looks": "scenewright.models.judges.looks:build",
    "labeller": "scenewright.models.judges.labeller:build",
}
"""Per kind ``module:function``; the function makes an unfilled network from (config, labels), both dicts."""


@dataclass(frozen=True)
class JudgeHeader:
    """What a judge's file says about itself.

    `kind` is a key of `BUILDERS`; `config` makes the network; `labels` names its outputs, e.g. ``{"classes":
    [...], "colours": [...]}``; `notes` tells recipe, seeds and samples; `ceilings` are its figures on
    held-out renders; `version` is that of the package that wrote it.
    """

    kind: str
    config: Mapping[str, Any]
    labels: Mapping[str, Sequence[str]]
    notes: Mapping[str, Any]
    ceilings: Mapping[str, float]
    version: str


@dataclass(frozen=True, eq=False)
class Judge:
    """A loaded judge: the network (frozen, float32, in eval mode), its header, and the `id` ``name@sha8``."""

    net: Any  # the network class of its kind, with methods of its own
    header: JudgeHeader
    id: str


def save_judge(
    path: str | Path,
    net: nn.Module,
    *,
    kind: str,
    config: Any,
    labels: Mapping[str, Sequence[str]],
    notes: Mapping[str, Any] | None = None,
    ceilings: Mapping[str, float] | None = None,
) -> Path:
    """Write `net` with what it is; floating-point tensors in half precision.

    `config` is a dataclass or a mapping of JSON values. The file appears whole or not at all. Raises
    ModelError for an unknown kind, StorageError if the file cannot be written.
    """
    from scenewright.models.version import version

    _known(kind)
    path = Path(path)
    plain = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else dict(config)  # type: ignore[arg-type]
    described = {"config": plain, "labels": labels, "notes": notes or {}, "ceilings": ceilings or {}}
    metadata = {"format": "pt", MARK: version(), "kind": f"judge-{kind}"}
    metadata |= {key: json.dumps(value, sort_keys=True) for key, value in described.items()}
    tensors = {key: _half(tensor) for key, tensor in net.state_dict().items()}
    replace_tensors(path, tensors, metadata, "judge")
    return path


def read_judge_header(name_or_path: str | Path) -> JudgeHeader:
    """What a judge's file says about itself. Raises ModelError if it is missing, damaged or no judge."""
    path = judge_path(name_or_path)
    metadata = read_metadata(path, "judge")
    kind = metadata.get("kind", "")
    if MARK not in metadata or not kind.startswith("judge-"):
        raise ModelError(f"{path} is no judge of this package", f"it says it is {kind or 'nothing'}")
    kind = kind.removeprefix("judge-")
    _known(kind)
    parts = {key: _object(metadata, key, path) for key in ("config", "labels", "notes", "ceilings")}
    return JudgeHeader(kind=kind, version=metadata[MARK], **parts)


def load_judge(
    name_or_path: str | Path, *, kind: str | None = None, device: torch.device | str = "cpu"
) -> Judge:
    """The judge in a file, or the embedded one of that name, ready to use on `device`.

    With `kind`, another kind is refused. Raises ModelError if the judge is not there, is of another kind, or
    its weights do not fit its configuration.
    """
    path = judge_path(name_or_path)
    header = read_judge_header(path)
    if kind is not None and header.kind != kind:
        raise ModelError(f"{path} is a judge of kind {header.kind}, expected {kind}")
    module, _, function = BUILDERS[header.kind].partition(":")
    try:
        net: nn.Module = getattr(importlib.import_module(module), function)(header.config, header.labels)
    except (TypeError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: its configuration does not make a {header.kind}: {error}") from error
    tensors = read_tensors(path)
    wanted = net.state_dict()
    check_keys(tensors, {key: value.shape for key, value in wanted.items()}, str(path))
    net.load_state_dict({key: tensor.to(wanted[key].dtype) for key, tensor in tensors.items()}, strict=True)
    net = net.requires_grad_(False).eval().to(device)
    return Judge(net, header, judge_id(path))


def judge_id(path: Path) -> str:
    """A judge's identity, ``name@sha8``, from its file."""
    return f"{path.stem}@{_digest(read_judge_header(path), read_tensors(path))[:8]}"


def judge_path(name_or_path: str | Path) -> Path:
    """The file of a judge: an existing path, or an embedded name. Raises ModelError if there is neither."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    embedded = WEIGHTS / f"{name_or_path}.safetensors"
    if path.name == str(name_or_path) and embedded.is_file():
        return embedded
    names = sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
    close = nearest(str(name_or_path), names)
    hint = f"did you mean {close}?" if close else f"embedded judges: {', '.join(names) or 'none'}"
    raise ModelError(f"there is no judge {str(name_or_path)!r}, neither a file nor an embedded one", hint)


def _half(tensor: Tensor) -> Tensor:
    return tensor.detach().half() if tensor.is_floating_point() else tensor.detach()


def _known(kind: str) -> None:
    if kind not in BUILDERS:
        close = nearest(kind, BUILDERS)
        hint = f"did you mean {close}?" if close else "a newer version of this package may know it"
        raise ModelError(f"unknown kind of judge {kind!r}; known: {', '.join(BUILDERS)}", hint)


def _object(metadata: Mapping[str, str], key: str, path: Path) -> Any:
    try:
        found = json.loads(metadata.get(key, "{}"))
    except ValueError as error:
        raise ModelError(f"{path}: {key} in its metadata is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: {key} in its metadata is a {type(found).__name__}, expected an object")
    return found


def _digest(header: JudgeHeader, tensors: Mapping[str, Tensor]) -> str:
    """Of what the judge computes with; notes and the order in the file do not matter."""
    found = hashlib.sha256(json.dumps([header.kind, header.config, header.labels], sort_keys=True).encode())
    for key in sorted(tensors):
        found.update(f"{key} {tensors[key].dtype} {tuple(tensors[key].shape)}".encode())
        found.update(tensors[key].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
