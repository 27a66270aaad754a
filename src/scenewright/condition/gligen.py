"""GLIGEN with text boxes: a phrase and a box per instance steer where things appear.

Li et al., "GLIGEN: Open-Set Grounded Text-to-Image Generation", CVPR 2023 (arXiv 2301.07093). From scenes to
tensors (`inputs_from_scenes`), to grounding tokens (`TextBoxTokens`, eq. 5), to the residual inside each
transformer block (`fuser.GatedFuser`, eq. 8).

Three things that must not be mixed up:

* no layout: nothing is passed to the fusers, the base network runs untouched (gate 0 does the same per row);
* null layout: every slot masked, the tokens are the learnt null tokens; what the negative branch gets;
* gate: a factor in [0,1] per row on all fusers, from the schedule of sampling.

Letters: B scenes, N slots, M grounding tokens (here M = N), D width of features or tokens, F frequencies.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.attach import Handle, attach_fusers
from scenewright.backbone.call import Grounding
from scenewright.condition.fuser import FuserTree, GatedFuser, context_width, fourier, fresh_fusers
from scenewright.errors import ModelError, SceneError, nearest

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.scene import Instance, Scene

__all__ = [
    "GatedFuser",
    "Gligen",
    "GligenConfig",
    "GligenInputs",
    "Overflow",
    "TextBoxTokens",
    "fourier",
    "inputs_from_scenes",
]

Overflow = Literal["error", "largest"]

LARGEST = 2**16
"""No size of an adapter comes near this; a file that asks for more is damaged."""


@dataclass(frozen=True, kw_only=True)
class GligenConfig:
    """Sizes of a GLIGEN adapter that its weights do not tell, or that must agree with them.

    The defaults are those of the released networks; a width of 0 means the text width of the UNet.
    """

    slots: int = 30  # grounding tokens per picture; unused ones are null tokens and take part in attention
    fourier: int = 8  # frequencies of the box code
    hidden: int = 512  # width inside the token network
    feature_width: int = 0  # width of a pooled phrase embedding
    context_width: int = 0  # width of a grounding token

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            low = 0 if name.endswith("_width") else 1
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= LARGEST:
                raise ModelError(f"{name} is {value!r}, a whole number from {low} to {LARGEST} expected")

    def to_json(self) -> str:
        """The configuration as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> GligenConfig:
        """Reads what `to_json` wrote; ModelError on text that is not such an object, or on unknown keys."""
        return cls(**config_object(text, [field.name for field in dataclasses.fields(cls)]))


