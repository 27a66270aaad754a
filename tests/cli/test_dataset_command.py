"""``scenewright dataset``: from a class list to a checked, split, exported data set, on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scenewright.flows.dataset.folder import Dataset
from scenewright.models.judges.labeller import Labeller
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.judges.store import save_judge
from scenewright.world import toybox

Run = Callable[..., Any]

SURE = ("--least-score", "0", "--least-area", "0", "--verifier", "none", "--size", "32", "--steps", "1")


@pytest.fixture(scope="session")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random labeller of the toybox that sees two classes in everything."""
    config = SegmenterConfig(vocabulary="toybox", channels=(8, 8, 16, 16), fine_channels=4)
    torch.manual_seed(0)
    net = Labeller(config, ("background", *toybox.CLASSES))
    with torch.no_grad():
        last = net.last[-1]
        last.weight.mul_(30)
        for name in net.names:
            if name not in ("cat", "dog", "car"):
                last.bias[net.names.index(name)] = -1e4
    file = tmp_path_factory.mktemp("judges") / "seer.safetensors"
    return save_judge(file, net, kind="labeller", config=config, labels={"classes": net.names})


@pytest.fixture
def build(cli: Run, tiny_model: str, labeller: Path, tmp_path: Path) -> Run:
    """Runs ``dataset build`` into tmp_path/data."""

    def run(*more: object, out: Path = tmp_path / "data") -> Any:
        return cli(
            "dataset", "build", "--model", tiny_model, "--labeller", labeller, *SURE, "--out", out, *more
        )

    return run


def test_from_classes_to_a_checked_data_set(build: Run, cli: Run, tmp_path: Path) -> None:
    arguments = ("--classes", "cat,dog", "--classes", "car", "--total", "6", "--batch", "4")
    ended = build(*arguments)
    assert ended.code == 0 and ended.out.strip() == str(tmp_path / "data"), ended.err
    data = Dataset.open(tmp_path / "data")
    assert data.total == 6 and f"{len(data.kept)} kept" in ended.err and len(data.kept) > 0
    again = build(*arguments, "--json")
    assert json.loads(again.out)["new"] == 0
    ended = cli("dataset", "verify", tmp_path / "data")
    assert ended.code == 0 and "0 problems" in ended.err and ended.out == ""
    told = json.loads(cli("dataset", "stats", tmp_path / "data", "--json").out)
    assert told["pictures"]["kept"] == len(data.kept) and len(told["charts"]) == 3
    assert "class" in cli("dataset", "stats", tmp_path / "data", "--no-charts").out
    ended = cli("dataset", "view", tmp_path / "data", "--limit", "2")
    assert Path(ended.out.strip()).read_text(encoding="utf-8").count("<figure") == min(2, len(data.kept))
    ended = cli("dataset", "export", tmp_path / "data", "--out", tmp_path / "coco")
    assert json.loads(Path(ended.out.strip()).read_text())["images"]
    if len({name.split("-", 1)[1] for name in data.kept}) > 1:
        ended = cli(
            "dataset", "split", tmp_path / "data", "--out", tmp_path / "parts", "--val", "0.3", "--json"
        )
        parts = json.loads(ended.out)
        assert sum(part["pictures"] for part in parts.values()) == len(data.kept)
    (tmp_path / "data" / f"{data.kept[0]}.png").unlink()
    ended = cli("dataset", "verify", tmp_path / "data", "--json")
    assert ended.code == 1 and json.loads(ended.out)["problems"][0]["kind"] == "missing"


