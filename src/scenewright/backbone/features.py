"""Feature maps of a UNet at one sampling step, folded for heads that read them.

Li et al., "Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023 (arXiv 2301.05221), section
3.2, and the re-implementation grounded-diffusers. Both tap the network in the call with timestep 1 and put
the two halves of guidance side by side as channels. Here the step is a number of the sampler (by default its
last), so that every scheduler works; rows are paired by sample, so that every batch does; levels are found by
walking the network, so that every size does.

Letters: B samples, R rows, C channels, h w cells of a map, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenewright.backbone.call import COND, UNCOND, Call, Conditioning, Denoise
from scenewright.backbone.latents import encode, initial
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import chunked, network
from scenewright.backbone.noise import Noise
from scenewright.backbone.tap_layout import HALVES, LAYOUTS, TapLayout, tap_layout
from scenewright.backbone.taps import Taps
from scenewright.backbone.text import embed
from scenewright.errors import InputError

__all__ = [
    "HALVES",
    "LAYOUTS",
    "FeatureTaps",
    "Features",
    "Latent",
    "TapLayout",
    "extract",
    "from_picture",
    "picture_latent",
    "tap_layout",
    "tap_step",
]


@dataclass(frozen=True)
class Features:
    """Maps [B, C, h, w] per level, deepest first; channels are those of the halves of guidance in turn."""

    levels: tuple[tuple[Tensor, ...], ...]

    @property
    def batch(self) -> int:
        """How many samples these are of."""
        return int(self.levels[0][0].shape[0])

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(sum(int(one.shape[1]) for one in level) for level in self.levels)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns of the finest level: those of the latent."""
        return int(self.levels[-1][0].shape[-2]), int(self.levels[-1][0].shape[-1])

    def take(self, index: Sequence[int]) -> Features:
        """The samples `index`, in that order."""
        where = torch.as_tensor(list(index), dtype=torch.long)
        return Features(tuple(tuple(one[where.to(one.device)] for one in level) for level in self.levels))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Features:
        """The same maps on another device or in another number type."""
        return Features(
            tuple(tuple(one.to(device=device, dtype=dtype) for one in level) for level in self.levels)
        )

    @staticmethod
    def cat(parts: Sequence[Features]) -> Features:
        """The samples of all parts, in order. Raises InputError if their layouts or sizes differ."""
        forms = {
            tuple(tuple(tuple(one.shape[1:]) for one in level) for level in part.levels) for part in parts
        }
        if len(forms) != 1:
            raise InputError(
                f"features of {len(forms)} different forms cannot share a batch",
                "put pictures of one size, read with one tap layout, together",
            )
        return Features(
            tuple(
                tuple(torch.cat(maps) for maps in zip(*level, strict=True))
                for level in zip(*(part.levels for part in parts), strict=True)
            )
        )


@dataclass(frozen=True)
class Latent:
    """What the network was shown: `z_BChw` as `Noise.scale` gave it, and its timestep `t` (0-d, or [B]).

    Enough, with the conditioning, to compute the features again (`extract`); 32 KB of Stable Diffusion where
    its features take 25 MB, both in half precision.
    """

    z_BChw: Tensor
    t: Tensor


class Watcher(Protocol):
    """Anything that listens to the innermost `Denoise`."""

    def watch(self, inner: Denoise) -> Denoise:
        """`inner` with this listening."""
        ...


def tap_step(noise: Noise, timestep: float = 0) -> int:
    """The sampler step that starts nearest to `timestep`, the later one of two; 0 gives the last step."""
    gaps = [abs(float(noise.timestep_of(step)) - timestep) for step in range(noise.steps)]
    return max(range(noise.steps), key=lambda step: (-gaps[step], step))


