"""Data sets into others and into other formats: split, export, import."""

from __future__ import annotations

import collections
import json
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from halves import SOURCE, contents, tools, wanted

from scenewright.data import coco
from scenewright.data.detect import read_scenes
from scenewright.errors import InputError, StorageError
from scenewright.evaluate.protocol import sample_key
from scenewright.flows.dataset.build import build
from scenewright.flows.dataset.copies import place
from scenewright.flows.dataset.exports import export
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.imports import UNKNOWN, import_samples, notes, read_sample
from scenewright.flows.dataset.rules import LabelRules
from scenewright.flows.dataset.split import split, validation_keys
from scenewright.flows.dataset.verify import verify
from scenewright.scene import Record
from scenewright.world import toybox


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of few scenes: pairs of four classes, in either order."""
    out = tmp_path_factory.mktemp("data") / "things"
    rules = LabelRules(score=0.0, area=0.0, agreement=0.0)
    build(tools(rules=rules), wanted(20), out, SOURCE.to_json())
    return out


# --- split -------------------------------------------------------------------------------------------------


def test_no_scene_is_in_both_parts(built: Path, tmp_path: Path) -> None:
    data = Dataset.open(built)
    found = split(data, tmp_path, 0.3)
    parts = {part: Dataset.open(tmp_path / part) for part in ("train", "val")}
    names = {part: one.kept for part, one in parts.items()}
    assert sorted(names["train"] + names["val"]) == sorted(data.kept)
    scenes = {part: {sample_key(record.scene) for _, record in one.records()} for part, one in parts.items()}
    assert scenes["train"] and scenes["val"] and not scenes["train"] & scenes["val"]
    assert found.pictures == {part: len(own) for part, own in names.items()}
    assert found.scenes == {part: len(own) for part, own in scenes.items()}
    assert 3 <= found.pictures["val"] <= 9
    for part, one in parts.items():
        assert verify(one).problems == ()
        assert one.latent(names[part][0]) is not None
        assert (
            one.description["split"]["part"] == part and one.description["model"] == data.description["model"]
        )


def test_a_split_is_the_same_again_and_another_seed_cuts_elsewhere(built: Path, tmp_path: Path) -> None:
    data = Dataset.open(built)
    split(data, tmp_path / "a", 0.3)
    before = contents(tmp_path / "a")
    split(data, tmp_path / "a", 0.3)
    split(data, tmp_path / "b", 0.3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == before
    split(data, tmp_path / "c", 0.3, seed=1)
    assert Dataset.open(tmp_path / "c" / "val").kept != Dataset.open(tmp_path / "a" / "val").kept
    with pytest.raises(InputError, match="holds another data set, split with"):
        split(data, tmp_path / "a", 0.3, seed=1)


def test_a_split_that_was_cut_off_continues(built: Path, tmp_path: Path) -> None:
    data = Dataset.open(built)

    def stop(done: float, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(data, tmp_path / "a", 0.3, on_progress=stop)
    (tmp_path / "a" / "train" / ".0123456789ab.tmp").write_bytes(b"half")
    split(data, tmp_path / "a", 0.3)
    split(data, tmp_path / "b", 0.3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_shares_by_hand() -> None:
    keys = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d"]
    for share in (0.01, 0.2, 0.5, 0.99):
        for seed in range(20):
            chosen = validation_keys(keys, share, seed)
            assert 1 <= len(chosen) <= 3
    ones = [str(k) for k in range(200)]
    assert len(validation_keys(ones, 0.1, 0)) == 20
    with pytest.raises(InputError, match="1 different scene"):
        validation_keys(["a"] * 9, 0.5, 0)


def test_classes_of_one_part_only_are_told(tmp_path: Path) -> None:
    rules = LabelRules(score=0.0, area=0.0)
    single = SOURCE.__class__(classes=SOURCE.classes, per_picture=1, total=8, seed=3)
    build(tools(rules=rules), wanted(8, single), tmp_path / "data", single.to_json())
    found = split(Dataset.open(tmp_path / "data"), tmp_path / "out", 0.3)
    assert set(found.only_in["train"]) | set(found.only_in["val"]) == set(
        one.classes[0] for one in Dataset.open(tmp_path / "data").journal
    )
    assert all("only in" in note for note in found.notes) and found.notes


def test_plain_folders_can_be_split(tmp_path: Path) -> None:
    for seed in range(6):
        toybox.draw(seed, size_px=64).record().save(tmp_path / "world", f"toy-{seed}")
    split(Dataset.open(tmp_path / "world"), tmp_path / "out", 0.5)
    assert len(Dataset.open(tmp_path / "out" / "val").kept) == 3
    assert verify(Dataset.open(tmp_path / "out" / "train")).problems == ()


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5])
def test_shares_that_leave_a_part_empty_are_refused(built: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match="expected a number between 0 and 1"):
        split(Dataset.open(built), tmp_path / "out", share)
    assert not (tmp_path / "out").exists()


def test_foreign_folders_are_not_split_into(built: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        split(Dataset.open(built), tmp_path, 0.3)
    assert [path.name for path in tmp_path.iterdir()] == ["val"]


def test_second_names_and_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    place(tmp_path / "a", tmp_path / "b" / "a")
    assert (tmp_path / "b" / "a").samefile(tmp_path / "a")
    place(tmp_path / "a", tmp_path / "b" / "a")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    place(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "x" and not (tmp_path / "c").samefile(tmp_path / "a")
    with pytest.raises(StorageError, match="there is no file"):
        place(tmp_path / "none", tmp_path / "d")
    assert not list(tmp_path.rglob(".*"))


# --- export ------------------------------------------------------------------------------------------------


def test_coco_gives_the_masks_back(built: Path, tmp_path: Path) -> None:
    data = Dataset.open(built)
    file = export(data, "coco", tmp_path / "coco")
    scenes = {Path(scene.picture.path).stem: scene for scene in read_scenes(file)}  # type: ignore[union-attr,arg-type]
    assert set(scenes) == set(data.kept)
    for name, record in data.records():
        assert np.array_equal(Record.load(tmp_path / "coco" / "images" / f"{name}.png").image, record.image)
        found = {one.category: one.mask for one in scenes[name].instances}
        assert found == {one.category: record.masks[one.id] for one in record.scene.instances}
    pycocotools = pytest.importorskip("pycocotools.coco")
    theirs = pycocotools.COCO(str(file))
    row = theirs.loadAnns(theirs.getAnnIds())[0]
    picture = theirs.loadImgs(row["image_id"])[0]["file_name"]
    record = data.record(Path(picture).stem)
    category = theirs.loadCats(row["category_id"])[0]["name"]
    (id,) = [one.id for one in record.scene.instances if one.category == category]
    assert np.array_equal(theirs.annToMask(row).astype(bool), record.masks[id].array())


def test_only_labelled_things_are_exported(tmp_path: Path) -> None:
    record = toybox.draw(5, size_px=64, count=(3, 3)).record()
    some = record.replace(masks=dict(list(record.masks.items())[:1]))
    some.save(tmp_path / "plain", "one")
    file = export(Dataset.open(tmp_path / "plain"), "coco", tmp_path / "coco")
    (scene,) = coco.from_json(json.loads(file.read_text()), "it")
    assert len(scene.instances) == 1


def test_exports_are_whole_or_refused(built: Path, tmp_path: Path) -> None:
    data = Dataset.open(built)
    with pytest.raises(InputError, match="no export format 'cocoo'") as caught:
        export(data, "cocoo", tmp_path / "out")
    assert "coco" in caught.value.hint
    with pytest.raises(InputError, match="is the data set itself"):
        export(data, "coco", built)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"mine\.txt"):
        export(data, "coco", tmp_path)
    export(data, "coco", tmp_path / "out")
    before = contents(tmp_path / "out")
    export(data, "coco", tmp_path / "out")
    assert contents(tmp_path / "out") == before


# --- import ------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the published generator writes it, small."""
    kind = type("PromptsMultiClassSegmentationSample", (), {"__module__": "data"})
    module = types.ModuleType("data")
    module.PromptsMultiClassSegmentationSample = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "data", module)
    folder = tmp_path / "generated_dataset"
    (folder / "samples").mkdir(parents=True)
    for k in range(4):
        drawn = toybox.draw(k, size_px=64)
        sample = kind()
        sample.image = drawn.image
        sample.masks = [np.zeros((64, 64), np.int64), np.zeros((64, 64), np.int64)]
        sample.masks[0][4:20, 8:40] = 1
        sample.masks[1][30:50, k : k + 9] = 1
        sample.labels = ["cat", "aeroplane"]
        sample.unet_features = collections.defaultdict(list, {"low": [torch.zeros(1, 8, 2, 2)]})
        sample.visual_labels = sample.camera_parameters = None
        (folder / "samples" / f"1690000000_{k}.pk").write_bytes(pickle.dumps(sample))
    return folder


