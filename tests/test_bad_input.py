"""Bad input ends in one clear message with a hint, the right exit code, no traceback, nothing half-written.

A table: every case is a command on files made in a folder of its own. `{d}` is that folder, `{m}` a tiny
model, `{t}` its backbone, `{a}` its adapter, `{h}` a grounding head for it; the message and the hint must contain the given words; nothing in the folder may change.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import bad_files as files
from bad_files import CAR, GOOD, Make, car, good_scene, scene, text
from scenewright.scene import Record


@dataclass(frozen=True)
class Case:
    """One row: command, what its message and its hint say, how its files are made, its exit code."""

    name: str
    command: str
    says: str
    hints: str
    make: Make | None = None
    code: int = 2
    skip: bool = field(default=False)


BAD = "generate {d}/bad.json --out {d}/out"
DRAW = "generate {d}/good.json --model {m} --steps 1 --out {d}/out "
OPTION = "generate {d}/good.json --out {d}/out "
HUGE = json.dumps(GOOD).replace('"prompt"', '"extra": ' + '{"a":' * 6000 + "1" + "}" * 6000 + ', "prompt"')
TWICE = '{"prompt": "a", "prompt": "b", "size_wh": [64, 64]}'
NAN = json.dumps({**GOOD, "instances": [{**CAR, "box": [0.1, float("nan"), 0.6, 0.6]}]})
CUDA = torch.cuda.is_available()

# ruff: noqa: E501
CASES = [
    # files
    Case("missing file", "generate {d}/god.json", "there is no file", "good.json", good_scene),
    Case("missing folder", "generate {d}/no/such.json", "there is no file", "does not exist either"),
    Case("folder as scene", "generate {d}", "is a folder", "Name one of the files"),
    Case("empty file", BAD, "is empty", "", text("")),
    Case("not JSON", BAD, "is not JSON", "commas and quotes", text('{"prompt": "a car",}')),
    Case("not UTF-8", BAD, "is not UTF-8", "UTF-8", text('{"prompt": "caf\xe9"}'.encode("latin-1"))),
    Case("nested too deeply", BAD, "nested too deeply", "", text(HUGE)),
    Case("key twice", BAD, "'prompt' occurs twice", "", text(TWICE)),
    Case("empty list", BAD, "empty list", "", text("[]")),
    Case("a number", BAD, "expected scenes", "Known are", text("7")),
    Case("unknown format", BAD, "no known format", "Known are", text('{"colour": 1, "shape": 2}')),
    Case("format misspelt", OPTION + "--format coc", "no format 'coc'", "'coco'", good_scene),
    Case("truncated PNG", "generate {d}/cut.png", "cut.png", "", files.cut_png),
    Case("PNG without a scene", "generate {d}/plain.png", "holds no scene", "saved by Scenewright", files.plain_png),
    Case("JPEG", "generate {d}/plain.jpg", "holds no scene", "PNG", files.plain_png),
    Case("PNG bomb", "generate {d}/huge.png", "huge.png", "", files.huge_chunk_png),
    Case("PNG with a long chunk", "generate {d}/long.png", "long.png", "", files.long_chunk_png),
    Case("COCO category", BAD, "category", "", files.coco_without_category),
    Case("boxes of no convention", BAD, "boxes", "", files.wrong_corners),
    # scenes
    Case("unknown key", BAD, "instanecs", "'instances'", text(json.dumps({**GOOD, "instanecs": []}))),
    Case("unknown key of an instance", BAD, "bxo", "'box'", car(bxo=[0, 0, 1, 1])),
    Case("no prompt", BAD, "prompt", "", text('{"size_wh": [64, 64], "schema_version": 1, "instances": []}')),
    Case("prompt is a number", BAD, "prompt", "", scene(prompt=7)),
    Case("instances is a text", BAD, "instances", "", scene(instances="a red car")),
    Case("size is a text", BAD, "size_wh", "", scene(size_wh="64x64")),
    Case("size not a multiple of 8", BAD, "multiple of 8", "use 64 or 72", scene(size_wh=[64, 70])),
    Case("size zero", BAD, "size_wh", "", scene(size_wh=[0, 64])),
    Case("inverted box", BAD, "instances[0].box", "", car(box=[0.6, 0.1, 0.1, 0.6])),
    Case("empty box", BAD, "instances[0].box", "", car(box=[0.3, 0.1, 0.3, 0.6])),
    Case("NaN in a box", BAD, "NaN", "", text(NAN)),
    Case("box off the canvas", BAD, "instances[0].box", "", car(box=[0.1, 0.1, 1.2, 0.6])),
    Case("box of three numbers", BAD, "instances[0].box", "", car(box=[0.1, 0.1, 0.5])),
    Case("mask of another size", BAD, "instances[0].mask", "height, width", files.other_mask),
    Case("mask that is no RLE", BAD, "mask", "", car(mask={"size_hw": [64, 64], "counts": "!!"})),
    Case("scribble of one point", BAD, "instances[0].scribble", "", car(scribble=[[0.1, 0.1]])),
    Case("point off the canvas", BAD, "instances[0].points[0]", "", car(points=[[1.4, 0.2]])),
    Case("empty caption", BAD, "instances[0].phrase", "", car(phrase="  ")),
    Case("scribble of one point, InstanceDiffusion's", BAD, "at least 2 points", "", files.one_point),
    Case("empty captions, InstanceDiffusion's", BAD, "says what it is", "", files.no_captions),
    Case("ids twice", BAD, "'car' again", "leave ids out", scene(instances=[CAR, CAR])),
    Case("seed below zero in a scene", BAD, "seed", "", scene(seed=-4)),
    Case("version of the future", BAD, "schema_version", "", scene(schema_version=99)),
    Case("extra without a namespace", BAD, "extra", "", scene(extra={"My Key": 1})),
    # options
    Case("nothing to draw", "generate", "nothing to draw", "--prompt"),
    Case("unknown option", OPTION + "--stpes 3", "--stpes", "--help"),
    Case("steps zero", OPTION + "--steps 0", "steps is 0", "usual", good_scene),
    Case("steps negative", OPTION + "--steps -5", "steps is -5", "usual", good_scene),
    Case("steps huge", OPTION + "--steps 1000000", "steps is 1000000", "usual", good_scene),
    Case("steps is a word", OPTION + "--steps many", "'--steps'", "--help", good_scene),
    Case("guidance NaN", OPTION + "--guidance nan", "guidance is nan", "usual", good_scene),
    Case("guidance negative", OPTION + "--guidance -1", "guidance is -1", "usual", good_scene),
    Case("guidance infinite", OPTION + "--guidance inf", "guidance is inf", "usual", good_scene),
    Case("gate too large", OPTION + "--gate 1.5", "gate", "0.3", good_scene),
    Case("gate with another sum", OPTION + "--gate 0.5,0.5,0.5", "sum 1", "0.3", good_scene),
    Case("gate is a word", OPTION + "--gate half", "'half'", "0.3", good_scene),
    Case("seed negative", OPTION + "--seed -1", "seed is -1", "--seed", good_scene),
    Case("seed enormous", OPTION + "--seed 9" + "0" * 30, "seed is 9", "--seed", good_scene),
    Case("count zero", OPTION + "--count 0", "count is 0", "--count 4", good_scene),
    Case("batch zero", OPTION + "--batch 0", "batch is 0", "8 suits", good_scene),
    Case("size is a word", OPTION + "--size big", "'big'", "192x96", good_scene),
    Case("size of 100", OPTION + "--size 100 --model {m}", "multiple of 8", "96 or 104", good_scene),
    Case("overflow misspelt", OPTION + "--overflow bigest", "'bigest'", "largest", good_scene),
    # models
    Case("model misspelt", OPTION + "--model nnao+gligen", "'nnao'", "nano", good_scene),
    Case("model empty", OPTION + "--model=", "empty", "nano", good_scene),
    Case("adapter misspelt", OPTION + "--model nano+glign", "'glign'", "nano+gligen", good_scene),
    Case("no model at a path", OPTION + "--model {d}/none.ckpt", "no model at", "check the path", good_scene),
    Case("model is a scene", OPTION + "--model {d}/good.json", "not a model file", ".safetensors", good_scene),
    Case("model not fetched", OPTION + "--model sd15", "not on this machine", "models pull sd15", good_scene),
    Case("model without a file", OPTION + "--model {d}/partial", "unet", "", files.partial_model),
    Case("adapter cut off", OPTION + "--model {t}+gligen:{d}/broken.safetensors", "broken", "", files.broken_adapter),
    Case("adapter of another backbone", OPTION + "--model {t}+gligen:{d}/other.safetensors",
         "was trained on", "--allow-other-backbone", files.other_adapter),
    Case("scheduler misspelt", DRAW + "--scheduler eulr", "'eulr'", "euler", good_scene),
    Case("device misspelt", DRAW + "--device cdua", "'cdua'", "cuda", good_scene),
    Case("device not there", DRAW + "--device cuda", "no device 'cuda'", "cpu", good_scene, skip=CUDA),
    Case("number type misspelt", DRAW + "--dtype float23", "'float23'", "float32", good_scene),
    Case("too many instances", "generate {d}/crowd.json --model {m} --out {d}/out", "7 instances",
         "--overflow largest", files.crowd),
    Case("200 instances", "generate {d}/crowd.json --model {m} --out {d}/out", "200 instances",
         "--overflow largest", files.big_crowd),
    # masks
    Case("masks without being asked", OPTION + "--classes cat", "--classes was given without --ground", "add --ground", good_scene),
    Case("class of no name", OPTION + "--ground --classes cat,,dog", "class number 2", "--classes cat,dog", good_scene),
    Case("empty list of classes", OPTION + "--ground --classes=", "is empty", "scene's phrases", good_scene),
    Case("class of stop words", DRAW + "--ground --head {h} --classes of", "'of' names nothing", "leave it out", good_scene),
    Case("class of signs", OPTION + "--ground --classes !!", "has no letter", "a class is a name", good_scene),
    Case("nothing to look for", "generate --prompt grass --ground --out {d}/out", "nothing to look for", "--classes"),
    Case("ground rule misspelt", OPTION + "--ground --ground-rule argmx", "'argmx'", "argmax", good_scene),
    Case("ground threshold one", OPTION + "--ground --ground-threshold 1", "threshold is 1.0", "0.5 is usual", good_scene),
    Case("no head for the model", DRAW + "--ground", "no grounding head for", "--head FILE", good_scene),
    Case("no head at a path", DRAW + "--ground --head {d}/no.safetensors", "no grounding head at", "check the path", good_scene),
    Case("head is a layout adapter", DRAW + "--ground --head {a}", "of the kind gligen", "grounding head", good_scene),
    Case("head cut off", DRAW + "--ground --head {d}/broken.safetensors", "broken", "", files.broken_adapter),
    Case("head of another backbone", DRAW + "--ground --head {d}/head.safetensors", "was trained on",
         "--allow-other-backbone", files.other_head),
    Case("head of other taps", DRAW + "--ground --head {d}/taps.safetensors", "the head reads levels of",
         "fits the network", files.other_taps),
    Case("model is a head", OPTION + "--model {t}+grounding:{h}", "finds things in pictures", "scenewright ground", good_scene),
    Case("picture to look at is missing", "ground {d}/god.png --classes cat --out {d}/out", "there is no file", "good", good_scene),
    Case("photograph of nothing known", "ground {d}/plain.png --out {d}/out", "is no record", "--classes", files.plain_png),
    Case("picture cut off", "ground {d}/cut.png --classes cat --out {d}/out", "cut.png", "", files.cut_png),
    Case("no picture in a folder", "ground {d} --classes cat --out {d}/out", "there is no picture in", ".png", good_scene),
    # results
    Case("result folder is a file", "generate {d}/good.json --model {m} --out {d}/taken", "taken",
         "file where a folder", files.occupied),
    Case("result folder below a file", "generate {d}/good.json --model {m} --out {d}/taken/a/b", "taken",
         "is a file, not a folder", files.occupied),
    Case("no permission", "generate {d}/good.json --model {m} --out {d}/locked/out", "locked", "permission",
         files.locked, skip=os.geteuid() == 0),
    Case("made in another way", "generate {d}/good.json --model {m} --out {d}", "another way",
         "--overwrite", files.other_settings),
    # other commands
    Case("unknown command", "genrate", "'genrate'", "generate"),
    Case("unknown subcommand", "models lst", "lst", ""),
    Case("unknown recipe", "train nano-vea --out {d}/out", "no recipe 'nano-vea'", ""),
    Case("unknown key of a recipe", "train nano-vae --set loop.stesp=1 --out {d}/out", "loop.stesp", "loop.steps"),
    Case("value of a recipe", "train nano-vae --set loop.steps=-1 --out {d}/out", "loop.steps", ""),
    Case("demo with no steps", "demo --steps 0 --out {d}/out", "steps is 0", "usual"),
    Case("unknown world", "world sample --world toybx --out {d}/out", "'toybx'", "toybox"),
    Case("unknown look", "world sample --world town --look foggy --out {d}/out", "'foggy'", "fog"),
    Case("world of no pictures", "world sample --count 0 --out {d}/out", "count 0", ""),
    Case("adding a missing model", "models add {d}/nothing --name x", "nothing", ""),
    Case("checking an unknown model", "models check nnao", "'nnao'", "nano"),
    Case("pulling an unknown model", "models pull nnao", "'nnao'", "nano"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_places(
    tiny_model: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of added models of its own, with a nano, and an empty hub cache."""
    home = tmp_path_factory.mktemp("home")
    added = {"nano": {"path": tiny_model.partition("+")[0], "kind": "backbone"}}
    (home / "models.json").write_text(json.dumps(added))
    monkeypatch.setenv("SCENEWRIGHT_HOME", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))