class FeatureTaps:
    """Reads the features of one run at sampler step `step` (0 to steps - 1; `tap_step` names it).

    Use as a context manager, wrap the innermost `Denoise` with `watch`, sample, then ask for `features`. A
    step that is evaluated more than once (PNDM, Heun) counts with its last evaluation. Of several branches
    the whole picture's is read. Raises ModelError for a compiled UNet.

    A run without guidance (scale 1) never evaluates the "uncond" half: then compute the features from
    `latent` with `extract`, which costs one call of the network.
    """

    def __init__(self, unet: nn.Module, layout: TapLayout, step: int, halves: Sequence[str] = HALVES) -> None:
        if not halves or any(half not in HALVES for half in halves):
            raise InputError(f"halves are {tuple(halves)}, one or both of {HALVES} expected")
        self.layout = layout
        self.halves = tuple(halves)
        self.step = step
        self._taps = Taps(unet, layout.paths, steps=[step], halves=halves)
        self._shown: dict[int, tuple[Tensor, Tensor]] = {}

    def watch(self, inner: Denoise) -> Denoise:
        """`inner`, normally ``network(unet)``, with these taps listening."""
        tapped = self._taps.watch(inner)

        def denoise(z_RChw: Tensor, call: Call) -> Tensor:
            if call.step == self.step:
                self._remember(z_RChw, call)
            return tapped(z_RChw, call)

        return denoise

    def _remember(self, z_RChw: Tensor, call: Call) -> None:
        for row, sample in enumerate(call.sample_R):
            if call.half_R[row] == COND and call.branch_R[row] == 0 and call.window_R[row] is None:
                t = call.t[row] if call.t.ndim else call.t
                self._shown[sample] = (z_RChw[row].detach().clone(), t)

    def features(self, samples: Sequence[int]) -> Features:
        """The maps of the samples (numbers within the run), in that order.

        Raises InputError if the step was not reached, a sample was not in the run, the run had no guidance
        but its "uncond" half is asked for, or the picture was drawn in windows.
        """
        return Features(
            tuple(tuple(self._folded(path, samples) for path in level) for level in self.layout.levels)
        )

    def latent(self, samples: Sequence[int]) -> Latent:
        """What the network was shown at the step. Raises InputError if it was not reached."""
        missing = [sample for sample in samples if sample not in self._shown]
        if missing or not samples:
            raise InputError(f"step {self.step} was not evaluated for the samples {missing}")
        shown = [self._shown[sample] for sample in samples]
        return Latent(torch.stack([z_Chw for z_Chw, _ in shown]), shown[0][1])

    def has(self, half: str) -> bool:
        """Whether the run evaluated that half of guidance at the step."""
        try:
            rows = self._taps.read(self.step, self.layout.paths[0]).rows
        except InputError:
            return False
        return any(row.half == half for row in rows)

    def _folded(self, path: str, samples: Sequence[int]) -> Tensor:
        tapped = self._taps.read(self.step, path)
        if any(row.window is not None for row in tapped.rows):
            raise InputError(
                "the picture was drawn in windows, whose features are not those of the whole picture",
                "draw it at the size of one window",
            )
        place = {(row.sample, row.half): i for i, row in enumerate(tapped.rows) if row.branch == 0}
        wanted = [[(sample, half) for sample in samples] for half in self.halves]
        missing = [pair for pairs in wanted for pair in pairs if pair not in place]
        if missing:
            raise InputError(
                f"the run has no {missing[0][1]!r} row of sample {missing[0][0]} at step {self.step}",
                "a run without guidance has one half only: compute the features from its latent (extract)",
            )
        return torch.cat([tapped.features_R[[place[pair] for pair in pairs]] for pairs in wanted], dim=1)

    def close(self) -> None:
        """Remove the hooks; what was read stays readable."""
        self._taps.close()

    def __enter__(self) -> FeatureTaps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@torch.no_grad()