def test_published_samples_come_in(published: Path, tmp_path: Path) -> None:
    built = import_samples(published, tmp_path / "out")
    assert built.count("kept") == built.fresh == 4
    data = Dataset.open(tmp_path / "out")
    assert verify(data).problems == ()
    record = data.record("1690000000_2")
    assert np.array_equal(record.image, toybox.draw(2, size_px=64).image)
    assert [one.category for one in record.scene.instances] == ["cat", "aeroplane"]
    assert record.masks["i1"].area_px == 16 * 32 and record.masks["i2"].area_px == 20 * 9
    assert record.scene.prompt == "" and record.scene.seed is None
    assert set(record.provenance["unknown"]) >= {"prompt", "seed", "latent", "scores", "model"}
    assert data.latent("1690000000_2") is None and data.description["kind"] == "imported"
    assert set(data.description["unknown"]) == set(UNKNOWN) and len(notes(False)) == len(UNKNOWN)


def test_prompts_can_be_presumed(published: Path, tmp_path: Path) -> None:
    import_samples(published, tmp_path / "out", presume_prompts=True)
    record = Dataset.open(tmp_path / "out").record("1690000000_0")
    assert record.scene.prompt == "a photograph of a cat and an aeroplane"
    assert record.provenance["presumed"] == ["prompt"] and "prompt" not in record.provenance["unknown"]
    assert len(notes(True)) == len(UNKNOWN) - 1
    with pytest.raises(InputError, match="presume_prompts True, now False"):
        import_samples(published, tmp_path / "out")


