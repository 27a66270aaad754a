"""Classifier-free guidance and gate schedules as wrappers of a `Denoise`.

Guidance: Ho and Salimans 2022, ``out = out_u + w (out_c - out_u)``. Gate schedule: Li et al. 2023 (GLIGEN),
scheduled sampling, section 3.4 (beta = 1 for the first tau of the steps).

Letters: R rows, B samples, C latent channels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from scenewright.backbone.call import UNCOND, Call, Conditioning, Denoise
from scenewright.errors import InputError


def guided(inner: Denoise, scale: float | Sequence[float], negative: Conditioning) -> Denoise:
    """Guidance with one scale, or one per sample; `negative` has one row per sample.

    A row whose scale is 1 is evaluated once; all others get a second row of half "uncond" in the same batch.
    The negative conditioning decides what the layout of that half is: the trained null layout, or none.
    Raises InputError for a scale that is no number, and for a sample without scale or negative row.
    """
    given = scale if isinstance(scale, Sequence) else (scale,)
    if not all(math.isfinite(value) for value in given):
        raise InputError(f"the guidance scale must be a finite number, got {scale}", "try 3 to 7.5")

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        scales = [_scale_of(scale, i) for i in call.sample_R]
        index = [row for row, value in enumerate(scales) if value != 1.0]
        if not index:
            return inner(z_RChw, call)
        if max(call.sample_R) >= negative.rows:
            raise InputError(
                f"the negative conditioning has {negative.rows} rows, but there is a sample number "
                f"{max(call.sample_R)}",
                "give one negative row per sample",
            )
        half = replace(
            call.take(index),
            half_R=(UNCOND,) * len(index),
            cond=negative.take([call.sample_R[row] for row in index]),
        )
        where = torch.as_tensor(index, device=z_RChw.device)
        output = inner(torch.cat([z_RChw[where], z_RChw]), Call.cat([half, call]))
        uncond, cond = output[: len(index)], output[len(index) :]
        weight = torch.as_tensor([scales[row] for row in index], dtype=output.dtype, device=output.device)
        guided_rows = uncond + weight.view(-1, 1, 1, 1) * (cond[where] - uncond)
        return cond.index_copy(0, where, guided_rows)

    return denoise


def _scale_of(scale: float | Sequence[float], sample: int) -> float:
    if isinstance(scale, Sequence):
        if sample >= len(scale):
            raise InputError(
                f"{len(scale)} guidance scales were given, but there is a sample number {sample}"
            )
        return float(scale[sample])
    return float(scale)


def gated(inner: Denoise, schedule: Sequence[float]) -> Denoise:
    """Multiply the gates of all rows by ``schedule[step]``; at 0 the fusers are not evaluated at all.

    The same value holds for both guidance halves, so it does not matter whether this is inside or outside
    `guided`. The schedule has one value in [0, 1] per sampler step (`Noise.steps` of them).
    """
    bad = [value for value in schedule if not 0.0 <= value <= 1.0]
    if bad:
        raise InputError(f"gate values must be in [0, 1], got {bad[0]}")

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        if len(schedule) != call.steps:
            raise InputError(f"the gate schedule has {len(schedule)} values for {call.steps} steps")
        return inner(z_RChw, replace(call, gate=call.gate * schedule[call.step]))

    return denoise


def gate_schedule(steps: int, fractions: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> list[float]:
    """One gate value per step: `fractions` of the steps at 1, decaying linearly, and at 0.

    The decay over n steps takes the values (n-1)/n, ..., 1/n, 0. Counts are rounded down with a tolerance, so
    0.29 of 100 steps are 29; the fractions may miss 0 and the sum 1 by 1e-6. Raises InputError otherwise.
    """
    on, decay, off = fractions
    if not (min(fractions) >= -1e-6 and abs(on + decay + off - 1) <= 1e-6):
        raise InputError(
            f"gate fractions must be three numbers from 0 to 1 that sum to 1, got {tuple(fractions)}",
            "for example (0.3, 0, 0.7): the layout acts in the first 30 % of the steps",
        )
    full, falling = (max(math.floor(part * steps + 1e-6), 0) for part in (on, decay))
    ramp = [1 - (i + 1) / falling for i in range(falling)]
    return [1.0] * full + ramp + [0.0] * (steps - full - falling)
