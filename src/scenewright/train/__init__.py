"""Training: one loop for every recipe, from the embedded model to networks of Stable Diffusion's size.

``run(recipe, out)`` trains; a `Recipe` is a task configuration and a `LoopConfig`; a `Task` says what a
batch, the loss, a validation and the exported weights are. See `scenewright.train.loop`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenewright.train.recipe import LoopConfig, Recipe, TaskConfig, override

if TYPE_CHECKING:
    from scenewright.train.loop import Task, run

__all__ = ["LoopConfig", "Recipe", "Task", "TaskConfig", "override", "run"]


def __getattr__(name: str) -> Any:
    if name in ("Task", "run"):
        from scenewright.train import loop

        return getattr(loop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
