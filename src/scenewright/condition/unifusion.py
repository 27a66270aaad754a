"""InstanceDiffusion: boxes, points, scribbles and masks of every instance, fused into one token sequence.

Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv 2402.03290),
section 3.1 (UniFusion) and 3.3 (ScaleU). The fusers are GLIGEN's; the token network is new: one network per
kind of location, and tokens of the whole picture's masks.

===================  ==========================================
name in code         symbol in the paper
===================  ==========================================
``fourier``          gamma(p)
``linears_list[f]``  MLP of format f
``null_*_feature``   e, the learnt stand-in of a missing format
===================  ==========================================

Token order: N box, N point, N scribble, N polygon tokens, then those of the segmentation map.
Letters: B scenes, N slots, M grounding tokens, D width, P numbers of a location, T map tokens, H W pixels.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.attach import Handle, attach_fusers
from scenewright.backbone.call import Grounding
from scenewright.condition.convnext import STRIDE, TINY_DEPTHS, TINY_WIDTHS, ConvNext
from scenewright.condition.fuser import FuserTree, GatedFuser, context_width, fourier, fresh_fusers
from scenewright.condition.gligen import LARGEST, config_object
from scenewright.condition.membership import Masking, memberships
from scenewright.condition.outlines import OUTLINES, Outline
from scenewright.condition.scaleu import ScaleHooks, ScaleU, fresh_scales
from scenewright.condition.uses import KINDS
from scenewright.errors import InputError, ModelError

Missing = Literal["zeros", "null"]
"""What a used slot gets for a scribble or mask it does not have: the code of all-zero coordinates, as the
released network was trained with, or the learnt stand-in."""

MAP_ROWS = 4
"""Maps of masks that the map network sees at once: a released one takes 30 MB for its masks alone."""


@dataclass(frozen=True, kw_only=True)
class UniFusionConfig:
    """Sizes of an InstanceDiffusion adapter, and how it was trained. Defaults are the released network's; a
    width of 0 means the text width of the UNet."""

    slots: int = 30  # instances per picture
    fourier: int = 16  # frequencies of the location codes
    hidden: int = 3072  # width inside the token networks
    feature_width: int = 0  # width of a pooled phrase embedding
    context_width: int = 0  # width of a grounding token
    scribble_points: int = 20  # points of a scribble
    polygon_points: int = 256  # points sampled from a mask
    map_px: int = 512  # side the masks are brought to
    depths: tuple[int, ...] = TINY_DEPTHS  # blocks per stage of the map network
    widths: tuple[int, ...] = TINY_WIDTHS  # channels per stage of the map network
    missing: Missing = "zeros"  # what a used slot without scribble or mask was trained with
    outline: Outline = "published"  # how polygon points were taken from masks
    masking: Masking = "off"  # instance-masked attention when nothing else is asked for

    def __post_init__(self) -> None:
        for name in ("depths", "widths"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or not value:
                raise ModelError(f"{name} is {value!r}, whole numbers expected, one per stage")
            object.__setattr__(self, name, tuple(value))
        _check(self)
        if self.map_px % (2 * STRIDE):
            raise ModelError(f"map_px is {self.map_px}, a multiple of {2 * STRIDE} expected")
        if len(self.depths) != len(self.widths):
            raise ModelError(f"{len(self.depths)} depths for {len(self.widths)} widths of the map network")

    def to_json(self) -> str:
        """The configuration as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> UniFusionConfig:
        """Reads what `to_json` wrote; ModelError on text that is not such an object, or on unknown keys."""
        return cls(**config_object(text, [field.name for field in dataclasses.fields(cls)]))

    @property
    def map_tokens(self) -> int:
        """T: a token for every four cells of the map network's result."""
        return (self.map_px // STRIDE) ** 2 // 4

    @property
    def map_width(self) -> int:
        """Numbers per map token before the network: four cells of all channels."""
        return 4 * self.widths[-1]

    def numbers(self) -> tuple[int, int, int, int]:
        """Numbers P that describe a box, point, scribble, and polygon."""
        return 4, 2, 2 * self.scribble_points, 2 * self.polygon_points


def _check(config: UniFusionConfig) -> None:
    """Raises ModelError for sizes and words that cannot be; a damaged file may say anything."""
    for name in ("slots", "fourier", "hidden", "scribble_points", "polygon_points", "map_px"):
        _whole(getattr(config, name), name, 1)
    for name in ("feature_width", "context_width"):
        _whole(getattr(config, name), name, 0)
    for name in ("depths", "widths"):
        for value in getattr(config, name):
            _whole(value, name, 1)
    for name, words in (
        ("missing", get_args(Missing)),
        ("outline", OUTLINES),
        ("masking", get_args(Masking)),
    ):
        if getattr(config, name) not in words:
            raise ModelError(f"{name} is {getattr(config, name)!r}, expected one of {', '.join(words)}")


def _whole(value: object, name: str, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= LARGEST:
        raise ModelError(f"{name} is {value!r}, a whole number from {low} to {LARGEST} expected")


@dataclass(frozen=True)
class UniFusionInputs:
    """What the token network reads for B scenes; everything is zero in unused slots.

    boxes_BN4: xyxy in [0,1]. points_BN2: x, y. scribbles_BNP, polygons_BNP: x, y interleaved, in [0,1],
    sorted by distance from (0,0). segs_BNHW: masks, 1 inside, any size. masks_BN: 1 for a used slot.
    features_BND: pooled phrase embeddings. keep_BK: 1 for the kinds (order of `KINDS`) that count, [B,K] for
    a whole scene or [B,N,K] slot by slot; where none is kept, boxes are. A kind that is not kept gives the
    learnt stand-in.
    """

    boxes_BN4: Tensor
    masks_BN: Tensor
    features_BND: Tensor
    points_BN2: Tensor
    scribbles_BNP: Tensor
    polygons_BNP: Tensor
    segs_BNHW: Tensor
    keep_BK: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> UniFusionInputs:
        """The same inputs on another device and in another number type."""
        moved = {one.name: getattr(self, one.name).to(device) for one in dataclasses.fields(self)}
        masks = moved.pop("segs_BNHW")  # many: they stay as small as they are
        return UniFusionInputs(segs_BNHW=masks, **{name: value.to(dtype) for name, value in moved.items()})

    def kept(self) -> Tensor:
        """keep_BNK for every slot, boxes kept where nothing is; float, on the device of the inputs."""
        keep = self.keep_BK.float()
        if keep.ndim == 2:
            keep = keep[:, None, :].expand(-1, self.masks_BN.shape[1], -1)
        none = (keep.amax(dim=-1, keepdim=True) == 0).float()
        return torch.cat([keep[..., :1].maximum(none), keep[..., 1:]], dim=-1)


class UniFusionTokens(nn.Module):
    """Locations and phrase features of all slots to grounding tokens; keys as published."""

    def __init__(self, config: UniFusionConfig) -> None:
        super().__init__()
        self.config = config
        codes = [2 * config.fourier * count for count in config.numbers()]
        self.null_positive_feature = nn.Parameter(torch.zeros(config.feature_width))
        self.null_position_feature = nn.Parameter(torch.zeros(codes[0]))
        self.null_point_feature = nn.Parameter(torch.zeros(codes[1]))
        self.null_scribble_feature = nn.Parameter(torch.zeros(codes[2]))
        self.null_polygon_feature = nn.Parameter(torch.zeros(codes[3]))
        self.null_seg_feature = nn.Parameter(torch.zeros(config.map_width))
        self.pos_embedding = nn.Parameter(torch.randn(1, config.map_tokens, config.map_width) * 0.02)
        self.in_conv = nn.Conv2d(config.slots, 3, 3, padding=1)
        self.convnext_tiny_backbone = ConvNext(config.depths, config.widths)
        inputs = [*(config.feature_width + code for code in codes), config.map_width]
        self.linears_list = nn.ModuleList(_mlp(size, config.hidden, config.context_width) for size in inputs)

    def forward(self, inputs: UniFusionInputs) -> Tensor:
        """Grounding tokens [B, 4N+T, D] in float32."""
        weight = self.null_positive_feature
        coded = inputs.to(weight.device, torch.float32)
        keep_BNK = coded.kept()
        tokens = self._instance_tokens(coded, keep_BNK)
        tokens.append(self.linears_list[4](self._map_features(coded.segs_BNHW, keep_BNK[..., 3].amax(1))))
        return torch.cat(tokens, dim=1).float()

    def _instance_tokens(self, inputs: UniFusionInputs, keep_BNK: Tensor) -> list[Tensor]:
        """Four times [B,N,D]: box, point, scribble and polygon tokens."""
        mask_BN = inputs.masks_BN
        dtype = self.null_positive_feature.dtype
        feature_BND = _blend(inputs.features_BND, mask_BN, self.null_positive_feature)
        rows = (
            (inputs.boxes_BN4, mask_BN, self.null_position_feature),
            (inputs.points_BN2, mask_BN, self.null_point_feature),
            (inputs.scribbles_BNP, _present(inputs.scribbles_BNP, mask_BN), self.null_scribble_feature),
            (inputs.polygons_BNP, _present(inputs.polygons_BNP, mask_BN), self.null_polygon_feature),
        )
        tokens = []
        for k, (coords_BNP, present_BN, null) in enumerate(rows):
            code = _blend(fourier(coords_BNP, self.config.fourier), present_BN * keep_BNK[..., k], null)
            tokens.append(self.linears_list[k](torch.cat([feature_BND, code], dim=-1).to(dtype)))
        return tokens

    def _map_features(self, segs_BNHW: Tensor, keep_B: Tensor) -> Tensor:
        """[B, T, width]: what the map network sees, the null feature for scenes without kept masks."""
        used_B = (segs_BNHW.flatten(1).sum(dim=1) > 0) & (keep_B > 0)
        features = self.null_seg_feature.expand(len(segs_BNHW), self.config.map_tokens, -1)
        rows = used_B.nonzero().squeeze(1)
        if rows.numel():
            side = self.config.map_px
            seen = [self._seen(segs_BNHW[part], side) for part in rows.split(MAP_ROWS)]
            features = features.index_copy(0, rows, torch.cat(seen))
        return features + self.pos_embedding

    def _seen(self, segs_ANHW: Tensor, side: int) -> Tensor:
        """Features [A, T, width] of a few maps, in the order of memory as published: each mixes four rows."""
        dtype = self.null_seg_feature.dtype
        segs = nnf.interpolate(segs_ANHW.to(dtype), size=(side, side), mode="nearest")
        x_ACyx: Tensor = self.convnext_tiny_backbone(self.in_conv(segs))
        return x_ACyx.reshape(len(segs), self.config.map_width, self.config.map_tokens).transpose(1, 2)


def _mlp(size: int, hidden: int, out: int) -> nn.Sequential:
    layers = [
        nn.Linear(size, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, out),
    ]
    return nn.Sequential(*layers)


def _blend(values_BND: Tensor, weight_BN: Tensor, null: Tensor) -> Tensor:
    return values_BND * weight_BN[..., None] + (1 - weight_BN[..., None]) * null.float()


def _present(coords_BNP: Tensor, mask_BN: Tensor) -> Tensor:
    """1 where a slot is used or has coordinates: a used slot without a scribble gets the code of zeros, not
    the null feature, as the published network does."""
    return (coords_BNP.sum(dim=-1) + mask_BN > 0).float()


class UniFusion(FuserTree):
    """The adapter: a fuser per transformer block, the token network, a ScaleU per ascending resnet.

    `state_dict()` has ``<block path>.fuser.*``, ``<resnet path>.scaleu.{b,s}`` and ``position_net.*``.
    """

    def __init__(
        self, config: UniFusionConfig, fusers: Mapping[str, GatedFuser], scales: Mapping[str, ScaleU]
    ) -> None:
        super().__init__(fusers)
        self.config = config
        self._scaled = tuple(scales)
        for path, scale in scales.items():
            self.file(path, "scaleu", scale)
        self.position_net = UniFusionTokens(config)

    @classmethod
    def for_unet(cls, unet: nn.Module, config: UniFusionConfig | None = None, *, seed: int = 0) -> UniFusion:
        """A fresh adapter for `unet`: gates and scales 0, so that attaching it changes nothing.

        Widths of 0 in `config` become the UNet's text width. Weights are drawn from `seed` alone. Lives on
        the UNet's device, in float32.
        """
        config = config or UniFusionConfig()
        width = context_width(unet)
        config = dataclasses.replace(
            config,
            feature_width=config.feature_width or width,
            context_width=config.context_width or width,
        )
        device = next(unet.parameters()).device
        with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
            torch.manual_seed(seed)
            adapter = cls(config, fresh_fusers(unet, config.context_width), fresh_scales(unet))
        return adapter.to(device)

    @property
    def scales(self) -> dict[str, ScaleU]:
        """The scales by the path of their resnet."""
        found: dict[str, ScaleU] = {}
        for path in self._scaled:
            scale = self.get_submodule(f"{path}.scaleu")
            assert isinstance(scale, ScaleU)
            found[path] = scale
        return found

    def tokens(self, inputs: UniFusionInputs) -> Tensor:
        """Grounding tokens [B,M,D] in float32; computed once per picture."""
        tokens_BMD: Tensor = self.position_net(inputs)
        return tokens_BMD

    def null_tokens(self, batch: int) -> Tensor:
        """The tokens [B,M,D] of `batch` empty layouts."""
        return self.tokens(empty_inputs(1, self.config)).expand(batch, -1, -1)

    def grounding(
        self, inputs: UniFusionInputs, latent_hw: tuple[int, int] | None = None, masking: Masking = "off"
    ) -> Grounding:
        """What the fusers get: tokens, and gate 1 for scenes with an instance, 0 for scenes without (CPU).

        With `masking` (see `membership`) also which visual token belongs to which instance, for latents of
        `latent_hw` cells. Raises InputError for masking without a size.
        """
        used_B = inputs.masks_BN.cpu().amax(dim=1) > 0
        tokens_BMD = self.tokens(inputs)
        extra: dict[str, Tensor] = {}
        if masking != "off":
            if latent_hw is None:
                raise InputError("masked attention needs the size of the latents", "give latent_hw")
            where, keep_BNK = tokens_BMD.device, inputs.kept()
            placed_BN = inputs.masks_BN * torch.maximum(keep_BNK[..., 0], keep_BNK[..., 3])
            boxes_BN4, grids = inputs.boxes_BN4.to(where), self.grids(latent_hw, masking)
            extra = memberships(boxes_BN4, placed_BN.to(where), grids, transposed=masking == "legacy")
        return Grounding(tokens_RMD=tokens_BMD, gate_R=used_B.float(), extra=extra)

    def null_grounding(self, grounding: Grounding) -> Grounding:
        """The null layout for the negative branch of `grounding`: null tokens, the same gates, no masking."""
        extra = {name: torch.zeros_like(value) for name, value in grounding.extra.items()}
        return Grounding(self.null_tokens(len(grounding.gate_R)), grounding.gate_R, extra)

    def grids(self, latent_hw: tuple[int, int], masking: Masking = "all") -> list[tuple[int, int]]:
        """Height and width of levels with fusers, finest first; the finest alone unless `masking` is all."""
        deepest = len({path.split(".")[1] for path in self._scaled}) - 1
        levels = sorted({_level(path, deepest) for path in self._paths})
        chosen = levels if masking == "all" else levels[:1]
        return [_halved(latent_hw, level) for level in chosen]

    def attach(self, unet: nn.Module, *, scaleu: bool = True) -> Attached:
        """Puts fusers and, unless `scaleu` is false, scales into `unet`; `close()` restores it exactly.

        The scales act on every row while attached, with and without layout and at gate 0: the published
        network never switches them off.
        """
        scales = self.scales if scaleu else {}
        return Attached(attach_fusers(unet, self.fusers, "instancediffusion"), ScaleHooks(unet, scales))


def _level(path: str, deepest: int) -> int:
    """How often the latent was halved where the block at `path` works."""
    side, *rest = path.split(".")
    if side == "mid_block":
        return deepest
    return int(rest[0]) if side == "down_blocks" else deepest - int(rest[0])


def _halved(size_hw: tuple[int, int], times: int) -> tuple[int, int]:
    height, width = size_hw
    for _ in range(times):
        height, width = -(-height // 2), -(-width // 2)
    return height, width


class Attached:
    """An attached UniFusion. `close()` (or leaving a ``with`` block) restores the UNet exactly."""

    def __init__(self, fusers: Handle, scales: ScaleHooks) -> None:
        self._fusers, self._scales = fusers, scales

    def close(self) -> None:
        """Takes fusers and scales off. A second call does nothing."""
        self._fusers.close()
        self._scales.close()

    def __enter__(self) -> Attached:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def empty_inputs(batch: int, config: UniFusionConfig) -> UniFusionInputs:
    """Inputs of `batch` scenes without a single instance, all kinds kept."""
    slots, (box, point, scribble, polygon) = config.slots, config.numbers()
    return UniFusionInputs(
        boxes_BN4=torch.zeros(batch, slots, box),
        masks_BN=torch.zeros(batch, slots),
        features_BND=torch.zeros(batch, slots, config.feature_width),
        points_BN2=torch.zeros(batch, slots, point),
        scribbles_BNP=torch.zeros(batch, slots, scribble),
        polygons_BNP=torch.zeros(batch, slots, polygon),
        segs_BNHW=torch.zeros(batch, slots, 1, 1),
        keep_BK=torch.ones(batch, len(KINDS)),
    )
