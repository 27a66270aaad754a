"""Maps of a picture by a mask denoiser: fit, encode, draw members, put them together, and back to its size.

The released code's inference (Seg-diffusion, 2024) with its settings as options; see `mask_denoiser` for what
one pass can be asked. Differences from it: the picture and the prompts are encoded once, not once per member;
noise comes from the seed, member by member, so that a member does not depend on the others; a constant map
stays 0 and does not become a division by 0.

Letters: K maps, N members, R rows (map, member), C latent channels, h w latent cells, H W pixels, L tokens,
D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.latents import encode, initial
from scenewright.backbone.model import Backbone
from scenewright.backbone.noise import Noise
from scenewright.errors import InputError
from scenewright.scene.io import check_image
from scenewright.scene.resampling import resize_image
from scenewright.segment.ensemble import Align, Reduce, ensemble
from scenewright.segment.mask_denoiser import (
    Beginning,
    MaskRules,
    class_text,
    decoded,
    draw_masks,
    picture_signal,
)

Picture = NDArray[np.uint8]

ROOM_PX = 32 * 128**2
"""Pixels of all rows together that are drawn at once where there is no accelerator."""

TABLE = (
    (80, False, ((768, 35), (1024, 20))),
    (40, False, ((768, 15), (1024, 8))),
    (40, True, ((768, 30), (1024, 15))),
    (24, False, ((512, 20), (768, 7), (1024, 3))),
    (24, True, ((512, 40), (768, 18), (1024, 10))),
    (11, False, ((512, 5), (768, 2))),
    (11, True, ((512, 10), (768, 5), (1024, 3))),
)
"""Members drawn at once by Marigold: memory in GB, half precision or not, (longer side in px, members)."""


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions:
    """How maps are drawn. Raises InputError for impossible values.

    steps    of the sampler
    members  maps that are drawn of each, from noise of their own, and put together
    seed     of the first member; the others count up
    rows     maps drawn at once; 0: as many as the memory is known to hold
    align    how members are put together (`ensemble`); "": affine for grey maps, none for masks of a class
    reduce   median or mean; "": median for grey maps, mean for masks of a class
    size     longer side of the picture that the network is shown, in pixels; 0: what it was trained at, -1:
             the picture's own
    own_size whether the maps have the size of the picture, or that which the network was shown
    """

    steps: int = 10
    members: int = 10
    seed: int = 0
    rows: int = 0
    align: Align | str = ""
    reduce: Reduce | str = ""
    size: int = 0
    own_size: bool = True

    def __post_init__(self) -> None:
        limits = (("steps", 1, 1000), ("members", 1, 1000), ("rows", 0, 4096), ("size", -1, 8192))
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; expected {low} to {high}")
        if self.seed < 0:
            raise InputError(f"the seed is {self.seed}; expected 0 or more")


@dataclass(frozen=True, eq=False)
class DenoisedMaps:
    """What a mask denoiser says of one picture.

    names            of the K maps; of grey maps the one name "levels"
    maps_KHW         in [0, 1], float32: probability of a class, or levels of grey
    uncertainty_KHW  how far members disagree, or None of a single one
    """

    names: tuple[str, ...]
    maps_KHW: NDArray[np.float32]
    uncertainty_KHW: NDArray[np.float32] | None


@dataclass(frozen=True)
class Fitted:
    """Where a picture of `size_wh` lies in what the network is shown: `inner_wh` from the top left corner of
    `outer_wh`; the rest is padding."""

    size_wh: tuple[int, int]
    inner_wh: tuple[int, int]
    outer_wh: tuple[int, int]


def fitted(size_wh: tuple[int, int], rules: MaskRules, backbone: Backbone, size: int = 0) -> Fitted:
    """How a picture is shown to the network. See `DenoiseOptions.size`."""
    stride = backbone.stride
    if size == -1:
        inner = size_wh
    else:
        longer = size or rules.size or max(backbone.native_wh)
        by = longer / max(size_wh)
        inner = (max(1, math.floor(size_wh[0] * by)), max(1, math.floor(size_wh[1] * by)))
        if rules.fit == "stretch":
            inner = (longer, longer)
    outer = (math.ceil(inner[0] / stride) * stride, math.ceil(inner[1] / stride) * stride)
    return Fitted(size_wh, inner, outer)


def shown(image_HW3: Picture, place: Fitted, rules: MaskRules) -> Tensor:
    """The picture [1, 3, H, W] as the VAE is shown it: resized, its border repeated where it is padded."""
    if rules.fit == "stretch":
        resized_HW3 = bicubic(image_HW3, place.inner_wh)
    else:
        resized_HW3 = resize_image(image_HW3, place.inner_wh)
    right, below = place.outer_wh[0] - place.inner_wh[0], place.outer_wh[1] - place.inner_wh[1]
    padded_HW3 = np.pad(resized_HW3, ((0, below), (0, right), (0, 0)), mode="edge")
    return picture_signal(padded_HW3, rules)


def bicubic(image_HW3: Picture, to_wh: tuple[int, int]) -> Picture:
    """A picture at another size by Pillow's bicubic filter, which the released code resizes with."""
    from PIL import Image

    return np.asarray(Image.fromarray(image_HW3).resize(to_wh, Image.Resampling.BICUBIC))