def extract(
    backbone: Backbone,
    z_BChw: Tensor,
    t: Tensor | float,
    cond: Conditioning,
    negative: Conditioning,
    layout: TapLayout,
    *,
    halves: Sequence[str] = HALVES,
    gate: float = 1.0,
    watchers: Sequence[Watcher] = (),
    max_rows: int = 0,
) -> Features:
    """The features of latents by one call of the network on [uncond, cond] rows, as guidance orders them.

    `z_BChw` and `t` are what the network is shown (`Latent`; `t` 0-d or [B]); `cond` and `negative` what it
    was conditioned on, one row per sample, with the layout's adapter attached if they have one and `gate` as
    in that step. Equal to the features of the run the latent came from, to rounding. `watchers` listen to the
    same call (attention maps); `max_rows` bounds the rows per evaluation (0: all at once).
    """
    count = len(z_BChw)
    if cond.rows != count or (UNCOND in halves and negative.rows != count):
        raise InputError(f"{count} latents with {cond.rows} and {negative.rows} rows of conditioning")
    time = torch.as_tensor(t)
    time = time.to(backbone.device) if time.ndim else time
    with FeatureTaps(backbone.unet, layout, 0, halves) as taps:
        denoise = taps.watch(network(backbone.unet))
        for watcher in watchers:
            denoise = watcher.watch(denoise)
        if max_rows:
            denoise = chunked(denoise, max_rows)
        call = _both(time, cond, negative, gate, both=UNCOND in halves)
        z_RChw = z_BChw.to(backbone.device).repeat(call.rows // count, 1, 1, 1)
        denoise(z_RChw, call)
        return taps.features(range(count))


def _both(time: Tensor, cond: Conditioning, negative: Conditioning, gate: float, both: bool) -> Call:
    call = replace(Call.plain(time, cond), gate=gate)
    if not both:
        return call
    other = replace(Call.plain(time, negative), gate=gate, half_R=(UNCOND,) * negative.rows)
    return Call.cat([other, call])


def picture_latent(
    backbone: Backbone,
    image_BHW3: NDArray[np.uint8],
    seeds: Sequence[int],
    steps: int,
    timestep: float = 0,
) -> Latent:
    """Real pictures (0..255) at the noise level of a sampler step: encoded, noised, scaled for the network.

    The step is `tap_step` of the backbone's own scheduler with `steps` steps; one seed per picture draws the
    noise. Raises InputError for sizes the backbone does not draw.
    """
    if image_BHW3.ndim != 4 or image_BHW3.shape[-1] != 3 or image_BHW3.dtype != np.uint8:
        raise InputError(
            f"pictures of shape {image_BHW3.shape} and type {image_BHW3.dtype}; [B, H, W, 3] uint8 expected"
        )
    noise = Noise(backbone.scheduler, steps)
    t = noise.timestep_of(tap_step(noise, timestep))
    image_BCHW = torch.from_numpy(np.ascontiguousarray(image_BHW3)).permute(0, 3, 1, 2).float() / 127.5 - 1
    z0_BChw = encode(backbone, image_BCHW)
    channels, height, width = z0_BChw.shape[1:]
    normal_BChw = initial(seeds, (channels, height, width), z0_BChw.device, z0_BChw.dtype)
    return Latent(noise.scale(noise.add(z0_BChw, normal_BChw, t), t), t)


def from_picture(
    backbone: Backbone,
    image_BHW3: NDArray[np.uint8],
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    layout: TapLayout,
    *,
    negative: str = "",
    timestep: float = 0,
    halves: Sequence[str] = HALVES,
    watchers: Sequence[Watcher] = (),
) -> Features:
    """Features of real pictures: `picture_latent`, then one call of the network with their prompts."""
    if not len(image_BHW3) == len(prompts) == len(seeds):
        raise InputError(f"{len(image_BHW3)} pictures, {len(prompts)} prompts, {len(seeds)} seeds: one each")
    latent = picture_latent(backbone, image_BHW3, seeds, steps, timestep)
    cond = Conditioning(embed(backbone, list(prompts)).tokens_BLD)
    none = Conditioning(embed(backbone, [negative] * len(prompts)).tokens_BLD)
    return extract(backbone, latent.z_BChw, latent.t, cond, none, layout, halves=halves, watchers=watchers)
