"""Pictures larger than what a model was trained on, in overlapping windows of that size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from scenewright.backbone.windows import windowed
from scenewright.condition.semantic import SemanticControl
from scenewright.errors import InputError

if TYPE_CHECKING:
    from scenewright.backbone.call import Denoise
    from scenewright.backbone.model import Backbone
    from scenewright.flows.options import GenerateOptions


def trained_wh(backbone: Backbone, adapter: nn.Module | None) -> tuple[int, int]:
    """Width and height in pixels of the pictures that a model knows: the adapter's, else the backbone's."""
    if isinstance(adapter, SemanticControl) and all(adapter.config.size_wh):
        return adapter.config.size_wh
    return backbone.native_wh


def in_windows(
    inner: Denoise, backbone: Backbone, adapter: nn.Module | None, options: GenerateOptions
) -> Denoise:
    """`inner` in windows of the size that the model knows, as `options` have them; to go inside guidance."""
    window_hw = tuple(side // backbone.stride for side in reversed(trained_wh(backbone, adapter)))
    stride_hw = tuple(max(1, round(side * options.window_stride)) for side in window_hw)
    return windowed(
        inner,
        (window_hw[0], window_hw[1]),
        (stride_hw[0], stride_hw[1]),
        taper=options.windows == "tapered",
        max_rows=2 * options.batch,
    )


def check_whole(options: GenerateOptions, what: str) -> None:
    """Raises InputError if windows are asked for together with `what`, which wants the picture as a whole."""
    if options.fusion > 1 or (options.windows and what == "masks"):
        raise InputError(
            f"{what} were asked for together with {'fusion' if options.fusion > 1 else 'windows'}",
            "they come from one whole pass: draw first, then `scenewright ground` the picture"
            if what == "masks"
            else "--fusion 1 draws the picture in one pass",
        )


def windows_facts(options: GenerateOptions) -> dict[str, Any]:
    """What a record says about windows and fusion; nothing without them."""
    facts: dict[str, Any] = {}
    if options.windows or options.fusion > 1:
        facts["windows"] = options.windows or "uniform"
        facts["window_stride"] = float(options.window_stride)
    if options.fusion > 1:
        facts |= {"fusion": options.fusion, "fusion_share": float(options.fusion_share)}
    return facts
