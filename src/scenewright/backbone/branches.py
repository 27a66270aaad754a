"""Several latents per picture that meet later: the multi-instance sampler.

Wang et al. 2024 (InstanceDiffusion), section 3.4: branch 0 sees all instances, branch i one instance with its
own caption; after a fraction of the steps the latents are averaged and branch 0 continues. Here all branches
of all samples run in one batch through the one loop, and an average may have weights per cell. The rows of
finished branches stay in the batch, because a multistep scheduler keeps a history per row, but only branch 0
is evaluated after the merge.

Letters: B samples, R rows, C latent channels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning, Denoise, Edit, Rows
from scenewright.backbone.loop import StepInfo, sample
from scenewright.backbone.noise import Noise
from scenewright.errors import InputError


def merge_step(steps: int, fraction: float) -> int:
    """The sampler step at whose start branches merge: floor(fraction * steps), with a tolerance."""
    if not 0.0 <= fraction <= 1.0:
        raise InputError(f"the merge fraction must be in [0, 1], got {fraction}")
    return math.floor(fraction * steps + 1e-6)


def merge_mean(step: int) -> Edit:
    """At the start of `step`, every row becomes the mean of its sample's rows, as published."""
    return merge_weighted(step, None)


def merge_weighted(step: int, weight_R1hw: Tensor | None) -> Edit:
    """At the start of `step`, every row becomes the weighted mean of its sample's rows, cell by cell.

    `weight_R1hw` is 0 or more, for each row and cell (None: 1 everywhere). Cells where all weights of a
    sample are 0 keep what their row has.
    """

    def edit(z_RChw: Tensor, call: Call) -> Tensor:
        if call.step != step:
            return z_RChw
        if weight_R1hw is not None and len(weight_R1hw) != call.rows:
            raise InputError(f"{len(weight_R1hw)} rows of weights for {call.rows} rows")
        merged = z_RChw.clone()
        for i in sorted(set(call.sample_R)):
            own = [row for row, owner in enumerate(call.sample_R) if owner == i]
            if weight_R1hw is None:
                merged[own] = z_RChw[own].mean(0)
                continue
            weight_r1hw = weight_R1hw[own].to(z_RChw)
            sum_1hw = weight_r1hw.sum(0)
            mean_Chw = (weight_r1hw * z_RChw[own]).sum(0) / sum_1hw.clamp_min(1e-12)
            merged[own] = torch.where(sum_1hw > 0, mean_Chw, z_RChw[own])
        return merged

    return edit


def main_branch_from(inner: Denoise, step: int) -> Denoise:
    """From `step` on evaluate only rows of branch 0; the other rows get the output of their sample's."""

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        index = [row for row, branch in enumerate(call.branch_R) if branch == 0]
        if call.step < step or len(index) == call.rows:
            return inner(z_RChw, call)
        output = inner(z_RChw[index], call.take(index))
        place = {call.sample_R[row]: i for i, row in enumerate(index)}
        return output[[place[i] for i in call.sample_R]]

    return denoise


def sample_branches(
    denoise: Denoise,
    noise: Noise,
    z_BChw: Tensor,
    cond_R: Conditioning,
    rows: Rows,
    fraction: float,
    *,
    weight_R1hw: Tensor | None = None,
    generators: Sequence[torch.Generator] | None = None,
    edits: Sequence[Edit] = (),
    on_step: Callable[[StepInfo], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """`sample` with branches: start each row from its sample's noise, merge, return branch 0.

    `rows` and `cond_R` list the branches (see `Rows.branched`); `fraction` of the steps run separately. 0 is
    the plain sampler of branch 0, 1 merges after the last step. `generators`: one per sample; its branches
    draw the same noise. `weight_R1hw` says how much a row counts in each cell (`merge_weighted`). The merge
    comes before the other `edits` of that step. Returns [B, C, h, w].
    """
    step = merge_step(noise.steps, fraction)
    index = torch.as_tensor(rows.sample_R, device=z_BChw.device)
    per_row = None if generators is None else [_twin(generators[i]) for i in rows.sample_R]
    merging = (merge_weighted(step, weight_R1hw),) if step > 0 else ()
    z_RChw = sample(
        main_branch_from(denoise, step),
        noise,
        z_BChw[index],
        cond_R,
        rows=rows,
        generators=per_row,
        edits=(*merging, *edits),
        on_step=on_step,
        should_stop=should_stop,
    )
    return z_RChw[[row for row, branch in enumerate(rows.branch_R) if branch == 0]]


def _twin(generator: torch.Generator) -> torch.Generator:
    twin = torch.Generator(device=generator.device)
    twin.set_state(generator.get_state())
    return twin
