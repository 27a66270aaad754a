"""What is true of batches of drawn pictures, and boxes to read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenewright.scene import Box
from scenewright.train.annotated import AnnotatedSource, open_annotated
from scenewright.train.targets import anywhere, moved_boxes, overlaps, shaken, truth

TOYS = AnnotatedSource(count=10, size_wh=(64, 64), things=(2, 6))
ALL = np.arange(10)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return open_annotated([TOYS], tmp_path_factory.mktemp("cache"))


def test_without_cuts_pictures_are_only_mirrored(pictures):
    found = truth(pictures, ALL, 0.0, np.random.default_rng(0))
    images, mirrored = pictures.images(ALL), 0
    for b, item in enumerate(pictures.items):
        same = (found.images_BHW3[b] == images[b]).all()
        mirrored += not same
        assert same or (found.images_BHW3[b] == images[b][:, ::-1]).all()
        count = len(item.classes)
        assert tuple(found.class_BG[b, :count]) == item.classes and (found.class_BG[b, count:] == -1).all()
        assert tuple(found.colour_BG[b, :count]) == item.colours
        assert tuple(found.texture_BG[b, :count]) == item.textures
        for k, (x0, y0, x1, y1) in enumerate(item.boxes):
            wanted = np.array([x0, y0, x1, y1] if same else [1 - x1, y0, 1 - x0, y1]) * 64
            assert found.true_BG4[b, k] == pytest.approx(wanted, abs=1e-3)
    assert 2 <= mirrored <= 8


def test_enlarged_parts_keep_what_is_half_in_them(pictures):
    rng = np.random.default_rng(1)
    kept = 0
    for _ in range(10):
        found = truth(pictures, ALL, 1.0, rng)
        assert found.images_BHW3.shape == (10, 64, 64, 3)
        for b in range(10):
            for k in np.flatnonzero(found.class_BG[b] >= 0):
                rows, columns = np.nonzero(found.numbers_BHW[b] == k + 1)
                box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert found.true_BG4[b, k].tolist() == box
                kept += 1
            assert (found.true_BG4[b][found.class_BG[b] < 0] == 0).all()
    total = 10 * sum(len(item.classes) for item in pictures.items)
    assert 0.5 * total < kept < total


def test_what_is_enlarged_fits_its_map(pictures):
    """The pixels of a thing in the enlarged part look like the thing in the whole picture."""
    whole, numbers = pictures.images(ALL), pictures.instances(ALL)
    found = truth(pictures, ALL, 1.0, np.random.default_rng(3))
    gaps = []
    for b in range(10):
        for k in np.flatnonzero(found.class_BG[b] >= 0):
            before = np.median(whole[b][numbers[b] == k + 1], axis=0)
            after = np.median(found.images_BHW3[b][found.numbers_BHW[b] == k + 1], axis=0)
            gaps.append(np.abs(before - after).max())
    assert np.median(gaps) < 12


def test_boxes_to_read_mean_what_they_show(pictures):
    rng = np.random.default_rng(2)
    found = truth(pictures, ALL, 0.0, rng)
    boxes, things = moved_boxes(found, 8, rng)
    assert boxes.shape == (10, 8, 4) and things.shape == (10, 8)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    for b in range(10):
        assert set(things[b, :6]) <= set(np.flatnonzero(found.class_BG[b] >= 0))
        near = overlaps(boxes[b, :6], found.true_BG4[b, things[b, :6]])
        assert near.min() > 0.15 and near.mean() > 0.5
        for box, thing in zip(boxes[b, 6:], things[b, 6:], strict=True):
            best = overlaps(box[None], found.true_BG4[b])
            assert (thing == best.argmax()) if best.max() >= 0.5 else (thing == -1)


def test_pictures_with_nothing_in_them(pictures):
    found = truth(pictures, ALL, 0.0, np.random.default_rng(0))
    empty = replace(found, class_BG=np.full_like(found.class_BG, -1))
    boxes, things = moved_boxes(empty, 4, np.random.default_rng(0))
    assert (things == -1).all() and (boxes[..., 2:] > boxes[..., :2]).all()


def test_overlaps_are_those_of_scenes():
    rng = np.random.default_rng(0)
    boxes = anywhere(30, (64, 96), rng)
    assert boxes.min() >= 0 and (boxes <= np.array([96, 64, 96, 64])).all()
    moved = np.clip(shaken(boxes, rng), 0, 64)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    for a, b in zip(boxes / 100, moved / 100, strict=True):
        wanted = Box(*a.tolist()).iou(Box(*b.tolist()))
        assert overlaps(a[None], b[None])[0] == pytest.approx(wanted, abs=1e-4)
