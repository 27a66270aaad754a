"""InstanceDiffusion's checkpoint as a whole: to a backbone folder and an adapter file, and back.

The released file holds the network twice, as averaged weights (``ema``) and as trained ones (``model``), and
beside it text encoder, autoencoder and the state of training. The averaged weights are taken, as the original
loads them; what was taken and what was left is reported. The UNet inside is that of Stable Diffusion 1.5 up
to the rounding of averages: where that model is at hand, they are compared, and the adapter is tied to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.load import load_folder, save_folder
from scenewright.backbone.model import Backbone, fingerprint
from scenewright.backbone.parts import build_scheduler, build_text_encoder, build_vae, fill, load_tokenizer
from scenewright.backbone.pickles import read_checkpoint
from scenewright.backbone.single_file import CLIP, VAE, convert_original, single_configs, tokenizer_folder
from scenewright.condition.unifusion import UniFusion
from scenewright.convert.instancediffusion import Numbers, from_original, original_state
from scenewright.convert.split import Converted, mentions
from scenewright.errors import ModelError
from scenewright.models.adapter import save_adapter
from scenewright.scene.files import cannot

ENTRIES = ("ema", "model")
"""Entries with the network's weights, in order of preference."""

ROUNDING = 2e-3
"""Largest difference of a weight that averaging in half precision explains."""

MARK = b"scaleu_b_0"
"""A name that only these checkpoints have, and bytes of a file in which names are looked for."""

ADAPTER = "instancediffusion.safetensors"


@dataclass(frozen=True, eq=False)
class Released:
    """A checkpoint taken apart: UNet and adapter, weights of the other networks (original names), the entry
    that the network came from and those that were left out."""

    network: Converted[UniFusion]
    text_encoder: Mapping[str, Tensor]
    autoencoder: Mapping[str, Tensor]
    entry: str
    left_out: tuple[str, ...]

    @property
    def told(self) -> str:
        """One sentence on what was taken."""
        why = "averaged weights" if self.entry == "ema" else "the trained weights; it has no averaged ones"
        rest = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        return f"the network is its entry {self.entry!r} ({why}){rest}"


def read_released(path: Path, numbers: Numbers, entries: Sequence[str] = ENTRIES) -> Released:
    """A checkpoint file. Only tensors are rebuilt.

    Raises ModelError for a file that cannot be read, has none of the `entries`, or other weights.
    """
    content = read_checkpoint(path)
    if all(isinstance(value, Tensor) for value in content.values()):
        content = {"model": content}
    entry = next((name for name in entries if isinstance(content.get(name), dict)), "")
    if not entry:
        raise ModelError(
            f"{path} has no weights named {' or '.join(map(repr, entries))}",
            hint=f"it has: {', '.join(sorted(map(str, content)))}",
        )
    network = from_original(_tensors(content[entry]), numbers, str(path))
    used = {entry, "text_encoder", "autoencoder"}
    return Released(
        network,
        _tensors(content.get("text_encoder", {})),
        _tensors(content.get("autoencoder", {})),
        entry,
        tuple(sorted(str(name) for name in content if name not in used)),
    )


def is_released(path: Path) -> bool:
    """Whether a file is such a checkpoint, told by a name in it without reading its weights."""
    return path.suffix in (".pth", ".pt", ".ckpt", ".bin") and mentions(path, MARK)


def backbone_of(
    released: Released, where: str, tokenizer: str | Path | None = None, config: str | Path = "sd1"
) -> Backbone:
    """The networks of the checkpoint at `where` as a backbone without adapter.

    `tokenizer` and `config` as in `backbone.single_file.load_single_file`. Raises ModelError for a file that
    lacks some.
    """
    missing = [name for name in ("text_encoder", "autoencoder") if not getattr(released, name)]
    if missing:
        raise ModelError(f"{where} has no {' and no '.join(missing)}", "use the backbone it was trained on")
    configs = single_configs(config)
    prefixed = {f"{VAE}{key}": value for key, value in released.autoencoder.items()}
    prefixed |= {f"{CLIP}{_text_key(key)}": value for key, value in released.text_encoder.items()
                 if not key.endswith("position_ids")}  # fmt: skip
    parts = convert_original(prefixed, configs, where, only=("vae", "text_encoder"))
    first = next(iter(released.network.unet.parameters()))
    device, dtype = first.device, first.dtype
    return Backbone(
        "instancediffusion",
        load_tokenizer(tokenizer_folder(Path(where), tokenizer)),
        fill(build_text_encoder(configs["text_encoder"]), parts["text_encoder"], device, dtype, where),
        released.network.unet,
        fill(build_vae(configs["vae"]), parts["vae"], device, dtype, where),
        build_scheduler(configs["scheduler"]),
    )


