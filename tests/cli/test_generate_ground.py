"""``scenewright generate --ground`` and ``ground`` as a user runs them, on a tiny model with a tiny head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenewright.scene import Mask, Record

ROOT = Path(__file__).resolve().parents[2]
POSTER = ROOT / "examples" / "grounding-poster.prompts.json"
HEADLINE = "a photograph of a basketball with a cat standing on top of it on a field long shot"


@pytest.fixture
def quick(tiny_model: str, tiny_head: Path, tmp_path: Path) -> list[object]:
    """Options that keep drawing short."""
    return [
        "--model", tiny_model, "--steps", 2, "--size", 64, "--out", tmp_path / "out", "--ground", "--head",
        tiny_head,
    ]  # fmt: skip


def test_the_published_headline_command(cli, quick, tmp_path: Path) -> None:
    words = ["--prompt", HEADLINE, "--classes", "cat,basketball", "--seed", 2147483647, "--cutouts"]
    ended = cli("generate", *words, *quick)
    assert ended.code == 0, ended.err
    out = tmp_path / "out"
    picture = Path(ended.out.splitlines()[0])
    assert picture.parent == out
    ends = ("", ".overlay", ".cat.mask", ".basketball.mask", ".cat.cutout", ".basketball.cutout")
    expected = {f"{picture.stem}{end}.png" for end in ends} | {f"{picture.stem}.scene.json", "sheet.png"}
    assert {path.name for path in out.iterdir()} == expected
    record = Record.load(picture)
    assert record.provenance["seed"] == 2147483647 and len(record.masks) == 2
    assert record.provenance["grounding"]["classes"] == ["cat", "basketball"]
    assert "does not speak of" not in ended.err


def test_json_names_the_masks(cli, quick, tmp_path: Path) -> None:
    words = ["generate", "--prompt", "a cat", "--classes", "cat", "--classes", "zebra", "--json", *quick]
    ended = cli(*words, "--compare-detector", "--ground-rule", "independent", "--ground-threshold", 0.4)
    assert ended.code == 0, ended.err
    first = json.loads(ended.out.splitlines()[0])
    assert set(first["masks"]) == {"cat", "zebra"} and "cutouts" not in first
    assert all(Mask.from_png(Path(path)).size_hw == (64, 64) for path in first["masks"].values())
    assert "the prompt does not speak of 'zebra'" in ended.err
    record = Record.load(first["picture"])
    assert (record.provenance["grounding"]["rule"], record.provenance["grounding"]["threshold"]) == (
        "independent", 0.4,
    )  # fmt: skip
    assert set(record.scores["detector"]["classes"]) == {"cat", "zebra"}
    again = cli(*words, "--compare-detector", "--ground-rule", "independent", "--ground-threshold", 0.4)
    assert json.loads(again.out.splitlines()[0]) == {**first, "state": "kept"}


def test_the_five_poster_prompts(cli, quick, tmp_path: Path) -> None:
    ended = cli("generate", POSTER, *quick)
    assert ended.code == 0, ended.err
    pictures = [Path(line) for line in ended.out.splitlines()[:-1]]
    found = [Record.load(path).provenance["grounding"]["classes"] for path in pictures]
    assert found == [row["classes"].split(",") for row in json.loads(POSTER.read_text())]
    assert "does not speak of" not in ended.err


def test_masks_do_not_change_the_picture(cli, quick, tiny_model: str, tmp_path: Path) -> None:
    scene = ROOT / "examples" / "two-cats.scene.json"
    masked = Record.load(cli("generate", scene, *quick, "--classes", "cat,dog").out.splitlines()[0])
    words = ["--model", tiny_model, "--steps", 2, "--size", 64, "--out", tmp_path / "plain"]
    plain = Record.load(cli("generate", scene, *words).out.splitlines()[0])
    assert plain.image.tobytes() == masked.image.tobytes()
    assert plain.scene.seed == masked.scene.seed
    again = cli("generate", tmp_path / "out" / "two-cats.png", *words[:-1], tmp_path / "again")
    assert again.code == 0 and "expect another picture" not in again.err
    assert Record.load(again.out.splitlines()[0]).image.tobytes() == plain.image.tobytes()


def test_scenes_without_anything_to_look_for(cli, quick, tmp_path: Path) -> None:
    words = ["generate", ROOT / "examples" / "two-cats.scene.json", "--prompt", "grass", *quick]
    ended = cli(*words)
    assert ended.code == 0 and "1 of 2 scenes have no instances and get no masks" in ended.err
    assert not list((tmp_path / "out").glob("grass.*.mask.png"))


def test_pictures_that_are_there(cli, quick, tiny_model: str, tiny_head: Path, tmp_path: Path) -> None:
    drawn = cli("generate", "--prompt", "a cat", "--classes", "cat", *quick).out.splitlines()[0]
    words = ["--model", tiny_model.partition("+")[0], "--head", tiny_head, "--out", tmp_path / "again"]
    spare = cli("ground", drawn, "--classes", "cat", "--prompt", "a farm", *words)
    assert spare.code == 2 and "--prompt was given with records alone" in spare.err
    ended = cli("ground", drawn, "--classes", "cat,dog", "--compare-detector", "--json", *words)
    assert ended.code == 0, ended.err
    first = json.loads(ended.out.splitlines()[0])
    assert first["state"] == "made" and set(first["masks"]) == {"cat", "dog"}
    assert "the prompt does not speak of 'dog'" in ended.err
    record = Record.load(first["picture"])
    assert record.image.tobytes() == Record.load(drawn).image.tobytes()
    assert set(record.scores["detector"]["classes"]) == {"cat", "dog"}
    assert Path(json.loads(ended.out.splitlines()[1])["sheet"]).is_file()
