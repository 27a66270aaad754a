"""A head measured on a folder: figures of an oracle, files, differences, the command, wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from masked_folders import drawings, model_with_head, with_latents

from scenewright.errors import InputError, ModelError
from scenewright.evaluate.grounding import grounding
from scenewright.evaluate.measures import values
from scenewright.evaluate.report import Report
from scenewright.evaluate.splits import class_split
from scenewright.flows.evaluate import EvaluateOptions, evaluate
from scenewright.flows.evaluate_grounding import HeadOptions, evaluate_grounding, split_of
from scenewright.flows.head_inputs import HeadReader
from scenewright.flows.head_scores import score, score_head, sheet
from scenewright.flows.masked import drawn_masked, read_masked
from scenewright.flows.produce import ModelChoice
from scenewright.models.heads import load_head
from scenewright.models.load import load_bundle

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    notes = {"seen": ["cat", "dog"], "unseen": ["car"]}
    return model_with_head(tmp_path_factory.mktemp("model"), notes=notes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawings(tmp_path_factory.mktemp("held"), 4)


def options(model: tuple[str, Path], **more: object) -> HeadOptions:
    choice = ModelChoice(name=model[0], device="cpu", dtype="float32")
    return HeadOptions(**{"head": str(model[1]), "model": choice, "resamples": 100, "batch": 3, **more})  # type: ignore[arg-type]


def test_an_oracle_has_every_figure_and_a_wrong_one_none(model: tuple[str, Path]) -> None:
    backbone = load_bundle(model[0], "cpu", "float32").backbone
    reader = HeadReader(backbone, load_head(str(model[1]), model[0], backbone).net.config)
    pictures = list(drawn_masked(range(200_000, 200_008)))
    place = {one.prompt: one for one in pictures}

    def oracle(gathered):
        rows = [torch.from_numpy(place[prompt].truth()).float() * 20 - 10 for prompt in gathered.prompts]
        most = max(map(len, rows))
        return torch.stack([torch.nn.functional.pad(row, (0, 0, 0, 0, 0, most - len(row))) for row in rows])

    scored = score(oracle, reader, pictures, 3, keep=2)
    found = values(grounding(scored.counts, class_split(1)).measures, 8)
    assert found["miou"] == 1.0 and found["published"] == 1.0 and found["background"] == 1.0
    assert [one.name for one in scored.counts] == [one.name for one in pictures]
    assert len(scored.shown) == 2 and np.array_equal(scored.shown[1].found_KHW, pictures[1].truth())
    nothing = score(lambda gathered: oracle(gathered) * 0 - 1, reader, pictures, 3)
    found = values(grounding(nothing.counts, class_split(1)).measures, 8)
    assert found["miou"] == 0.0 and found["published"] == 0.0


def test_batches_do_not_matter(model: tuple[str, Path]) -> None:
    backbone = load_bundle(model[0], "cpu", "float32").backbone
    net = load_head(str(model[1]), model[0], backbone).net
    reader = HeadReader(backbone, net.config)
    pictures = [one.named() for one in drawn_masked(range(200_000, 200_004))]
    one, other = (score_head(net, reader, pictures, batch=size).counts for size in (1, 4))
    for a, b in zip(one, other, strict=True):
        assert a.classes.keys() == b.classes.keys()
        for name in a.classes:
            assert abs(a.classes[name].found - b.classes[name].found) <= 2, name


def test_files_and_report(model: tuple[str, Path], folder: Path, tmp_path: Path) -> None:
    done = evaluate_grounding(folder, options(model, out=tmp_path))
    names = {path.name for path in (tmp_path / "grounding").iterdir()}
    assert names == {"results.json", "results.png", "sheet.png"}
    report = Report.read(tmp_path / "grounding" / "results.json")
    assert report.protocol == "grounding-1" and report.pictures == 4
    assert report.source.startswith(f"{folder.name}, head head.safetensors@")
    assert any("as the head's file says" in note for note in report.notes)
    assert any("encoded" in note for note in report.notes)
    asked = {name for one in read_masked([folder]) for name in one.classes}
    grouped = {name for what, parts in report.groups.items() if what != "classes" for name in parts}
    assert grouped == asked
    assert str(tmp_path) not in json.dumps(report.to_json())
    # The same again says the same; another head may be compared, picture by picture.
    again = evaluate_grounding(folder, options(model, out=tmp_path / "2", compare=done.results))
    assert again.report.to_json() == done.report.to_json()
    assert (
        max(abs(end) for one in again.differences.values() for end in (one.value, one.low, one.high)) < 1e-5
    )


def test_records_with_latents_keep_their_prompts(model: tuple[str, Path], tmp_path: Path) -> None:
    backbone = load_bundle(model[0], "cpu", "float32").backbone
    folder = with_latents(drawings(tmp_path / "data", 2), backbone)
    done = evaluate_grounding(folder, options(model, split=1))
    assert done.results == folder / "evaluation" / "grounding" / "results.json"
    assert any("latents of their making" in note for note in done.report.notes)
    assert any("published split 1" in note for note in done.report.notes)
    with_latents(folder, backbone, "0" * 16)
    with pytest.raises(InputError, match="made by the backbone"):
        evaluate_grounding(folder, options(model))


def test_what_a_head_has_seen(model: tuple[str, Path], tmp_path: Path) -> None:
    backbone = load_bundle(model[0], "cpu", "float32").backbone
    head = load_head(str(model[1]), model[0], backbone)
    assert split_of(head, 0)[0].seen == ("cat", "dog") and split_of(head, 2)[0] == class_split(2)
    silent = model_with_head(tmp_path)
    split, words = split_of(load_head(str(silent[1]), silent[0], backbone), 0)
    assert split == class_split(1) and "does not say" in words


def test_a_sheet_of_nothing(tmp_path: Path) -> None:
    from scenewright.flows.head_scores import Scored

    assert sheet(Scored(), tmp_path / "sheet.png") is None


def test_on_the_command_line(
    cli: Callable[..., object], model: tuple[str, Path], folder: Path, tmp_path: Path
) -> None:
    asked = ("--head", model[1], "--model", model[0], "--resamples", 100, "--device", "cpu")
    ended = cli("evaluate", "grounding", folder, *asked, "--count", 2, "--out", tmp_path, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["pictures"] == 2 and "miou" in told["figures"] and len(told["files"]) == 3
    ended = cli("evaluate", "grounding", folder, *asked, "--split", 1, "--out", tmp_path)
    assert ended.code == 0 and "mIoU, all classes" in ended.out and "class" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--split", "4"), "no class split 4"),
        (("--resamples", "1"), "resamples is 1"),
        (("--count", "-1"), "count is -1"),
        (("--head", "nowhere.safetensors"), "no grounding head"),
    ],
)
def test_wrong_usage(
    cli: Callable[..., object], model: tuple[str, Path], folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = cli("evaluate", "grounding", folder, "--model", model[0], "--device", "cpu", *arguments)
    assert ended.code in (1, 2) and words in ended.err


def test_nothing_to_measure(model: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Record"):
        evaluate_grounding(tmp_path, options(model))
    with pytest.raises(InputError, match="measures a grounding head"):
        evaluate("grounding", tmp_path, EvaluateOptions())


def test_a_head_of_another_model_is_refused(model: tuple[str, Path], folder: Path, tmp_path: Path) -> None:
    from scenewright.backbone.load import save_folder
    from scenewright.testing import tiny_backbone

    other = save_folder(tiny_backbone(1), tmp_path / "other", torch.float32)
    with pytest.raises(ModelError, match="was trained"):
        evaluate_grounding(folder, options((str(other), model[1])))
