"""The reproduction of GLIGEN from end to end: a tiny model, a tiny detector, and one that sees everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from judged_folders import detector, oracle

from scenewright.errors import InputError
from scenewright.evaluate.protocol import HELD_OUT
from scenewright.flows.generate import GenerateOptions, condition, pictures
from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.gligen import reproduce_gligen
from scenewright.flows.reproduce.plan import CONDITIONS, METRICS, SWEEP, ReproduceOptions, Stage
from scenewright.flows.reproduce.results import Reproduced, Results
from scenewright.flows.reproduce.runs import scene_jobs
from scenewright.models.load import load_bundle
from scenewright.scene import Record, read_image

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
"""The tiny tokenizer has few words."""

HOW = GenerateOptions(steps=4, guidance=2.0, batch=2)
LOG = '{"step": 10, "validation": {"layout_iou": 0.5, "text_iou": 0.1, "gate_mean": 0.2}}\n'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text(LOG)
    return path


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector(tmp_path_factory.mktemp("judge") / "tiny.safetensors")


def run(
    out: Path, model: str, judge: object, log: Path, scenes: int = 3, **more: object
) -> Reproduced[Results]:
    options = ReproduceOptions(
        scenes=scenes, seeds=2, sweep_scenes=2, generate=HOW, logs=(log,), judge=str(judge), resamples=100,
        device="cpu", **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return reproduce_gligen(options, ModelChoice(name=model, device="cpu"), out)


@pytest.fixture(scope="module")
def whole(tiny_model: str, judge: Path, log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(out, tiny_model, judge, log)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written(whole: Path) -> None:
    names = {path.name for path in whole.iterdir() if path.is_file()}
    assert {"results.json", "table.md", "curve.jsonl", "conditions.png", "by-number.png", "by-size.png",
            "sweep.png", "training.png"} <= names  # fmt: skip
    assert any(name.startswith("sheet-") for name in names)
    for path in whole.glob("*.png"):
        assert read_image(path).size
    folders = {path.name for path in (whole / "pictures").iterdir()}
    assert folders == {
        "renders", *(f"{one.name}-{seed}" for one in CONDITIONS for seed in (1, 2)),
        "gate-0.1-1", "gate-0.3-1", "gate-0.5-1", "gate-0.7-1", "gate-0.3-0.4-1",
    }  # fmt: skip
    assert len(list((whole / "pictures" / "layout-2").glob("toybox-1-*.png"))) == 3
    assert len(list((whole / "pictures" / "gate-0.5-1").glob("toybox-1-*.png"))) == 2


def test_results_say_what_they_are_of(whole: Path) -> None:
    told = json.loads((whole / "results.json").read_text())
    assert (told["scenes"], told["seeds"], told["sweep_scenes"]) == (3, 2, 2)
    assert told["sample_set"] == "toybox-1, first 3" and told["protocol"] == "layout-1"
    assert told["judge"].startswith("tiny@") and told["judge_ceilings"]["box_AP50"] == 0.96
    assert set(told["conditions"]) == {"text", "null", "layout", "renders"}
    for one in told["conditions"].values():
        assert set(one["groups"]) == {"instances", "size"}
        assert len(one["figures"]["iou"]["seeds"]) == (1 if one["title"] == "real renders" else 2)
        assert set(one["figures"]) <= set(METRICS) and {"right", "told", "texture"} <= set(one["figures"])
    assert len(told["sweep"]) == len(SWEEP) + 1 and told["sweep"][2]["gate"] == [0.3, 0.0, 0.7]
    assert told["training"]["control"] == {"stage": 1, "step": 10, "total": 10}
    text = (whole / "table.md").read_text()
    assert "real renders" in text and "Li et al." in text and "differs" in text
    assert str(whole) not in text + json.dumps(told)


def test_pictures_differ_by_the_condition_alone(whole: Path, tiny_model: str) -> None:
    """Same scene, same noise; without layout the adapter plays no part, closed gates are the same as none."""
    name = f"toybox-1-{HELD_OUT['toybox-1'].first_seed}.png"
    made = {one.name: Record.load(whole / "pictures" / f"{one.name}-1" / name) for one in CONDITIONS}
    assert len({record.provenance["seed"] for record in made.values()}) == 1
    assert made["text"].provenance["adapter"] is None and made["null"].provenance["null_layout"] is True
    assert "null_layout" not in made["layout"].provenance
    for one, other in (("text", "null"), ("text", "layout"), ("null", "layout")):
        assert not np.array_equal(made[one].image, made[other].image)
    assert all(item.mask is None and item.box for item in made["layout"].scene.instances)
    bundle = load_bundle(tiny_model, "cpu")
    job = scene_jobs(1, 1)[0]
    closed = GenerateOptions(steps=4, guidance=2.0, gate=(0.0, 0.0, 1.0))
    image = pictures(bundle.backbone, bundle.adapter, [job.scene], [job.seed], closed)[0]
    assert np.abs(image.astype(int) - made["text"].image).max() <= 1


def test_null_layout_is_given_to_both_halves(tiny_model: str) -> None:
    bundle = load_bundle(tiny_model, "cpu")
    scene = scene_jobs(1, 1)[0].scene
    with torch.no_grad():
        cond, negative, _ = condition(
            bundle.backbone, bundle.adapter, [scene], GenerateOptions(null_layout=True)
        )
    assert torch.equal(cond.grounding.tokens_RMD, negative.grounding.tokens_RMD)
    assert torch.equal(cond.grounding.tokens_RMD, bundle.adapter.null_tokens(1))
    assert cond.grounding.gate_R.tolist() == [1.0]
    with pytest.raises(InputError, match="null_layout without layout"):
        GenerateOptions(null_layout=True, layout=False)


def test_a_stopped_run_continues_to_the_same_bytes(
    whole: Path, tiny_model: str, judge: Path, log: Path, tmp_path: Path
) -> None:
    before = contents(whole)
    for name in (
        "results.json",
        "pictures/layout-2/toybox-1-200001.png",
        "pictures/renders/toybox-1-200002.png",
    ):
        (whole / name).unlink()
    for path in (whole / "pictures" / "null-1" / "evaluation").rglob("*.findings.json"):
        path.unlink()
    stamp = (whole / "pictures" / "text-1" / "toybox-1-200000.png").stat().st_mtime_ns
    run(whole, tiny_model, judge, log)
    assert contents(whole) == before
    assert (whole / "pictures" / "text-1" / "toybox-1-200000.png").stat().st_mtime_ns == stamp


def test_fewer_scenes_are_measured_from_what_is_there(
    whole: Path, tiny_model: str, judge: Path, log: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    before = contents(copy / "pictures")
    fewer = run(copy, tiny_model, judge, log, scenes=2).results
    assert fewer.tables["layout"].all.pictures == 2 and fewer.about["sample_set"] == "toybox-1, first 2"
    after = contents(copy / "pictures")
    assert all(after[name] == data for name, data in before.items() if "sheet" not in name)


def test_figures_of_a_judge_that_knows_the_answers(
    whole: Path, tiny_model: str, log: Path, tmp_path: Path
) -> None:
    """Everything in place with the layout and in the renders, one thing missing in all others."""
    for folder in (whole / "pictures").iterdir():
        miss = 0 if folder.name.startswith(("renders", "layout", "gate-0.5", "gate-0.7")) else 1
        name = oracle(folder, folder / "evaluation" / "findings", miss=miss)
    done = run(whole, tiny_model, name, log)
    results = done.results
    asked = sum(len(job.scene.instances) for job in scene_jobs(3, 1))
    for key in ("ap50", "iou", "class", "colour", "right", "pictures_right"):
        assert results.tables["layout"].all.values[key].value == pytest.approx(1.0), key
    assert results.tables["text"].all.values["right"].value == pytest.approx((asked - 3) / asked)
    assert results.tables["null"].all.values["pictures_right"].value == 0.0
    figures = results.to_json()["conditions"]["text"]["figures"]["iou"]
    assert figures["of_ceiling"]["value"] == pytest.approx((asked - 3) / asked, rel=1e-5)
    assert figures["seeds"] == [pytest.approx((asked - 3) / asked, rel=1e-5)] * 2
    assert [one.stage for one in results.swept if one.scores.values["iou"].value > 0.999] == [
        Stage(0.5), Stage(0.7), Stage(1.0)
    ]  # fmt: skip
    assert [one.open_steps for one in results.swept] == [0.0, 0.0, 0.25, 0.5, 0.5, 1.0, 0.25]
    assert [one.holds for one in results.verdicts][3:] == [False, True]
    lines = "\n".join(done.lines())
    assert "All scenes" in lines and "holds: " in lines and "of ceiling" in lines and "table.md" in lines


def test_on_the_command_line(
    cli: Callable[..., object], whole: Path, tiny_model: str, judge: Path, log: Path
) -> None:
    asked = (
        "reproduce", "gligen", "--scenes", 3, "--seeds", 1, "--sweep-scenes", 0, "--steps", 4,
        "--guidance", 2, "--batch", 2, "--model", tiny_model, "--judge", judge, "--log", log, "--out", whole,
        "--resamples", 100,
    )  # fmt: skip
    ended = cli(*asked, "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["reproduction"] == "gligen-1" and told["sweep"] == [] and told["seeds"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scenes", "0"), "scenes is 0"),
        (("--scenes", "1001"), "toybox-1 has 1000"),
        (("--seeds", "0"), "seeds is 0"),
        (("--log", "nowhere.jsonl"), "cannot read the log"),
        (("--judge", "nobody"), "there is no judge"),
        (("--steps", "0"), "steps is 0"),
    ],
)
def test_wrong_usage(
    cli: Callable[..., object], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = cli("reproduce", "gligen", "--out", tmp_path / "out", *arguments)
    assert ended.code == 2 and words in ended.err and "hint: " in ended.err
    assert not (tmp_path / "out").exists()


def test_a_model_without_adapter_is_refused(tiny_model: str, judge: Path, log: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no layout adapter"):
        run(tmp_path, tiny_model.partition("+")[0], judge, log)