def filled(command: str, folder: Path, model: str, head: Path = Path()) -> list[str]:
    """The words of a command with its places filled in."""
    base, _, adapter = model.partition("+gligen:")
    places = {"{d}": str(folder), "{m}": model, "{t}": base, "{a}": adapter, "{h}": str(head)}
    words = command.split()
    for mark, place in places.items():
        words = [word.replace(mark, place) for word in words]
    return words


def listing(folder: Path) -> dict[str, int]:
    """Every file and folder below `folder` with its size."""
    return {str(path): path.stat().st_size for path in sorted(folder.rglob("*"))}


def check(case: Case, code: int, err: str) -> None:
    """One error, as it should be."""
    lines = [line for line in err.splitlines() if not line.startswith(("note: ", "warning: "))]
    assert code == case.code, err
    assert "Traceback" not in err
    assert lines[0].startswith("error: ") and case.says in lines[0], err
    assert len(lines) == 2 and lines[1].startswith("hint: ") and case.hints in lines[1], err


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 45
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_one_clear_message(case: Case, cli: Any, tiny_model: str, tiny_head: Path, tmp_path: Path) -> None:
    if case.skip:
        pytest.skip("does not apply to this machine or user")
    if case.make:
        case.make(tmp_path, tiny_model)
    before = listing(tmp_path)
    ended = cli(*filled(case.command, tmp_path, tiny_model, tiny_head))
    check(case, ended.code, ended.err)
    assert ended.out == ""
    assert listing(tmp_path) == before


