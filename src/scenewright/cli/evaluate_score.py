"""What the benchmarks of ``scenewright evaluate`` do: score a folder, print the report."""

from __future__ import annotations

from pathlib import Path

from scenewright.cli import evaluate_options as its
from scenewright.cli.progress import Phases


def score(
    benchmark: str, folder: Path, reference: Path | None, judge: list[str], compare: Path | None,
    out: Path | None, seed: int, resamples: int, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure the pictures of a folder and print what was found."""
    from scenewright.flows.evaluate import EvaluateOptions, evaluate, lines

    options = EvaluateOptions(
        judges=tuple(judge), reference=reference, compare=compare, out=out,
        seed=seed, resamples=resamples, device=device,
    )  # fmt: skip
    with Phases() as told:
        evaluated = evaluate(benchmark, folder, options, told)
    print(its.dumps(evaluated.to_json()) if as_json else "\n".join(lines(evaluated)))
