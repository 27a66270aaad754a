"""``scenewright world sample`` writes records, street folders and a contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.world import app
from scenewright.errors import InputError
from scenewright.scene import Record
from scenewright.world import town, toybox


def test_writes_records_and_a_sheet(tmp_path: Path) -> None:
    arguments = [
        "sample",
        "--world",
        "town",
        "--count",
        "4",
        "--seed",
        "5",
        "--look",
        "night",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "sheet.png")
    assert "4 of 4" in result.stderr
    record = Record.load(tmp_path / "town-000006-night.png")
    assert np.array_equal(record.image, town.draw(6, look="night").image)
    assert len(record.masks) == len(record.scene.instances)
    assert Image.open(tmp_path / "sheet.png").width > 192
    assert len(list(tmp_path.glob("*.scene.json"))) == 4


def test_toybox_is_the_default(tmp_path: Path) -> None:
    arguments = [
        "sample",
        "--count",
        "2",
        "--style",
        "outlined",
        "--size",
        "64",
        "--out",
        str(tmp_path),
        "--json",
    ]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    told = json.loads(result.stdout)
    assert len(told["pictures"]) == 2 and Path(told["sheet"]).exists()
    record = Record.load(Path(told["pictures"][1]))
    assert np.array_equal(record.image, toybox.draw(1, size_px=64, style="outlined").image)


def test_street_layouts(tmp_path: Path) -> None:
    for layout, place in (("gta", "labels/00001.png"), ("cityscapes", "gtFine/train/town")):
        out = tmp_path / layout
        arguments = [
            "sample",
            "--world",
            "town",
            "--count",
            "1",
            "--layout",
            layout,
            "--size",
            "96x48",
            "--out",
            str(out),
        ]
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
        assert (out / place).exists() and (out / "sheet.png").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--world", "toybx"],
        ["--world", "town", "--look", "foggy"],
        ["--layout", "gta"],
        ["--count", "0"],
        ["--size", "big"],
        ["--world", "town", "--size", "100x50"],
        ["--size", "60"],
    ],
)
def test_wrong_options_write_nothing(tmp_path: Path, wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["sample", *wrong, "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "out").exists()
