"""``scenewright generate`` with instances apart, changes to a picture, and rounds of one picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scenewright.scene import Box, Instance, Record, Scene

CAT = Instance("a red cat", id="cat", box=Box(0.0, 0.0, 0.25, 0.25))
DOG = Instance("a blue dog", id="dog", box=Box(0.5, 0.5, 0.75, 0.75))
SCENE = Scene("a cat and a dog", (64, 64), (CAT, DOG), seed=3)


@pytest.fixture
def quick(tiny_model: str, tmp_path: Path) -> list[object]:
    return ["--model", tiny_model, "--device", "cpu", "--out", tmp_path / "out"]


@pytest.fixture
def street(cli, quick, tmp_path: Path) -> Path:
    SCENE.write(tmp_path / "street.scene.json")
    words = "--steps 4 --mis 0.5 --merge box --guidance 2".split()
    return Path(cli("generate", tmp_path / "street.scene.json", *quick, *words).out.splitlines()[0])


def test_instances_apart_stand_in_the_record(street: Path) -> None:
    facts = Record.load(street).provenance
    assert (facts["mis"], facts["merge"], facts["steps"]) == (0.5, "box", 4)


def test_a_change_keeps_the_options_and_the_rest(cli, quick, street: Path) -> None:
    words = ["--move", "dog:0.125,0.125", "--add", "a bird:0.5,0,0.75,0.25", "--remove", "a red cat"]
    ended = cli("generate", "--from", street, *words, *quick, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out.splitlines()[0])
    assert told["picture"].endswith("street-edit.png") and Path(told["strip"]).is_file()
    record, before = Record.load(told["picture"]), Record.load(street)
    assert [one.phrase for one in record.scene.instances] == ["a blue dog", "a bird"]
    facts = record.provenance
    assert (facts["mis"], facts["merge"], facts["steps"], facts["seed"]) == (0.5, "box", 4, 3)
    assert facts["edit"]["changes"] == ["remove a red cat", "move dog by 0.125, 0.125", "add a bird"]
    assert record.scores["edit"]["outside"]["mean"] < record.scores["edit"]["inside"]["mean"]
    again = cli("generate", "--from", told["picture"], "--replace", "dog:a horse", *quick)
    last = Record.load(again.out.splitlines()[0])
    assert again.out.splitlines()[0].endswith("street-edit-2.png")
    assert [one["scene"]["prompt"] for one in last.provenance["history"]] == [SCENE.prompt] * 2
    assert before == Record.load(street)


def test_rounds_of_one_picture(cli, quick, tmp_path: Path) -> None:
    for k, dx in enumerate((0.0, 0.125, 0.25)):
        moved = DOG.replace(box=Box(0.5, 0.5 - dx, 0.75, 0.75 - dx))
        SCENE.replace(instances=(CAT, moved), seed=None).write(tmp_path / f"r{k}.json")
    files = [tmp_path / f"r{k}.json" for k in range(3)]
    ended = cli("generate", *files, "--chain", "--steps", 3, "--seed", 5, *quick)
    assert ended.code == 0, ended.err
    lines = [Path(line).name for line in ended.out.splitlines()]
    assert lines == ["r0.png", "r1.png", "r2.png", "sheet.png", "chain.gif"]
    free = cli(
        "generate",
        *files[:2],
        "--chain",
        "--keep",
        0,
        "--steps",
        3,
        "--seed",
        5,
        *quick[:-1],
        tmp_path / "free",
    )
    plain = cli("generate", files[1], "--steps", 3, "--seed", 5, *quick[:-1], tmp_path / "plain")
    two = [Record.load(ended.out.splitlines()[k]).image.astype(int) for ended, k in ((free, 1), (plain, 0))]
    assert np.abs(two[0] - two[1]).max() <= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--move", "dog:0.1,0"], "--move was given without a picture to change"),
        (["--from", "PNG"], "nothing is to be changed"),
        (["--from", "PNG", "--move", "dog:far"], "expected ID:DX,DY"),
        (["--from", "PNG", "--remove", "dgo"], "no instance 'dgo'"),
        (["--from", "PNG", "--remove", "dog", "--seed", "4"], "--seed was given with --from"),
        (["--from", "PNG", "--remove", "dog", "--chain"], "not with scenes or --chain"),
        (["--from", "missing.png", "--remove", "dog"], "missing.png"),
        (["--prompt", "a cat", "--keep", "0.5"], "--keep was given without rounds"),
        (["--prompt", "a cat", "--chain"], "at least two"),
        (["--prompt", "a cat", "--mis", "2"], "mis is 2"),
        (["--prompt", "a cat", "--merge", "boxes"], "did you mean box"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(cli, quick, tmp_path: Path, words: list[str], said: str) -> None:
    picture = Record(np.zeros((64, 64, 3), np.uint8), SCENE).save(tmp_path, "PNG")
    ended = cli("generate", *[picture if word == "PNG" else word for word in words], *quick)
    assert ended.code == 2 and said in ended.err
    assert not (tmp_path / "out").exists()