def test_damaged_samples_are_recorded_and_the_others_come_in(published: Path, tmp_path: Path) -> None:
    samples = published / "samples"
    bad = samples / "1690000000_1.pk"
    bad.write_bytes(bad.read_bytes()[:5000])
    (samples / "other.pk").write_bytes(pickle.dumps(collections.Counter()))
    built = import_samples(published, tmp_path / "out")
    assert built.count("kept") == 3 and built.count("failed") == 2
    failed = {one.name: one for one in built.entries if one.state == "failed"}
    assert "cannot be read" in failed["1690000000_1"].error and "Counter" in failed["other"].error
    before = contents(tmp_path / "out")
    assert import_samples(published, tmp_path / "out").fresh == 0
    assert contents(tmp_path / "out") == before


def resaved(published: Path, number: int, **changes: object) -> Path:
    path = published / "samples" / f"1690000000_{number}.pk"
    sample = pickle.loads(path.read_bytes())
    for key, value in changes.items():
        if value is ...:
            delattr(sample, key)
        else:
            setattr(sample, key, value)
    path.write_bytes(pickle.dumps(sample))
    return path


def test_odd_samples(published: Path, tmp_path: Path) -> None:
    refined = np.zeros((64, 64), np.float32)
    refined[:8], refined[8:16] = 0.9, 0.2
    resaved(published, 0, masks=[refined, refined])
    resaved(published, 1, masks=[np.zeros((64, 64), int), np.ones((64, 64), int)])
    resaved(published, 2, image=..., visual_labels=["fluffy"], camera_parameters=["long shot"])
    resaved(published, 3, masks=[np.zeros((8, 8), int), np.ones((8, 8), int)])
    (published / "images").mkdir()
    toybox.draw(9, size_px=64).record().save(published / "images", "1690000000_2")
    built = import_samples(published, tmp_path / "out")
    assert [one.state for one in built.entries] == ["kept", "refused", "kept", "failed"]
    assert str(built.entries[1].reasons[0]) == "cat not found"
    assert "size_hw" in built.entries[3].error
    data = Dataset.open(tmp_path / "out")
    assert data.record("1690000000_0").masks["i1"].area_px == 8 * 64, "shares above one half"
    third = data.record("1690000000_2")
    assert np.array_equal(third.image, toybox.draw(9, size_px=64).image)
    assert third.scene.extra["published"]["camera_parameters"] == ["long shot"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": []}, "expected a list of labels"),
        ({"labels": ["cat"]}, "2 masks for 1 labels"),
        ({"labels": ["cat", 3]}, "expected a list of labels"),
        ({"masks": ["x", "y"]}, "no array of height and width"),
        ({"masks": ...}, "without masks"),
    ],
)
def test_samples_whose_parts_do_not_fit_are_refused(published: Path, changes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_sample(resaved(published, 0, **changes))


def test_older_samples_with_one_mask(published: Path) -> None:
    mask = np.ones((64, 64), int)
    path = resaved(published, 0, masks=..., labels=..., mask=mask, label="dog")
    sample = read_sample(path)
    assert sample.labels == ("dog",) and sample.masks[0].all()


def test_folders_without_samples(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no folder"):
        import_samples(tmp_path / "none", tmp_path / "out")
    with pytest.raises(InputError, match="no samples in"):
        import_samples(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
