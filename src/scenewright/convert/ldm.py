"""Names and sizes of UNets in the original latent-diffusion layout, and the same in diffusers' layout.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv 2112.10752).
The two layouts hold the same tensors. Original blocks are numbered through, diffusers' by level; everything
inside a transformer block keeps its name, so adapters built into those blocks need no table of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scenewright.backbone.ldm_keys import RESNET, UNET_ENDS, unet_key
from scenewright.errors import ModelError

GROUPS = 32
"""Groups of every group normalisation in the original layout."""


@dataclass(frozen=True)
class Levels:
    """The skeleton both layouts share: resolution levels, resnets per level, which ascending levels attend.

    attention_up: one flag per ascending level (lowest resolution first), True with transformer blocks.
    """

    levels: int
    layers: int
    attention_up: tuple[bool, ...]

    @classmethod
    def of_original(cls, keys: Collection[str]) -> Levels:
        """Read off the original names. Raises ModelError if they are not those of such a UNet."""
        inputs = {int(found[1]) for key in keys if (found := re.match(r"input_blocks\.(\d+)\.", key))}
        downs = {int(found[1]) for key in keys if (found := re.match(r"input_blocks\.(\d+)\.0\.op\.", key))}
        if not inputs or "input_blocks.0.0.weight" not in keys:
            raise ModelError(
                "the file holds no UNet in the original layout (no key input_blocks.0.0.weight)",
                hint="a diffusers folder needs no conversion; other adapters are not whole networks",
            )
        levels = len(downs) + 1
        layers = (len(inputs) - 1 - len(downs)) // levels
        attention = tuple(f"output_blocks.{b * (layers + 1)}.1.norm.weight" in keys for b in range(levels))
        return cls(levels, layers, attention)

    @classmethod
    def of_diffusers(cls, keys: Collection[str]) -> Levels:
        """Read off diffusers' names. Raises ModelError if they are not those of such a UNet."""
        found = [re.match(r"up_blocks\.(\d+)\.resnets\.(\d+)\.", key) for key in keys]
        pairs = {(int(one[1]), int(one[2])) for one in found if one}
        if not pairs:
            raise ModelError("the keys are not those of a diffusers UNet (no up_blocks.*.resnets.*)")
        levels, layers = 1 + max(b for b, _ in pairs), max(j for _, j in pairs)
        attention = tuple(f"up_blocks.{b}.attentions.0.norm.weight" in keys for b in range(levels))
        return cls(levels, layers, attention)

    def modules(self) -> dict[str, str]:
        """Original module name -> diffusers' module name, resnets spelt out layer by layer."""
        names = [*UNET_ENDS, "middle_block.1", *_resnet("middle_block.0"), *_resnet("middle_block.2")]
        for i in range(1, self.levels * (self.layers + 1)):
            names += [*_resnet(f"input_blocks.{i}.0"), f"input_blocks.{i}.0.op", f"input_blocks.{i}.1"]
        for level in range(self.levels):
            for i in range(level * (self.layers + 1), (level + 1) * (self.layers + 1)):
                names += _resnet(f"output_blocks.{i}.0")
                names += [f"output_blocks.{i}.1"] if self.attention_up[level] else []
            names.append(f"output_blocks.{i}.{2 if self.attention_up[level] else 1}.conv")
        return {name: str(unet_key(f"{name}.weight", self.layers)).removesuffix(".weight") for name in names}


def _resnet(block: str) -> list[str]:
    return [f"{block}.{layer}" for layer in RESNET]


Own = Callable[[str], str | None]
"""Names of what an adapter adds outside the transformer blocks: the new name, or None for other keys."""


def to_diffusers(keys: Collection[str], own: Own | None = None) -> dict[str, str]:
    """Original key -> diffusers key for every key; a bijection.

    Args:
        keys: all keys of a UNet in the original layout.
        own: see `Own`; without it everything under ``position_net.`` keeps its name.

    Raises:
        ModelError: a key has no counterpart; all such keys are listed.
    """
    layers = Levels.of_original(keys).layers
    return _rename(keys, lambda key: (own(key) if own else None) or unet_key(key, layers))


