"""The demonstration: twelve scenes, judged instance by instance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from judged_folders import TOY_LABELS, detector

from scenewright.errors import ModelError
from scenewright.evaluate.asked import Pair
from scenewright.evaluate.findings import Finding, Findings
from scenewright.flows import demo as shown
from scenewright.flows.demo import Total, Verdict, check_words, verdict
from scenewright.flows.judging import JudgeCard
from scenewright.flows.samples import Sample
from scenewright.flows.scoring import asked_scenes
from scenewright.models.judges.store import WEIGHTS
from scenewright.scene import Box, Record, Scene

EXAMPLES = sorted(shown.SCENES.glob("*.scene.json"))
CARD = JudgeCard(kind="detector", id="oracle@00000000", labels=TOY_LABELS)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector(tmp_path_factory.mktemp("judge") / "tiny.safetensors")


@pytest.fixture(autouse=True)
def _few_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "CEILING_SCENES", 3)
    monkeypatch.setattr(shown.ceiling, "__defaults__", ("auto", 3))


def test_scenes_are_drawn_and_judged(cli, tiny_model: str, judge: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    asked = ("demo", "--model", tiny_model, "--steps", 1, "--judge", judge, "--out", out)
    ended = cli(*asked)
    lines = ended.out.splitlines()
    scenes = [line for line in lines if line.startswith(("WRONG", "right"))]
    assert ended.code == 1 and len(scenes) == 12 and all(" IoU 0." in line for line in scenes)
    assert "0 of 12 scenes are right in every instance (0 of 27 instances)" in lines[-3]
    assert lines[-2].startswith("ceiling: on 3 drawings")
    assert lines[-1] == f"contact sheet: {out / 'sheet.png'}"
    assert "error: 0 of 12 scenes are right, at least 10 must be" in ended.err and str(out) in ended.err
    assert len(list(out.glob("*.overlay.png"))) == 12
    for path in out.glob("*.scene.json"):
        own = Scene.read(shown.SCENES / path.name)
        assert Record.load(path).provenance["seed"] == own.auto_seed()
    again = cli(*asked, "--json")
    told = json.loads(again.out)
    assert again.code == 1 and told["enough"] is False and told["needed"] == 10
    assert told["total"] == {
        "scenes": 12, "scenes_right": 0, "instances": 27, "instances_right": 0, "iou": told["total"]["iou"]
    }  # fmt: skip
    assert told["ceiling"]["scenes"] == 3 and told["judge"].startswith("tiny@")
    assert {len(one["wrong"]) for one in told["scenes"]} == {1, 2, 3, 4}


def test_enough_right_scenes_end_well(
    cli, tiny_model: str, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "NEEDED", 0)
    ended = cli("demo", "--model", tiny_model, "--steps", 1, "--judge", judge, "--out", tmp_path / "demo")
    assert ended.code == 0 and not ended.err.startswith("error")


def test_without_a_detector_nothing_is_drawn(cli, tiny_model: str, tmp_path: Path) -> None:
    ended = cli(
        "demo", "--model", tiny_model, "--judge", tmp_path / "none.safetensors", "--out", tmp_path / "x"
    )
    assert ended.code == 2 and "there is no judge" in ended.err and not (tmp_path / "x").exists()


def test_the_twelve_scenes_are_what_they_should_be() -> None:
    from scenewright.world.palette import COLOURS
    from scenewright.world.toybox import CLASSES

    scenes = [Scene.read(path) for path in EXAMPLES]
    assert len(scenes) == 12
    assert {len(scene.instances) for scene in scenes} == {1, 2, 3, 4}
    assert {scene.size_wh for scene in scenes} == {(128, 128)}
    for scene in scenes:
        assert scene.seed is None
        for one in scene.instances:
            assert one.category in CLASSES and one.phrase in scene.prompt and one.phrase.split()[1] in COLOURS


def test_a_detector_of_toys_has_words_for_all_of_them() -> None:
    """Class and colour of every instance, as written."""
    scenes = [Scene.read(path) for path in EXAMPLES]
    check_words(scenes, CARD)
    for scene in scenes:
        asked = asked_scenes([_sample(scene)], CARD)[0]
        assert [one.category for one in asked.asked] == [one.category for one in scene.instances]
        assert [one.attributes["colour"] for one in asked.asked] == [
            one.phrase.split()[1] for one in scene.instances
        ]
    for name, gone in (("classes", "cat"), ("colours", "red")):
        labels = {**TOY_LABELS, name: [word for word in TOY_LABELS[name] if word != gone]}
        with pytest.raises(ModelError, match=f"no words for '.*{gone}"):
            check_words(scenes, replace(CARD, labels=labels))


@pytest.mark.skipif(not (WEIGHTS / "detector.safetensors").is_file(), reason="no detector in the package")
def test_the_embedded_detector_has_words_for_all_of_them() -> None:
    from scenewright.flows.judging import card_of

    check_words([Scene.read(path) for path in EXAMPLES], card_of(WEIGHTS / "detector.safetensors"))


def _sample(scene: Scene) -> Sample:
    return Sample(name="p", path=Path(), scene=scene, key="", marks_key="", pixels="")


def _judged(name: str, *found: tuple[str, str, Box]) -> Verdict:
    """The verdict on an example in which these (class, colour, box) were found."""
    scene = Scene.read(shown.SCENES / f"{name}.scene.json")
    asked = asked_scenes([_sample(scene)], CARD)[0]
    things = tuple(Finding(kind, 0.9, box, None, {"colour": colour}) for kind, colour, box in found)
    return verdict(name, scene, Pair(asked, Findings("p", CARD.id, scene.size_wh, things)))


def _boxes(name: str) -> list[Box]:
    return [one.box for one in Scene.read(shown.SCENES / f"{name}.scene.json").instances if one.box]


def test_verdicts_say_what_is_wrong() -> None:
    black, white = _boxes("02-two-cats")
    good = _judged("02-two-cats", ("cat", "white", white), ("cat", "black", black))
    assert good.all_right and good.iou == 1.0 and good.wrong == ()
    swapped = _judged("02-two-cats", ("cat", "black", white), ("cat", "white", black))
    assert (swapped.right, swapped.wrong) == (0, ("a black cat: is white", "a white cat: is black"))
    other = _judged("02-two-cats", ("cat", "black", black), ("eagle", "white", white))
    assert (other.right, other.wrong, other.iou) == (1, ("a white cat: looks like an eagle",), 0.5)
    one = _judged("02-two-cats", ("cat", "black", black))
    assert (one.right, one.wrong) == (1, ("a white cat: not found there",))
    (car,) = _boxes("01-red-car")
    low = Box(car.x0, car.y0, car.x1, car.y0 + 0.4 * (car.y1 - car.y0))
    far = _judged("01-red-car", ("car", "red", low))
    assert (far.right, far.wrong) == (0, ("a red car: IoU 0.40, expected 0.5 or more",))
    assert far.lines()[0].startswith("WRONG  01-red-car") and good.lines()[0].startswith("right  02-two-cats")


def test_totals_count_scenes_and_instances() -> None:
    verdicts = [Verdict("a", "", 1, 1, 0.9), Verdict("b", "", 3, 2, 0.5, ("x",))]
    assert Total.of(verdicts) == Total(2, 1, 4, 3, 0.6)
    assert Total.of([]) == Total(0, 0, 0, 0, 0.0)
