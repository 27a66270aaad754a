"""What is asked for: reading, names, sizes and seeds, before any model is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.flows.jobs import Named, Request, jobs, read, sized
from scenewright.flows.options import GenerateOptions, parse_gate, parse_size
from scenewright.scene import Box, ImageRef, Instance, Scene

CAT = Instance("a cat", box=Box(0.0, 0.2, 0.2, 0.6))
NATIVE = (128, 128)


def written(folder: Path, name: str, scene: Scene) -> Path:
    scene.write(folder / name)
    return folder / name


def test_names_come_from_files_prompts_and_photographs(tmp_path: Path) -> None:
    one = written(tmp_path, "two cats.scene.json", Scene("cats", (64, 64)))
    many = tmp_path / "list.json"
    many.write_text(json.dumps([{"prompt": "a", "classes": ["cat"]}] * 11))
    found = read(Request(files=(one, many), prompts=("A red car!", "a red car", "***", "sheet")))
    names = [named.name for named in found]
    assert names[:3] == ["two-cats", "list-01", "list-02"]
    assert names[-4:] == ["a-red-car", "a-red-car-2", "picture", "sheet-2"]
    assert len({name.lower() for name in names}) == len(names) == 16


def test_coco_scenes_are_named_after_their_photographs_and_fitted(data_dir: Path) -> None:
    request = Request(files=(data_dir / "coco100" / "annotations" / "instances_train2017.json",))
    scenes = read(request)
    assert len(scenes) == 100 and all(named.name.isdigit() for named in scenes)
    fitted, notes = sized(scenes, request, NATIVE)
    assert {named.scene.size_wh for named in fitted} == {NATIVE}
    assert all(named.scene.picture is None for named in fitted)
    assert notes[0].startswith("100 scenes fitted to 128x128") and "left the canvas" in notes[0]
    assert all(named.scene.prompt for named in fitted if named.scene.instances)


def test_sizes(tmp_path: Path) -> None:
    plain = Scene("a cat", (64, 64), (CAT,))
    photo = plain.replace(size_wh=(100, 75), picture=ImageRef("a.jpg"))
    scenes = [Named("plain", plain), Named("photo", photo), *read(Request(prompts=("a dog",)))]
    found, notes = sized(scenes, Request(prompts=("x",)), NATIVE)
    assert [named.scene.size_wh for named in found] == [(64, 64), NATIVE, NATIVE]
    assert found[0].scene == plain
    assert notes[0].startswith("1 scene fitted to 128x128")
    assert notes[1].startswith("1 scene of 64x64, but the model was trained at 128x128")
    found, notes = sized(scenes, Request(prompts=("x",), size_wh=(96, 48)), NATIVE)
    assert {named.scene.size_wh for named in found} == {(96, 48)}
    assert notes == ("2 scenes fitted to 96x48 (middle kept)",)


def test_a_crop_says_what_it_lost() -> None:
    wide = Scene("a cat", (200, 100), (CAT,), picture=ImageRef("a.jpg"))
    found, notes = sized([Named("wide", wide)], Request(prompts=("x",)), NATIVE)
    assert found[0].scene.instances == ()
    assert notes == ("1 scene fitted to 128x128 (middle kept); 1 instance left the canvas",)


def test_seeds_asked_for_then_the_scenes_own_then_its_hash() -> None:
    named = [Named("a", Scene("a", NATIVE, seed=5)), Named("b", Scene("b", NATIVE))]
    auto = named[1].scene.auto_seed()
    assert [job.seed for job in jobs(named, Request(prompts=("x",)))] == [5, auto]
    assert [job.seed for job in jobs(named, Request(prompts=("x",), seed=70))] == [70, 71]
    several = jobs(named, Request(prompts=("x",), count=3))
    assert [job.seed for job in several] == [5, 6, 7, auto, auto + 1, auto + 2]
    assert [job.name for job in several] == ["a-1", "a-2", "a-3", "b-1", "b-2", "b-3"]
    counted = [job.seed for job in jobs(named, Request(prompts=("x",), count=3, seed=70))]
    assert counted == [70, 71, 72, 73, 74, 75]


def test_gate_and_size_words() -> None:
    assert parse_gate("1") == (1.0, 0.0, 0.0)
    assert parse_gate("0.25") == (0.25, 0.0, 0.75)
    assert parse_gate("0.5, 0.25,0.25") == (0.5, 0.25, 0.25)
    assert parse_size("192x96") == (192, 96) and parse_size("64") == (64, 64)
    for word in ("", "a", "0.1,0.2", "2", "-0.1", "nan", "0.5,0.5,0.5"):
        with pytest.raises(InputError, match="gate"):
            parse_gate(word)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": True},
        {"steps": 2.0},
        {"batch": 0},
        {"guidance": float("nan")},
        {"guidance": "4"},
        {"gate": (1.0, 0.0)},
        {"gate": [1.0, 0.0, 0.0]},
        {"overflow": "smallest"},
    ],
)
def test_options_say_what_is_wrong(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))) as caught:
        GenerateOptions(**wrong)
    assert caught.value.hint
