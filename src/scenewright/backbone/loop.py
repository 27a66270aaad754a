"""The only denoising loop. Guidance, windows and branches wrap the `Denoise` given to it; merging branches
and pasting known regions are edits. Any diffusers scheduler runs through it, one `step` per entry of its
timesteps.

Letters: B samples, R rows (samples times branches), C latent channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning, Denoise, Edit, Rows
from scenewright.backbone.noise import Noise
from scenewright.errors import InputError, ScenewrightError


class Stopped(ScenewrightError):
    """`should_stop` said so. `step` is the sampler step that was not begun (or not finished)."""

    def __init__(self, step: int, steps: int) -> None:
        super().__init__(f"stopped in step {step + 1} of {steps}")
        self.step = step
        self.steps = steps


@dataclass(frozen=True)
class StepInfo:
    """What `on_step` gets after each evaluation, before the scheduler moves on.

    `z_RChw` is the latent the evaluation started from (after edits), `output_RChw` the model output after
    guidance, `predicted_RChw` the clean latent it implies, good for previews.
    """

    entry: int
    step: int
    steps: int
    t: Tensor
    z_RChw: Tensor
    output_RChw: Tensor
    predicted_RChw: Tensor
    call: Call


@torch.no_grad()
def sample(
    denoise: Denoise,
    noise: Noise,
    z_RChw: Tensor,
    cond: Conditioning,
    *,
    rows: Rows | None = None,
    generators: Sequence[torch.Generator] | None = None,
    edits: Sequence[Edit] = (),
    first: int = 0,
    on_step: Callable[[StepInfo], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Denoise `z_RChw`, which must be at the level of the first timestep: ``noise.start(unit noise)``.

    With `first` the entries of the timesteps before that one are left out, and `z_RChw` is at the level of
    it: ``noise.add(latent, unit noise, noise.timesteps[first])``.

    The scheduler is copied, so a `Noise` can serve any number of runs. `rows` says which sample and branch
    each row is (default: one row per sample). `generators`, one per row, serve schedulers that draw noise.
    `edits` run in order at the start of every sampler step, and once after the last one with ``call.final``.
    `should_stop` is asked before every evaluation; a true answer raises Stopped. Returns the final rows.
    """
    _check(z_RChw, cond, generators)
    run = noise.copy()
    zero = torch.zeros_like(run.timesteps[0])
    if not 0 <= first <= len(run.timesteps):
        raise InputError(f"the run has {len(run.timesteps)} entries and cannot begin at {first}")
    for entry, t in list(enumerate(run.timesteps))[first:]:
        if should_stop is not None and should_stop():
            raise Stopped(run.step_of[entry], run.steps)
        call = Call.plain(t, cond, entry=entry, step=run.step_of[entry], steps=run.steps, rows=rows)
        if run.starts[entry]:
            z_RChw = _edit(z_RChw, call, edits, run)
        output_RChw = denoise(run.scale(z_RChw, t), call)
        if on_step is not None:
            predicted = run.predicted(z_RChw, output_RChw, t)
            on_step(StepInfo(entry, call.step, run.steps, t, z_RChw, output_RChw, predicted, call))
        z_RChw = run.step(output_RChw, t, z_RChw, generators)
    final = Call.plain(zero, cond, entry=len(run.timesteps), step=run.steps, steps=run.steps, rows=rows)
    return _edit(z_RChw, final, edits, run)


def _edit(z_RChw: Tensor, call: Call, edits: Sequence[Edit], run: Noise) -> Tensor:
    before = z_RChw
    for edit in edits:
        z_RChw = edit(z_RChw, call)
    if z_RChw is not before:
        run.edited()
    return z_RChw


def _check(z_RChw: Tensor, cond: Conditioning, generators: Sequence[torch.Generator] | None) -> None:
    if z_RChw.ndim != 4:
        raise InputError(f"latents must be [rows, channels, h, w], got shape {tuple(z_RChw.shape)}")
    if cond.rows != z_RChw.shape[0]:
        raise InputError(f"conditioning has {cond.rows} rows, the latent {z_RChw.shape[0]}")
    if generators is not None and len(generators) != z_RChw.shape[0]:
        raise InputError(f"need one generator per row: got {len(generators)} for {z_RChw.shape[0]} rows")
