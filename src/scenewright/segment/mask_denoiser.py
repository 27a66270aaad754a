"""Masks drawn by a denoising network that sees the picture: its latent beside the noisy latent of the mask.

Seg-diffusion (2024) with the recipe of Marigold (Ke et al., CVPR 2024, arXiv 2312.02145): a UNet of Stable
Diffusion whose input layer takes 8 channels, first the picture's latent, then the noisy one of a mask that is
encoded as a grey picture. What each `text` mode of `MaskRules` asks of one pass:

=======  ==================================================================================================
class    the mask of one class, named by its own prompt: white where it is, black where not. Open vocabulary
         by construction; a list of K classes takes K passes. What this package trains.
bag      one grey map for a whole list, conditioned on the mean of its K prompts, token by token: what the
         released code does. The order of the list is lost in the mean, so that no level of grey belongs to a
         class, and levels are stretched per picture: the map tells regions apart, but does not name them.
none     one grey map, conditioned on the empty prompt (Marigold's networks).
=======  ==================================================================================================

Symbols: z mask latent, c picture latent, v target; ``t_i = 1 - alpha-bar``. Letters: P pictures, K classes,
N members, R rows (mask, member), C latent channels, h w latent cells, H W pixels, L tokens, D width.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning, Denoise, Rows
from scenewright.backbone.latents import decode_signal
from scenewright.backbone.loop import sample
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.parts import quiet
from scenewright.backbone.schedulers import make_scheduler
from scenewright.backbone.text import embed
from scenewright.errors import InputError, ModelError

Initialisation = Literal["halved", "published"]
TextMode = Literal["class", "bag", "none"]

TEMPLATE = "a photo of a {}"
"""The prompt of a class in the released code."""

SPREAD = 1e-5
"""Added to the range of levels that is stretched to [-1, 1], as published."""


@dataclass(frozen=True, kw_only=True)
class MaskRules:
    """What a mask denoiser was trained with, and therefore wants; kept beside its weights.

    text      see above
    signal    range of the values that the VAE is shown of the picture: "signed" [-1, 1], or "unit" [0, 1], as
              the released code has it
    fit       "keep" the picture's shape, or "stretch" it to a square, as the released code does
    size      longer side of the picture that the network is shown, in pixels; 0: the backbone's native size
    template  prompt of a class
    """

    text: TextMode = "class"
    signal: Literal["signed", "unit"] = "signed"
    fit: Literal["keep", "stretch"] = "keep"
    size: int = 0
    template: str = TEMPLATE

    def __post_init__(self) -> None:
        if self.template.count("{}") != 1:
            raise InputError(
                f"the template {self.template!r} needs one place for the name", f"e.g. {TEMPLATE}"
            )
        if self.size < 0:
            raise InputError(f"the size is {self.size} pixels; expected 0 (native) or more")

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MaskRules:
        """From a parsed object. Raises ModelError for unknown fields or values."""
        names = {field.name for field in dataclasses.fields(cls)}
        if strange := sorted(set(value) - names):
            raise ModelError(f"a mask denoiser has no rule {strange[0]!r}", "a newer version may know it")
        rules = cls(**value)
        if rules.text not in ("class", "bag", "none") or rules.signal not in ("signed", "unit"):
            raise ModelError(f"unknown rules of a mask denoiser: {rules.text!r}, {rules.signal!r}")
        return rules


PUBLISHED_RULES = MaskRules(text="bag", signal="unit", fit="stretch", size=384)
"""Those of the released Seg-diffusion code."""
MARIGOLD_RULES = MaskRules(text="none", size=768)
"""Those of Marigold's networks."""


# --- the network -------------------------------------------------------------------------------------------


