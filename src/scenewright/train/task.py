"""What a recipe trains: the `Task` protocol, the things that only the task can know."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Task(Protocol):
    """What is trained. Built by ``recipe.task.build(loop)`` under a seeded random state."""

    modules: dict[str, nn.Module]
    """The trained modules by checkpoint name; may be made in `prepare`. The loop moves them to the device."""

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Load frozen parts onto `device`, fill caches; called once, under the same seeded random state.

        `dtype` is that of the mixed precision. Trained modules stay in float32.
        """

    def batch(self, step: int, rank: int, size: int) -> Any:
        """CPU tensors (in dicts, tuples, dataclasses …) of forward pass `step`, for process `rank` of `size`.

        `step` counts forward passes, ``loop.accumulate`` of them per optimiser step. A pure function of the
        arguments and ``loop.seed`` (see `scenewright.train.data.stream_rng`), of ``loop.batch_size`` samples;
        it may run in a worker process.
        """

    def loss(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The scalar loss and further numbers to log (floats or scalar tensors). Called under autocast.

        `batch` is on the device, and so is `generator`, which is seeded for this forward pass of this
        process: use it for noise, timesteps and drops.
        """

    def groups(self) -> list[dict[str, Any]]:
        """Optimiser groups: ``params``, optionally ``lr_scale``, ``weight_decay``, ``betas``, ``eps``.

        `scenewright.train.optimise.parameter_groups` gives the usual ones.
        """

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Measure, and draw into the folder `out`.

        Called on the main process only, with averaged weights, in eval mode, without gradients, under
        autocast, and with the same random state each time; the training's random states return afterwards.
        """

    def export(self, folder: Path) -> None:
        """Write the finished weights into the empty `folder`, in half precision; called like `validate`."""


class Step(nn.Module):
    """The trained modules with the task's loss as their forward pass: what Accelerate wraps."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(task.modules)
        self.loss = task.loss

    def forward(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task.loss`."""
        return self.loss(batch, generator)
