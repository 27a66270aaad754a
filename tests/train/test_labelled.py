"""Pictures with class maps: folders of Records, renders, hidden classes, views, ratios."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tiny_family import records

from scenewright.errors import InputError, StorageError
from scenewright.scene import IGNORE, Record, Scene
from scenewright.scene.label_space import LabelSpace, class_map
from scenewright.train.annotated import Annotated
from scenewright.train.labelled import Hidden, Joined, RenderSet, batch, open_records, view
from scenewright.world import town, toybox

THINGS = LabelSpace.of("toybox", things=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return records(tmp_path_factory.mktemp("records"), count=4, size_px=64)


def drawn(count=3):
    return [toybox.draw(90_000 + k, size_px=64) for k in range(count)]


def test_records_of_a_folder_in_order(folder, tmp_path):
    found = open_records([folder], THINGS)
    assert [path.name for path in found.paths] == ["r0.png", "r1.png", "r2.png", "r3.png"]
    for k in range(4):
        image, outputs = found.item(k)
        record = Record.load(folder / f"r{k}.png")
        assert np.array_equal(image, record.image) and np.array_equal(outputs, class_map(record, THINGS))
    assert len(open_records([folder], THINGS, 2)) == 2
    records(tmp_path / "deep" / "below", count=1, size_px=64)
    both = open_records([folder, tmp_path], THINGS)
    assert len(both) == 5 and both.paths[-1].parent.name == "below"


def test_overlays_and_other_pictures_are_no_records(folder, tmp_path):
    for name in ("r0.png", "r0.scene.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    for name in ("r0.overlay.png", "sheet.png", ".r0.png"):
        (tmp_path / name).write_bytes(b"no picture")
    assert len(open_records([tmp_path], THINGS)) == 1


def test_bad_folders(folder, tmp_path):
    with pytest.raises(StorageError, match="there is no folder"):
        open_records([tmp_path / "nothing"], THINGS)
    with pytest.raises(InputError, match="no Record"):
        open_records([tmp_path], THINGS)
    with pytest.raises(InputError, match="9 pictures were asked for"):
        open_records([folder], THINGS, 9)
    Record(np.zeros((64, 64, 3), np.uint8), Scene(prompt="nothing", size_wh=(64, 64))).save(tmp_path, "bare")
    with pytest.raises(InputError, match=r"bare\.png: .*neither masks nor labels"):
        open_records([tmp_path], THINGS)


def test_renders_have_their_exact_maps():
    pictures = drawn()
    found = RenderSet(Annotated.of(pictures), THINGS)
    assert len(found) == 3
    for k, one in enumerate(pictures):
        image, outputs = found.item(k)
        assert np.array_equal(image, one.image)
        assert np.array_equal(outputs, class_map(one.record(), THINGS))
    streets = RenderSet(Annotated.of([town.draw(7, size_wh=(96, 48))]), LabelSpace.of("town"))
    assert streets.item(0)[1].max() < 19


def test_hidden_classes_count_for_nothing():
    shown = RenderSet(Annotated.of(drawn()), THINGS)
    _, whole = shown.item(0)
    there = int(np.unique(whole)[-1])
    _, rest = Hidden(shown, (there,)).item(0)
    assert there > 0 and ((rest == IGNORE) == (whole == there)).all() and rest.dtype == np.uint16
    assert np.array_equal(rest[whole != there], whole[whole != there])


def test_joined_sets():
    one, other = (RenderSet(Annotated.of(drawn()[k : k + 2]), THINGS) for k in (0, 1))
    both = Joined((one, other))
    assert len(both) == 4
    wanted = [one.item(0), one.item(1), other.item(0), other.item(1)]
    for k, (image, outputs) in enumerate(wanted):
        found = both.item(k)
        assert np.array_equal(found[0], image) and np.array_equal(found[1], outputs)
    with pytest.raises(IndexError):
        both.item(4)


@pytest.mark.parametrize("size", [(64, 64), (96, 48), (40, 80)])
def test_views_move_pictures_and_maps_alike(size):
    rng = np.random.default_rng(0)
    outputs = np.random.default_rng(1).integers(0, 39, (size[1] // 8, size[0] // 8)).repeat(8, 0).repeat(8, 1)
    image = np.stack([outputs * 6] * 3, axis=-1).astype(np.uint8)
    for _ in range(20):
        window = view(size, (64, 32), (0.5, 2.0), rng)
        assert window.out_wh == (64, 32)
        small, labels = window.image(image, fill=127), window.labels(outputs.astype(np.uint16), fill=IGNORE)
        inside = labels != IGNORE
        assert inside.any()
        level = small[..., 0].astype(int)
        near = np.abs(level - labels.astype(int) * 6) <= 6
        assert near[inside].mean() > 0.4  # edges of blocks are blended
        if (~inside).mean() > 0.3:
            assert (level[~inside] == 127).mean() > 0.7


def test_views_without_zoom_are_the_whole_picture_or_its_mirror():
    rng = np.random.default_rng(0)
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    found = [view((64, 64), (64, 64), (1.0, 1.0), rng).image(image) for _ in range(10)]
    same = [np.array_equal(one, image) for one in found]
    assert any(same) and not all(same)
    assert all(np.array_equal(one if k else one[:, ::-1], image) for one, k in zip(found, same, strict=True))


def test_batches_keep_the_ratio_and_follow_from_the_random_numbers():
    dark, light = drawn(2)
    sets = [RenderSet(Annotated.of([one]), THINGS) for one in (dark, light)]

    def made(odds, seed=0, count=200):
        rng = np.random.default_rng(seed)
        return batch(sets, odds, count, (64, 64), (1.0, 1.0), rng)

    found = made((4.0, 1.0))
    assert found["images"].shape == (200, 64, 64, 3) and found["images"].dtype == np.uint8
    assert found["labels"].shape == (200, 64, 64) and found["labels"].dtype == np.int32
    first = [
        any(np.array_equal(one, side) for side in (dark.image, dark.image[:, ::-1]))
        for one in found["images"]
    ]
    assert 0.7 < np.mean(first) < 0.9
    again, other = made((4.0, 1.0)), made((4.0, 1.0), seed=1)
    assert np.array_equal(found["labels"], again["labels"])
    assert not np.array_equal(found["labels"], other["labels"])
    only = made((0.0, 1.0), count=5)["images"]
    assert all(any(np.array_equal(one, side) for side in (light.image, light.image[:, ::-1])) for one in only)


def test_a_dataset_as_it_is_downloaded(tmp_path):
    for folder in ("images/training", "annotations/training"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "images/training/a.jpg")
    Image.fromarray(np.array([[0, 1, 150] * 2] * 4, np.uint8)).resize((8, 6), 0).save(
        tmp_path / "annotations/training/a.png"
    )
    found = open_records([tmp_path], LabelSpace.of("ade20k"))
    image, outputs = found.item(0)
    assert len(found) == 1 and image.shape == (6, 8, 3) and set(np.unique(outputs)) == {0, 149, IGNORE}
