"""Edits and chains from files to files: what is kept, what the records say, what lies in the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError, SceneError
from scenewright.flows.edit import EditRequest, chain, edit, edited_name, options_of
from scenewright.flows.generate import generate, render
from scenewright.flows.jobs import Request
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions
from scenewright.flows.produce import ModelChoice
from scenewright.flows.rounds import Round, Rounds, begun, chained, compared, draw, kept_cells
from scenewright.flows.samples import read_samples
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Record, Scene
from scenewright.scene.edits import Add, Move, Remove, apply

SIZE = (64, 64)
OPTIONS = GenerateOptions(steps=3, guidance=3.0)
CAT = Instance("a red cat", id="cat", box=Box(0.0, 0.0, 0.25, 0.25))
DOG = Instance("a blue dog", id="dog", box=Box(0.5, 0.5, 0.75, 0.75))
SCENE = Scene("a cat and a dog", SIZE, (CAT, DOG), seed=3)
MOVED = apply(SCENE, [Move("dog", 0.125, 0.125)])


@pytest.fixture(scope="module")
def bundle(tiny_model: str):
    return load_bundle(tiny_model, "cpu")


@pytest.fixture(scope="module")
def before(bundle) -> Record:
    return next(generate(bundle, [SCENE], [3], OPTIONS))


def outside(one: Record, other: Record, rounds: Rounds, stride: int) -> float:
    """Mean difference of two pictures two cells beside what changed."""
    height, width = one.size_hw
    keep_B1hw = kept_cells(rounds, (height // stride, width // stride))
    inner = -torch.nn.functional.max_pool2d(-keep_B1hw[-1:], 5, stride=1, padding=2)
    far_HW = torch.nn.functional.interpolate(inner, size=(height, width))[0, 0].numpy() == 1
    return float(np.abs(one.image.astype(float) - other.image)[far_HW].mean())


def test_the_first_round_is_the_picture_and_the_rest_is_kept(bundle, before: Record) -> None:
    rounds = Rounds((Round(SCENE), Round(MOVED, 1.0, ("move",))), 3)
    first, second = draw(bundle, rounds, OPTIONS)
    assert np.abs(first.image.astype(int) - before.image).max() <= 1
    assert first.scene == before.scene and first.provenance == before.provenance and not first.scores
    fresh = render(bundle, [MOVED], [4], OPTIONS)[0]
    stride = bundle.backbone.stride
    assert outside(first, second, rounds, stride) * 4 < outside(first, fresh, rounds, stride)
    told = second.scores["edit"]
    assert 0.1 < told["free"] < 0.6 and told["inside"]["mean"] > told["outside"]["mean"]
    assert second.provenance["edit"]["changes"] == ["move"]
    assert [one["scene"] for one in second.provenance["history"]] == [SCENE.to_json()]


def test_without_keeping_it_is_the_picture_of_that_scene_and_seed(bundle) -> None:
    rounds = Rounds((Round(SCENE), Round(MOVED, 0.0)), 3)
    plain = render(bundle, [MOVED], [3], OPTIONS)[0]
    assert np.abs(draw(bundle, rounds, OPTIONS)[1].image.astype(int) - plain.image).max() <= 1


def test_instances_apart_and_edits_go_together(bundle) -> None:
    options = GenerateOptions(steps=4, guidance=3.0, mis=0.5)
    rounds = Rounds(chained([SCENE, MOVED, apply(MOVED, [Remove("cat")])], 1.0), 3)
    made = draw(bundle, rounds, options)
    alone = render(bundle, [SCENE], [3], options)[0]
    assert np.abs(made[0].image.astype(int) - alone.image).max() <= 1
    assert all(
        one.scores["edit"]["inside"]["mean"] > one.scores["edit"]["outside"]["mean"] for one in made[1:]
    )


def test_an_edited_record_is_edited_again(bundle, before: Record) -> None:
    rounds, notes = begun(before, bundle, OPTIONS)
    assert notes == () and rounds.known is None and len(rounds.rounds) == 1
    second = draw(bundle, Rounds((*rounds.rounds, Round(MOVED, 1.0, ("move",))), 3), OPTIONS)[1]
    again, notes = begun(second, bundle, OPTIONS)
    assert notes == () and [one.scene for one in again.rounds] == [SCENE, MOVED]
    assert again.rounds[1].words == ("move",)
    assert np.abs(draw(bundle, again, OPTIONS)[1].image.astype(int) - second.image).max() <= 1


def test_a_finished_picture_is_kept_through_the_autoencoder(bundle, before: Record) -> None:
    drawn_by_hand = Record(before.image, SCENE)
    rounds, notes = begun(drawn_by_hand, bundle, OPTIONS)
    assert rounds.known is not None and "autoencoder" in notes[0]
    other = GenerateOptions(steps=4, guidance=3.0)
    assert "steps" in begun(before, bundle, other)[1][0]
    both = draw(bundle, Rounds((*rounds.rounds, Round(MOVED)), 3, rounds.known), OPTIONS)
    assert both[1].provenance["edit"]["start"] != "seed"
    shown = begun(both[1], bundle, OPTIONS)[0]
    assert shown.known is not None and len(shown.rounds) == 1
    assert both[1].scores["edit"]["outside"]["mean"] < both[1].scores["edit"]["inside"]["mean"]


def test_from_python(bundle, before: Record) -> None:
    moved = Model(bundle).edit(before, [Move("dog", 0.125, 0.125)])
    assert moved.scene == MOVED and moved.provenance["steps"] == 3
    assert moved.provenance["edit"]["changes"] == ["move dog by 0.125, 0.125"]
    again = Model(bundle).edit(moved, [], prompt="two animals", keep=0.0)
    assert again.scene.prompt == "two animals" and len(again.provenance["history"]) == 2


def test_files_of_an_edit(tiny_model, before: Record, tmp_path: Path) -> None:
    start = before.save(tmp_path, "street")
    request = EditRequest(
        start=start, edits=(Move("dog", 0.125, 0.125), Add("a bird", Box(0.5, 0, 0.75, 0.25)))
    )
    choice, out = ModelChoice(name=tiny_model, device="cpu"), tmp_path / "out"
    written = edit(request, choice, GenerateOptions(steps=9), out)
    names = {path.name for path in out.iterdir()}
    ends = (".png", ".scene.json", ".overlay.png", ".strip.png")
    assert names == {f"street-edit{end}" for end in ends}
    record = Record.load(out / "street-edit.png")
    assert record.provenance["steps"] == 3 and record.provenance["seed"] == 3
    assert record.provenance["edit"]["changes"] == ["move dog by 0.125, 0.125", "add a bird"]
    assert [one.phrase for one in record.scene.instances] == ["a red cat", "a blue dog", "a bird"]
    with Image.open(out / "street-edit.strip.png") as strip:
        assert strip.width > 3.5 * 192
    assert written.outcomes[0].to_json()["strip"].endswith("street-edit.strip.png")
    assert edit(request, choice, GenerateOptions(), out).outcomes[0].state == "kept"
    other = EditRequest(start=start, edits=(Remove("dog"),))
    with pytest.raises(InputError, match="made in another way"):
        edit(other, choice, GenerateOptions(), out)
    assert edit(other, choice, GenerateOptions(), out, overwrite=True).outcomes[0].state == "made"
    assert len(read_samples(out).samples) == 1  # the strip is no picture of a scene


def test_files_of_a_chain(tiny_model, tmp_path: Path) -> None:
    rounds = [SCENE, MOVED, MOVED]
    for k, scene in enumerate(rounds):
        scene.replace(seed=None).write(tmp_path / f"r{k + 1}.scene.json")
    request = Request(files=tuple(tmp_path / f"r{k}.scene.json" for k in (1, 2, 3)), seed=8)
    choice, out, notes = ModelChoice(name=tiny_model, device="cpu"), tmp_path / "out", []
    from scenewright.flows.edit import Telling

    written = chain(request, 1.0, choice, OPTIONS, out, tell=Telling(note=notes.append))
    assert notes[-1] == "round 3 asks for the same as the round before"
    records = [Record.load(out / f"r{k}.png") for k in (1, 2, 3)]
    assert [one.provenance["seed"] for one in records] == [8, 8, 8]
    apart = records[1].image.astype(int) - records[2].image
    assert np.abs(apart).max() <= 1  # rows of one batch, to rounding
    assert records[2].scores["edit"]["free"] == 0 and records[2].scores["edit"]["inside"] is None
    assert records[1].provenance["edit"]["changes"] == ["moved a blue dog"]
    with Image.open(written.animation) as moving:
        assert moving.n_frames == 2 or moving.n_frames == 3  # equal frames may be joined
    assert written.sheet.name == "sheet.png" and (out / "r3.strip.png").is_file()
    bytes_before = (out / "r2.png").read_bytes()
    again = chain(request, 1.0, choice, OPTIONS, out)
    assert {one.state for one in again.outcomes} == {"kept"}
    (out / "r2.png").unlink()
    assert {one.state for one in chain(request, 1.0, choice, OPTIONS, out).outcomes} == {"made"}
    assert (out / "r2.png").read_bytes() == bytes_before


def test_options_come_from_the_record_unless_they_are_given(bundle, before: Record) -> None:
    asked = GenerateOptions(steps=7, guidance=1.5, gate=(0.5, 0.0, 0.5))
    assert options_of(before, bundle, asked, ()) == OPTIONS
    assert options_of(before, bundle, asked, {"steps"}).steps == 7
    euler = next(generate(bundle, [SCENE], [3], GenerateOptions(steps=2, scheduler="euler", mis=0.5)))
    found = options_of(euler, bundle, asked, ())
    assert (found.scheduler, found.mis, found.steps) == ("euler", 0.5, 2)
    assert options_of(Record(before.image, SCENE), bundle, asked, ()) == asked


def test_how_much_a_picture_changed() -> None:
    one, other = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    other[:2] = 20
    other[3, 3, 0] = 9
    free = np.zeros((4, 4), dtype=bool)
    free[:2] = True
    told = compared(one, other, free)
    assert told == {
        "free": 0.5, "inside": {"mean": 20.0, "changed": 1.0}, "outside": {"mean": 0.375, "changed": 0.125}
    }  # fmt: skip
    assert compared(one, other, ~np.zeros_like(free))["outside"] is None


def test_what_cannot_be(tiny_model, before: Record, tmp_path: Path) -> None:
    start = before.save(tmp_path, "street")
    choice = ModelChoice(name=tiny_model, device="cpu")
    with pytest.raises(InputError, match="nothing is to be changed"):
        EditRequest(start=start)
    with pytest.raises(SceneError, match="no instance 'dgo'"):
        edit(EditRequest(start=start, edits=(Remove("dgo"),)), choice, OPTIONS, tmp_path / "out")
    with pytest.raises(InputError, match="already is as asked for"):
        edit(EditRequest(start=start, prompt=SCENE.prompt), choice, OPTIONS, tmp_path / "out")
    with pytest.raises(InputError, match="chain of 1 scenes"):
        SCENE.write(tmp_path / "a.scene.json")
        chain(Request(files=(tmp_path / "a.scene.json",)), 1.0, choice, OPTIONS, tmp_path / "out")
    with pytest.raises(InputError, match="2 sizes"):
        Rounds((Round(SCENE), Round(Scene("x", (32, 32)))), 0)
    with pytest.raises(InputError, match="keep is 2"):
        chained([SCENE, MOVED], 2)
    assert not (tmp_path / "out").exists()


def test_names() -> None:
    names = [edited_name(Path(name)) for name in ("a.png", "a-edit.png", "a-edit-2.png", "b.scene.json")]
    assert names == ["a-edit", "a-edit-2", "a-edit-3", "b-edit"]
