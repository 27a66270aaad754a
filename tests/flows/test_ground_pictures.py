"""Masks of pictures that are there: records and photographs, of any size, and the command's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.backbone.features import from_picture
from scenewright.backbone.tap_layout import tap_layout
from scenewright.backbone.words import class_vectors
from scenewright.errors import InputError, StorageError
from scenewright.flows.ground import Grounder
from scenewright.flows.ground_folder import PictureRequest, ground_files
from scenewright.flows.ground_masks import class_masks
from scenewright.flows.ground_pictures import ground_pictures, picture_record, shown_wh
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions, GroundOptions
from scenewright.flows.produce import ModelChoice
from scenewright.models.load import load_bundle
from scenewright.scene import Instance, Mask, Record, Scene

SIZE = (128, 128)


@pytest.fixture(scope="module")
def bundle(tiny_model: str):
    return load_bundle(tiny_model.partition("+")[0], "cpu")


@pytest.fixture(scope="module")
def asked(tiny_head: Path) -> GroundOptions:
    return GroundOptions(head=str(tiny_head), rule="independent")


@pytest.fixture(scope="module")
def grounder(bundle, asked) -> Grounder:
    return Grounder.load(bundle, asked)


def record(width: int = 128, height: int = 128, seed: int = 0) -> Record:
    image_HW3 = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    scene = Scene("a cat and a dog", (width, height), (Instance("a cat"), Instance("a dog")), seed=seed)
    return Record(image_HW3, scene, provenance={"steps": 3})


def test_masks_are_what_the_head_says_of_the_noised_picture(bundle, grounder) -> None:
    records = [record(seed=1), record(seed=2)]
    found = ground_pictures(records, grounder)
    backbone, config = bundle.backbone, grounder.config
    features = from_picture(
        backbone, np.stack([one.image for one in records]), [one.scene.prompt for one in records], [1, 2], 20,
        tap_layout(backbone.unet, config.layout),
    )  # fmt: skip
    vectors_BKD, _ = class_vectors(backbone, ["", ""], [["cat", "dog"]] * 2)
    logits_BKHW = grounder.head.net(features, vectors_BKD)
    for b, one in enumerate(found):
        for k, mask in enumerate(class_masks(one).values()):
            assert (mask.array() == (logits_BKHW[b, k] > 0).numpy()).mean() > 0.999
        assert one.image is records[b].image and one.provenance["steps"] == 3
        assert one.provenance["grounding"]["classes"] == ["cat", "dog"]
        assert not records[b].masks
    assert ground_pictures(records, grounder) == found


def test_sizes_may_differ_and_masks_have_the_pictures_own(grounder) -> None:
    records = [record(), record(200, 120), record(64, 48), record(1000, 600)]
    told: list[tuple[float, int]] = []
    found = ground_pictures(records, grounder, batch=2, on_progress=lambda *now: told.append(now))
    assert [next(iter(one.masks.values())).size_hw for one in found] == [one.size_hw for one in records]
    assert told[-1] == (4, 4)


def test_what_the_network_is_shown(bundle) -> None:
    assert shown_wh((128, 128), bundle.backbone) == (128, 128)
    assert shown_wh((192, 96), bundle.backbone) == (192, 96)
    assert shown_wh((130, 125), bundle.backbone) == (128, 128)
    assert shown_wh((4000, 2000), bundle.backbone) == (192, 96)
    assert shown_wh((30, 30), bundle.backbone) == (128, 128)
    assert shown_wh((9000, 10), bundle.backbone) == (3840, 32)


def test_photographs(bundle, grounder, asked, tmp_path: Path) -> None:
    plain = np.zeros((90, 150, 3), np.uint8)
    Image.fromarray(plain).save(tmp_path / "cow.jpg")
    photo = picture_record(tmp_path / "cow.jpg", classes=("cow", "hot dog"))
    assert photo.scene.prompt == "a photograph of a cow and a hot dog"
    assert photo.scene.size_wh == (150, 90) and photo.scene.picture.path == "cow.jpg"
    (found,) = Model(bundle).ground([photo], replace(asked, classes=("cow", "hot dog")))
    assert list(class_masks(found)) == ["cow", "hot dog"]
    told = picture_record(tmp_path / "cow.jpg", prompt="a farm", classes=("cow",))
    assert told.scene.prompt == "a farm" and [one.phrase for one in told.scene.instances] == ["cow"]
    with pytest.raises(InputError, match="is no record"):
        picture_record(tmp_path / "cow.jpg")


def test_a_record_of_a_run_can_be_looked_at_again(tiny_model: str, asked) -> None:
    model = Model(load_bundle(tiny_model, "cpu"))
    scene = Scene("a cat", SIZE, (Instance("a cat"),))
    made = model.generate([scene], [3], GenerateOptions(steps=2), ground=asked)[0]
    again = model.ground([made], replace(asked, classes=("cat", "dog")))[0]
    assert set(again.masks) == {"i1", "i2"} and again.provenance["seed"] == 3
    assert again.provenance["grounding"]["by"]["fingerprint"] == model.bundle.backbone.fingerprint


@pytest.fixture
def choice(bundle) -> ModelChoice:
    return ModelChoice(name=bundle.name, device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_files(bundle, asked, choice, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    record(seed=1).save(source, "one")
    Image.fromarray(record(96, 64).image).save(source / "two.webp", lossless=True)
    options, notes = replace(asked, classes=("cat", "zebra"), cutouts=True), []
    request = PictureRequest(files=(source,))
    written = ground_files(request, choice, options, out, on_note=notes.append)
    assert [one.state for one in written.outcomes] == ["made", "made"]
    assert notes == ["one: the prompt does not speak of 'zebra'; looked for all the same"]
    kinds = [f".{label}.{kind}.png" for label in ("cat", "zebra") for kind in ("mask", "cutout")]
    ends = (".png", ".scene.json", ".overlay.png", *kinds)
    assert set(contents(out)) == {f"{n}{e}" for n in ("one", "two") for e in ends} | {"sheet.png"}
    assert Mask.from_png(out / "two.cat.mask.png").size_hw == (64, 96)
    before = contents(out)
    again = ground_files(request, choice, options, out)
    assert [one.state for one in again.outcomes] == ["kept", "kept"] and contents(out) == before
    (out / "two.cat.mask.png").unlink()
    assert [one.state for one in ground_files(request, choice, options, out).outcomes] == ["kept", "made"]
    assert contents(out) == before
    with pytest.raises(InputError, match="without these masks"):
        ground_files(request, choice, replace(options, threshold=0.6), out)
    with pytest.raises(InputError, match="without these masks") as caught:
        ground_files(PictureRequest(files=(source / "one.png",)), choice, asked, source)
    assert "--overwrite" in caught.value.hint and contents(out) == before
    ground_files(PictureRequest(files=(source / "one.png",)), choice, asked, source, overwrite=True)
    assert len(Record.load(source / "one.png").masks) == 2


def test_bad_pictures_are_known_before_anything_is_written(asked, choice, tmp_path: Path) -> None:
    record().save(tmp_path / "in", "one")
    whole = (tmp_path / "in" / "one.png").read_bytes()
    (tmp_path / "in" / "two.png").write_bytes(whole[: len(whole) // 2])
    for files, fault, words in (
        ((tmp_path / "in",), StorageError, "two.png"),
        ((tmp_path / "no.png",), StorageError, "no file"),
        ((), InputError, "no picture was given"),
    ):
        with pytest.raises(fault, match=words):
            ground_files(PictureRequest(files=files), choice, asked, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture in"):
        ground_files(PictureRequest(files=(tmp_path / "empty",)), choice, asked, tmp_path / "out")
    with pytest.raises(InputError, match="steps is 0"):
        PictureRequest(files=(tmp_path,), steps=0)
    assert not (tmp_path / "out").exists()