def widened(unet: Any, how: Initialisation = "halved", seed: int = 0) -> Any:
    """A copy of `unet` whose input layer takes two latents: first the picture's, then the mask's.

    "halved" repeats the kernel and halves it (Marigold), so that two equal latents give what one gave;
    "published" draws it anew, uniform within ``1 / sqrt(fan in)``, from `seed`: what the released code ends
    up with, because its loader drops the kernel that does not fit. The bias and all else are kept. Raises
    InputError for a UNet that takes more than a latent already.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    kernel = unet.conv_in.weight
    if kernel.shape[1] != unet.config.out_channels:
        raise InputError(
            f"the UNet takes {kernel.shape[1]} channels and gives {unet.config.out_channels}",
            "begin with one that takes a latent only",
        )
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    config["in_channels"] = 2 * kernel.shape[1]
    config.pop("_use_default_values", None)  # diffusers' list of fields that it would set back
    state = dict(unet.state_dict())
    state["conv_in.weight"] = doubled(kernel) if how == "halved" else redrawn(kernel, seed)
    with torch.random.fork_rng(devices=[]), quiet():
        wide: Any = UNet2DConditionModel.from_config(config)
        wide.load_state_dict(state, strict=True)
        return wide.to(kernel.device, kernel.dtype)


def doubled(kernel_OCkk: Tensor) -> Tensor:
    """The kernel for twice the input channels: two copies, halved."""
    return torch.mul(kernel_OCkk.repeat(1, 2, 1, 1), 0.5)


def redrawn(kernel_OCkk: Tensor, seed: int) -> Tensor:
    """A random kernel for twice the input channels; see `widened`."""
    out, channels, high, wide = kernel_OCkk.shape
    bound = (2 * channels * high * wide) ** -0.5
    generator = torch.Generator("cpu").manual_seed(seed)
    drawn = torch.rand((out, 2 * channels, high, wide), generator=generator) * 2 - 1
    return (drawn * bound).to(kernel_OCkk)


def with_picture(inner: Denoise, rgb_PChw: Tensor) -> Denoise:
    """A `Denoise` of mask latents: the latent of each row's picture (the call's sample) is put before it."""

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        index_R = torch.as_tensor(call.sample_R, device=rgb_PChw.device)
        return inner(torch.cat([rgb_PChw[index_R].to(z_RChw.dtype), z_RChw], 1), call)

    return denoise


def rescheduled(scheduler: Any, *, spacing: str, zero_snr: bool, prediction: str = "") -> Any:
    """DDIM with the noise levels of `scheduler`, the timestep `spacing` ("leading" as released, "trailing"),
    noise that hides everything at the last level (`zero_snr`), and another `prediction` type if one is named.

    Raises ModelError for epsilon with `zero_snr`: from pure noise nothing follows from the noise.
    """
    like = make_scheduler("ddim", scheduler)
    changes = {
        "timestep_spacing": spacing,
        "rescale_betas_zero_snr": zero_snr,
        "prediction_type": prediction or like.config.prediction_type,
        "clip_sample": False,
    }
    if zero_snr and changes["prediction_type"] == "epsilon":
        raise ModelError("no picture follows from epsilon at the last noise level", "predict v_prediction")
    return type(like).from_config({**like.config, **changes})


# --- what goes in ------------------------------------------------------------------------------------------


def stretched(levels_HW: Tensor) -> Tensor:
    """Levels of grey from about -1 to 1 as the released code encodes masks; a constant map becomes -1.

    The smallest and largest value are taken over the whole tensor.
    """
    low, high = levels_HW.min(), levels_HW.max()
    return ((levels_HW - low) / (high - low + SPREAD) - 0.5) * 2.0


def class_text(backbone: Backbone, names: Sequence[str], rules: MaskRules) -> Tensor:
    """The text [M, L, D] of the masks that a list of K names asks for: M = K in mode "class", else 1.

    Raises InputError for no names where they are needed.
    """
    if rules.text == "none":
        return embed(backbone, [""]).tokens_BLD
    if not names:
        raise InputError("no classes to look for", "name at least one")
    tokens_KLD = embed(backbone, [rules.template.format(name) for name in names]).tokens_BLD
    return tokens_KLD if rules.text == "class" else pooled(tokens_KLD)


def pooled(tokens_KLD: Tensor) -> Tensor:
    """The mean [1, L, D] over K prompts, token position by token position: the released code's text."""
    return tokens_KLD.mean(0, keepdim=True)


def picture_signal(image_HW3: NDArray[np.uint8], rules: MaskRules) -> Tensor:
    """A picture [1, 3, H, W] in the range that the VAE is to be shown."""
    unit_3HW = torch.from_numpy(np.array(image_HW3)).permute(2, 0, 1)[None].float() / 255.0
    return unit_3HW if rules.signal == "unit" else unit_3HW * 2 - 1


# --- what comes out ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Beginning:
    """Where refinement begins: mask latents [R, C, h, w], and how much noise they get, in (0, 1]."""

    z_RChw: Tensor
    strength: float

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise InputError(f"the strength is {self.strength}; expected above 0, at most 1 (all noise)")


def draw_masks(
    backbone: Backbone,
    rgb_PChw: Tensor,
    text_RLD: Tensor,
    picture_R: Sequence[int],
    unit_RChw: Tensor,
    noise: Noise,
    *,
    rows: int = 16,
    beginning: Beginning | None = None,
) -> Tensor:
    """Mask latents [R, C, h, w] denoised from unit noise, at most `rows` together.

    `picture_R` says which of the picture latents each row is of. With `beginning` the run starts at the first
    timestep that is below its strength. Raises InputError for a UNet without a place for the picture.
    """
    need = rgb_PChw.shape[1] + unit_RChw.shape[1]
    if int(backbone.unet.config.in_channels) != need:
        raise InputError(
            f"the UNet of {backbone.name} takes {backbone.unet.config.in_channels} channels; "
            f"a mask denoiser takes {need}",
            "`scenewright train mask-denoiser` makes one of it",
        )
    inner = network(backbone.unet)
    done = []
    for at in range(0, len(unit_RChw), rows):
        part = slice(at, at + rows)
        pictures = tuple(picture_R[part])
        z_RChw, first = noise.start(unit_RChw[part]), 0
        if beginning is not None:
            first = entry_of(noise, beginning.strength)
            z_RChw = noise.add(beginning.z_RChw[part], unit_RChw[part], noise.timesteps[first])
        done.append(
            sample(
                with_picture(inner, rgb_PChw), noise, z_RChw, Conditioning(text_RLD[part]),
                rows=Rows(pictures, (0,) * len(pictures)), first=first,
            )
        )  # fmt: skip
    return torch.cat(done)


def entry_of(noise: Noise, strength: float) -> int:
    """The first entry of the timesteps that is not above `strength` of the noise levels; the last at most."""
    below = noise.timesteps.float() <= strength * (noise.train_timesteps - 1)
    return int(below.int().argmax()) if bool(below.any()) else len(noise.timesteps) - 1


def decoded(backbone: Backbone, z_RChw: Tensor) -> Tensor:
    """Maps [R, H, W] in [0, 1] of mask latents: the mean over the colours, clipped to [-1, 1]."""
    return (decode_signal(backbone, z_RChw).mean(1).clamp(-1.0, 1.0) + 1.0) / 2.0


def is_mask_denoiser(unet: Any) -> bool:
    """Whether a UNet takes the latent of a picture besides that of a mask."""
    return int(unet.config.in_channels) == 2 * int(unet.config.out_channels)