def test_unwise_scenes_are_drawn_with_a_note(cli: Any, tiny_model: str, tmp_path: Path) -> None:
    """Identical boxes are told with their overlap, a mask outside of its box with its share; both are drawn."""
    files.unwise(tmp_path)
    ended = cli(*filled("generate {d}/unwise.json --model {m} --steps 1 --out {d}/out", tmp_path, tiny_model))
    assert ended.code == 0 and (tmp_path / "out" / "unwise.png").is_file()
    assert "take nearly the same place (overlap 1.00)" in ended.err
    assert "of the mask of" in ended.err and "lies outside its box" in ended.err


@pytest.mark.parametrize("name", ["not JSON", "unknown command", "steps zero"])
def test_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    if case.make:
        case.make(tmp_path, "")
    before = listing(tmp_path)
    words = [sys.executable, "-m", "scenewright", *filled(case.command, tmp_path, "")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    check(case, done.returncode, done.stderr)
    assert done.stdout == "" and listing(tmp_path) == before


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes, as on a disk that is about to be full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 2000], ids=["nothing-fits", "no-picture-fits"])
def test_full_disk(limit: int, cli: Any, tiny_model: str, tmp_path: Path) -> None:
    good_scene(tmp_path, "")
    before = listing(tmp_path)
    with small_files(limit):
        ended = cli(*filled(DRAW, tmp_path, tiny_model))
    check(Case("full disk", DRAW, "cannot write", "larger than"), ended.code, ended.err)
    assert listing(tmp_path) == before


