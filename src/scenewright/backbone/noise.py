"""The one place that knows schedulers, noise levels and the three kinds of prediction.

`Noise` is a facade over a deep copy of any diffusers scheduler. A noisy latent is ``z = a z0 + s n`` with the
*levels* (a, s) of its timestep; three families differ only in them:

===============  ==========================================  =======================  ================
family           schedulers                                  levels                   network sees
===============  ==========================================  =======================  ================
preserving       DDIM, PNDM, DDPM, DPM-Solver, UniPC, DEIS   a² = alpha-bar, a²+s²=1  z
exploding        Euler, Euler ancestral, Heun, LMS, KDPM2    a = 1, s = sigma         z / sqrt(1 + s²)
flow             flow matching Euler and Heun                a = 1 - s                z
===============  ==========================================  =======================  ================

and so do the predictions (Ho et al. 2020; Salimans and Ho 2022, eq. 11-12; Lipman et al. 2023), with
A = a / sqrt(a²+s²), S = s / sqrt(a²+s²):

====  =====================  ===================================
kind  the network predicts   clean latent
====  =====================  ===================================
eps   n                      (z - s out) / a
v     A n - S z0             A z / sqrt(a²+s²) - S out
flow  n - z0                 z - s out
====  =====================  ===================================

The PLMS sampler of the original latent diffusion code is `PNDMScheduler(beta_start=0.00085, beta_end=0.012,
beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)` and its DDIM is
`DDIMScheduler` with the same betas, offset and `clip_sample=False`: leading spacing, timesteps ..., 1 + c, 1
with c = 1000 // steps. PLMS's extra evaluation in the first step is PNDM's repeated second timestep.

Letters: B batch, C latent channels, h w latent cells.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scenewright.errors import InputError, ModelError

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "flow_prediction": "flow"}
_DRAWING = ("Ancestral", "DDPM", "LCM", "TCD", "SASolver")


class Noise:
    """A scheduler set to `steps` sampler steps. The scheduler given is copied, never changed.

    `device` is where `timesteps` lie; the default keeps them on the CPU, which saves a synchronisation in
    every step on an accelerator and works with latents on any device. Raises InputError for a number of steps
    below 1 or one that the scheduler cannot do, ModelError for an unknown scheduler or prediction type.
    """

    def __init__(self, scheduler: Any, steps: int, device: str | torch.device = "cpu") -> None:
        self._scheduler = copy.deepcopy(scheduler)
        self._device = torch.device(device)
        self.prediction = _prediction(scheduler)
        self.family = _family(scheduler)
        parameters = inspect.signature(type(scheduler).step).parameters
        self._takes_generator = "generator" in parameters
        self.set(steps)

    def set(self, steps: int) -> None:
        """Start over with `steps` sampler steps; all history of the scheduler is forgotten."""
        if steps < 1:
            raise InputError(f"the number of steps must be at least 1, got {steps}", "try 20 to 50 steps")
        try:
            self._scheduler.set_timesteps(steps, device=self._device)
        except (ValueError, IndexError) as error:
            raise InputError(f"{type(self._scheduler).__name__} cannot do {steps} steps: {error}") from error
        self._asked = steps
        self.timesteps: Tensor = self._scheduler.timesteps
        if self.family != "flow":
            _check_levels(self._scheduler, steps)
        self.step_of, self.starts = _step_map(self._scheduler, steps)

    def copy(self) -> Noise:
        """An independent facade at its start, with the same scheduler and steps. Every run uses its own."""
        return Noise(self._scheduler, self._asked, self._device)

    @property
    def steps(self) -> int:
        """Number of sampler steps. `timesteps` can be longer: PNDM lists 11 for 10, Heun 19."""
        return self.step_of[-1] + 1

    @property
    def train_timesteps(self) -> int:
        """Number of training noise levels (1000 for Stable Diffusion); training draws t below it."""
        return int(self._scheduler.config.num_train_timesteps)

    @property
    def draws(self) -> bool:
        """True when `step` needs a random number generator per sample."""
        name, config = type(self._scheduler).__name__, self._scheduler.config
        sde = str(config.get("algorithm_type", "")).startswith("sde")
        return sde or bool(config.get("stochastic_sampling")) or any(word in name for word in _DRAWING)

    def timestep_of(self, step: int) -> Tensor:
        """The timestep (0-d) at which sampler step `step` starts."""
        return self.timesteps[self.step_of.index(step)]

    def start(self, z_BChw: Tensor) -> Tensor:
        """Unit normal noise brought to the level of the first timestep: what `sample` expects."""
        return z_BChw * float(getattr(self._scheduler, "init_noise_sigma", 1.0))

    def scale(self, z_BChw: Tensor, t: Tensor) -> Tensor:
        """What the network is shown for the noisy latent z. `t` is 0-d, or [B] in training."""
        if self.family != "exploding":
            return z_BChw
        if t.ndim == 0:
            return self._scheduler.scale_model_input(z_BChw, t)  # type: ignore[no-any-return]
        _, sigma = self._levels_like(t, z_BChw)
        return z_BChw / (1 + sigma**2).sqrt()

    def add(self, z0_BChw: Tensor, noise_BChw: Tensor, t: Tensor) -> Tensor:
        """The clean latent with unit noise at the level of `t` (0-d, or one per sample [B])."""
        a, s = self._levels_like(t, z0_BChw)
        return a * z0_BChw + s * noise_BChw

    def target(self, z0_BChw: Tensor, noise_BChw: Tensor, t: Tensor) -> Tensor:
        """What the network should predict for ``add(z0, noise, t)``: the regression target of the loss."""
        if self.prediction == "eps":
            return noise_BChw
        if self.prediction == "flow":
            return noise_BChw - z0_BChw
        a, s = self._levels_like(t, z0_BChw)
        return (a * noise_BChw - s * z0_BChw) / (a**2 + s**2).sqrt()

    def predicted(self, z_BChw: Tensor, output_BChw: Tensor, t: Tensor) -> Tensor:
        """The clean latent that the network output implies for the noisy latent z at `t`."""
        a, s = self._levels_like(t, z_BChw)
        if self.prediction == "eps":
            return (z_BChw - s * output_BChw) / a
        if self.prediction == "flow":
            return z_BChw - s * output_BChw
        square = a**2 + s**2
        return a / square * z_BChw - s / square.sqrt() * output_BChw

    def step(
        self,
        output_BChw: Tensor,
        t: Tensor,
        z_BChw: Tensor,
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """The latent at the next entry. To be called exactly once per entry of `timesteps`, in order.

        `generators`: one per row, needed only by schedulers that draw noise (`draws`).
        """
        if self.draws and generators is None:
            raise InputError(
                f"{type(self._scheduler).__name__} draws noise in every step but got no generators",
                "pass one torch.Generator per sample, so that a picture does not depend on its neighbours",
            )
        given = {"generator": list(generators)} if self._takes_generator and generators is not None else {}
        result: Tensor = self._scheduler.step(output_BChw, t, z_BChw, return_dict=False, **given)[0]
        return result

    def edited(self) -> None:
        """Say that the latent was changed from outside at the start of this step.

        Predictor-corrector schedulers (UniPC) would otherwise recompute it from the one before and undo the
        change; the corrector is skipped for this step.
        """
        if hasattr(self._scheduler, "last_sample"):
            self._scheduler.last_sample = None

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The levels (a, s) of any timesteps, listed or not: float32, shape and device of `t`."""
        t = t.detach()
        if self.family == "flow":
            sigma = self._listed_or(t, t.float() / self.train_timesteps)
            return 1 - sigma, sigma
        if not hasattr(self._scheduler, "sigmas"):
            alpha_bar = self._scheduler.alphas_cumprod.to(t.device)[t.long().clamp_min(0)].float()
            return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        sigma = self._listed_or(t, self._trained_sigma(t))
        if self.family == "exploding":
            return torch.ones_like(sigma), sigma
        if self._scheduler.config.get("use_flow_sigmas"):
            return 1 - sigma, sigma
        a = (1 + sigma**2).rsqrt()
        return a, sigma * a

    def _levels_like(self, t: Tensor, z_BChw: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1,) + (1,) * (z_BChw.ndim - 1) if t.ndim else ()
        a, s = (level.reshape(shape).to(z_BChw.device, z_BChw.dtype) for level in self.levels(t))
        return a, s

    def _listed_or(self, t: Tensor, otherwise: Tensor) -> Tensor:
        """The scheduler's own sigma where it lists `t` (spacings move sigmas), else `otherwise`."""
        if hasattr(self._scheduler, "sigmas_interpol"):
            return otherwise
        match = t.float().reshape(-1, 1) == self.timesteps.float().to(t.device).reshape(1, -1)
        listed = self._scheduler.sigmas.float().to(t.device)[match.int().argmax(1)]
        return torch.where(match.any(1), listed, otherwise.reshape(-1)).reshape(t.shape)

    def _trained_sigma(self, t: Tensor) -> Tensor:
        """Sigma of the training schedule at any real t, linear in its logarithm between whole timesteps."""
        alpha_bar = self._scheduler.alphas_cumprod.double().cpu()
        log_sigma = (((1 - alpha_bar) / alpha_bar) ** 0.5).log().float().to(t.device)
        t = t.float().clamp(0, len(alpha_bar) - 1)
        low = t.floor().long()
        high = (low + 1).clamp_max(len(alpha_bar) - 1)
        return torch.lerp(log_sigma[low], log_sigma[high], t - low).exp()


