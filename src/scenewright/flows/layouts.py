"""Layouts for whichever adapter a model has: from scenes to what its fusers get.

GLIGEN reads boxes; InstanceDiffusion reads boxes, points, scribbles, masks and parts, and has options of its
own; DGInStyle's control reads label maps and runs beside the UNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from scenewright.backbone.call import Grounding
from scenewright.backbone.network import Residuals
from scenewright.condition import gligen, locations
from scenewright.condition.gligen import Gligen
from scenewright.condition.membership import Masking
from scenewright.condition.semantic import SemanticControl, maps_of, space_of
from scenewright.condition.unifusion import UniFusion
from scenewright.errors import InputError, ModelError
from scenewright.flows.options import OF_LAYOUTS

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.flows.options import GenerateOptions
    from scenewright.scene import Scene

ATTENTION: dict[str, Masking] = {"full": "off", "masked": "finest", "masked-all": "all", "legacy": "legacy"}
"""Words for the fusers' attention and which levels they mask."""


@dataclass(frozen=True)
class Layout:
    """Grounding of scenes, that of their negative halves, and per scene the ids of what found no slot.

    Adapters that run beside the UNet have no grounding; `extra` and `null_extra` are what they read.
    """

    grounding: Grounding | None
    null: Grounding | None
    dropped: tuple[tuple[str, ...], ...]
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    null_extra: Mapping[str, Tensor] = field(default_factory=dict)


def layout_of(
    adapter: nn.Module, backbone: Backbone, scenes: Sequence[Scene], options: GenerateOptions
) -> Layout:
    """The layout of scenes of one size for an adapter.

    Raises SceneError when a scene does not fit, InputError for options that the adapter does not have,
    ModelError for an adapter that places nothing.
    """
    check_options(adapter, options)
    if isinstance(adapter, SemanticControl):
        return _mapped(adapter, scenes, options)
    if isinstance(adapter, Gligen):
        boxes = gligen.inputs_from_scenes(scenes, backbone, adapter.config, options.overflow)
        grounding = adapter.grounding(boxes)
        return Layout(grounding, adapter.null_grounding(grounding), boxes.dropped)
    assert isinstance(adapter, UniFusion)
    missing: Any = options.missing or None
    inputs, dropped = locations.inputs_from_scenes(
        scenes, backbone, adapter.config, options.overflow, use=options.use, missing=missing
    )
    width, height = scenes[0].size_wh
    cells_hw = (height // backbone.stride, width // backbone.stride)
    grounding = adapter.grounding(inputs, cells_hw, masking_of(adapter, options))
    return Layout(grounding, adapter.null_grounding(grounding), dropped)


def _mapped(adapter: SemanticControl, scenes: Sequence[Scene], options: GenerateOptions) -> Layout:
    """As published, the negative half sees the same map; the null layout is a map without labels."""
    maps_BHW, has_B = maps_of(scenes, adapter.config)
    scale_B = has_B * options.control
    own = adapter.conditioning(maps_BHW, scale_B)
    if options.null_layout:
        own = adapter.conditioning(adapter.unlabelled(maps_BHW), scale_B)
    return Layout(None, None, ((),) * len(scenes), own, own)


def beside(adapter: nn.Module | None) -> Residuals | None:
    """What of an adapter runs beside the UNet; None for adapters inside of it."""
    return adapter.residuals if isinstance(adapter, SemanticControl) else None


def attach(adapter: Any, unet: nn.Module, options: GenerateOptions) -> Any:
    """The adapter in its place, a context manager; leaving it restores the UNet."""
    if isinstance(adapter, SemanticControl):
        return nullcontext()
    if isinstance(adapter, UniFusion):
        return adapter.attach(unet, scaleu=options.scaleu)
    return adapter.attach(unet)


def check_options(adapter: nn.Module, options: GenerateOptions) -> None:
    """Raises InputError for options that the adapter does not have, ModelError for adapters of no kind."""
    if not isinstance(adapter, (Gligen, SemanticControl, UniFusion)):
        raise ModelError(f"an adapter {type(adapter).__name__} places nothing", "see scenewright models list")
    if options.control != 1 and not isinstance(adapter, SemanticControl):
        raise InputError(
            f"control is {options.control:g}, but the adapter reads no label maps",
            "take a model with DGInStyle's, such as sd15+dginstyle",
        )
    if isinstance(adapter, UniFusion):
        return
    asked = [name for name in ("use", "attention", "missing") if getattr(options, name)]
    if options.scaleu is False:
        asked.append("scaleu")
    if asked:
        kind = "GLIGEN's, which reads boxes" if isinstance(adapter, Gligen) else "DGInStyle's, of label maps,"
        raise InputError(
            f"{', '.join(asked)}: the adapter is {kind} and has no such option",
            "take a model with InstanceDiffusion, such as nano+instancediffusion",
        )


def check_fit(adapter: nn.Module | None, scenes: Sequence[Scene], options: GenerateOptions) -> None:
    """Raises InputError for options that a model does not have, and for label maps of other classes than its
    own; ModelError for adapters of no kind. What `layout_of` refuses, before anything is drawn."""
    if not options.layout:
        return
    if adapter is not None:
        check_options(adapter, options)
    elif spare := _spare(options):
        raise InputError(
            f"{', '.join(spare)}: the model has no adapter, and nothing that follows a layout",
            "take one that has, such as nano+gligen",
        )
    if isinstance(adapter, SemanticControl):
        for vocabulary in dict.fromkeys(one.semantic_map.vocabulary for one in scenes if one.semantic_map):
            space_of(vocabulary, adapter.config)


def _spare(options: GenerateOptions) -> list[str]:
    """Options of layouts that are not as they are without being asked for; any number of instances fits."""
    plain = type(options)()
    names = (name for name in OF_LAYOUTS if name != "overflow")
    return [name for name in names if getattr(options, name) != getattr(plain, name)]


def masking_of(adapter: UniFusion, options: GenerateOptions) -> Masking:
    """Which levels are masked: as asked for, else as the adapter was trained."""
    return ATTENTION[options.attention] if options.attention else adapter.config.masking


def facts(adapter: nn.Module | None, options: GenerateOptions) -> dict[str, Any]:
    """What a record says about the reading of its layout; nothing for GLIGEN."""
    if isinstance(adapter, SemanticControl):
        return {"control": float(options.control)}
    if not isinstance(adapter, UniFusion):
        return {}
    words = {masking: word for word, masking in ATTENTION.items()}
    return {
        "use": options.use or "each its own",
        "attention": words[masking_of(adapter, options)],
        **({} if options.scaleu else {"scaleu": False}),
        **({"missing": options.missing} if options.missing else {}),
    }
