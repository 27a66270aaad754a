"""A label map steers the picture: the semantic ControlNet of DGInStyle.

Jia et al., "DGInStyle: Domain-Generalizable Semantic Segmentation with Image Diffusion Models and Stylized
Semantic Control", ECCV 2024 (arXiv 2312.03048); Zhang et al., "Adding Conditional Control to Text-to-Image
Diffusion Models", ICCV 2023. The network is diffusers' own ControlNetModel with one input channel for each
class and a last one for what is not labelled, at the picture's size; its strided convolutions bring the map
to the latent's. The UNet that it runs beside may be another than the one it was trained on: that exchange is
DGInStyle's style swap, and nothing is merged for it.

Maps travel as channel numbers in the conditioning's `extra`, whole, beside how strongly each row follows its
own; the part that a window shows is cut out where it is needed. A row of strength 0 is the base network.

Letters: B scenes, R rows, K classes, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from scenewright.backbone.call import Call, Window
from scenewright.backbone.products import lend, lendable
from scenewright.condition.gligen import config_object
from scenewright.errors import InputError, ModelError
from scenewright.scene import IGNORE
from scenewright.scene.label_maps import outputs
from scenewright.scene.label_space import LabelSpace

if TYPE_CHECKING:
    from scenewright.scene import Scene

KIND = "dginstyle"
"""Kind of these adapters in their files."""

MAP, SCALE = "semantic", "semantic_scale"
"""Names in a conditioning's `extra`: channel numbers [R, H, W] int16, and strengths [R]."""

EMBEDDING = (16, 32, 96, 256)
"""Widths of the published condition embedding; every one after the first halves the map."""