def test_what_cannot_be_drawn_is_recorded_and_the_rest_goes_on(
    cli: Any, tiny_model: str, tmp_path: Path
) -> None:
    good_scene(tmp_path, "")
    ended = cli(*filled(DRAW + "--steps 3 --guidance 1e38 --json", tmp_path, tiny_model))
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "1 of 1 pictures failed" in ended.err and "failed.jsonl says why" in ended.err
    line = json.loads((tmp_path / "out" / "failed.jsonl").read_text())
    assert line["name"] == "good" and "no picture" in line["error"] and "--guidance" in line["hint"]
    assert os.listdir(tmp_path / "out") == ["failed.jsonl"]
    assert cli(*filled(DRAW, tmp_path, tiny_model)).code == 0
    assert not (tmp_path / "out" / "failed.jsonl").exists()


def test_no_instances_is_fine(cli: Any, tiny_model: str, tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps({**GOOD, "instances": []}))
    ended = cli(*filled(DRAW, tmp_path, tiny_model))
    assert ended.code == 0 and ended.err.count("error") == 0
    assert Record.load(tmp_path / "out" / "good.png").scene.instances == ()


def test_a_long_prompt_warns_with_what_is_cut(cli: Any, tiny_model: str, tmp_path: Path) -> None:
    words = "a red car and " * 30 + "one last lonely zebra"
    ended = cli("generate", "--prompt", words, "--model", tiny_model, "--steps", 1, "--size", 64,
                "--out", tmp_path / "out")  # fmt: skip
    assert ended.code == 0
    assert "warning: " in ended.err and "left out: " in ended.err and "lonely zebra" in ended.err