def config_object(text: str, known: Sequence[str]) -> dict[str, Any]:
    """The object in an adapter's configuration; ModelError on other text and on keys that are not `known`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the adapter's configuration is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ModelError(f"the adapter's configuration is {type(data).__name__}, an object expected")
    for key in data:
        if key not in known:
            near = nearest(key, known)
            raise ModelError(
                f"unknown key {key!r} in the adapter's configuration",
                hint=f"did you mean {near!r}?" if near else f"known keys: {', '.join(known)}",
            )
    return data


@dataclass(frozen=True)
class GligenInputs:
    """What the token network reads for B scenes.

    boxes_BN4: float xyxy in [0,1], zero in unused slots. masks_BN: 1 for a used slot, else 0.
    features_BND: pooled phrase embeddings, zero in unused slots.
    dropped: per scene, the ids of the instances that found no slot.
    """

    boxes_BN4: Tensor
    masks_BN: Tensor
    features_BND: Tensor
    dropped: tuple[tuple[str, ...], ...] = ()

    def to(self, device: torch.device | str) -> GligenInputs:
        """The same inputs on another device."""
        return dataclasses.replace(
            self,
            boxes_BN4=self.boxes_BN4.to(device),
            masks_BN=self.masks_BN.to(device),
            features_BND=self.features_BND.to(device),
        )


class TextBoxTokens(nn.Module):
    """Phrase feature and box code of every slot to one grounding token (eq. 5); keys as published.

    Unused slots get the learnt null feature and null position. Computed in float32 whatever the weights are
    stored in: it runs once per picture, and box codes lose their place in half precision.
    """

    def __init__(self, config: GligenConfig) -> None:
        super().__init__()
        self.frequencies = config.fourier
        position = 2 * 4 * config.fourier
        self.linears = nn.Sequential(
            nn.Linear(config.feature_width + position, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.context_width),
        )
        self.null_positive_feature = nn.Parameter(torch.zeros(config.feature_width))
        self.null_position_feature = nn.Parameter(torch.zeros(position))

    def forward(self, boxes_BN4: Tensor, masks_BN: Tensor, features_BND: Tensor) -> Tensor:
        """Grounding tokens [B,N,D] in float32; `masks_BN` in [0,1] blends towards the null slot."""
        with torch.autocast(boxes_BN4.device.type, enabled=False):
            mask_BN1 = masks_BN.float().unsqueeze(-1)
            box_BNP = fourier(boxes_BN4, self.frequencies)
            box_BNP = box_BNP * mask_BN1 + (1 - mask_BN1) * self.null_position_feature.float()
            feature_BND = (
                features_BND.float() * mask_BN1 + (1 - mask_BN1) * self.null_positive_feature.float()
            )
            return _float32(self.linears, torch.cat([feature_BND, box_BNP], dim=-1))


def _float32(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Runs linear layers and SiLUs in float32 without changing the stored weights."""
    for layer in layers:
        x = (
            nnf.linear(x, layer.weight.float(), layer.bias.float())
            if isinstance(layer, nn.Linear)
            else layer(x)
        )
    return x


class Gligen(FuserTree):
    """The adapter: one fuser per transformer block and the token network.

    `state_dict()` has the published names (``<block path>.fuser.*``, ``position_net.*``).
    """

    def __init__(self, config: GligenConfig, fusers: Mapping[str, GatedFuser]) -> None:
        super().__init__(fusers)
        self.config = config
        self.position_net = TextBoxTokens(config)

    @classmethod
    def for_unet(cls, unet: nn.Module, config: GligenConfig | None = None, *, seed: int = 0) -> Gligen:
        """A fresh adapter for `unet`: gates 0, so that attaching it changes nothing.

        Blocks, heads and widths are read from the module tree; widths of 0 in `config` become the UNet's text
        width. Weights are drawn from `seed` alone. Lives on the UNet's device, in float32. Raises ModelError
        for a UNet without cross-attention.
        """
        config = config or GligenConfig()
        width = context_width(unet)
        config = dataclasses.replace(
            config,
            feature_width=config.feature_width or width,
            context_width=config.context_width or width,
        )
        device = next(unet.parameters()).device
        with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
            torch.manual_seed(seed)
            adapter = cls(config, fresh_fusers(unet, config.context_width))
        return adapter.to(device)

    def tokens(self, inputs: GligenInputs) -> Tensor:
        """Grounding tokens [B,M,D] in float32, null tokens in unused slots; computed once per picture."""
        device = self.position_net.null_position_feature.device
        inputs = inputs.to(device)
        tokens_BMD: Tensor = self.position_net(inputs.boxes_BN4, inputs.masks_BN, inputs.features_BND)
        return tokens_BMD

    def null_tokens(self, batch: int) -> Tensor:
        """The tokens [B,M,D] of `batch` empty layouts: every slot masked."""
        return self.tokens(empty_inputs(batch, self.config))

    def grounding(self, inputs: GligenInputs) -> Grounding:
        """What the fusers get: tokens, and gate 1 for scenes with a box, 0 for scenes without one.

        Gates lie on the CPU: asking which rows are on then never waits for an accelerator.
        """
        used_B = inputs.masks_BN.cpu().amax(dim=1) > 0
        return Grounding(tokens_RMD=self.tokens(inputs), gate_R=used_B.float())

    def null_grounding(self, grounding: Grounding) -> Grounding:
        """The null layout for the negative branch of `grounding`: null tokens, the same gates.

        Keeping the gates makes a scene without boxes equal to the base network in both halves of guidance.
        """
        return Grounding(tokens_RMD=self.null_tokens(len(grounding.gate_R)), gate_R=grounding.gate_R)

    def attach(self, unet: nn.Module) -> Handle:
        """Puts the fusers into `unet`; `close()` of the returned handle restores it exactly."""
        return attach_fusers(unet, self.fusers, "gligen")


