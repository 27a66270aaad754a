"""Averaged weights: an exponential moving average kept in float32 beside the trained weights.

The decay follows the ramp of Karras et al. and of diffusers, ``min(decay, (1 + n) / (10 + n))`` after n
updates, so that early averages forget the random start. Averages are what validation sees and what is
exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trainable(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by ``module name.parameter name``, shared ones once."""
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, module in modules.items():
        for key, parameter in module.named_parameters():
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                found[f"{name}.{key}"] = parameter
    return found


class Ema:
    """The moving average of the trained parameters of `modules`. With `decay` None it does nothing at all."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float | None) -> None:
        self.decay = decay
        self.parameters = trainable(modules) if decay is not None else {}
        self.shadow = {key: value.detach().float().clone() for key, value in self.parameters.items()}

    def decay_at(self, updates: int) -> float:
        """The decay of update number `updates` (from 0)."""
        return min(self.decay or 0.0, (1 + updates) / (10 + updates))

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Move the averages towards the current weights; `updates` counts the updates before this one."""
        if self.shadow:
            current = [value.detach().float() for value in self.parameters.values()]
            torch._foreach_lerp_(list(self.shadow.values()), current, 1 - self.decay_at(updates))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the modules hold the averages; afterwards exactly what they held before."""
        kept = {key: value.detach().clone() for key, value in self.parameters.items()}
        try:
            self._write(self.shadow)
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for key, parameter in self.parameters.items():
            parameter.copy_(values[key])

    @torch.no_grad()
    def load(self, shadow: Mapping[str, Tensor]) -> None:
        """Take over the averages of a checkpoint; keys must agree exactly."""
        if set(shadow) != set(self.shadow):
            raise KeyError(f"averaged weights differ in {sorted(set(shadow) ^ set(self.shadow))[:5]}")
        for key, value in shadow.items():
            self.shadow[key].copy_(value)
