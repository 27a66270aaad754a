"""Weight files: safetensors, sharded safetensors, and foreign pickles through the restricted reader."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scenewright.backbone.pickles import read_checkpoint
from scenewright.errors import ModelError, StorageError

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
"""Names of weight files in a model folder, the first found is taken."""

ENDINGS = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")
"""Endings in order of preference: full precision before half, safetensors before pickles."""


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of one part's folder, on the CPU and in the file's number type.

    Raises ModelError if there is no weight file or it cannot be read.
    """
    for ending in ENDINGS:
        for stem in STEMS:
            shards = folder / f"{stem}{ending}.index.json"
            if shards.is_file():
                found = read_json(shards).get("weight_map")
                if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
                    raise ModelError(f"{shards}: expected the file of every weight under weight_map")
                files = [folder / Path(name).name for name in sorted(set(found.values()))]
                return {key: value for file in files for key, value in read_tensors(file).items()}
            if (folder / f"{stem}{ending}").is_file():
                return read_tensors(folder / f"{stem}{ending}")
    raise ModelError(
        f"{folder} holds no weights", f"expected {STEMS[0]}.safetensors or {STEMS[1]}.safetensors"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a model's file. Raises ModelError if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} is missing", "the model folder is incomplete: pull or copy it again"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file (`.safetensors`, or a torch pickle of tensors), on the CPU.

    Raises ModelError for a damaged file, or a pickle that holds anything but tensors and plain containers.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} cannot be read: {error}", "the file is damaged or incomplete"
            ) from error
    content = read_checkpoint(path)
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors` and text `metadata` as safetensors (not atomic: the caller moves it into place).

    Raises StorageError if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {key: tensor.detach().to("cpu").contiguous() for key, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata=dict(metadata))
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot write {path}: {error}", "check the folder and the free space") from error


def replace_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], what: str
) -> None:
    """`write_tensors` into a file that is complete or as it was; folders on the way are made.

    `what` the file is ("adapter") goes into the message.

    Raises StorageError if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            write_tensors(Path(scratch) / path.name, tensors, metadata)
            os.replace(Path(scratch) / path.name, path)
    except OSError as error:
        raise StorageError(f"cannot write the {what} to {path}: {error}", "choose another folder") from error


def read_metadata(path: Path, what: str) -> dict[str, str]:
    """The text metadata of a safetensors file, without its weights.

    Raises ModelError if it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}", f"{what}s are .safetensors files") from error