def empty_inputs(batch: int, config: GligenConfig) -> GligenInputs:
    """Inputs of `batch` scenes without a single instance: zero boxes, masks and features."""
    return GligenInputs(
        boxes_BN4=torch.zeros(batch, config.slots, 4),
        masks_BN=torch.zeros(batch, config.slots),
        features_BND=torch.zeros(batch, config.slots, config.feature_width),
        dropped=((),) * batch,
    )


def inputs_from_scenes(
    scenes: Sequence[Scene],
    backbone: Backbone,
    config: GligenConfig,
    overflow: Overflow = "error",
    *,
    known: Mapping[str, Tensor] | None = None,
) -> GligenInputs:
    """Boxes and phrase embeddings of scenes, padded to the adapter's slots.

    Args:
        scenes: scenes with any number of instances; those without a location are not grounded.
        backbone: its text encoder embeds each different phrase once.
        config: the adapter's, with its feature width filled in.
        overflow: with more located instances than slots, "error" refuses, "largest" keeps the largest by
            area, largest first.
        known: pooled embeddings [D] already computed, by phrase (training caches them).

    Raises:
        SceneError: a scene has more located instances than slots and `overflow` is "error".
    """
    chosen: list[tuple[Instance, ...]] = []
    dropped: list[tuple[str, ...]] = []
    for index, scene in enumerate(scenes):
        kept, left = _fit(scene, index, config.slots, overflow)
        chosen.append(kept)
        dropped.append(left)
    features = phrase_features([one.phrase for kept in chosen for one in kept], backbone, known or {})
    inputs = empty_inputs(len(chosen), config)
    for b, kept in enumerate(chosen):
        for n, one in enumerate(kept):
            box = one.location_box
            assert box is not None
            inputs.boxes_BN4[b, n] = torch.tensor(box.xyxy)
            inputs.masks_BN[b, n] = 1
            inputs.features_BND[b, n] = features[one.phrase]
    return dataclasses.replace(inputs, dropped=tuple(dropped))


def _fit(
    scene: Scene, index: int, slots: int, overflow: Overflow
) -> tuple[tuple[Instance, ...], tuple[str, ...]]:
    """The located instances that get a slot, and the ids of those that do not."""
    boxes = [(one, one.location_box) for one in scene.instances]
    located = [(one, box.area) for one, box in boxes if box is not None]
    if len(located) <= slots:
        return tuple(one for one, _ in located), ()
    if overflow == "error":
        raise SceneError(
            f"scene {index} has {len(located)} located instances, the adapter has {slots} slots",
            hint="--overflow largest keeps the largest and records the ids of the others",
            path="instances",
        )
    by_area = [one for one, _ in sorted(located, key=lambda pair: -pair[1])]
    return tuple(by_area[:slots]), tuple(one.id for one in by_area[slots:])


def phrase_features(
    phrases: Sequence[str], backbone: Backbone, known: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Pooled embeddings [D], float32 on the CPU, of every different phrase."""
    found = {phrase: known[phrase] for phrase in phrases if phrase in known}
    missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in found]
    if missing:
        from scenewright.backbone.text import embed

        pooled_BD = embed(backbone, missing).pooled_BD.float().cpu()
        found.update(zip(missing, pooled_BD, strict=True))
    return found
