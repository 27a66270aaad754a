"""InstanceDiffusion's claim in miniature: the page to read first.

Frozen held-out scenes -> pictures from boxes, masks, points and scribbles, with every switch on and off, and
from GLIGEN's boxes -> what a detector finds in them -> figures against the exact truth; scenes with part
boxes; scenes of which one thing is moved -> parts of the claim, tables, plots, sheets.

Everything is kept as it is made: the same command continues where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.errors import InputError
from scenewright.evaluate.asked import AskedScene
from scenewright.evaluate.benchmarks import confident
from scenewright.evaluate.bootstrap import Floats, ratio, weights
from scenewright.evaluate.measures import Measure
from scenewright.evaluate.protocol import ENOUGH, recognised, sample_digest
from scenewright.flows.detectors import choose_detector
from scenewright.flows.evaluate import EVALUATION, FINDINGS, RESULTS, Progress
from scenewright.flows.held_out import drawings, file_name
from scenewright.flows.jobs import Job
from scenewright.flows.judging import JudgeCard, Places
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.instancediffusion_edits import (
    Change,
    change_of,
    changed,
    edit_measures,
    pictures_of,
)
from scenewright.flows.reproduce.instancediffusion_parts import (
    Subject,
    part_measures,
    subject_of,
    told,
    turned_round,
)
from scenewright.flows.reproduce.instancediffusion_plan import (
    BOX,
    BY_NAME,
    PART_ARMS,
    RENDERS,
    SET,
    Arm,
    InstanceReproduceOptions,
)
from scenewright.flows.reproduce.instancediffusion_results import InstanceResults
from scenewright.flows.reproduce.instancediffusion_scores import (
    ArmScores,
    against,
    arm_measures,
    arm_scores,
)
from scenewright.flows.reproduce.instancediffusion_verdicts import verdicts
from scenewright.flows.reproduce.results import Reproduced
from scenewright.flows.reproduce.runs import PICTURES, SEEDS_APART, Run, Workshop, asked_scene
from scenewright.flows.scoring import asked_scenes
from scenewright.flows.write import check_folder
from scenewright.scene import Scene
from scenewright.scene.files import atomic_write, to_json_bytes

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle

TABLE = "table.md"

Runs = Mapping[str, Sequence[Run]]
"""Arm -> one run per seed."""


@dataclass(frozen=True)
class Held:
    """The held-out scenes by the names of their pictures, and what they show in the judge's words."""

    scenes: Mapping[str, Scene]
    truths: Mapping[str, AskedScene] = field(default_factory=dict)

    def job(self, name: str, seed: int, scene: Scene) -> Job:
        """A job for a scene of that name: its noise depends on name and seed alone."""
        return Job(name, scene, SEEDS_APART * int(self.scenes[name].seed or 0) + seed)

    def only(self, names: Sequence[str]) -> Held:
        """Some of them, in that order."""
        return Held({name: self.scenes[name] for name in names}, {name: self.truths[name] for name in names})


def reproduce_instancediffusion(
    options: InstanceReproduceOptions, model: ModelChoice, out: Path, on_progress: Progress | None = None
) -> Reproduced[InstanceResults]:
    """Draw, judge, measure and show everything in `out`; what is there already is used.

    Raises InputError (a model without InstanceDiffusion's adapter, pictures in `out` that were made in
    another way), ModelError (no model, no detector), StorageError, ScenewrightError (pictures that fail).
    """
    from scenewright.flows.reproduce.instancediffusion_show import summary

    told_to = on_progress or (lambda words, done, total: None)
    check_folder(out)
    card = choose_detector(options.judge, Places(out / PICTURES / RENDERS / EVALUATION / FINDINGS))
    bundle = _loaded(model)
    _check_adapter(bundle, model)
    workshop = Workshop(out, bundle, card, options.device, told_to)
    renders = workshop.renders(options.scenes)
    held = _held(renders, options.scenes, card)
    runs = arm_runs(workshop, held, options, bundle)
    weights_BP = weights(options.scenes, options.resamples)
    arms: dict[str, ArmScores] = {}
    for name, seeds in runs.items():
        known = name != BOX and seeds is runs[BOX]
        arms[name] = arms[BOX] if known else _scores(seeds, held, card, weights_BP)
    arms[RENDERS] = _scores([renders], held, card, weights_BP)
    subjects, parts, part_runs = part_figures(workshop, held, renders, options)
    changes, edits, edit_runs = edit_figures(workshop, held, options)
    results = InstanceResults(
        arms=arms,
        parts=parts,
        edits=edits,
        verdicts=verdicts(arms, parts, edits),
        about=about(bundle, card, options, renders, (len(subjects), len(changes))),
    )
    shown = {name: seeds[0] for name, seeds in runs.items() if arms[name] is not arms[BOX] or name == BOX}
    shown[RENDERS] = renders
    files = write_results(results, held, shown, part_runs, subjects, edit_runs, changes, card, out)
    return Reproduced(results, tuple(files), tuple(summary(results)))


