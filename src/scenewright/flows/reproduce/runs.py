"""Pictures and findings of a reproduction: drawn once, judged once, kept, taken up again after a stop.

Every condition and seed has a folder of its own below ``pictures``; what the judge found lies in it where
``scenewright evaluate layout FOLDER`` looks for it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenewright.errors import InputError, ScenewrightError
from scenewright.evaluate.asked import Pair, pair_up
from scenewright.flows.evaluate import EVALUATION, FINDINGS, Progress
from scenewright.flows.held_out import drawings, file_name, write_held_out
from scenewright.flows.jobs import Job
from scenewright.flows.judging import JudgeCard, Places, judge_samples
from scenewright.flows.options import GenerateOptions
from scenewright.flows.reproduce.plan import RENDERS, SET
from scenewright.flows.samples import Sample, read_samples
from scenewright.flows.scoring import asked_scenes
from scenewright.flows.write import write

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle
    from scenewright.scene import Scene

PICTURES = "pictures"
"""Folder of the pictures, inside the folder of the results."""

SEEDS_APART = 1000
"""Noise seed s (from 1) of the scene of world seed w is `SEEDS_APART` w + s, in every condition: pictures of
a scene differ by the condition alone."""


@dataclass(frozen=True)
class Run:
    """One condition with one seed, judged: pictures and pairs in the order of the samples' keys."""

    samples: tuple[Sample, ...]
    pairs: tuple[Pair, ...]

    def only(self, names: Sequence[str]) -> Run:
        """The part of the run whose pictures have these names."""
        wanted = set(names)
        kept = [k for k, one in enumerate(self.samples) if one.name in wanted]
        return Run(tuple(self.samples[k] for k in kept), tuple(self.pairs[k] for k in kept))


@dataclass(frozen=True)
class Workshop:
    """All that drawing and judging need: where, with which model and judge, and who is told."""

    out: Path
    bundle: Bundle
    card: JudgeCard
    device: str
    told: Progress

    def renders(self, count: int) -> Run:
        """The first `count` pictures of the held-out set, judged. Raises InputError when this machine draws
        them otherwise than they were frozen."""
        folder = self.out / PICTURES / RENDERS
        made = write_held_out(SET.id, folder, count, self._words("held-out pictures"))
        if made.different:
            raise InputError(
                f"{len(made.different)} pictures of {SET.id} differ from the frozen ones, the first is "
                f"{made.different[0]}",
                "figures would not be comparable; constraints.txt names the version of Pillow",
            )
        return self.judged(folder, [path.stem for path in made.pictures], RENDERS)

    def drawn(self, name: str, count: int, seed: int, options: GenerateOptions) -> Run:
        """The first `count` scenes drawn with noise seed `seed` (from 1), judged. Raises as `made`."""
        return self.made(f"{name}-{seed}", f"{name}, seed {seed}", scene_jobs(count, seed), options)

    def made(self, folder: str, title: str, jobs: Sequence[Job], options: GenerateOptions) -> Run:
        """Jobs drawn into a folder of the pictures, and judged. Raises ScenewrightError when pictures fail,
        InputError for pictures in the folder that were made in another way."""
        place = self.out / PICTURES / folder
        words = self._words(f"pictures, {title}")
        written = write(self.bundle, jobs, options, place, overlays=False, on_progress=words)
        if written.failed:
            raise ScenewrightError(
                f"{written.failed} pictures failed", f"{written.failures} says why; the others are kept"
            )
        return self.judged(place, [job.name for job in jobs], title)

    def judged(self, folder: Path, names: Sequence[str], title: str) -> Run:
        """The pictures of these names in a folder, judged."""
        wanted = set(names)
        samples = [one for one in read_samples(folder).samples if one.name in wanted]
        words = self._words(f"pictures judged, {title}")
        places = Places(folder / EVALUATION / FINDINGS)
        found = judge_samples(self.card, samples, places, device=self.device, on_progress=words)
        pairs = pair_up(asked_scenes(samples, self.card), found)
        return Run(tuple(samples), tuple(pairs))

    def _words(self, text: str) -> Callable[[float, int], None]:
        return lambda done, total: self.told(text, done, total)


def scene_jobs(count: int, seed: int) -> list[Job]:
    """A job for each of the first `count` scenes of the set."""
    jobs = []
    for drawn in drawings(SET, count):
        world_seed = int(drawn.scene.seed or 0)
        jobs.append(Job(file_name(SET, drawn), asked_scene(drawn.scene), SEEDS_APART * world_seed + seed))
    return jobs


def asked_scene(scene: Scene) -> Scene:
    """What is asked for: phrases and boxes. What else a drawing knows of its toys is not given away."""
    instances = tuple(
        replace(one, mask=None, points=(), scribble=None, keypoints=None, parts=())
        for one in scene.instances
    )  # fmt: skip
    return scene.replace(instances=instances)
