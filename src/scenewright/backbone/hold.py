"""Rounds of one picture: each row keeps what the row before it shows, except where it is to change.

All rounds start from the same noise and run in one batch. At the start of every step, the cells that a round
keeps are those of the round before at that very step, so that they are equal at every noise level and the
network sees the new part in its true surroundings. It is the paste of Lugmayr et al. 2022 (RePaint), eq. 8,
with the known picture's own trajectory in place of fresh noise.

Letters: B rounds, R rows, C latent channels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scenewright.backbone.call import Call, Edit
from scenewright.errors import InputError


def hold(keep_B1hw: Tensor, share: float | Sequence[float] = 1.0) -> Edit:
    """Round i takes the cells where ``keep_B1hw[i]`` is 1 from round i - 1; values below 1 blend.

    Rounds are the samples of the run, in order; the first one is left alone. Branches of a round all take
    from branch 0 of the one before. `share` of the steps are held, counted from the first, one share for all
    rounds or one for each; 1 includes the result itself, whose kept cells are then those of the round before
    exactly. Raises InputError for a share outside [0, 1], and in the run for another number of rounds.
    """
    shares = [share] * len(keep_B1hw) if isinstance(share, (int, float)) else list(share)
    if len(shares) != len(keep_B1hw) or not all(0.0 <= one <= 1.0 for one in shares):
        raise InputError(
            f"the held shares of the steps are {shares}; expected one in [0, 1] for each of "
            f"{len(keep_B1hw)} rounds"
        )

    def edit(z_RChw: Tensor, call: Call) -> Tensor:
        if max(call.sample_R) >= len(shares):
            raise InputError(f"{len(shares)} rounds have cells to keep, the run has more")
        main = {i: row for row, i in enumerate(call.sample_R) if call.branch_R[row] == 0}
        rows, keeps_B1hw = list(z_RChw), keep_B1hw.to(z_RChw)
        held = False
        for row in sorted(range(call.rows), key=lambda row: call.sample_R[row]):
            i = call.sample_R[row]
            if i - 1 not in main or not _holds(call, shares[i]):
                continue
            keep_1hw, before_Chw, held = keeps_B1hw[i], rows[main[i - 1]], True
            rows[row] = torch.where(keep_1hw == 1, before_Chw, before_Chw.lerp(rows[row], 1 - keep_1hw))
        return torch.stack(rows) if held else z_RChw

    return edit


def _holds(call: Call, share: float) -> bool:
    """Whether a round is held at this step, the moment after the last one included."""
    if call.final:
        return share == 1.0
    return call.step < math.floor(share * call.steps + 1e-6)
