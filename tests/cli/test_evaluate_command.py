"""``scenewright evaluate``: from the frozen set to a table, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scenewright.models.judges.store import WEIGHTS

Cli = Callable[..., object]


def test_sets_are_listed(cli: Cli) -> None:
    done = cli("evaluate", "held-out")
    assert done.code == 0 and "toybox-1" in done.out and "town-1" in done.out
    assert set(json.loads(cli("evaluate", "held-out", "--json").out)) == {"toybox-1", "town-1"}


def test_set_is_drawn(cli: Cli, tmp_path: Path) -> None:
    done = cli("evaluate", "held-out", "toybox-1", "--count", "2", "--out", tmp_path / "toys")
    assert done.code == 0 and done.out.strip() == str(tmp_path / "toys")
    assert len(list((tmp_path / "toys").glob("*.png"))) == 2
    told = json.loads(
        cli("evaluate", "held-out", "toybox-1", "--count", "3", "--out", tmp_path / "toys", "--json").out
    )
    assert told["pictures"] == 3 and told["different"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("held-out", "toybx-1"), "did you mean 'toybox-1'"),
        (("held-out", "toybox-1", "--count", "2000"), "it has 1000"),
        (("held-out", "--count", "3"), "without a set"),
        (("layout", "nowhere"), "there is no folder nowhere"),
        (("layout", ".", "--resamples", "1"), "expected 100"),
        (("layouts", "."), "layout"),
        (("pictures",), "FOLDER"),
    ],
)
def test_wrong_usage(cli: Cli, tmp_path: Path, monkeypatch, arguments: tuple[str, ...], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("evaluate", *arguments)
    assert done.code == 2 and words in done.err and "hint" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not (WEIGHTS / "detector.safetensors").is_file(), reason="the judges' weights are not here"
)
def test_layout_of_drawings_is_near_its_ceiling(cli: Cli, tmp_path: Path) -> None:
    """The package's own judge on frozen drawings: few things are missed."""
    cli("evaluate", "held-out", "toybox-1", "--count", "24", "--out", tmp_path)
    done = cli("evaluate", "layout", tmp_path, "--device", "cpu", "--resamples", "100", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["protocol"] == "layout-1" and told["sample_set"] == "toybox-1, first 24"
    assert told["figures"]["ap50"]["value"] > 0.85
    text = cli("evaluate", "layout", tmp_path, "--resamples", "100")
    assert "AP50" in text.out and text.out.strip().endswith("sheet.png")