def _loaded(model: ModelChoice) -> Bundle:
    return Model.load(
        model.name, device=model.device, dtype=model.dtype, allow_other_backbone=model.allow_other_backbone
    ).bundle


def _check_adapter(bundle: Bundle, model: ModelChoice) -> None:
    from scenewright.condition.unifusion import UniFusion

    if not isinstance(bundle.adapter, UniFusion):
        raise InputError(
            f"{model.name} has no adapter of InstanceDiffusion's kind",
            "--model BASE+ADAPTER, for example nano+instancediffusion",
        )


def _held(renders: Run, count: int, card: JudgeCard) -> Held:
    """The first scenes of the set, in their order, and what their pictures show."""
    scenes = {file_name(SET, drawn): drawn.scene for drawn in drawings(SET, count)}
    asked = {one.picture: one for one in asked_scenes(renders.samples, card)}
    return Held(scenes, {name: asked[name] for name in scenes})


# --- kinds of location and switches -------------------------------------------------------------------------


def arm_runs(
    workshop: Workshop, held: Held, options: InstanceReproduceOptions, bundle: Bundle
) -> dict[str, list[Run]]:
    """Every arm with every seed; the arm that says what the adapter does anyhow is that of boxes."""
    own: Any = bundle.adapter
    same = "full" if own.config.masking == "off" else "masked"
    other: Workshop | None = None
    runs: dict[str, list[Run]] = {}
    for arm in options.arms:
        if arm.name == same:
            continue
        if arm.gligen:
            other = other or replace(workshop, bundle=_loaded(options.gligen))
        for seed in range(1, options.seeds + 1):
            jobs = [held.job(name, seed, arm_scene(scene, arm)) for name, scene in held.scenes.items()]
            how = replace(options.generate, **arm.changes)
            place = other if arm.gligen and other is not None else workshop
            run = place.made(f"{arm.name}-{seed}", f"{arm.title}, seed {seed}", jobs, how)
            runs.setdefault(arm.name, []).append(run)
    if same in {arm.name for arm in options.arms}:
        runs[same] = runs[BOX]
    return {name: runs[name] for name in BY_NAME if name in runs}


def arm_scene(scene: Scene, arm: Arm) -> Scene:
    """What an arm is told: GLIGEN boxes with phrases or class names; the others everything but parts and
    joints, of which the options choose."""
    if arm.gligen:
        bare = asked_scene(scene)
        if not arm.names:
            return bare
        named = tuple(replace(one, phrase=one.category or one.phrase) for one in bare.instances)
        return bare.replace(instances=named)
    return scene.replace(instances=tuple(replace(one, keypoints=None, parts=()) for one in scene.instances))


def _scores(seeds: Sequence[Run], held: Held, card: JudgeCard, weights_BP: Floats) -> ArmScores:
    return arm_scores([arm_measures(against(run, held.truths), card.least) for run in seeds], weights_BP)


# --- parts --------------------------------------------------------------------------------------------------


def part_figures(
    workshop: Workshop, held: Held, renders: Run, options: InstanceReproduceOptions
) -> tuple[list[Subject], dict[str, ArmScores], dict[str, Run]]:
    """Scenes with and without part boxes, and with mirrored ones; the renders as ceiling."""
    every = (subject_of(name, scene) for name, scene in held.scenes.items())
    subjects = [one for one in every if one is not None][: options.part_scenes]
    if not subjects:
        return [], {}, {}
    some, weights_BP = held.only([one.name for one in subjects]), weights(len(subjects), options.resamples)
    how = replace(options.generate, **BY_NAME[BOX].changes)
    measures: dict[str, list[dict[str, Measure]]] = {}
    first: dict[str, Run] = {}
    for seed in range(1, options.seeds + 1):
        pairs = {}
        for name, title in PART_ARMS.items():
            jobs = [some.job(one.name, seed, told(some.scenes[one.name], one, name)) for one in subjects]
            run = workshop.made(f"parts-{name}-{seed}", f"parts: {title}, seed {seed}", jobs, how)
            first.setdefault(name, run)
            pairs[name] = confident(against(run, some.truths), workshop.card.least)
            measures.setdefault(name, []).append(part_measures(pairs[name], subjects, name))
        measures["mirrored"][-1]["turned"] = Measure(ratio(*turned_round(pairs, subjects)))
    best = confident(against(renders, some.truths), workshop.card.least)
    measures[RENDERS] = [part_measures(best, subjects, "parts")]
    return subjects, {name: arm_scores(seeds, weights_BP) for name, seeds in measures.items()}, first


