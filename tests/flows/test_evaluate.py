"""Whole evaluations of small folders by real judges at tiny size, and by one that sees everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from judged_folders import clip, detector, looks, oracle, segmenter, streets, toys

from scenewright.errors import InputError, ModelError, ScenewrightError
from scenewright.evaluate.protocol import protocol
from scenewright.evaluate.report import Report
from scenewright.flows.evaluate import EvaluateOptions, evaluate, lines
from scenewright.flows.showing import chosen
from scenewright.scene import Instance, Record, Scene, read_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys(tmp_path_factory.mktemp("toys"), 8)


@pytest.fixture(scope="module")
def judge(folder: Path) -> str:
    return oracle(folder, folder / "evaluation" / "findings")


def _options(*judges: object, **more: object) -> EvaluateOptions:
    return EvaluateOptions(judges=tuple(map(str, judges)), resamples=100, device="cpu", **more)  # type: ignore[arg-type]


def test_a_judge_that_sees_everything_finds_all_right(folder: Path, judge: str) -> None:
    done = evaluate("layout", folder, _options(judge))
    figures = done.report.figures
    for name in ("ap", "ap50", "iou", "placed", "class", "colour", "shown_colour", "pictures_right"):
        assert figures[name].value == pytest.approx(1.0), name
    assert done.report.pictures == 8 and done.report.sample_set == "toybox-1, first 8"
    assert done.report.judges["detector"] == judge
    assert done.results == folder / "evaluation" / "layout" / "results.json"
    assert Report.read(done.results).to_json() == done.report.to_json()
    assert read_image(done.plot).size and done.sheet is not None and read_image(done.sheet).size
    assert any("intervals are wide" in note for note in done.report.notes)
    masks = evaluate("instances", folder, _options(judge)).report.figures
    for name in ("ap", "iou", "pim_points", "pim_scribbles", "pim_scribbles_paper"):
        assert masks[name].value >= 0.9, name


def test_missing_things_count_as_zero(folder: Path, tmp_path: Path) -> None:
    """The judge misses the first instance of every picture: recall is the share of the others."""
    judge = oracle(folder, tmp_path / "findings", miss=1)
    report = evaluate("layout", folder, _options(judge, out=tmp_path)).report
    counts = [len(Record.load(path).scene.instances) for path in folder.glob("*.png")]
    share = sum(count - 1 for count in counts) / sum(counts)
    for name in ("iou", "placed", "colour", "shown"):
        assert report.figures[name].value == pytest.approx(share)
    assert report.figures["pictures_right"].value == 0.0


def test_reference_is_the_ceiling_and_reports_are_compared(folder: Path, judge: str, tmp_path: Path) -> None:
    best = evaluate("layout", folder, _options(judge))
    worse = oracle(folder, tmp_path / "findings", miss=1)
    assert worse == judge
    done = evaluate("layout", folder, _options(judge, out=tmp_path, reference=folder, compare=best.results))
    assert done.report.reference.endswith("8 pictures")
    assert done.report.ceiling("iou") == pytest.approx(1.0)
    assert set(done.report.group_ceilings["instances"]) == set(done.report.groups["instances"])
    assert done.report.group_ceilings["instances"]["1"]["ap50"] == pytest.approx(1.0)
    gain = done.differences["iou"]
    assert gain.theirs == pytest.approx(1.0) and gain.value < 0 and gain.high <= 0
    assert any(line.startswith("mean IoU") and line.rstrip().endswith("%") for line in lines(done))
    assert json.dumps(done.to_json())


def test_evaluating_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    weights = detector(tmp_path / "tiny.safetensors")
    first = evaluate("layout", folder, _options(weights, out=tmp_path / "out"))
    content = {path: path.read_bytes() for path in (first.results, first.plot, first.sheet) if path}
    again = evaluate("layout", folder, _options(weights, out=tmp_path / "out"))
    assert {path: path.read_bytes() for path in (again.results, again.plot, again.sheet) if path} == content
    assert first.report.ceilings["judge"] == {"ap50": 0.96}
    assert first.report.ceilings["judge_file"]["detector class"] == 0.98


def test_other_samples_are_not_compared(folder: Path, judge: str, tmp_path: Path) -> None:
    best = evaluate("layout", folder, _options(judge))
    fewer = toys(tmp_path / "toys", 4)
    oracle(fewer, fewer / "evaluation" / "findings")
    with pytest.raises(InputError, match="the samples differ"):
        evaluate("layout", fewer, _options(judge, compare=best.results))
    assert not (fewer / "evaluation" / "layout").exists()


def test_streets(tmp_path: Path) -> None:
    folder = streets(tmp_path / "streets", 4)
    judges = segmenter(tmp_path / "s.safetensors"), looks(tmp_path / "l.safetensors")
    done = evaluate("semantic", folder, _options(*judges))
    assert set(done.report.figures) == {"miou", "pixels", "look"}
    assert {"class", "look"} <= set(done.report.groups)
    assert done.sheet is not None and len(done.report.items) == 4


def test_a_map_that_is_right_has_miou_one(tmp_path: Path) -> None:
    """Findings written from the truth."""
    folder = streets(tmp_path / "streets", 3)
    card = segmenter(tmp_path / "s.safetensors")
    first = evaluate("semantic", folder, _options(card))
    place = folder / "evaluation" / "findings" / first.report.judges["segmenter"]
    for path in place.glob("*.findings.json"):
        stored = json.loads(path.read_text())
        stored["extra"]["labels"]["data"] = Record.load(folder / f"{stored['picture']}.png").labels.data
        path.write_text(json.dumps(stored))
    figures = evaluate("semantic", folder, _options(card)).report.figures
    assert figures["miou"].value == figures["pixels"].value == 1.0


def test_pictures_against_themselves_and_others(folder: Path, tmp_path: Path) -> None:
    weights = clip(tmp_path / "c.safetensors")
    same = evaluate("pictures", folder, _options(weights, out=tmp_path / "a", reference=folder)).report
    assert same.figures["fd_judge"].value == pytest.approx(0.0, abs=1e-6)
    other = streets(tmp_path / "streets", 8)
    far = evaluate("pictures", folder, _options(weights, out=tmp_path / "b", reference=other)).report
    assert far.figures["fd_judge"].value > 10 * max(same.figures["fd_judge"].value, 1e-3)
    assert far.figures["kd_judge"].value > same.figures["kd_judge"].value
    alone = evaluate("pictures", folder, _options(weights, out=tmp_path / "c")).report
    assert set(alone.figures) == {"clip_score"}


def test_clip_local_joins_the_layout(folder: Path, judge: str, tmp_path: Path) -> None:
    weights = clip(tmp_path / "c.safetensors")
    found = evaluate(
        "layout",
        folder,
        _options(
            judge,
            weights,
            out=tmp_path,
        ),
    )
    assert -1 <= found.report.figures["clip_local"].value <= 1
    assert set(found.report.judges) == {"detector", "clip"}


def test_no_network_is_loaded_for_stored_findings(folder: Path, tmp_path: Path) -> None:
    """A fresh process scores stored findings without building any network."""
    weights = detector(tmp_path / "tiny.safetensors")
    first = evaluate("layout", folder, _options(weights, out=tmp_path / "out"))
    weights.unlink()
    code = (
        "import sys; from pathlib import Path\n"
        "from scenewright.flows.evaluate import EvaluateOptions, evaluate\n"
        f"options = EvaluateOptions(judges=({first.report.judges['detector']!r},), resamples=100,"
        f" out=Path({str(tmp_path / 'out')!r}))\n"
        f"done = evaluate('layout', Path({str(folder)!r}), options)\n"
        "print([name for name in sys.modules if name.startswith('scenewright.models.judges.d')])"
    )
    first.results.unlink()
    source = Path(__file__).resolve().parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert Report.read(first.results).figures == Report.read(first.results).figures
    assert Report.read(first.results).to_json() == first.report.to_json()


def _no_instances(place: Path) -> Path:
    Record(np.zeros((64, 64, 3), np.uint8), Scene("nothing", (64, 64))).save(place, "a")
    return place


def _unknown_things(place: Path) -> Path:
    scene = Scene("a gizmo", (64, 64), (Instance("a purple gizmo"),))
    Record(np.zeros((64, 64, 3), np.uint8), scene).save(place, "a")
    return place


@pytest.mark.parametrize(
    ("make", "benchmark", "words"),
    [
        (_no_instances, "layout", "asks for any instance"),
        (_unknown_things, "layout", "none of 1 instances has a name"),
        (_no_instances, "instances", "asks for any instance"),
    ],
)
def test_folders_without_anything_to_measure(tmp_path: Path, make, benchmark: str, words: str) -> None:
    weights = detector(tmp_path / "tiny.safetensors")
    with pytest.raises(InputError, match=words) as fault:
        evaluate(benchmark, make(tmp_path / "pictures"), _options(weights))
    assert fault.value.hint


def test_things_without_a_name_are_counted(tmp_path: Path) -> None:
    folder = toys(tmp_path / "toys", 2)
    _unknown_things(folder)
    judge = detector(tmp_path / "tiny.safetensors")
    report = evaluate("layout", folder, _options(judge)).report
    assert report.unnamed == {"a purple gizmo": 1}
    assert any("have no name" in note for note in report.notes) and report.sample_set == ""


@pytest.mark.parametrize("wrong", [{"resamples": 3}, {"resamples": 10**7}, {"seed": -1}])
def test_wrong_options(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        EvaluateOptions(**wrong)  # type: ignore[arg-type]


def test_wrong_benchmark_and_missing_judges(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no benchmark"):
        evaluate("layouts", folder, _options())
    with pytest.raises(ModelError):
        evaluate("layout", folder, _options(tmp_path / "nowhere.safetensors"))
    with pytest.raises(ScenewrightError):
        evaluate("layout", folder, _options(compare=tmp_path / "none.json"))


def test_best_and_worst_do_not_overlap() -> None:
    for number in (0, 1, 2, 3, 7, 18, 100):
        best, worst = chosen(range(number))
        assert not set(best) & set(worst) and len(best) <= 6 and len(worst) <= 12
        assert number == 0 or best[0] == 0
        assert number < 3 or worst[0] == number - 1
    assert protocol("layout").judges == ("detector",)