def _prediction(scheduler: Any) -> str:
    given = scheduler.config.get("prediction_type")
    if given is None and "FlowMatch" in type(scheduler).__name__:
        return "flow"
    if given not in PREDICTIONS:
        raise ModelError(
            f"unknown prediction type {given!r} in {type(scheduler).__name__}",
            f"known are {', '.join(PREDICTIONS)}",
        )
    return PREDICTIONS[given]


def _family(scheduler: Any) -> str:
    if "FlowMatch" in type(scheduler).__name__:
        return "flow"
    if "EDM" in type(scheduler).__name__ or not hasattr(scheduler, "alphas_cumprod"):
        raise ModelError(
            f"{type(scheduler).__name__} is not a scheduler this package knows",
            "use DDIM, PNDM, Euler, Euler ancestral, Heun, LMS, DPM-Solver++, UniPC or flow matching Euler",
        )
    preserving = hasattr(scheduler, "_sigma_to_alpha_sigma_t") or not hasattr(scheduler, "sigmas")
    return "preserving" if preserving else "exploding"


def _check_levels(scheduler: Any, steps: int) -> None:
    """Refuse a number of steps whose timesteps are not trained noise levels or do not fall.

    With an offset the 1000 steps of a network that knows 1000 levels start at level 1000, one too many;
    schedulers then fail inside a step, divide by zero, or stand still.
    """
    known, listed = int(scheduler.config.num_train_timesteps), scheduler.timesteps
    still = steps > 1 and bool(listed.max() == listed.min())
    if steps > known or still or float(listed.max()) > known - 1:
        raise InputError(
            f"{type(scheduler).__name__} cannot do {steps} steps: the network knows {known} noise levels",
            "20 to 50 steps are enough",
        )


def _step_map(scheduler: Any, steps: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each entry of `timesteps`: its sampler step, and whether the latent is read anew there."""
    entries = len(scheduler.timesteps)
    prk = getattr(scheduler, "prk_timesteps", None)
    orders = getattr(scheduler, "order_list", None)
    if prk is not None and len(prk) > 0:  # four Runge-Kutta evaluations per step, then one
        step_of = [e // 4 if e < len(prk) else e - len(prk) + len(prk) // 4 for e in range(entries)]
    elif prk is not None and entries > 1:  # the first linear multistep step takes two
        step_of = [max(0, e - 1) for e in range(entries)]
    elif orders is not None:  # singlestep: orders 1, 2, (3) share one step
        step_of = []
        for order in orders[:entries]:
            step_of.append((step_of[-1] if step_of else -1) + (order == 1))
    elif scheduler.order > 1 and entries >= 2 * steps - 1:
        step_of = [e // scheduler.order for e in range(entries)]
    else:
        step_of = list(range(entries))
    starts = [e == 0 or step_of[e] != step_of[e - 1] for e in range(entries)]
    return tuple(step_of), tuple(starts)