# --- changes ------------------------------------------------------------------------------------------------


def edit_figures(
    workshop: Workshop, held: Held, options: InstanceReproduceOptions
) -> tuple[list[Change], ArmScores | None, tuple[Run, Run, Run] | None]:
    """One thing of four is moved."""
    jobs = (held.job(name, 1, arm_scene(scene, BY_NAME[BOX])) for name, scene in held.scenes.items())
    changes = [one for job in jobs if (one := change_of(job)) is not None][: options.edit_scenes]
    if not changes:
        return [], None, None
    how: GenerateOptions = replace(options.generate, **BY_NAME[BOX].changes)
    runs = changed(workshop, changes, how)
    names = [one.job.name for one in changes]
    least = workshop.card.least
    before = confident(against(runs[0], held.only(names).truths), least)
    later = {pair.scene.picture: pair for pair in confident(runs[1].pairs, least)}
    measures = edit_measures(changes, before, [later[name] for name in names], pictures_of(runs, names))
    return changes, arm_scores([measures], weights(len(changes), options.resamples)), runs


# --- results ------------------------------------------------------------------------------------------------


def about(
    bundle: Bundle,
    card: JudgeCard,
    options: InstanceReproduceOptions,
    renders: Run,
    counts: tuple[int, int],
) -> dict[str, Any]:
    """What the figures are figures of; no clock and no folder."""
    from scenewright.flows.provenance import without_folders
    from scenewright.models.version import version

    keys = [one.key for one in renders.samples]
    backbone, how = bundle.backbone, options.generate
    own: Any = bundle.adapter
    notes = []
    if options.scenes < ENOUGH:
        notes.append(f"{options.scenes} scenes: intervals are wide; {ENOUGH} or more are usual")
    return {
        "version": version(),
        "judge": card.id,
        "judge_ceilings": dict(card.ceilings),
        "model": without_folders(bundle.name),
        "gligen": without_folders(options.gligen.name),
        "backbone": backbone.fingerprint,
        "adapter": bundle.adapter_fingerprint,
        "attention": "full" if own.config.masking == "off" else "masked",
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "sampling": {"steps": how.steps, "guidance": how.guidance, "batch": how.batch},
        "sample_set": recognised(keys),
        "samples": sample_digest(keys),
        "scenes": options.scenes,
        "seeds": options.seeds,
        "part_scenes": counts[0],
        "edit_scenes": counts[1],
        "bootstrap": {"over": "scenes", "resamples": options.resamples, "seed": 0},
        "notes": notes,
    }


def write_results(
    results: InstanceResults,
    held: Held,
    shown: Mapping[str, Run],
    part_runs: Mapping[str, Run],
    subjects: Sequence[Subject],
    edit_runs: tuple[Run, Run, Run] | None,
    changes: Sequence[Change],
    card: JudgeCard,
    out: Path,
) -> list[Path]:
    """``results.json``, ``table.md``, plots and sheets."""
    from scenewright.flows.reproduce.instancediffusion_sheets import arm_sheet, edit_sheet, part_sheet
    from scenewright.flows.reproduce.instancediffusion_show import markdown, plots

    files = [
        atomic_write(out / RESULTS, to_json_bytes(results.to_json(), indent=1)),
        atomic_write(out / TABLE, markdown(results).encode("utf-8")),
        *(atomic_write(out / name, content) for name, content in plots(results).items()),
        arm_sheet(held.scenes, shown, card.least, out),
    ]
    if subjects:
        files.append(part_sheet(held.scenes, part_runs, subjects, out))
    if edit_runs is not None:
        files.append(edit_sheet(edit_runs, changes, out))
    return files
