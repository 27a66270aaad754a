"""InstanceDiffusion checkpoints: the original file, and our adapter.

Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv 2402.03290).
The file is a Stable Diffusion UNet in the original layout with a fuser in every transformer block, the token
network under ``position_net.*``, and ``scaleu_{b,s}_<i>`` for the i-th ascending resnet.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from scenewright.condition.convnext import STRIDE
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.convert.ldm import Levels, size_of, to_diffusers, to_original, unet_config
from scenewright.convert.split import Converted, is_adapter_key, read_entry, split
from scenewright.errors import ModelError

_NET = "position_net."
_TRUNK = f"{_NET}convnext_tiny_backbone."


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the weights do not tell; no defaults, because a wrong guess would load and draw nonsense."""

    heads: tuple[int, ...]  # attention heads per level, or one number for all
    sample_size: int  # side of the trained latent in cells


SD15 = Numbers(heads=(8,), sample_size=64)
"""The numbers of the released checkpoint."""


def config_of(state: Mapping[str, Tensor]) -> UniFusionConfig:
    """The adapter's configuration, read off the shapes of its token network."""
    frequencies = size_of(state, f"{_NET}null_position_feature") // 8
    cells = size_of(state, f"{_NET}pos_embedding", 1) * 4
    depths, widths = _trunk(state)
    return UniFusionConfig(
        slots=size_of(state, f"{_NET}in_conv.weight", 1),
        fourier=frequencies,
        hidden=size_of(state, f"{_NET}linears_list.0.0.weight"),
        feature_width=size_of(state, f"{_NET}null_positive_feature"),
        context_width=size_of(state, f"{_NET}linears_list.0.4.weight"),
        scribble_points=size_of(state, f"{_NET}null_scribble_feature") // (4 * frequencies),
        polygon_points=size_of(state, f"{_NET}null_polygon_feature") // (4 * frequencies),
        map_px=round(cells**0.5) * STRIDE,
        depths=depths,
        widths=widths,
    )


def _trunk(state: Mapping[str, Tensor]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Blocks and channels of every stage of the map network."""
    blocks: dict[int, set[int]] = {}
    for key in state:
        if found := re.match(re.escape(_TRUNK) + r"stages\.(\d+)\.(\d+)\.", key):
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    if sorted(blocks) != list(range(len(blocks))) or not blocks:
        raise ModelError(f"the weights lack stages of {_TRUNK.removesuffix('.')}", hint="incomplete file?")
    widths = tuple(size_of(state, f"{_TRUNK}stages.{stage}.0.dwconv.weight") for stage in sorted(blocks))
    return tuple(len(blocks[stage]) for stage in sorted(blocks)), widths


def from_original(
    state: Mapping[str, Tensor], numbers: Numbers, source: str = "the checkpoint"
) -> Converted[UniFusion]:
    """A UNet state dict with original names, split into a stock UNet and an adapter.

    Raises ModelError if it is not InstanceDiffusion's, and for missing or unexpected keys (listed).
    """
    if "scaleu_b_0" not in state or f"{_NET}linears_list.0.0.weight" not in state:
        raise ModelError(f"{source} is not an InstanceDiffusion network (no scaleu_b_0, or no token network)")
    names = to_diffusers(state.keys(), _scale_to_path(Levels.of_original(state).layers))
    renamed = {names[key]: tensor for key, tensor in state.items()}
    config = unet_config(state, heads=numbers.heads, sample_size=numbers.sample_size)
    sizes = config_of(state)
    return split(renamed, config, lambda unet: UniFusion.for_unet(unet, sizes), source)


def read_original(
    path: Path, numbers: Numbers, weights: tuple[str, ...] = ("ema", "model")
) -> Converted[UniFusion]:
    """An original checkpoint file; `weights` are its entries in order of preference, as the original loads.

    Only tensors are rebuilt; everything else is dropped and named in `left_out`. Raises ModelError for a file
    that cannot be read, and as `from_original` does.
    """
    state, left_out = read_entry(path, weights)
    return dataclasses.replace(from_original(state, numbers, str(path)), left_out=left_out)


def original_state(unet: nn.Module, adapter: UniFusion) -> dict[str, Tensor]:
    """A stock UNet and its adapter as one state dict with original names; the inverse of `from_original`."""
    base = {key: tensor for key, tensor in unet.state_dict().items() if not is_adapter_key(key)}
    state = base | adapter.state_dict()
    names = to_original(state.keys(), _path_to_scale(Levels.of_diffusers(state).layers))
    return {names[key]: tensor for key, tensor in state.items()}


def _scale_to_path(layers: int) -> Callable[[str], str | None]:
    def name(key: str) -> str | None:
        found = re.fullmatch(r"scaleu_([bs])_(\d+)", key)
        if found is None:
            return None
        level, place = divmod(int(found[2]), layers + 1)
        return f"up_blocks.{level}.resnets.{place}.scaleu.{found[1]}"

    return name


def _path_to_scale(layers: int) -> Callable[[str], str | None]:
    def name(key: str) -> str | None:
        found = re.fullmatch(r"up_blocks\.(\d+)\.resnets\.(\d+)\.scaleu\.([bs])", key)
        return f"scaleu_{found[3]}_{int(found[1]) * (layers + 1) + int(found[2])}" if found else None

    return name