def write_adapter(
    released: Released, out: Path, source: str, base: Backbone | None, dtype: torch.dtype
) -> tuple[Path, str]:
    """The adapter file, and what the comparison of its UNet with `base` found.

    With a `base` that agrees up to rounding the adapter is tied to it; else to the UNet of the file. Raises
    ModelError for a base with other weights.
    """
    own = fingerprint(released.network.unet.state_dict())
    name, mark, found = f"the UNet inside {source}", own, "its UNet was not compared with another"
    text = ""
    if base is not None:
        gap = largest_gap(released.network.unet.state_dict(), base.unet.state_dict())
        if gap > ROUNDING:
            raise ModelError(
                f"the UNet in {source} differs from {base.name} by up to {gap:.2g}; "
                f"at most {ROUNDING:g} is the rounding of averages",
                "convert it with its own backbone: give a folder for the result",
            )
        name, mark, text = base.name, base.fingerprint, base.text_fingerprint
        found = f"its UNet is that of {base.name} up to {gap:.1g}"
    adapter = released.network.adapter
    notes = {"converted_from": source, "entry": released.entry}
    path = save_adapter(
        out, adapter, adapter.config, "instancediffusion", mark,
        backbone_name=name, text_fingerprint=text, dtype=dtype, notes=notes,
    )  # fmt: skip
    return path, found


def largest_gap(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Largest difference of weights under the same names. Raises ModelError for other names or shapes."""
    if found.keys() != expected.keys():
        raise ModelError("the two UNets have different layers")
    gap = 0.0
    for key, value in found.items():
        if value.shape != expected[key].shape:
            raise ModelError(f"{key} has the shapes {tuple(value.shape)} and {tuple(expected[key].shape)}")
        if value.numel():
            gap = max(gap, float((value.float() - expected[key].to(value.device).float()).abs().max()))
    return gap


def write_whole(released: Released, out: Path, source: str, dtype: torch.dtype, **more: Any) -> Path:
    """A backbone folder with the adapter file inside. `more` as for `backbone_of`. Returns the folder."""
    save_folder(backbone_of(released, source, **more), out, dtype)
    written = load_folder(out)  # what was rounded names the backbone, and not what it was rounded from
    write_adapter(released, out / ADAPTER, Path(source).name, written, dtype)
    return out


def export_original(backbone: Backbone, adapter: UniFusion, out: Path, dtype: torch.dtype) -> Path:
    """A whole checkpoint that the original loads: its names, and the entries ``model``, ``text_encoder`` and
    ``autoencoder``. Raises StorageError if it cannot be written."""
    levels = len(backbone.vae.config.block_out_channels)
    entries = {
        "model": original_state(backbone.unet, adapter),
        "text_encoder": {
            f"transformer.text_model.{key.removeprefix('text_model.')}": value
            for key, value in backbone.text_encoder.state_dict().items()
        },
        "autoencoder": original_vae(backbone.vae.state_dict(), levels),
    }
    content = {
        entry: {key: value.detach().to("cpu", dtype) for key, value in state.items()}
        for entry, state in entries.items()
    }
    hidden = out.with_name(f".{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, hidden)
        hidden.replace(out)
    except OSError as fault:
        raise cannot("write", out, fault) from fault
    return out


VAE_LAYERS = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut", "resnets": "block"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_vae(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """An autoencoder's weights under original names; the inverse of `ldm_keys.vae_key` for `levels`
    resolutions, attention as 1x1 convolutions."""
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        attention = re.fullmatch(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)\.(\w+)", key)
        if attention:
            name = f"{attention[1]}.mid.attn_1.{VAE_ATTENTION[attention[2]]}.{attention[3]}"
            found[name] = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
            continue
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda place: f"mid.block_{int(place[1]) + 1}", key)
        name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
        name = re.sub(r"up_blocks\.(\d)", lambda level: f"up.{levels - 1 - int(level[1])}", name)
        for mine, theirs in VAE_LAYERS.items():
            name = name.replace(mine, theirs)
        found[re.sub(r"(down|up)samplers\.0", r"\1sample", name)] = tensor
    return found


def _tensors(entry: Any) -> dict[str, Tensor]:
    if not isinstance(entry, Mapping):
        return {}
    return {str(key): value for key, value in entry.items() if isinstance(value, Tensor)}


def _text_key(key: str) -> str:
    """A key of the text encoder as single files have it: without the wrapper's own prefix."""
    return key.removeprefix("transformer.")
