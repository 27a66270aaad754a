"""Where a UNet is tapped for heads that read it: module paths by level, found by walking the network.

Two layouts: ``blocks`` (the re-implementation grounded-diffusers; 9 maps of Stable Diffusion) is the output
of every block after its resampling; ``all`` (the code of Li et al., ICCV 2023; 25 maps) every layer that
feeds or takes a skip connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import COND, UNCOND
from scenewright.errors import InputError, ModelError, nearest

LAYOUTS = ("blocks", "all")
"""Names of tap layouts."""

HALVES = (UNCOND, COND)
"""Halves of guidance in the order in which the released heads have them as channels."""


DETAILS = ("depth", "head")
"""How finely attention maps are kept apart: one per depth of the network, or one per attention head."""


@dataclass(frozen=True)
class TapLayout:
    """Where maps are read: module paths of the UNet per level, deepest level first, in forward order.

    `channels` has the width of each map (of one half of guidance).
    """

    name: str
    levels: tuple[tuple[str, ...], ...]
    channels: tuple[tuple[int, ...], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """All module paths, level by level."""
        return tuple(path for level in self.levels for path in level)

    def widths(self, halves: Sequence[str] = HALVES) -> tuple[int, ...]:
        """Channels of each level when `halves` are folded into them: what a head reads."""
        return tuple(sum(level) * len(halves) for level in self.channels)


def tap_layout(unet: Any, name: str = "blocks") -> TapLayout:
    """The taps of layout `name` in a diffusers UNet of any depth and width.

    Raises InputError for another name, ModelError for a network without down, middle and up blocks.
    """
    if name not in LAYOUTS:
        close = nearest(name, LAYOUTS)
        raise InputError(
            f"unknown tap layout {name!r}; known: {', '.join(LAYOUTS)}",
            f"did you mean {close}?" if close else "",
        )
    if not all(hasattr(unet, part) for part in ("conv_in", "down_blocks", "mid_block", "up_blocks")):
        raise ModelError(f"{type(unet).__name__} has no down, middle and up blocks to tap")
    found = list(_taps(unet, fine=name == "all"))
    depths = range(max(depth for _, depth, _ in found), -1, -1)
    levels = tuple(tuple(path for path, depth, _ in found if depth == one) for one in depths)
    channels = tuple(tuple(width for _, depth, width in found if depth == one) for one in depths)
    if not all(levels):
        raise ModelError("the network has a level without a tap", "use the tap layout 'all'")
    return TapLayout(name, levels, channels)


def _taps(unet: Any, fine: bool) -> Iterator[tuple[str, int, int]]:
    """(module path, times halved, channels) of every tap, in the order of the forward pass."""
    depth = 0
    if fine:
        yield "conv_in", depth, int(unet.conv_in.out_channels)
    for i, block in enumerate(unet.down_blocks):
        yield from _layers(f"down_blocks.{i}", block, depth, len(block.resnets) if fine else 0)
        if block.downsamplers:
            depth += 1
            own = "downsamplers.0" if fine else ""
            yield _path(f"down_blocks.{i}", own), depth, int(block.downsamplers[0].out_channels)
        elif not fine:
            yield f"down_blocks.{i}", depth, int(block.resnets[-1].out_channels)
    yield "mid_block", depth, int(unet.mid_block.resnets[-1].out_channels)
    for i, block in enumerate(unet.up_blocks):
        count = len(block.resnets) - bool(block.upsamplers)
        yield from _layers(f"up_blocks.{i}", block, depth, count if fine else 0)
        if block.upsamplers:
            depth -= 1
            own = "upsamplers.0" if fine else ""
            yield _path(f"up_blocks.{i}", own), depth, int(block.upsamplers[0].out_channels)
        elif not fine:
            yield f"up_blocks.{i}", depth, int(block.resnets[-1].out_channels)


def _layers(path: str, block: Any, depth: int, count: int) -> Iterator[tuple[str, int, int]]:
    """The first `count` layers of a block: its transformers where it has them, else its resnets."""
    kind = "attentions" if getattr(block, "attentions", None) else "resnets"
    for j in range(count):
        yield f"{path}.{kind}.{j}", depth, int(block.resnets[j].out_channels)


def _path(block: str, own: str) -> str:
    return f"{block}.{own}" if own else block


def attention_depth(unet: Any, path: str) -> int:
    """How many times the latent was halved where the transformer block at `path` works."""
    part, *rest = path.split(".")
    if part == "mid_block":
        return sum(bool(block.downsamplers) for block in unet.down_blocks)
    index = int(rest[0])
    if part == "down_blocks":
        return sum(bool(block.downsamplers) for block in unet.down_blocks[:index])
    lifted = sum(bool(block.upsamplers) for block in unet.up_blocks[:index])
    return sum(bool(block.downsamplers) for block in unet.down_blocks) - lifted


def attention_maps(unet: Any, detail: str = "depth") -> int:
    """How many attention maps per class the network gives: depths with transformer blocks, or all heads."""
    blocks: Mapping[str, Any] = transformer_blocks(unet)
    if detail == "head":
        return sum(int(block.attn2.heads) for block in blocks.values())
    return len({attention_depth(unet, path) for path in blocks})