def denoised(
    backbone: Backbone,
    rules: MaskRules,
    image_HW3: Picture,
    names: Sequence[str],
    options: DenoiseOptions,
    *,
    text_MLD: Tensor | None = None,
    unit_NChw: Tensor | None = None,
    begin_KHW: NDArray[np.float32] | None = None,
    strength: float = 0.6,
) -> DenoisedMaps:
    """The maps of one picture.

    `text_MLD` is what `class_text` gave for `names`, so that it need not be made for every picture;
    `unit_NChw` is noise in place of that of the seed. With `begin_KHW`, maps in [0, 1] of the picture's size,
    these are refined: noised by `strength` in (0, 1] and denoised. Raises InputError.
    """
    check_image(image_HW3)
    place = fitted((image_HW3.shape[1], image_HW3.shape[0]), rules, backbone, options.size)
    signal_13HW = shown(image_HW3, place, rules)
    rgb_1Chw = encode(backbone, signal_13HW)
    text_MLD = class_text(backbone, names, rules) if text_MLD is None else text_MLD
    noise = Noise(backbone.scheduler, options.steps)
    unit_NChw = _unit(rgb_1Chw, options) if unit_NChw is None else unit_NChw
    kinds, members = len(text_MLD), len(unit_NChw)
    beginning = None
    if begin_KHW is not None:
        beginning = _beginning(backbone, begin_KHW, place, rules, members, strength)
    half = backbone.dtype != torch.float32
    limit = options.rows or automatic_rows(kinds * members, max(place.outer_wh), memory_gb(backbone), half)
    z_RChw = draw_masks(
        backbone,
        rgb_1Chw,
        text_MLD.repeat_interleave(members, 0),
        (0,) * (kinds * members),
        unit_NChw.repeat(kinds, 1, 1, 1),
        noise,
        rows=limit,
        beginning=beginning,
    )
    maps_RHW = decoded(backbone, z_RChw)[:, : place.inner_wh[1], : place.inner_wh[0]]
    maps_KNHW = maps_RHW.reshape(kinds, members, *maps_RHW.shape[-2:])
    return _together(maps_KNHW, names, rules, options, place)


def _unit(rgb_1Chw: Tensor, options: DenoiseOptions) -> Tensor:
    """Noise of every member; that of a member is the same for all classes."""
    _, channels, height, width = rgb_1Chw.shape
    seeds = [options.seed + n for n in range(options.members)]
    return initial(seeds, (channels, height, width), rgb_1Chw.device)