def test_a_dry_run_tells_the_cost_and_writes_nothing(build: Run, tmp_path: Path) -> None:
    ended = build("--classes", "cat,dog", "--total", "40", "--batch", "4", "--dry-run", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0 and told["pictures"] == 40 and told["measured"] == 4 and told["done"] == 0
    whole = 40 * told["seconds_each"]
    assert told["fits"] and told["seconds_left"] == pytest.approx(whole, rel=0.05, abs=0.06)  # told in tenths
    assert 1000 < told["bytes_each"] < 100_000
    assert not (tmp_path / "data").exists()
    lines = build("--classes", "cat,dog", "--total", "40", "--batch", "4", "--dry-run").out
    assert "40 pictures, 0 done" in lines and "are free" in lines


def test_scene_files_and_lists_of_prompts(build: Run, tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text(
        json.dumps([{"prompt": "a dog", "classes": "cat"}, {"prompt": "a car", "classes": ["car"]}])
    )
    ended = build(file, "--count", "2", "--seed", "9")
    assert ended.code == 0, ended.err
    assert "1 of 4" not in ended.err and "2 of 4 prompts do not name a class" in ended.err
    entries = Dataset.open(tmp_path / "data").journal
    assert [one.name for one in entries] == [
        "000000-list-1-1", "000001-list-1-2", "000002-list-2-1", "000003-list-2-2",
    ]  # fmt: skip


def test_failures_end_with_one_and_can_be_tried_again(build: Run, tmp_path: Path, monkeypatch) -> None:
    import scenewright.flows.generate as page

    true_decode = page.decode

    def decode(backbone, z_BChw):
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(page, "decode", decode)
    ended = build("--classes", "cat,dog", "--total", "2")
    assert ended.code == 1 and "2 of 2 pictures failed" in ended.err and "--retry-failed" in ended.err
    assert "out of memory" in ended.err
    monkeypatch.setattr(page, "decode", true_decode)
    assert build("--classes", "cat,dog", "--total", "2").code == 1
    assert build("--classes", "cat,dog", "--total", "2", "--retry-failed").code == 0


@pytest.mark.parametrize(
    ("arguments", "says", "hints"),
    [
        ((), "nothing to draw", "--grammar seen"),
        (("--grammar", "seen", "--classes", "cat"), "--grammar and --classes were given", "--vocabulary"),
        (("--grammar", "unsen"), "grammar is 'unsen'", "unseen"),
        (("--classes", "cat,,dog"), "is empty", ""),
        (("--classes", "cat,catt"), "knows no class 'catt'", "cat"),
        (("--classes", "of,the"), "knows no class", "it knows"),
        (("--grammar", "unseen", "--per-picture", "6"), "but there are 5", "fewer"),
        (("--grammar", "seen", "--split", "4"), "no class split 4", "1, 2 and 3"),
        (("--classes", "cat,dog", "--least-score", "2"), "score is 2", "from 0 to 1"),
        (("--classes", "cat,dog", "--policy", "best"), "policy is 'best'", ""),
        (("--classes", "cat,dog", "--labeller", "nobody"), "no judge 'nobody'", "hub id"),
        (("--classes", "cat,dog", "--size", "30"), "multiple", ""),
        (("--vocabulary", "toyboxx"), "no vocabulary 'toyboxx'", "toybox"),
    ],
)
def test_wrong_requests_write_nothing(build: Run, tmp_path: Path, arguments, says: str, hints: str) -> None:
    ended = build(*arguments)
    assert ended.code == 2 and says in ended.err, ended.err
    assert hints in ended.err and "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["[]", '[{"prompt": "a cat", "classes": []}]', '[{"prompt": "a cat"}]', "{"]
)
def test_bad_lists_write_nothing(build: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "list.json").write_text(content)
    ended = build(tmp_path / "list.json")
    assert ended.code == 2 and ended.err.startswith("error: ") and "hint: " in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["list.json"]


def test_changed_options_are_refused(build: Run, tmp_path: Path) -> None:
    assert build("--classes", "cat,dog", "--total", "2").code == 0
    ended = build("--classes", "cat,dog", "--total", "2", "--guidance", "7")
    assert ended.code == 2 and "model.guidance 4.0, now 7.0" in ended.err and "--out" in ended.err
    ended = build("--classes", "cat,dog", "--total", "3")
    assert ended.code == 2 and "pictures 2, now 3" in ended.err


def test_imports_say_what_is_lost(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "1.pk").write_bytes(b"damaged")
    ended = cli("dataset", "import", tmp_path, "--out", tmp_path / "out")
    assert ended.code == 1 and "failed: 1: " in ended.err
    assert "note: prompt: not stored" in ended.err and "note: seed: not stored" in ended.err
    ended = cli("dataset", "import", tmp_path / "none", "--out", tmp_path / "out2")
    assert ended.code == 2 and "there is no folder" in ended.err


@pytest.mark.parametrize("command", ["stats", "view", "verify"])
def test_looking_at_nothing(cli: Run, tmp_path: Path, command: str) -> None:
    ended = cli("dataset", command, tmp_path / "none")
    assert ended.code == 2 and "there is no folder" in ended.err