def to_original(keys: Collection[str], own: Own | None = None) -> dict[str, str]:
    """Diffusers key -> original key, the inverse of `to_diffusers`; same arguments and errors."""
    table = {new: old for old, new in Levels.of_diffusers(keys).modules().items()}
    table["position_net"] = "position_net"
    return _rename(keys, lambda key: (own(key) if own else None) or _by_prefix(key, table))


def _rename(keys: Collection[str], name: Own) -> dict[str, str]:
    given = {key: name(key) for key in keys}
    unknown = [key for key, new in given.items() if new is None]
    if unknown:
        raise ModelError(f"{len(unknown)} keys of the UNet are unknown: {listed(unknown)}")
    renamed = {key: new for key, new in given.items() if new is not None}
    if len(set(renamed.values())) != len(renamed):
        raise ModelError("two keys of the UNet would get the same name; the file mixes layouts")
    return renamed


def _by_prefix(key: str, table: Mapping[str, str]) -> str | None:
    """`key` with its longest prefix found in `table` replaced, or None."""
    parts = key.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        prefix = ".".join(parts[:cut])
        if prefix in table:
            return ".".join([table[prefix], *parts[cut:]])
    return None


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message: the first `most` in order, then how many more."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def size_of(state: Mapping[str, Tensor], key: str, axis: int = 0) -> int:
    """Length of one axis of a tensor that must be there. Raises ModelError if it is not."""
    if key not in state:
        raise ModelError(f"the weights lack {key}", hint="the file is incomplete, or of another kind")
    if axis >= state[key].ndim:
        raise ModelError(f"{key} has shape {tuple(state[key].shape)}, at least {axis + 1} axes expected")
    return int(state[key].shape[axis])


def unet_config(state: Mapping[str, Tensor], *, heads: Sequence[int], sample_size: int) -> dict[str, Any]:
    """The diffusers configuration of a UNet given in the original layout.

    Args:
        state: original keys; sizes, levels, depth and widths are read from the shapes.
        heads: attention heads per level, or one number for all; the weights do not tell (8 for SD 1.x).
        sample_size: side of the latent the network was trained on, in cells (64 for SD 1.x).
    """
    shape = Levels.of_original(state)
    firsts = [1 + level * (shape.layers + 1) for level in range(shape.levels)]
    widths = tuple(size_of(state, f"input_blocks.{i}.0.out_layers.3.weight") for i in firsts)
    attends = [f"input_blocks.{i}.1.norm.weight" in state for i in firsts]
    if len(heads) not in (1, shape.levels):
        raise ModelError(
            f"{len(heads)} head counts given, 1 or one for each of the {shape.levels} levels expected"
        )
    if min(heads) < 1:
        raise ModelError(f"{min(heads)} attention heads given, at least 1 expected")
    for level, width in enumerate(widths):
        if width % GROUPS:
            raise ModelError(
                f"level {level} has {width} channels; original networks normalise in {GROUPS} groups",
                hint="a network with other groups is not of the original layout",
            )
        if width % heads[level % len(heads)]:
            raise ModelError(
                f"{width} channels of level {level} cannot be split into {heads[level % len(heads)]} heads"
            )
    middle = "middle_block.1."
    depth = len({key.split(".")[3] for key in state if key.startswith(f"{middle}transformer_blocks.")})
    return {
        "sample_size": sample_size,
        "in_channels": size_of(state, "input_blocks.0.0.weight", 1),
        "out_channels": size_of(state, "out.2.weight"),
        "down_block_types": tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if on else "UpBlock2D" for on in shape.attention_up),
        "block_out_channels": widths,
        "layers_per_block": shape.layers,
        "cross_attention_dim": size_of(state, f"{middle}transformer_blocks.0.attn2.to_k.weight", 1),
        "attention_head_dim": heads[0] if len(heads) == 1 else tuple(heads),
        "transformer_layers_per_block": depth,
        "use_linear_projection": f"{middle}proj_in.weight" in state
        and state[f"{middle}proj_in.weight"].ndim == 2,
    }
