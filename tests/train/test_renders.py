"""Pictures to train on: drawn worlds in parts that survive a kill, folders of Records, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_family import SMALL, records

from scenewright.errors import InputError
from scenewright.scene import Record, Transform
from scenewright.train import renders
from scenewright.train.renders import FIRST_SEED, Item, Source, open_pictures, open_renders
from scenewright.world import town, toybox


def contents(cache: Path):
    return {file.name: file.read_bytes() for file in cache.iterdir() if file.is_file()}


def test_pictures_and_items_are_those_of_the_world(tmp_path):
    found = open_renders(SMALL, tmp_path)
    assert len(found) == 24
    picked = np.array([23, 0, 7])
    for image, index in zip(found.images(picked), picked, strict=True):
        drawn = toybox.draw(FIRST_SEED + int(index), size_px=64)
        assert (image == drawn.image).all()
        assert found.items[index] == Item.of(drawn.scene)


def test_parts_follow_each_other(tmp_path, monkeypatch):
    whole = open_renders(SMALL, tmp_path / "whole")
    monkeypatch.setattr(renders, "PART", 5)
    parts = open_renders(SMALL, tmp_path / "parts")
    index = np.arange(24)
    assert (whole.images(index) == parts.images(index)).all() and whole.items == parts.items


def test_the_town_has_many_looks(tmp_path):
    found = open_renders(Source(name="town", count=8, size_wh=(64, 32)), tmp_path)
    assert found.images(np.arange(8)).shape == (8, 32, 64, 3)
    assert len({int(np.random.default_rng(i).integers(len(town.LOOKS))) for i in range(8)}) > 2


CODE = """
import sys; from pathlib import Path; from scenewright.train import renders
renders.PART = 40
renders.open_renders(renders.Source(name="toybox", count=400, size_wh=(64, 64)), Path(sys.argv[1]))
"""


def test_a_killed_run_continues(tmp_path, monkeypatch):
    cache = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", CODE, str(cache)])
    deadline = time.monotonic() + 60
    while not list(cache.glob("toybox*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {file.name: file.stat().st_mtime_ns for file in cache.glob("toybox*")}
    done = len(list(cache.glob("toybox*.jsonl")))
    assert 0 < done < 10
    told: list[str] = []
    monkeypatch.setattr(renders, "PART", 40)
    source = Source(name="toybox", count=400, size_wh=(64, 64))
    open_renders(source, cache, told.append)
    assert len(told) == 10 - done and told[-1] == "toybox: 400 of 400 pictures"
    finished = [name for name in before if name.endswith(".jsonl")]
    assert all((cache / name).stat().st_mtime_ns == before[name] for name in finished)
    open_renders(source, tmp_path / "undisturbed")
    assert contents(cache) == contents(tmp_path / "undisturbed")  # and so nothing hidden is left behind


def test_a_folder_of_records_is_read_on_demand(tmp_path):
    folder = records(tmp_path / "records")
    found = open_pictures(Source(name=str(folder), size_wh=(64, 64)), tmp_path / "cache")
    assert len(found) == 6
    record = Record.load(folder / "r2.png")
    fit = Transform.fit(record.scene.size_wh, (64, 64))
    assert (found.images(np.array([2]))[0] == fit.image(record.image)).all()
    assert found.items[2] == Item.of(fit.scene(record.scene))
    kept = contents(tmp_path / "cache")
    assert [name.split(".")[-1] for name in kept] == ["jsonl"]  # no second copy of the pictures
    again = open_pictures(Source(name=str(folder), size_wh=(64, 64)), tmp_path / "cache")
    assert again.items == found.items and contents(tmp_path / "cache") == kept


def test_a_folder_that_grew_is_read_anew(tmp_path):
    source = Source(name=str(records(tmp_path / "records", 2)), size_wh=(64, 64))
    first = open_pictures(source, tmp_path / "cache")
    records(tmp_path / "records", 3)
    second = open_pictures(source, tmp_path / "cache")
    assert (len(first), len(second)) == (2, 3) and first.name != second.name
    part = open_pictures(Source(name=source.name, count=1, size_wh=(64, 64)), tmp_path / "cache")
    assert len(part) == 1


def test_mirrored_items_are_those_of_the_mirrored_picture():
    scene = toybox.draw(3).scene
    mirrored = Item.of(Transform(scene.size_wh).flip().scene(scene))
    item = Item.of(scene).mirrored()
    assert item.phrases == mirrored.phrases and item.caption == mirrored.caption
    assert np.allclose(item.boxes, mirrored.boxes) and item.mirrored().boxes == pytest.approx(
        np.array(Item.of(scene).boxes)
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(name="toyboxes", count=3), "neither toybox, town, nor a folder"),
        (Source(name="toybox"), "count of at least 1"),
        (Source(name="toybox", count=3, size_wh=(64, 32)), "square"),
    ],
)
def test_errors_name_what_was_expected(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        open_pictures(source, tmp_path)


def test_a_folder_without_records(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no Record"):
        open_pictures(Source(name=str(tmp_path / "empty")), tmp_path / "cache")