@dataclass(frozen=True, kw_only=True)
class SemanticConfig:
    """What a semantic ControlNet reads, and its parts that the UNet does not determine."""

    vocabulary: str = "cityscapes"  # of the maps
    classes: tuple[str, ...] = ()  # names of the channels; empty: all classes of the vocabulary
    embedding: tuple[int, ...] = ()  # widths of the condition embedding; empty: published, to the stride
    size_wh: tuple[int, int] = (0, 0)  # of the pictures that it was trained on; (0, 0): the backbone's

    def __post_init__(self) -> None:
        for name in ("classes", "embedding", "size_wh"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        numbers = (*self.embedding, *self.size_wh)
        if any(not isinstance(one, int) or not 0 <= one <= 2**16 for one in numbers) or len(numbers) > 12:
            raise ModelError(
                f"embedding {self.embedding} and size_wh {self.size_wh}: a few whole numbers expected"
            )
        if not self.classes:
            object.__setattr__(self, "classes", LabelSpace.of(self.vocabulary).names)

    @property
    def channels(self) -> int:
        """Input channels: the classes, and one for what is not labelled."""
        return len(self.classes) + 1

    def to_json(self) -> str:
        """The configuration as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SemanticConfig:
        """Reads what `to_json` wrote; ModelError on text that is not such an object, or on unknown keys."""
        return cls(**config_object(text, [field.name for field in dataclasses.fields(cls)]))


class SemanticControl(nn.Module):
    """The ControlNet (`net`, diffusers' class) with what its channels mean."""

    def __init__(self, net: Any, config: SemanticConfig) -> None:
        super().__init__()
        self.net = net
        self.config = config
        self._lendable = lendable(net)

    @classmethod
    def for_unet(
        cls, unet: Any, config: SemanticConfig, seed: int = 0, *, stride: int | None = None
    ) -> SemanticControl:
        """A fresh one that begins as the encoder of `unet`, with zero convolutions: it changes nothing yet.

        `stride` is that of the backbone, pixels per cell, where `config.embedding` does not say it. For a
        UNet on the meta device the result is there too, to be filled. Raises ModelError for neither.
        """
        from diffusers.models.controlnets.controlnet import ControlNetModel

        if not config.embedding:
            if not stride:
                raise ModelError("the widths of the condition embedding are not known", "name the stride")
            levels = stride.bit_length()  # 8 -> 4 widths, three of which halve
            widths = (*EMBEDDING, *EMBEDDING[-1:] * levels)[:levels]
            config = dataclasses.replace(config, embedding=widths)
        place = next(unet.parameters()).device
        with torch.random.fork_rng(devices=[]), torch.device(place.type if place.type == "meta" else "cpu"):
            torch.manual_seed(seed)
            net = ControlNetModel.from_unet(
                unet,
                conditioning_embedding_out_channels=config.embedding,
                load_weights_from_unet=place.type != "meta",
                conditioning_channels=config.channels,
            )
        return cls(net.to(place), config)

    @property
    def stride(self) -> int:
        """Pixels per latent cell along one side that the condition embedding spans."""
        return int(2 ** (len(self.config.embedding) - 1))

    def conditioning(self, maps_BHW: Tensor, scale_B: Tensor) -> dict[str, Tensor]:
        """The `extra` fields of a conditioning: channel numbers as `maps_of` gives them, and strengths."""
        place = next(self.net.parameters()).device
        return {MAP: maps_BHW.to(place), SCALE: scale_B.to(place)}

    def unlabelled(self, maps_BHW: Tensor) -> Tensor:
        """Maps of that size on which nothing is labelled."""
        return torch.full_like(maps_BHW, len(self.config.classes))

    def residuals(self, z_RChw: Tensor, call: Call) -> tuple[tuple[Tensor, ...], Tensor] | None:
        """What is added to the UNet's skip connections and to its middle; None where no row has a map.

        In the number type of the network; rows of a window see the part of the map under it.
        """
        scale_R = call.cond.extra[SCALE] * call.gate if MAP in call.cond.extra else None
        if scale_R is None or not bool((scale_R != 0).any()):
            return None
        first = next(self.net.parameters())
        given = call.cond.extra[MAP]
        size_hw = (int(z_RChw.shape[-2]), int(z_RChw.shape[-1]))
        parts = [self._part(one, view, size_hw) for one, view in zip(given, call.window_R, strict=True)]
        with lend(self._lendable):
            skips, middle = self.net(
                z_RChw.to(first.device, first.dtype),
                call.t,
                encoder_hidden_states=call.cond.text_RLD.to(first.device, first.dtype),
                controlnet_cond=one_hot(torch.stack(parts), self.config.channels).to(first.dtype),
                return_dict=False,
            )
        factor = scale_R.to(first.device, first.dtype).view(-1, 1, 1, 1)
        return tuple(skip * factor for skip in skips), middle * factor

    def _part(self, map_HW: Tensor, window: Window | None, size_hw: tuple[int, int]) -> Tensor:
        """The map under a window, or all of it; InputError if it does not fit the latent."""
        n = self.stride
        if window is not None:
            map_HW = map_HW[window.y0 * n : window.y1 * n, window.x0 * n : window.x1 * n]
        if tuple(map_HW.shape) != (size_hw[0] * n, size_hw[1] * n):
            raise InputError(
                f"a label map of {map_HW.shape[1]}x{map_HW.shape[0]} pixels for a latent of "
                f"{size_hw[1]}x{size_hw[0]} cells of {n} pixels",
                "map and picture have one size",
            )
        return map_HW


def one_hot(maps_RHW: Tensor, channels: int) -> Tensor:
    """Channel numbers as [R, channels, H, W], bool: true in the channel of each pixel's class."""
    channel = torch.arange(channels, device=maps_RHW.device, dtype=maps_RHW.dtype)
    return maps_RHW[:, None] == channel.view(1, -1, 1, 1)


def maps_of(scenes: Sequence[Scene], config: SemanticConfig) -> tuple[Tensor, Tensor]:
    """Channel numbers [B, H, W] int16 of the maps of scenes of one size, and for each 1, or 0 without a map.

    Raises InputError for a map of other classes, and for a number that is none of its vocabulary's.
    """
    maps, has = [], []
    for scene in scenes:
        width, height = scene.size_wh
        empty = scene.semantic_map is None
        has.append(0.0 if empty else 1.0)
        unknown = np.full((height, width), len(config.classes), np.int16)
        maps.append(unknown if empty else channels_of(scene, config))
    return torch.from_numpy(np.stack(maps)), torch.tensor(has)


def channels_of(scene: Scene, config: SemanticConfig) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The channel numbers [H, W] of a scene's map. Raises as `maps_of`."""
    assert scene.semantic_map is not None
    space = space_of(scene.semantic_map.vocabulary, config)
    found_HW = outputs(scene.semantic_map.labels(), space)
    return np.where(found_HW == IGNORE, len(space), found_HW).astype(np.int16)


def space_of(vocabulary: str, config: SemanticConfig) -> LabelSpace:
    """The classes of a vocabulary, which are those of the adapter. Raises InputError if they are not."""
    space = LabelSpace.of(vocabulary)
    if space.names != config.classes:
        raise InputError(
            f"the map is of the {len(space)} classes of {vocabulary!r}; the adapter reads the "
            f"{len(config.classes)} of {config.vocabulary!r}",
            f"bring the map to the classes of {config.vocabulary}: {', '.join(config.classes[:6])}, …",
        )
    return space
