"""GLIGEN's claim in miniature: the page to read first.

Frozen held-out scenes -> pictures from the text alone, with the null layout, with their boxes -> what a
detector finds in them and in the real renders -> figures with intervals and shares of the ceiling -> a sweep
of the steps with open gates -> the curve of the training -> table, plots, sheets.

Everything is kept as it is made: the same command continues where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Floats, weights
from scenewright.evaluate.protocol import ENOUGH, recognised, sample_digest
from scenewright.evaluate.report import DIGITS
from scenewright.flows.detectors import RULES, choose_detector
from scenewright.flows.evaluate import EVALUATION, FINDINGS, RESULTS, Progress
from scenewright.flows.judging import JudgeCard, Places
from scenewright.flows.model import Model
from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.curve import Curve, read_curve
from scenewright.flows.reproduce.figures import Table, measured, table
from scenewright.flows.reproduce.plan import (
    CONDITIONS,
    CURVE,
    RENDERS,
    SET,
    STAGED,
    SWEEP,
    ReproduceOptions,
    Stage,
)
from scenewright.flows.reproduce.results import Reproduced, Results, Swept
from scenewright.flows.reproduce.runs import PICTURES, Run, Workshop
from scenewright.flows.reproduce.sheets import write_sheets
from scenewright.flows.reproduce.tables import markdown, summary
from scenewright.flows.reproduce.verdicts import verdicts
from scenewright.flows.write import check_folder
from scenewright.scene.files import atomic_write, to_json_bytes

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle

TABLE, CURVE_FILE = "table.md", "curve.jsonl"

Runs = Mapping[str, list[Run]]
"""Condition -> one run per seed."""


def reproduce_gligen(
    options: ReproduceOptions, model: ModelChoice, out: Path, on_progress: Progress | None = None
) -> Reproduced[Results]:
    """Draw, judge, measure and show everything in `out`; what is there already is used.

    Raises InputError (a model without adapter, pictures in `out` that were made in another way, a log without
    layouts), ModelError (no detector), StorageError, ScenewrightError (pictures that fail).
    """
    told = on_progress or (lambda words, done, total: None)
    curve = training_curve(options.logs)
    check_folder(out)
    card = choose_detector(options.judge, Places(out / PICTURES / RENDERS / EVALUATION / FINDINGS))
    bundle = Model.load(model.name, device=model.device, dtype=model.dtype).bundle
    if bundle.adapter is None:
        raise InputError(
            f"{model.name} has no layout adapter, so there is no control to measure",
            "--model BASE+ADAPTER, for example nano+gligen",
        )
    workshop = Workshop(out, bundle, card, options.device, told)
    runs = condition_runs(workshop, options)
    tables = condition_tables(runs, options, card, told)
    swept, ceiling = sweep(workshop, runs, options)
    results = Results(
        tables=tables,
        swept=swept,
        swept_ceiling=ceiling.all if ceiling else None,
        curve=curve,
        verdicts=verdicts(tables, swept, curve),
        about=about(bundle, card, options, runs),
    )
    files = write_results(results, runs, card, out)
    return Reproduced(results, tuple(files), tuple(summary(results)))


def training_curve(logs: tuple[Path, ...]) -> Curve | None:
    """The curve of the logs; without logs that of the embedded adapter, None where it is not at hand."""
    if logs:
        return read_curve(logs)
    shipped = Path(__file__).resolve().parents[4] / CURVE
    return read_curve([shipped]) if shipped.is_file() else None


def condition_runs(workshop: Workshop, options: ReproduceOptions) -> Runs:
    """Every condition with every seed; the renders once, as they are."""
    runs: dict[str, list[Run]] = {RENDERS: [workshop.renders(options.scenes)]}
    for seed in range(1, options.seeds + 1):
        for one in CONDITIONS:
            how = replace(options.generate, **one.changes)
            runs.setdefault(one.name, []).append(workshop.drawn(one.name, options.scenes, seed, how))
    return {name: runs[name] for name in (*(one.name for one in CONDITIONS), RENDERS)}


def condition_tables(
    runs: Runs, options: ReproduceOptions, card: JudgeCard, told: Progress
) -> dict[str, Table]:
    """Figures of every condition, from the same resamples of the scenes."""
    weights_BP = weights(options.scenes, options.resamples)
    tables = {}
    for done, (name, seeds) in enumerate(runs.items(), start=1):
        tables[name] = _table(seeds, card, weights_BP)
        told("conditions measured", done, len(runs))
    return tables


def _table(seeds: list[Run], card: JudgeCard, weights_BP: Floats) -> Table:
    return table([measured(run.samples, run.pairs, card.least) for run in seeds], weights_BP)


def sweep(workshop: Workshop, runs: Runs, options: ReproduceOptions) -> tuple[list[Swept], Table | None]:
    """Settings of the gates on the first scenes, with the first seed, and the ceiling there.

    Gates that never open are the text alone, gates that stay open are the layout: both are drawn already.
    """
    count = options.swept
    if not count:
        return [], None
    weights_BP = weights(count, options.resamples)
    names = [f"{SET.id}-{seed}" for seed in SET.seeds(count)]
    done = {0.0: runs["text"][0].only(names), 1.0: runs["layout"][0].only(names)}
    swept = []
    for stage in (*SWEEP, *STAGED):
        run = done.get(stage.on)
        if run is None or stage.falling:
            how = replace(options.generate, gate=stage.gate)
            run = workshop.drawn(f"gate-{stage.name.replace(', falling ', '-')}", count, 1, how)
        scores = _table([run], workshop.card, weights_BP).all
        swept.append(Swept(stage, open_steps(stage, workshop.bundle, options), scores))
    return swept, _table([runs[RENDERS][0].only(names)], workshop.card, weights_BP)


def open_steps(stage: Stage, bundle: Bundle, options: ReproduceOptions) -> float:
    """The sum of the gates over the steps, as a share of the steps."""
    from scenewright.backbone.guidance import gate_schedule
    from scenewright.backbone.noise import Noise
    from scenewright.backbone.schedulers import make_scheduler

    how, scheduler = options.generate, bundle.backbone.scheduler
    if how.scheduler:
        scheduler = make_scheduler(how.scheduler, scheduler)
    schedule = gate_schedule(Noise(scheduler, how.steps).steps, stage.gate)
    return float(f"{np.mean(schedule):.{DIGITS}g}")


def about(bundle: Bundle, card: JudgeCard, options: ReproduceOptions, runs: Runs) -> dict[str, Any]:
    """What the figures are figures of; no clock and no folder."""
    from scenewright.flows.provenance import without_folders
    from scenewright.models.version import version

    samples = runs[RENDERS][0].samples
    keys = [one.key for one in samples]
    backbone, how = bundle.backbone, options.generate
    notes = []
    if options.scenes < ENOUGH:
        notes.append(f"{options.scenes} scenes: intervals are wide; {ENOUGH} or more are usual")
    return {
        "version": version(),
        "protocol": RULES.id,
        "judge": card.id,
        "judge_ceilings": dict(card.ceilings),
        "model": without_folders(bundle.name),
        "backbone": backbone.fingerprint,
        "adapter": bundle.adapter_fingerprint,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "sampling": {"steps": how.steps, "guidance": how.guidance, "batch": how.batch},
        "sample_set": recognised(keys),
        "samples": sample_digest(keys),
        "scenes": options.scenes,
        "seeds": options.seeds,
        "sweep_scenes": options.swept,
        "bootstrap": {"over": "scenes", "resamples": options.resamples, "seed": 0},
        "notes": notes,
    }


def write_results(results: Results, runs: Runs, card: JudgeCard, out: Path) -> list[Path]:
    """``results.json``, ``table.md``, plots, sheets, and the curve in short."""
    from scenewright.flows.reproduce.plots import plots

    files = [
        atomic_write(out / RESULTS, to_json_bytes(results.to_json(), indent=1)),
        atomic_write(out / TABLE, markdown(results).encode("utf-8")),
        *(atomic_write(out / name, content) for name, content in plots(results).items()),
        *write_sheets({name: seeds[0] for name, seeds in runs.items()}, card.least, out),
    ]
    if results.curve:
        files.append(results.curve.write(out / CURVE_FILE))
    return files
