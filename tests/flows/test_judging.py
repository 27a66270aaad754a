"""Judges are run once: findings are kept, used again, and made anew when the picture is another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from judged_folders import clip, detector, looks, oracle, segmenter, streets, toys

from scenewright.errors import ModelError, StorageError
from scenewright.evaluate.protocol import LAYOUT, PICTURES, SEMANTIC
from scenewright.flows import judging
from scenewright.flows.judging import Places, card_of, choose_judges, judge_samples
from scenewright.flows.readings import pack, unpack
from scenewright.flows.samples import read_samples
from scenewright.models.judges.store import load_judge
from scenewright.world import toybox


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys(tmp_path_factory.mktemp("toys"), 5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector(tmp_path_factory.mktemp("judges") / "tiny.safetensors")


def test_card_says_what_the_file_is(weights: Path) -> None:
    card = card_of(weights)
    assert card.kind == "detector" and card.id == load_judge(weights).id and card.id.startswith("tiny@")
    assert card.ceilings["class"] == 0.98 and "car" in card.labels["classes"]


def test_findings_are_kept_and_used_again(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, card, places = read_samples(folder).samples, card_of(weights), Places(tmp_path)
    told: list[tuple[float, int]] = []
    first = judge_samples(
        card, samples, places, device="cpu", on_progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (5, 5) and [one.picture for one in first] == [one.name for one in samples]
    assert any(one.found for one in first) and all(one.judge == card.id for one in first)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / card.id).iterdir()}
    assert len(files) == 6  # and the card

    def refuse(*_: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr(judging, "_load", refuse)
    assert judge_samples(card, samples, places, device="cpu") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / card.id).iterdir()} == files


def test_only_what_is_missing_is_judged(folder: Path, weights: Path, tmp_path: Path) -> None:
    samples, card, places = read_samples(folder).samples, card_of(weights), Places(tmp_path)
    first = judge_samples(card, samples, places, device="cpu")
    lost = tmp_path / card.id / f"{samples[2].name}.findings.json"
    content, other = lost.read_bytes(), tmp_path / card.id / f"{samples[1].name}.findings.json"
    lost.unlink()
    stamp = other.stat().st_mtime_ns
    assert judge_samples(card, samples, places, device="cpu") == first
    assert lost.read_bytes() == content and other.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("damage", [b"{", b'{"picture": 3}', b""])
def test_damaged_findings_are_made_anew(folder: Path, weights: Path, tmp_path: Path, damage: bytes) -> None:
    samples, card, places = read_samples(folder).samples, card_of(weights), Places(tmp_path)
    first = judge_samples(card, samples, places, device="cpu")
    (tmp_path / card.id / f"{samples[0].name}.findings.json").write_bytes(damage)
    assert judge_samples(card, samples, places, device="cpu") == first


def test_another_picture_of_the_same_name_is_judged_anew(folder: Path, weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    card, places = card_of(weights), Places(tmp_path / "findings")
    first = judge_samples(card, read_samples(copy).samples, places, device="cpu")
    name = sorted(path.stem for path in copy.glob("*.png"))[0]
    toybox.draw(77).record().save(copy, name)
    samples = read_samples(copy).samples
    second = {one.picture: one for one in judge_samples(card, samples, places, device="cpu")}
    before = {one.picture: one for one in first}
    assert second[name].extra["pixels"] != before[name].extra["pixels"]
    assert all(second[other] == before[other] for other in before if other != name)


def test_findings_do_not_depend_on_what_was_there(folder: Path, weights: Path, tmp_path: Path) -> None:
    """Batches have fixed members: the pictures one after another, or all at once."""
    samples, card = read_samples(folder).samples, card_of(weights)
    at_once = judge_samples(card, samples, Places(tmp_path / "a"), device="cpu")
    for one in at_once[:3]:
        one.write(tmp_path / "b" / card.id)
    assert judge_samples(card, samples, Places(tmp_path / "b"), device="cpu") == at_once


def test_read_only_findings_are_found_elsewhere(folder: Path, weights: Path, tmp_path: Path) -> None:
    samples, card = read_samples(folder).samples, card_of(weights)
    first = judge_samples(card, samples, Places(tmp_path / "theirs"), device="cpu")
    there = Places(tmp_path / "mine", (tmp_path / "theirs",))
    assert judge_samples(card, samples, there, device="cpu") == first
    assert not (tmp_path / "mine").exists()


def test_every_kind_of_judge_is_read(tmp_path: Path) -> None:
    street = streets(tmp_path / "streets", 2)
    samples, places = read_samples(street).samples, Places(tmp_path / "findings")
    (seen, *_) = judge_samples(card_of(segmenter(tmp_path / "s.safetensors")), samples, places, device="cpu")
    assert seen.extra["labels"]["vocabulary"] == "town"
    (look, *_) = judge_samples(card_of(looks(tmp_path / "l.safetensors")), samples, places, device="cpu")
    assert look.extra["look"] in look.extra["shares"] and sum(look.extra["shares"].values()) == pytest.approx(
        1, abs=1e-3
    )
    samples = read_samples(toys(tmp_path / "toys", 3)).samples
    card = card_of(clip(tmp_path / "c.safetensors"))
    found = judge_samples(card, samples, places, device="cpu")
    net = load_judge(tmp_path / "c.safetensors").net
    for one, sample in zip(found, samples, strict=True):
        vector_D = unpack(one.extra["features"])
        assert np.allclose(vector_D, net.embed_images([sample.image()])[0], atol=1e-5)
        cosine = float(vector_D @ net.embed_texts([sample.scene.prompt])[0])
        assert one.extra["caption"] == pytest.approx(cosine, abs=1e-4)
        assert set(one.extra["local"]) == set(sample.scene.ids)
        assert set(one.extra["local"][sample.scene.ids[0]]) <= {"colour", "texture"}


def test_vectors_as_text() -> None:
    vector_D = np.random.default_rng(0).normal(size=7).astype(np.float32)
    assert np.array_equal(unpack(pack(vector_D)), vector_D)


def test_judges_are_chosen_by_their_kind(weights: Path, tmp_path: Path) -> None:
    places = Places(tmp_path)
    chosen = choose_judges([str(weights)], LAYOUT, places)
    assert chosen["detector"].id == card_of(weights).id
    with pytest.raises(ModelError, match="is a detector; semantic does not use one"):
        choose_judges([str(weights)], SEMANTIC, places)
    with pytest.raises(ModelError, match="no judge 'detektor'"):
        choose_judges(["detektor"], LAYOUT, places)


def test_judges_that_are_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(judging, "_embedded", lambda: [])
    with pytest.raises(ModelError, match="pictures needs a judge of kind clip") as fault:
        choose_judges([], PICTURES, Places(tmp_path))
    assert "--judge" in fault.value.hint


def test_stored_findings_stand_for_their_judge(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(judging, "_embedded", lambda: [])
    id = oracle(folder, tmp_path)
    places = Places(tmp_path)
    for names in ([], [id]):
        card = choose_judges(names, LAYOUT, places)["detector"]
        assert card.id == id and card.file is None
        assert len(judge_samples(card, read_samples(folder).samples, places)) == 5
    (tmp_path / id / next(iter(p.name for p in (tmp_path / id).glob("*.findings.json")))).unlink()
    with pytest.raises(ModelError, match="1 pictures have no findings of oracle"):
        judge_samples(card, read_samples(folder).samples, places)
    (tmp_path / "other@11111111").mkdir()
    card_file = json.loads((tmp_path / id / "judge.json").read_text())
    (tmp_path / "other@11111111" / "judge.json").write_text(json.dumps({**card_file, "id": "other@11111111"}))
    with pytest.raises(ModelError, match="several judges"):
        choose_judges([], LAYOUT, places)


def test_findings_that_cannot_be_written(folder: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        judge_samples(
            card_of(weights), read_samples(folder).samples, Places(tmp_path / "file" / "x"), device="cpu"
        )
