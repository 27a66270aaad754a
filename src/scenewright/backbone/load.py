"""Load and save a backbone as an ordinary diffusers folder.

The parts are built from their configs without memory and filled straight from the weight files: strict (every
missing and unexpected key is listed), quiet, and without the machinery that a whole pipeline would import.
Weights are safetensors; `.bin` files go through torch's restricted reader.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenewright.backbone.model import Backbone, fingerprint, text_fingerprint
from scenewright.backbone.parts import (
    build_scheduler,
    build_text_encoder,
    build_unet,
    build_vae,
    file_keys,
    fill,
    load_tokenizer,
)
from scenewright.backbone.weights import read_folder, read_json, write_tensors
from scenewright.errors import ModelError, StorageError

NETWORKS = {"unet": build_unet, "vae": build_vae, "text_encoder": build_text_encoder}
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
"""The class of each network in the pipelines of Stable Diffusion 1.x and 2.x."""


def load_folder(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    name: str = "",
    revision: str | None = None,
) -> Backbone:
    """The backbone in a diffusers folder, or of a hub id whose files are already in the hub cache.

    `name` is used in messages and records; without it the last part of `path`. Nothing is fetched from the
    network. Raises ModelError for a folder that is not a complete Stable Diffusion 1.x or 2.x model.
    """
    folder = find_folder(path, revision)
    index = read_json(folder / "model_index.json")
    _check_index(index, folder)
    parts: dict[str, Any] = {}
    stored: dict[str, str] = {}
    lossy = dtype not in (torch.float32, torch.float16)
    for part, build in NETWORKS.items():
        module = build(read_json(folder / part / "config.json"))
        tensors = read_folder(folder / part)
        if lossy and part == "unet":
            stored["stored_fingerprint"] = fingerprint(tensors)
        if lossy and part == "text_encoder":
            stored["stored_text_fingerprint"] = text_fingerprint(tensors)
        parts[part] = fill(module, tensors, device, dtype, where=f"{folder / part}")
    scheduler = build_scheduler(read_json(folder / "scheduler" / "scheduler_config.json"))
    tokenizer = load_tokenizer(folder / "tokenizer")
    return Backbone(name or folder.name, tokenizer, scheduler=scheduler, **stored, **parts)


def save_folder(backbone: Backbone, path: str | Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write `backbone` as a diffusers folder that `StableDiffusionPipeline.from_pretrained` loads as well.

    Everything is written beside `path` first and moved into place at the end; other files already in `path`
    stay. Weights of an attached adapter are left out. Raises StorageError if the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            _write_parts(backbone, Path(scratch), dtype)
            _move_into(Path(scratch), path)
    except OSError as error:
        raise StorageError(
            f"cannot write the model to {path}: {error}", "choose a writable folder"
        ) from error
    return path


def find_folder(path: str | Path, revision: str | None = None) -> Path:
    """`path` if it is a folder with a model, else the hub cache's folder of that hub id.

    Raises ModelError if there is neither.
    """
    folder = Path(path)
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ModelError(
                f"{folder} has no model_index.json",
                "give the folder that holds unet/, vae/, text_encoder/, tokenizer/ and scheduler/",
            )
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(str(path), "model_index.json", revision=revision)
    except HFValidationError:
        found = None
    if isinstance(found, str):
        return Path(found).parent
    raise ModelError(
        f"no model at {str(path)!r}: not a folder, and not in the hub cache",
        f"run: scenewright models pull {path}",
    )


def _check_index(index: Mapping[str, Any], folder: Path) -> None:
    """Refuse a model_index.json of a pipeline with other parts."""
    classes: dict[str, str] = {}
    for part, named in index.items():
        if isinstance(named, list) and len(named) == 2 and isinstance(named[1], str):
            classes[part] = named[1]
    missing = [part for part in (*NETWORKS, "tokenizer", "scheduler") if part not in classes]
    other = [classes[part] for part, name in CLASSES.items() if classes.get(part, name) != name]
    other += [part for part in ("text_encoder_2", "transformer") if part in classes]
    if missing or other:
        what = f"names no {', '.join(missing)}" if missing else f"has {', '.join(other)}"
        raise ModelError(
            f"{folder}: model_index.json {what}",
            "a Stable Diffusion 1.x or 2.x folder has unet, vae, text_encoder, tokenizer and scheduler",
        )


def _write_parts(backbone: Backbone, folder: Path, dtype: torch.dtype) -> None:
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline"}
    index |= {"feature_extractor": [None, None], "safety_checker": [None, None]}
    index["requires_safety_checker"] = False
    for part in NETWORKS:
        module: nn.Module = getattr(backbone, part)
        library = "transformers" if part == "text_encoder" else "diffusers"
        index[part] = [library, type(module).__name__]
        (folder / part).mkdir()
        _write_config(module, folder / part / "config.json")
        stem = "model" if library == "transformers" else "diffusion_pytorch_model"
        tensors = {key: tensor.to(dtype) for key, tensor in file_keys(module).items()}
        write_tensors(folder / part / f"{stem}.safetensors", tensors, {"format": "pt"})
    index["scheduler"] = ["diffusers", type(backbone.scheduler).__name__]
    index["tokenizer"] = ["transformers", "CLIPTokenizer"]
    backbone.scheduler.save_config(folder / "scheduler")
    backbone.tokenizer.save_pretrained(folder / "tokenizer")
    _write_json(folder / "model_index.json", index)


def _write_config(module: Any, path: Path) -> None:
    if hasattr(module, "save_config"):
        module.save_config(path.parent)
    else:
        module.config.to_json_file(path)
    config = read_json(path)
    if config.pop("_name_or_path", None) is not None:  # where it was once loaded from is nobody's business
        _write_json(path, config)


def _move_into(scratch: Path, path: Path) -> None:
    for file in sorted(scratch.rglob("*")):
        target = path / file.relative_to(scratch)
        if file.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(dict(content), indent=2, sort_keys=True) + "\n", encoding="utf-8")
