"""The demonstration: twelve fixed scenes are drawn, and a judge says of every instance whether it is right.

Right means: of the class and the colour asked for, and with IoU >= 0.5 where it was asked for. The judge is
the detector that comes with the package; it never saw a generated picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from scenewright.errors import ModelError
from scenewright.evaluate.asked import Pair, pair_up
from scenewright.evaluate.attributes import scenes_right
from scenewright.evaluate.benchmarks import confident
from scenewright.evaluate.findings import Findings
from scenewright.evaluate.matching import LEAST_IOU, Match, match
from scenewright.evaluate.protocol import HELD_OUT
from scenewright.flows.detectors import choose_detector
from scenewright.flows.evaluate import EVALUATION, FINDINGS
from scenewright.flows.held_out import records
from scenewright.flows.jobs import Request
from scenewright.flows.judging import BATCH, JudgeCard, Places, judge_samples
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice, produce
from scenewright.flows.readings import READERS
from scenewright.flows.samples import Sample, read_samples
from scenewright.flows.scoring import asked_scenes
from scenewright.flows.write import Written
from scenewright.scene import Scene

SCENES = Path(__file__).resolve().parents[1] / "examples"
"""The twelve scenes: worth copying."""

NEEDED: Final = 10
"""So many of them must be right in every instance."""

CEILING_SET, CEILING_SCENES = HELD_OUT["toybox-1"], 100
"""Drawings on which the judge is judged: the first of the frozen held-out set."""


@dataclass(frozen=True)
class Verdict:
    """One scene: how many instances were `asked` for and are `right`, the mean IoU (missing 0), and a line
    about each instance that is not right."""

    name: str
    prompt: str
    asked: int
    right: int
    iou: float
    wrong: tuple[str, ...] = ()

    @property
    def all_right(self) -> bool:
        """Whether every instance is right."""
        return self.right == self.asked

    def lines(self) -> list[str]:
        """As the command line prints it."""
        state = "right" if self.all_right else "WRONG"
        head = f"{state}  {self.name:24} {self.right} of {self.asked}  IoU {self.iou:.2f}  {self.prompt}"
        return [head, *(f"       {words}" for words in self.wrong)]


@dataclass(frozen=True)
class Total:
    """Several scenes: how many of the `scenes` are right in everything, how many of their instances, and the
    mean IoU over instances."""

    scenes: int
    scenes_right: int
    instances: int
    instances_right: int
    iou: float

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Total:
        """The sum of verdicts."""
        instances = sum(one.asked for one in verdicts)
        return cls(
            scenes=len(verdicts),
            scenes_right=sum(one.all_right for one in verdicts),
            instances=instances,
            instances_right=sum(one.right for one in verdicts),
            iou=round(sum(one.iou * one.asked for one in verdicts) / max(1, instances), 4),
        )


@dataclass(frozen=True)
class Shown:
    """The demonstration's result: a verdict per scene, their sum, the judge's own sum on drawings that are
    right by construction (the ceiling), and the judge."""

    written: Written
    verdicts: tuple[Verdict, ...]
    total: Total
    ceiling: Total
    judge: str

    @property
    def enough(self) -> bool:
        """Whether at least `NEEDED` scenes are right."""
        return self.total.scenes_right >= NEEDED

    def lines(self) -> list[str]:
        """The summary below the verdicts."""
        it, best = self.total, self.ceiling
        return [
            f"{it.scenes_right} of {it.scenes} scenes are right in every instance ({it.instances_right} of "
            f"{it.instances} instances), mean IoU {it.iou:.2f}; judged by {self.judge}",
            f"ceiling: on {best.scenes} drawings that are right by construction the same judge finds "
            f"{best.scenes_right} right ({best.instances_right} of {best.instances} instances), "
            f"mean IoU {best.iou:.2f}; no model is expected to pass that",
        ]

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        return {
            "scenes": [{**asdict(one), "all_right": one.all_right} for one in self.verdicts],
            "total": asdict(self.total),
            "needed": NEEDED,
            "enough": self.enough,
            "ceiling": asdict(self.ceiling),
            "judge": self.judge,
            "sheet": str(self.written.sheet) if self.written.sheet else None,
            "failed": self.written.failed,
        }


def demo(
    out: Path,
    model: ModelChoice,
    options: GenerateOptions,
    *,
    judge: str = "",
    overwrite: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[float, int], None] | None = None,
) -> Shown:
    """Draw the twelve scenes into `out`, each with its own hash as seed, and judge them.

    `judge` is a detector's name or file, "" the one of the package. A picture that fails counts as wrong.
    Raises ModelError (no detector, or one without words for the scenes) before anything is drawn, and as
    `produce.produce` does.
    """
    files = tuple(sorted(SCENES.glob("*.scene.json")))
    places = Places(out / EVALUATION / FINDINGS)
    card = choose_detector(judge, places)
    check_words([Scene.read(path) for path in files], card)
    written = produce(
        Request(files=files),
        model,
        options,
        out,
        overwrite=overwrite,
        on_note=on_note,
        on_progress=on_progress,
    )
    made = {one.job.name: one for one in written.outcomes if one.state != "failed"}
    samples = [one for one in read_samples(out).samples if one.name in made] if made else []
    found = judge_samples(card, samples, places, device=model.device)
    pairs = {
        pair.scene.picture: pair
        for pair in confident(pair_up(asked_scenes(samples, card), found), card.least)
    }
    verdicts = tuple(
        verdict(one.job.name, one.job.scene, pairs[one.job.name])
        if one.job.name in pairs
        else Verdict(one.job.name, one.job.scene.prompt, len(one.job.scene.instances), 0, 0.0, (one.error,))
        for one in written.outcomes
    )
    return Shown(written, verdicts, Total.of(verdicts), ceiling(card, model.device), card.id)


def verdict(name: str, scene: Scene, pair: Pair) -> Verdict:
    """What is right and what is wrong in one picture; `pair` has confident findings only."""
    asked, found = pair.scene.asked, pair.findings.found
    phrases = {one.id: one.phrase for one in scene.instances}
    own, any_class = match(asked, found), match(asked, found, by_class=False)
    right = scenes_right([pair])[0]
    wrong = [
        f"{phrases[one.asked.instance]}: {fault}"
        for one, other in zip(own, any_class, strict=True)
        if (fault := _fault(one, other)) and not right.all_right
    ]
    iou = sum(one.iou for one in own) / max(1, pair.scene.number)
    return Verdict(name, scene.prompt, pair.scene.number, right.right, round(iou, 4), tuple(wrong))


def _fault(own: Match, any_class: Match) -> str:
    """What is wrong with one instance; empty if nothing is."""
    if own.found is None or own.iou < LEAST_IOU:
        if any_class.found and any_class.iou >= LEAST_IOU and any_class.found.category != own.asked.category:
            return f"looks like {_named(any_class.found.category)}"
        return "not found there" if own.found is None else f"IoU {own.iou:.2f}, expected {LEAST_IOU} or more"
    colour, wanted = own.found.attributes.get("colour", "no colour"), own.asked.attributes.get("colour")
    return f"is {colour}" if wanted and colour != wanted else ""


def _named(category: str) -> str:
    return f"{'an' if category[0] in 'aeiou' else 'a'} {category}"


def check_words(scenes: Sequence[Scene], card: JudgeCard) -> None:
    """Raises ModelError unless the judge has words for class and colour of every instance."""
    for scene, asked in zip(scenes, asked_scenes([_sample("", one) for one in scenes], card), strict=True):
        phrases = {one.id: one.phrase for one in scene.instances}
        nameless = [phrases[one.instance] for one in asked.asked if "colour" not in one.attributes]
        if missing := [*asked.unnamed, *nameless]:
            raise ModelError(
                f"{card.id} has no words for {missing[0]!r}, which the demonstration asks for",
                "without --judge the package's own detector is used",
            )


def ceiling(card: JudgeCard, device: str = "auto", count: int = CEILING_SCENES) -> Total:
    """The judge on drawings that show exactly what their scenes ask for; nothing is written."""
    from scenewright.models.judges.store import load_judge
    from scenewright.models.load import pick_device

    if card.file is None:
        raise ModelError(f"the weights of {card.id} are not there", "--judge FILE says where they are")
    judge = load_judge(card.file, kind=card.kind, device=pick_device(device))
    drawn = list(records(CEILING_SET, count))
    verdicts = []
    for start in range(0, count, BATCH):
        part = drawn[start : start + BATCH]
        scenes = [one.scene for one in part]
        readings = READERS[card.kind](judge, [one.image for one in part], scenes)
        asked = asked_scenes([_sample(str(start + k), one) for k, one in enumerate(scenes)], card)
        found = [
            Findings(one.picture, card.id, one.size_wh, reading.found)
            for one, reading in zip(asked, readings, strict=True)
        ]
        pairs = confident(pair_up(asked, found), card.least)
        verdicts += [
            verdict(pair.scene.picture, scene, pair) for pair, scene in zip(pairs, scenes, strict=True)
        ]
    return Total.of(verdicts)


def _sample(name: str, scene: Scene) -> Sample:
    """A scene without a picture, for what asks about scenes alone."""
    return Sample(name=name, path=Path(), scene=scene, key="", marks_key="", pixels="")