def _beginning(
    backbone: Backbone,
    begin_KHW: NDArray[np.float32],
    place: Fitted,
    rules: MaskRules,
    members: int,
    strength: float,
) -> Beginning:
    """The latents of maps that are to be refined, one row for each map and member."""
    maps_K1HW = torch.from_numpy(np.array(begin_KHW, np.float32))[:, None]
    inner = (place.inner_wh[1], place.inner_wh[0])
    maps_K1HW = nnf.interpolate(maps_K1HW, inner, mode="bilinear", antialias=True)
    right, below = place.outer_wh[0] - inner[1], place.outer_wh[1] - inner[0]
    grey_K3HW = nnf.pad(maps_K1HW, (0, right, 0, below), mode="replicate").expand(-1, 3, -1, -1) * 2 - 1
    z_KChw = encode(backbone, grey_K3HW).float()
    return Beginning(z_KChw.repeat_interleave(members, 0), strength)


def _together(
    maps_KNHW: Tensor, names: Sequence[str], rules: MaskRules, options: DenoiseOptions, place: Fitted
) -> DenoisedMaps:
    by_class = rules.text == "class"
    align = options.align or ("none" if by_class else "affine")
    reduce = options.reduce or ("mean" if by_class else "median")
    parts = [ensemble(maps_NHW, align, reduce) for maps_NHW in maps_KNHW]  # type: ignore[arg-type]
    maps_KHW = torch.stack([one.map_HW for one in parts])
    spread = [one.uncertainty_HW for one in parts if one.uncertainty_HW is not None]
    uncertainty_KHW = torch.stack(spread) if spread else None
    if options.own_size:
        maps_KHW = at_size(maps_KHW, place.size_wh, rules)
        uncertainty_KHW = None if uncertainty_KHW is None else at_size(uncertainty_KHW, place.size_wh, rules)
    found = None if uncertainty_KHW is None else uncertainty_KHW.cpu().numpy()
    return DenoisedMaps(tuple(names) if by_class else ("levels",), maps_KHW.cpu().numpy(), found)


def at_size(maps_KHW: Tensor, size_wh: tuple[int, int], rules: MaskRules) -> Tensor:
    """Maps at another size, clipped to [0, 1]; bicubic where the released code is followed."""
    mode = "bicubic" if rules.fit == "stretch" else "bilinear"
    wanted = (size_wh[1], size_wh[0])
    if tuple(maps_KHW.shape[-2:]) == wanted:
        return maps_KHW
    return nnf.interpolate(maps_KHW[None], wanted, mode=mode, antialias=True)[0].clamp(0, 1)


# --- how much at once --------------------------------------------------------------------------------------


def memory_gb(backbone: Backbone) -> float:
    """Memory of the accelerator that the backbone is on, in GB; 0 on the CPU or where nobody knows."""
    if backbone.device.type == "cpu":
        return 0.0
    module = torch.get_device_module(backbone.device)
    if not hasattr(module, "get_device_properties"):
        return 0.0
    return float(getattr(module.get_device_properties(backbone.device), "total_memory", 0)) / 2**30


def automatic_rows(rows: int, size_px: int, gb: float, half: bool) -> int:
    """How many of `rows` maps are drawn at once, of pictures whose longer side has `size_px` pixels.

    With an accelerator as Marigold's table says (and 1 where it says nothing), evened out: half of the rows,
    rounded up, where more than half but not all would fit. On the CPU by `ROOM_PX`.
    """
    if gb:
        most = max(
            (
                many
                for least, narrow, sizes in TABLE
                if gb >= least * 0.95 and (half or not narrow)
                for side, many in sizes
                if size_px <= side
            ),
            default=1,
        )
    else:
        most = max(1, ROOM_PX // size_px**2)
    if most >= rows:
        return max(1, rows)
    return min(most, math.ceil(rows / 2)) if most > rows / 2 else most


def labels_of(
    maps_KHW: NDArray[np.float32], ids: Sequence[int], background: int, threshold: float = 0.5
) -> NDArray[np.uint16]:
    """The class of every pixel, [H, W]: the id of the map that is highest there, or `background` where none
    reaches `threshold`."""
    best_HW = maps_KHW.argmax(0)
    found_HW = np.asarray(ids, np.uint16)[best_HW]
    return np.where(maps_KHW.max(0) >= threshold, found_HW, np.uint16(background))
