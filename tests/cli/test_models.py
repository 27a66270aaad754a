"""`scenewright models` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from scenewright.backbone.load import save_folder
from scenewright.cli.models import app
from scenewright.testing import tiny_backbone

runner = CliRunner()


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_list() -> None:
    result = runner.invoke(app, ["list"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["name", "kind", "state", "base", "licence", "title"]
    assert any(line.startswith("sd15 ") for line in result.stdout.splitlines())
    rows = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    known = {"name", "kind", "state", "base", "licence", "title", "belongs_to", "path", "link"}
    assert known == set(rows[0])


def test_list_and_check_show_the_base_of_backbones_and_adapters(tmp_path: Path) -> None:
    from scenewright.condition.gligen import Gligen
    from scenewright.models.adapter import save_adapter

    tiny = tiny_backbone(0)
    folder = save_folder(tiny, tmp_path / "m")
    gligen = Gligen.for_unet(tiny.unet)
    file = save_adapter(tmp_path / "g.safetensors", gligen, gligen.config, "gligen", tiny.fingerprint)
    for path, name in ((folder, "nano"), (file, "nano+gligen")):
        assert runner.invoke(app, ["add", str(path), "--name", name]).exit_code == 0
    rows = {row["name"]: row for row in json.loads(runner.invoke(app, ["list", "--json"]).stdout)}
    assert rows["nano"]["base"] == rows["nano+gligen"]["base"] == tiny.fingerprint
    assert rows["sd15"]["base"] == ""
    fine = runner.invoke(app, ["check", "nano+gligen"])
    assert fine.exit_code == 0
    assert f"base {tiny.fingerprint}" in fine.stdout and f"for base {tiny.fingerprint}" in fine.stdout

    other = tiny_backbone(1)
    runner.invoke(app, ["add", str(save_folder(other, tmp_path / "other")), "--name", "nano"])
    wrong = runner.invoke(app, ["check", "nano+gligen", "--json"])
    assert wrong.exit_code == 1
    (row,) = [row for row in json.loads(wrong.stdout) if row["state"] != "ok"]
    assert (row["alias"], row["state"]) == ("nano+gligen", "other base")
    assert tiny.fingerprint in row["detail"] and other.fingerprint in row["detail"]


def test_add_check_and_list(tmp_path: Path) -> None:
    folder = save_folder(tiny_backbone(0), tmp_path / "m", torch.float32)
    result = runner.invoke(app, ["add", str(folder), "--name", "mine", "--json"])
    assert json.loads(result.stdout) == {"name": "mine", "kind": "backbone"}
    rows = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    assert {row["name"]: row["path"] for row in rows}["mine"] == str(folder)
    result = runner.invoke(app, ["check", "sd15"])
    assert result.exit_code == 1
    assert "missing" in result.stdout


def test_convert_says_what_it_made(tmp_path: Path) -> None:
    from scenewright.condition.gligen import Gligen
    from scenewright.models.adapter import save_adapter

    tiny = tiny_backbone(0)
    folder = save_folder(tiny, tmp_path / "m", torch.float32)
    gligen = Gligen.for_unet(tiny.unet)
    file = save_adapter(tmp_path / "g.safetensors", gligen, gligen.config, "gligen", tiny.fingerprint)
    out = tmp_path / "gated"
    result = runner.invoke(app, ["convert", f"{folder}+gligen:{file}", str(out), "--json"])
    assert json.loads(result.stdout) == {"path": str(out), "kind": "gated folder"}
    assert json.loads((out / "unet" / "config.json").read_text())["attention_type"] == "gated"


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from scenewright.cli.models import app; app(['list'], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
