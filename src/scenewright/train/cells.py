"""What the trainings inside of reproductions share: their loop, and running one until it is finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenewright.train.loop import run
from scenewright.train.recipe import LoopConfig, Recipe


def cell_loop(base: LoopConfig, *, seed: int, steps: int | None, cpu: bool) -> LoopConfig:
    """The loop of one cell: its seed and steps (None: the recipe's), at most a tenth of them warming up.

    Nothing is validated or chosen on the way.
    """
    steps = steps or base.steps
    return replace(
        base,
        seed=seed,
        steps=steps,
        warmup_steps=min(base.warmup_steps, steps // 10),
        validate_every=None,
        best_metric=None,
        export_weights="last",
        cpu=cpu,
    )


def finish(recipe: Recipe, out: Path) -> Path:
    """Train in `out`, or continue there; returns the folder that the training exported.

    Raises KeyboardInterrupt when the training was interrupted (it can be continued), and what
    `scenewright.train.run` raises.
    """
    summary = run(recipe, out, resume=True)
    if not summary["finished"]:
        raise KeyboardInterrupt
    return Path(summary["export"])
