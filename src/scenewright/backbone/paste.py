"""Keeping known parts of a picture while the rest is sampled, as an edit of the one loop.

Before every step the known region of the latent is replaced by the known picture at that step's noise level
(Lugmayr et al. 2022, eq. 8; used by GLIGEN for inpainting and by DGInStyle to keep large segments of a
low-resolution pass, Jia et al. 2024, section 3.3).

Letters: B samples, R rows, C latent channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from scenewright.backbone.call import Call, Edit
from scenewright.backbone.noise import Noise
from scenewright.errors import InputError

Level = Literal["step", "lagging"]


def paste(
    noise: Noise,
    known_BChw: Tensor,
    keep_B1hw: Tensor,
    fresh: Callable[[int], Tensor],
    *,
    level: Level = "step",
    finish: bool = True,
) -> Edit:
    """Replace the cells where `keep_B1hw` is 1 by the clean latents `known_BChw`; values below 1 blend.

    `fresh(step)` gives unit noise [B, C, h, w] for the start of sampler step `step`; `drawn` makes one. With
    `finish` the known cells of the result are the known latents themselves. ``level="lagging"`` is the
    published DGInStyle sampler: no paste before the first step, later ones (also the last) at the level one
    below the timestep *before*, which leaves some noise in the result; use it only to compare with that.
    """
    if known_BChw.shape[0] != keep_B1hw.shape[0] or known_BChw.shape[-2:] != keep_B1hw.shape[-2:]:
        raise InputError(
            f"latents {tuple(known_BChw.shape)} and mask {tuple(keep_B1hw.shape)} do not belong together",
            "the mask has the size of the latent, in cells, and one channel",
        )

    def edit(z_RChw: Tensor, call: Call) -> Tensor:
        if level == "lagging":
            if call.step == 0:
                return z_RChw
            t = noise.timestep_of(call.step - 1) - 1
            pasted = noise.add(known_BChw, fresh(call.step).to(known_BChw), t)
        elif call.final:
            pasted = known_BChw
        else:
            pasted = noise.add(known_BChw, fresh(call.step).to(known_BChw), call.t)
        if call.final and not finish:
            return z_RChw
        index = torch.as_tensor(call.sample_R)  # on the CPU: it serves tensors of any device
        keep_R1hw = keep_B1hw[index].to(z_RChw)
        return keep_R1hw * pasted[index].to(z_RChw) + (1 - keep_R1hw) * z_RChw

    return edit


def drawn(shape_Chw: tuple[int, int, int], generators: Sequence[torch.Generator]) -> Callable[[int], Tensor]:
    """Unit noise [B, C, h, w] for `paste`, drawn anew in every step from one CPU generator per sample."""

    def fresh(step: int) -> Tensor:
        return torch.stack([torch.randn(shape_Chw, generator=generator) for generator in generators])

    return fresh
